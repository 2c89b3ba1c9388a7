"""Suites of test sets, and the location of their sets on disk."""

import json

import numpy as np
import pytest
from helpers.made_sets import labelled_set, multilabel_set, png

from perceptinit.errors import DataError, UsageError
from perceptinit.evaluators.zero_shot import ZeroShot
from perceptinit.test_sets.choice import SetChoice
from perceptinit.test_sets.readers import imagenet_words, read_zero_shot_set
from perceptinit.test_sets.sets import (
    SyntheticSettings,
    find_set,
    known_sets,
    suite_names,
    suite_sets,
)
from perceptinit.testing import tiny_model
from perceptinit.types import RunContext


def choice(root, *datasets, suite="", missing="error", kinds=("classification", "multilabel")):
    return SetChoice(
        datasets=datasets,
        suite=suite,
        root=str(root),
        missing=missing,
        kinds=kinds,
        synthetic=SyntheticSettings(),
    )


def test_both_readings_of_the_paper_have_29_labeled_and_2_captioned_sets():
    for name in ("paper29", "paper29-script"):
        assert len(suite_sets(name, ("classification",))) == 29
        assert len(suite_sets(name, ("retrieval",))) == 2
    keys = {name: {s.key for s in suite_sets(name)} for name in suite_names()}
    assert keys["paper29"] - keys["paper29-script"] == {"birdsnap", "sun397"}
    assert keys["paper29-script"] - keys["paper29"] == {"imagenet-o", "objectnet"}


def test_the_families_have_the_published_sizes():
    families = [s.family for s in suite_sets("paper29")]
    sizes = {family: families.count(family) for family in set(families)}
    assert sizes == {
        "imagenet": 1, "ood": 4, "vtab": 12, "fine-grained": 6, "misc": 6, "retrieval": 2,
    }  # fmt: skip


def test_the_28_public_sets_have_the_published_number_of_images():
    sets = [s for s in suite_sets("paper29", ("classification",)) if s.key != "birdsnap"]
    assert sum(s.num_images for s in sets) == 501_288


def test_every_set_states_a_main_metric_and_a_plausible_chance():
    for known in known_sets().values():
        assert known.main in {
            "top1", "mean_per_class_recall", "mean_average_precision", "mean_recall_1",
        }  # fmt: skip
        assert known.chance is None or known.chance >= 0.99 / known.num_classes


def test_an_unknown_suite_is_reported_with_a_suggestion():
    with pytest.raises(UsageError, match=r"no suite called 'paper28'. Did you mean 'paper29'"):
        suite_sets("paper28")


@pytest.mark.parametrize("folder", ["wds_vtab-dtd_test", "wds_vtab-dtd", "vtab-dtd", "dtd", "vtab/dtd"])
def test_a_set_is_found_under_the_names_of_both_suites(tmp_path, folder):
    assert folder == "dtd" or find_set(folder).key == "vtab/dtd"
    (tmp_path / folder).mkdir(parents=True)
    assert choice(tmp_path, "vtab/dtd").path("vtab/dtd") == tmp_path / folder


@pytest.mark.parametrize("name", ["mine", "group/mine"])
def test_a_set_outside_the_suites_is_found_in_the_folder_that_clip_benchmark_exports(tmp_path, name):
    folder = tmp_path / f"wds_{name.replace('/', '-')}_test"
    (problem,) = choice(tmp_path, name).problems()
    assert f"no folder {tmp_path / name} or {folder.name}. Create it: " in problem
    labelled_set(folder, [0, 1] * 5, 10)
    assert list(choice(tmp_path, name).problems()) == []


def test_missing_sets_are_reported_with_the_download_command(tmp_path):
    config = ZeroShot.Config(suite="paper29", root=str(tmp_path))
    problems = list(ZeroShot(config).preflight())
    assert len(problems) == 29
    assert problems[0] == (
        f"test set 'imagenet1k': no folder {tmp_path / 'imagenet1k'}. "
        f"Get it: perceptinit data download imagenet1k --out {tmp_path}"
    )
    assert "data pack" in next(p for p in problems if "birdsnap" in p)


