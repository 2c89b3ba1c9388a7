"""Test sets with unreadable images: scores over the readable ones, marked in tables and pages."""

import numpy as np
import pytest
from helpers.fake_encoder import FakeEncoder, image_of, make_set
from helpers.made_runs import score, three_by_three, write

from perceptinit.analysis.compare import compare
from perceptinit.errors import DataError
from perceptinit.evaluating.as_runs import as_runs
from perceptinit.evaluating.measure import Measured
from perceptinit.evaluating.models import EvalModel
from perceptinit.evaluators.labelled import KNN
from perceptinit.evaluators.readable import note_unreadable, readable_rows
from perceptinit.evaluators.retrieval import Retrieval
from perceptinit.evaluators.zero_shot import ZeroShot
from perceptinit.reports.columns import flat_rows as comparison_rows, page_note
from perceptinit.reports.formats import markdown_table
from perceptinit.reports.tables import rich_table as arms_table
from perceptinit.results.runs import load_runs
from perceptinit.test_sets.sets import RetrievalSet
from perceptinit.types import RunContext
from perceptinit.verdict.headline import Judged

RIGHT, UP = image_of(9, 1), image_of(1, 9)
LABELS = [0, 1] * 1000


def make_images(bad=()):
    """Return 2,000 images that alternate between right and up; `bad` rows are unreadable."""
    images = [RIGHT, UP] * 1000
    for row in bad:
        images[row] = b"no image"
    return images


def model():
    encoder = FakeEncoder({"right": (1, 0), "up": (0, 1)})
    encoder.embed_dim = 2
    return encoder


def evaluate(evaluator, read, warnings):
    evaluator.read = read
    ctx = RunContext(send=lambda event: warnings.append(event.message))
    return {s.name.partition("/")[0]: s for s in evaluator.evaluate(model(), ctx)}


def zero_shot(bad, warnings=None, cache_mib=2048):
    test_set = make_set(make_images(bad), LABELS)
    evaluator = ZeroShot(ZeroShot.Config(datasets=("set",), cache_mib=cache_mib))
    return evaluate(evaluator, lambda name: test_set, warnings if warnings is not None else [])


@pytest.mark.parametrize("cache_mib", [2048, 0])
def test_a_score_without_one_unreadable_image_lists_that_image(cache_mib):
    warnings = []
    found = zero_shot([1301], warnings, cache_mib)
    assert found["top1"].value == 1.0  # a replacement image would be classified wrongly
    assert found["top1"].num_examples == 1999
    assert found["top1"].extra["num_images"] == 1999
    assert found["top1"].extra["num_images_of_set"] == 2000
    assert found["top1"].extra["unreadable"] == ["image 1301"]
    assert found["mean_per_class_recall"].extra["unreadable"] == ["image 1301"]
    assert warnings == [
        "test set 'set' is incomplete: 1 of 2,000 images cannot be read and are excluded: image 1301"
    ]


def test_a_warning_states_that_its_list_of_images_is_truncated():
    test_set, warnings = make_set(make_images() * 11, LABELS * 11), []
    for row in range(21):
        note_unreadable(test_set, row, DataError("damaged"), is_alone=True)
    readable_rows(test_set, lambda unreadable: unreadable, warnings.append)
    assert "22,000 images cannot be read and are excluded: the first 20 of 21: image 0, " in warnings[0]
    assert warnings[0].endswith(", image 19")


def test_a_complete_set_is_not_marked():
    assert "unreadable" not in zero_shot([])["top1"].extra


def test_more_than_a_thousandth_of_unreadable_images_is_an_error():
    assert zero_shot([0, 1])["top1"].num_examples == 1998  # a thousandth
    with pytest.raises(DataError) as error:
        zero_shot([5, 600, 1999])
    assert "test set 'set': 3 of 2,000 images cannot be read (limit: 0.1 %)" in str(error.value)
    assert "image 5: cannot be decoded as an image" in str(error.value)


def test_a_set_of_unreadable_images_fails_early():
    class Counted(list):
        num_read = 0

        def __getitem__(self, index):
            self.num_read += 1
            return super().__getitem__(index)

    images = Counted([b""] * 2000)
    evaluator = ZeroShot(ZeroShot.Config(datasets=("set",), batch_size=10))
    with pytest.raises(DataError, match="so the set has no score"):
        evaluate(evaluator, lambda name: make_set(images, LABELS), [])
    assert images.num_read < 50


