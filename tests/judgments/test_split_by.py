"""`split_by` defines the held-out unit of a score and its standard error."""

import csv

import numpy as np
import pytest
from PIL import Image

from perceptinit.configs import read_config
from perceptinit.errors import DataError, Problem
from perceptinit.evaluators.odd_one_out import OddOneOutScore
from perceptinit.evaluators.two_afc import TwoAFC
from perceptinit.judgments.data_check import check_judgments
from perceptinit.judgments.forms.splits import NO_SPLIT, SPLITS
from perceptinit.judgments.own.choices import MultiSelect, OddOneOutTable, SameDifferent
from perceptinit.judgments.own.matrix_set import RdmSet
from perceptinit.judgments.own.rating_table import Ratings
from perceptinit.judgments.own.table import Table
from perceptinit.judgments.scoring import (
    HeldOutError,
    binomial_stderr,
    clustered_stderr,
    held_out_error,
    jackknife_stderr,
)
from perceptinit.types import RunContext

NUM_IMAGES = 20
SHARES = {"val_share": 0.3, "test_share": 0.3}


@pytest.fixture
def folder(tmp_path):
    for i in range(NUM_IMAGES):
        Image.new("RGB", (4, 4), (12 * i, 255 - 12 * i, 40)).save(tmp_path / f"{i:02d}.png")
    return tmp_path