def test_missing_sets_are_skipped_and_listed_with_missing_skip(tmp_path):
    labelled_set(tmp_path / "mnist", [0, 1] * 5, 10)
    config = ZeroShot.Config(suite="paper29", root=str(tmp_path), missing="skip")
    evaluator = ZeroShot(config)
    assert list(evaluator.preflight()) == []
    events = []
    model = tiny_model().eval()
    scores = list(evaluator.evaluate(model, RunContext(send=events.append)))
    assert {s.name for s in scores} == {
        "top1/mnist", "top5/mnist", "mean_per_class_recall/mnist", "main/mnist",
    }  # fmt: skip
    assert len(events) == 1
    assert events[0].message.startswith("zero-shot: 28 sets are missing and skipped: imagenet1k, ")
    assert "mnist" not in events[0].message


def test_the_main_score_is_the_metric_of_the_set_with_the_chance_of_the_suite(tmp_path):
    labelled_set(tmp_path / "mnist", [0, 1] * 5, 10)
    labelled_set(tmp_path / "my-set", [0, 1] * 5, 10)
    config = ZeroShot.Config(datasets=("mnist", "my-set"), root=str(tmp_path))
    scores = {s.name: s for s in ZeroShot(config).evaluate(tiny_model().eval(), RunContext())}
    assert scores["main/mnist"].value == scores["top1/mnist"].value
    assert scores["main/mnist"].chance == 0.10035
    assert scores["main/mnist"].extra == {"measure": "top1"}
    assert scores["top1/mnist"].extra["published_num_images"] == 10_000
    assert "main/my-set" not in scores


def test_too_many_class_names_for_a_known_set_are_reported(tmp_path):
    labelled_set(tmp_path / "mnist", [0, 1], 11)
    with pytest.raises(DataError) as caught:
        read_zero_shot_set(tmp_path / "mnist")
    file = tmp_path / "mnist" / "classnames.txt"
    assert str(caught.value) == f"{file}: 11 class names, but mnist has 10 classes"


def test_imagenet_class_names_and_templates_equal_open_clip(tmp_path):
    names, templates = imagenet_words()
    assert (len(names), len(templates)) == (1000, 80)
    assert names[0] == "tench"
    assert templates[0] == "a bad photo of a {c}."
    labelled_set(tmp_path / "imagenet1k", [0, 999], 2)
    (tmp_path / "imagenet1k" / "classnames.txt").unlink()
    assert read_zero_shot_set(tmp_path / "imagenet1k").classnames == names


def test_prompts_of_each_class_replace_templates(tmp_path):
    from perceptinit.evaluators.classifier import set_prompts

    labelled_set(tmp_path / "pets", [0, 1], 2)
    (tmp_path / "pets" / "class_prompts.json").write_text(
        json.dumps({"class 0": ["a", "b"], "class 1": ["c"]})
    )
    test_set = read_zero_shot_set(tmp_path / "pets")
    assert [list(row) for row in set_prompts(test_set)] == [["a", "b"], ["c"]]
    (tmp_path / "pets" / "class_prompts.json").write_text(json.dumps({"class 0": ["a"]}))
    with pytest.raises(DataError, match="test set 'pets': no prompts for class 'class 1'"):
        read_zero_shot_set(tmp_path / "pets")


def test_a_multilabel_set_is_scored_by_mean_average_precision(tmp_path):
    multilabel_set(tmp_path / "scenes", [[1, 0, 1], [0, 1, 0], [1, 1, 0]])
    test_set = read_zero_shot_set(tmp_path / "scenes")
    assert test_set.labels.tolist() == [
        [True, False, True],
        [False, True, False],
        [True, True, False],
    ]
    config = ZeroShot.Config(datasets=("scenes",), root=str(tmp_path))
    (score,) = ZeroShot(config).evaluate(tiny_model().eval(), RunContext())
    assert score.name == "mean_average_precision/scenes"
    assert 0 < score.value <= 1
    assert score.chance == pytest.approx(5 / 9)


def test_multilabel_rows_with_a_wrong_number_of_classes_are_reported(tmp_path):
    multilabel_set(tmp_path / "scenes", [[1, 0, 1], [0, 1, 0]])
    (tmp_path / "scenes" / "classnames.txt").write_text("cat\ndog\n")
    with pytest.raises(DataError, match="labels for 3 classes, but there are 2 class names"):
        read_zero_shot_set(tmp_path / "scenes")