def test_two_evaluators_of_one_set_exclude_the_same_image():
    test_set = make_set(make_images([1301]), LABELS)
    config = ZeroShot.Config(datasets=("set",))
    first, second = (evaluate(ZeroShot(config), lambda name: test_set, []) for _ in range(2))
    assert first == second


def test_knn_uses_readable_images_only():
    splits = {"train": make_set(make_images([0]), LABELS), "test": make_set(make_images([7]), LABELS)}
    evaluator = KNN(KNN.Config(datasets=("set",), k=3))
    found = evaluate(evaluator, lambda name, split: splits[split], [])
    assert (found["knn"].value, found["knn"].num_examples) == (1.0, 1999)
    assert found["knn"].extra["num_reference"] == 1999
    assert found["knn"].extra["unreadable"] == ["image 0", "image 7"]


def test_captions_of_an_unreadable_image_are_excluded():
    num = 1000
    images = [b"no image" if i == 3 else RIGHT for i in range(num)]
    captions = tuple("right" for _ in range(2 * num))
    test_set = RetrievalSet(
        "set", images, [f"image {i}" for i in range(num)], captions, np.repeat(np.arange(num), 2)
    )
    evaluator = Retrieval(Retrieval.Config(datasets=("set",)))
    found = evaluate(evaluator, lambda name, split: test_set, [])
    assert found["image_recall_1"].num_examples == 1998
    assert found["text_recall_1"].num_examples == 999
    assert found["image_recall_1"].extra["num_images"] == 999
    assert found["image_recall_1"].extra["unreadable"] == ["image 3"]


def test_processes_that_share_a_set_exclude_every_unreadable_image():
    from perceptinit.evaluators.readable import note_unreadable, readable_rows

    test_set = make_set(make_images(), LABELS)
    note_unreadable(test_set, 4, DataError("image 4: gone"), is_alone=False)
    other = np.zeros(2000, np.float32)
    other[9] = 1  # of another process
    rows_kept = readable_rows(test_set, lambda own: own + other, lambda text: None)
    assert np.flatnonzero(~rows_kept).tolist() == [4, 9]


def test_the_table_of_models_marks_the_incomplete_set():
    scores = list(zero_shot([1301]).values())
    runs = as_runs([Measured(EvalModel("one", lambda: None), scores=scores)])
    (row, *_) = comparison_rows(compare(runs).scores)
    assert row["incomplete"] == "incomplete: 1,999 of 2,000 images"


@pytest.fixture
def comparison(tmp_path):
    records = three_by_three()
    extra = {"num_images": 49_999, "num_images_of_set": 50_000, "unreadable": ["val/0/s17"]}
    records[0]["scores"] = [score(0.5, num_examples=49_999, extra=extra)]
    return compare(load_runs([write(tmp_path, records)]))


def test_a_note_states_that_its_list_of_images_is_truncated(tmp_path):
    records = three_by_three()
    extra = {"num_images": 49_979, "num_images_of_set": 50_000, "unreadable": [f"s{i}" for i in range(20)]}
    records[0]["scores"] = [score(0.5, num_examples=49_979, extra=extra)]
    found = compare(load_runs([write(tmp_path, records)]))
    assert "not read: the first 20 of 21: s0, s1" in markdown_table(Judged.of(found), found.scores)


def test_table_and_page_of_arms_mark_the_incomplete_set(comparison, capsys):
    from rich.console import Console

    Console(width=160).print(arms_table(Judged.of(comparison), comparison.scores))
    shown = " ".join(capsys.readouterr().out.split())
    assert "samples seen, incomplete: 49,999 of 50,000 images)" in shown
    assert (
        f"{comparison.runs.arms[0]}, seed 0: x is incomplete: 49,999 of 50,000 images; not read: val/0/s17"
        in shown
    )
    assert "incomplete: 49,999 of 50,000 images" in page_note(comparison, comparison.scores[0])
    assert "not read: val/0/s17" in markdown_table(Judged.of(comparison), comparison.scores)
    assert {row["incomplete"] for row in comparison_rows(comparison.scores)} == {
        "incomplete: 49,999 of 50,000 images"
    }