def write(folder, header, rows):
    with (folder / "lab.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header.split(), *rows])


def triples(count=400, width=3, seed=0):
    """Return random rows of distinct images."""
    rng = np.random.default_rng(seed)
    return [[f"{i:02d}.png" for i in rng.choice(NUM_IMAGES, width, replace=False)] for _ in range(count)]


def table(folder, split_by=None, rows=None, **config):
    rows = rows or [[*row, f"person {i % 10}"] for i, row in enumerate(triples())]
    write(folder, "anchor positive negative subject", rows)
    return Table(Table.Config(path=folder / "lab.csv", split_by=split_by, **{**SHARES, **config}))


def images_of(judgments):
    return [set(judgments.load(split).used_names) for split in SPLITS]


def are_apart(sets):
    return all(not sets[i] & sets[j] for i in range(3) for j in range(i))


def test_split_by_image_with_too_few_images_suggests_other_splits(folder):
    judgments = table(folder, "image", rows=[[*row, "ann"] for row in triples(8)])
    message = r"no judgments in split 'test' .*\. split_by = \"image\" skips 8 judgments\. Add images, or set"
    with pytest.raises(DataError, match=message):
        judgments.load("test")


def test_splits_by_image_share_no_image_and_excluded_judgments_are_counted(folder):
    judgments = table(folder, "image")
    assert are_apart(images_of(judgments))
    sizes = [len(judgments.load(split)) for split in SPLITS]
    assert sum(sizes) + (judgments.splits == NO_SPLIT).sum() == len(judgments.splits)
    [message] = [f.message for f in check_judgments(judgments).findings if "are excluded" in f.message]
    left = (judgments.splits == NO_SPLIT).sum()
    assert message == (
        f"{left} of {len(judgments.splits)} judgments are excluded, because their images are in several "
        'splits (split_by = "image")'
    )


def test_splits_by_anchor_share_no_anchor_but_other_images(folder):
    judgments = table(folder, "anchor")
    anchors = [{t.stimuli.ids[i] for i in t.anchor} for t in (judgments.load(split) for split in SPLITS)]
    assert are_apart(anchors)
    assert not are_apart(images_of(judgments))
    assert not (judgments.splits == NO_SPLIT).any()


def test_splits_by_person_share_no_person_but_questions(folder):
    question = ["00.png", "01.png", "02.png"]
    judgments = table(folder, "person", rows=[[*question, f"person {i}"] for i in range(10)])
    loaded = [judgments.load(split) for split in SPLITS]
    assert are_apart([set(t.group.tolist()) for t in loaded])
    assert [len(t) for t in loaded] == [4, 3, 3]  # one judgment per person
    assert check_judgments(judgments).ok


def test_splits_by_row_keep_rows_of_one_question_together(folder):
    a, b, c = "00.png", "01.png", "02.png"
    rows = [[*row, "p"] for row in triples(60)]
    judgments = table(folder, "row", rows=[*rows, [a, b, c, "p"], [a, c, b, "q"], [a, b, c, "r"]])
    votes = [
        t.num_votes[i]
        for t in (judgments.load(split) for split in SPLITS)
        for i in range(len(t))
        if {t.stimuli.ids[j] for j in (t.anchor[i], t.first[i], t.second[i])} == {a, b, c}
        and t.stimuli.ids[t.anchor[i]] == a
    ]
    assert sum(votes) >= 3
    assert len(votes) == 1


def test_the_default_split_is_by_anchor(folder):
    assert table(folder).splits.tolist() == table(folder, "anchor").splits.tolist()


@pytest.mark.parametrize("column", ["split", "group"])
def test_a_split_column_and_split_by_together_are_refused(folder, column):
    write(folder, f"anchor positive negative {column}", [[*row, "train"] for row in triples(9)])
    with pytest.raises(DataError, match=f"column '{column}' and split_by = \"image\" both define the splits"):
        Table(Table.Config(path=folder / "lab.csv", split_by="image")).load("train")


def test_split_by_person_requires_a_subject_column(folder):
    write(folder, "anchor positive negative", triples(9))
    with pytest.raises(DataError, match=r"lab.csv: no column 'subject'\."):
        Table(Table.Config(path=folder / "lab.csv", split_by="person")).load("train")


def test_every_users_table_supports_split_by_image(folder):
    path = {"path": folder / "lab.csv", "split_by": "image", **SHARES}
    write(folder, "image_1 image_2 image_3 odd", [[*row, row[2]] for row in triples()])
    assert are_apart(images_of(OddOneOutTable(OddOneOutTable.Config(**path))))
    write(folder, "anchor chosen_1 other_1 other_2", triples(200, width=4))
    assert are_apart(images_of(MultiSelect(MultiSelect.Config(**path, is_ranked=False))))
    pairs = [[f"{i:02d}.png", f"{j:02d}.png"] for i in range(NUM_IMAGES) for j in range(i)]
    write(folder, "first second p_same", [[*pair, k % 5 / 4] for k, pair in enumerate(pairs)])
    assert are_apart(images_of(SameDifferent(SameDifferent.Config(**path))))
    rated = [[f"{i % 5:02d}.png", f"{i:02d}.png", i] for i in range(5, NUM_IMAGES)]
    write(folder, "reference image rating", rated)
    ratings = Ratings(Ratings.Config(**path, higher_is_better=True))
    assert (ratings.splits == NO_SPLIT).any()
    assert SPLITS.index("train") in ratings.splits


def test_odd_one_out_supports_split_by_person(folder):
    rows = [[*row, row[0], f"person {i % 10}"] for i, row in enumerate(triples(200))]
    write(folder, "image_1 image_2 image_3 odd subject", rows)
    config = OddOneOutTable.Config(path=folder / "lab.csv", split_by="person", **SHARES)
    judgments = OddOneOutTable(config)
    loaded = [judgments.load_odd_one_out(split) for split in SPLITS]
    assert are_apart([set(j.group.tolist()) for j in loaded])
    assert {t.unit for t in (judgments.load(s) for s in SPLITS)} == {"group"}


@pytest.mark.parametrize(("cls", "value"), [(OddOneOutTable, "anchor"), (RdmSet, "person")])
def test_an_unsupported_split_by_lists_the_supported_values(cls, value):
    config, problems = read_config(cls.Config, {"path": "a", "split_by": value}, "judgments")
    assert config is None
    assert any("split_by" in str(p) and "'image'" in str(p) for p in problems)
    assert all(isinstance(p, Problem) for p in problems)


def test_data_check_reports_training_images_in_test_and_the_size_of_image_splits(folder):
    judgments = table(folder)
    by_image = table(folder, "image").splits
    notes = [f.message for f in check_judgments(judgments).findings if f.severity == "note"]
    [message] = [note for note in notes if "occur in training" in note]
    left = ", ".join(f"{(by_image == code).sum()} {name}" for code, name in enumerate(SPLITS))
    assert message == (
        "20 of 20 images of 'test' also occur in training, so scores do not measure generalization to unseen "
        'images. split_by = "image" would leave '
        f"{left} of {len(by_image)} judgments (small test split; raise test_share)"
    )
    assert not any("occur in training" in f.message for f in check_judgments(table(folder, "image")).findings)


class Colours:
    """A model whose embedding is the mean color."""

    image_size = 4

    def encode_image(self, images):
        return images.float().mean(dim=(2, 3)) - 128


def extra_of(evaluator, judgments):
    measure = evaluator(evaluator.Config(), judgments)
    return next(iter(measure.evaluate(Colours(), RunContext(num_workers=0))))


def test_a_score_records_the_held_out_unit(folder):
    assert extra_of(TwoAFC, table(folder)).extra["held_out"] == "anchor"
    assert extra_of(TwoAFC, table(folder, "image")).extra["held_out"] == "image"
    write(folder, "image_1 image_2 image_3 odd", [[*row, row[2]] for row in triples()])
    odd = OddOneOutTable(OddOneOutTable.Config(path=folder / "lab.csv"))
    assert "held_out" in extra_of(OddOneOutScore, odd).extra


def test_standard_errors_resample_held_out_images(folder):
    shares = {"val_share": 0.0, "test_share": 1.0}
    by_image, by_anchor = (extra_of(TwoAFC, table(folder, by, **shares)) for by in ("image", "anchor"))
    assert by_image.stderr != by_anchor.stderr
    assert by_image.extra["held_out"] == "image"


def test_the_jackknife_excludes_each_image_with_all_its_judgments():
    values, images = (
        np.array([1.0, 0.0, 1.0, 1.0]),
        np.array([[0, 0, 1, 2], [1, 2, 2, 3], [2, 3, 3, 0]]),
    )
    # judgments: 012, 023, 123, 230; without 0: 123; without 1: 023 and 230; without 2: none
    assert jackknife_stderr(values, images) is None
    images = np.array([[0, 3, 0, 1], [1, 4, 3, 4]])
    # means without 0 to 4: 0.5; 0.5; 0.75; ... of rows 01, 34, 03, 14
    means = np.array([0.5, 0.5, 1.0, 1.0])
    expected = np.sqrt(3 / 4 * np.square(means - means.mean()).sum())
    assert jackknife_stderr(values, images) == pytest.approx(expected)


def test_standard_errors_over_images_match_the_spread_over_new_images():
    rng = np.random.default_rng(0)
    means, errors = [], []
    for _ in range(200):
        images = np.stack([rng.choice(25, 3, replace=False) for _ in range(300)]).T
        ease = rng.normal(size=25)[images].sum(axis=0)
        values = (rng.random(300) < 1 / (1 + np.exp(-0.7 - 0.4 * ease))).astype(float)
        means.append(values.mean())
        errors.append(jackknife_stderr(values, images))
    assert np.std(means) * 0.95 < np.mean(errors) < np.std(means) * 1.35


def test_standard_errors_resample_held_out_people():
    values = np.repeat([1.0, 0.0], 10)
    people, anchors, images = np.arange(20) // 2, np.arange(20), np.arange(60).reshape(3, 20)
    by_person = held_out_error(values, "group", anchors, people, images)
    assert by_person == HeldOutError(clustered_stderr(values, people), 10, "group")
    assert held_out_error(values, "anchor", anchors, people, images).num_units == 20


def test_few_anchors_have_no_interval_although_their_spread_is_small():
    values = np.tile([1.0, 0.0], 10)
    anchors, images = np.repeat(np.arange(2), 10), np.arange(60).reshape(3, 20)
    error = held_out_error(values, "anchor", anchors, anchors, images)
    assert clustered_stderr(values, anchors) == 0
    assert error.interval(0.5) is None
    assert error.missing == "too few anchors for an interval"


def test_the_error_is_never_below_that_of_independent_votes():
    values, votes = np.full(20, 0.5), np.full(20, 5)  # equal shares, so clusters do not differ
    images = np.arange(60).reshape(3, 20)
    error = held_out_error(values, "anchor", np.arange(20), np.arange(20), images, votes)
    assert error.stderr == binomial_stderr(values, votes) == pytest.approx(0.05)  # sqrt(1/4 / 100)
    # t with 19 degrees of freedom: 2.093
    assert error.interval(0.5) == pytest.approx((0.5 - 0.10465, 0.5 + 0.10465), abs=1e-4)


def test_judgments_of_each_person_share_the_stimuli_of_the_split(folder):
    judgments = table(folder)
    test, people = judgments.load("test"), judgments.load_people("test")
    assert sorted(people) == [f"person {i}" for i in range(10)] == sorted(judgments.people)
    assert sum(t.num_votes.sum() for t in people.values()) == test.num_votes.sum()
    assert all(t.stimuli.ids == test.stimuli.ids for t in people.values())
    alone = Table(Table.Config(path=folder / "lab.csv", subjects=("person 3",), **SHARES))
    own, expected = people["person 3"], alone.load("test")
    assert np.array_equal(own.p_second, expected.p_second)
    assert [own.stimuli.ids[i] for i in own.anchor] == [expected.stimuli.ids[i] for i in expected.anchor]


def test_counts_of_a_split_by_image_are_those_of_a_table_that_is_read_with_it(folder):
    expected = table(folder, split_by="image").splits
    assert table(folder).splits_by_image().tolist() == expected.tolist()
    assert table(folder, whole=True).splits_by_image().tolist() == [SPLITS.index("test")] * len(expected)


def test_a_column_of_groups_has_no_split_by_image(folder):
    write(folder, "anchor positive negative group", [[*row, "g"] for row in triples(10)])
    with pytest.raises(DataError, match="both define the splits"):
        Table(Table.Config(path=folder / "lab.csv")).splits_by_image()