def test_an_empty_split_is_reported(tmp_path):
    labelled_set(tmp_path / "pets", [], 2)
    with pytest.raises(DataError, match="test set 'pets': no images"):
        read_zero_shot_set(tmp_path / "pets")


def test_a_sample_count_that_differs_from_the_index_is_reported(tmp_path):
    labelled_set(tmp_path / "pets", [0, 1], 2)
    (tmp_path / "pets" / "test" / "sizes.json").write_text('{"0.tar": 3}')
    with pytest.raises(DataError, match=r"0.tar: 2 samples, but sizes.json states 3"):
        read_zero_shot_set(tmp_path / "pets")


def test_a_set_is_read_again_only_after_a_file_changes(tmp_path):
    labelled_set(tmp_path / "pets", [0, 1], 2)
    found = choice(tmp_path, "pets")
    assert found.read("pets") is found.read("pets")
    before = found.read("pets")
    (tmp_path / "pets" / "classnames.txt").write_text("a cat\na dog\n")
    assert found.read("pets") is not before
    assert found.read("pets").classnames == ("a cat", "a dog")


def test_two_evaluators_and_two_models_decode_images_once(tmp_path, monkeypatch):
    from perceptinit.evaluators import features
    from perceptinit.evaluators.labelled import LabeledMeasure

    class Silent(LabeledMeasure):
        def scores(self, model, sets, features, ctx):
            return []

    labelled_set(tmp_path / "pets", [0, 1, 1, 0], 2, images=[png(i) for i in range(4)])
    decoded = []
    stream = features.stream_batches

    def counted(sources, *arguments, **options):
        decoded.append(len(sources))
        return stream(sources, *arguments, **options)

    monkeypatch.setattr(features, "stream_batches", counted)
    model, other = tiny_model().eval(), tiny_model().eval()
    other.image.projection.weight.data.neg_()
    zero_shot = ZeroShot(ZeroShot.Config(datasets=("pets",), root=str(tmp_path)))
    first, second = zero_shot.evaluate_many([model, other], RunContext())
    Silent(zero_shot.config).evaluate_many([model, other], RunContext())
    assert decoded == [4]
    alone = [list(zero_shot.evaluate(m, RunContext())) for m in (model, other)]
    assert [[s.value for s in scores] for scores in alone] == [
        [s.value for s in scores] for scores in (first, second)
    ]


def test_cached_classifiers_depend_on_weights_and_prompts(tmp_path):
    from perceptinit.evaluators.classifier import Classifiers

    model = tiny_model().eval()
    prompts = {"pets": [["a cat"], ["a dog"]]}
    made = Classifiers("fp32", 8, tmp_path).make(model, prompts, "cpu")["pets"]
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    with monkeypatched_text(model):
        again = Classifiers("fp32", 8, tmp_path).make(model, prompts, "cpu")["pets"]
    np.testing.assert_array_equal(made.numpy(), again.numpy())
    Classifiers("fp32", 8, tmp_path).make(model, {"pets": [["a cat"], ["one dog"]]}, "cpu")
    next(model.text.parameters()).data.add_(0.1)
    changed = Classifiers("fp32", 8, tmp_path).make(model, prompts, "cpu")["pets"]
    assert len(list(tmp_path.glob("*.safetensors"))) == 3
    assert not np.array_equal(made.numpy(), changed.numpy())


class monkeypatched_text:  # noqa: N801
    """A context in which any use of the text tower fails."""

    def __init__(self, model):
        self.model = model

    def __enter__(self):
        self.model.encode_text = None

    def __exit__(self, *error):
        del self.model.encode_text


def test_a_cached_classifier_that_cannot_be_read_is_computed(tmp_path, monkeypatch):
    from perceptinit.evaluators import classifier, kept_embeddings

    def refuse(*arguments):
        raise PermissionError(13, "Permission denied")

    model = tiny_model().eval()
    prompts = {"pets": [["a cat"], ["a dog"]]}
    made = classifier.Classifiers("fp32", 8, tmp_path).make(model, prompts, "cpu")["pets"]
    for name in ("open_sealed", "remove_abandoned", "write_sealed"):
        monkeypatch.setattr(kept_embeddings, name, refuse)
    again = classifier.Classifiers("fp32", 8, tmp_path).make(model, prompts, "cpu")["pets"]
    np.testing.assert_array_equal(made.numpy(), again.numpy())
