"""Agreement by anchor and by person: computed by hand, in scores and on the page."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.made_runs import record, score, write
from PIL import Image

from perceptinit.analysis.compare import compare
from perceptinit.errors import DataError
from perceptinit.evaluators.rsa import RSA
from perceptinit.evaluators.two_afc import TwoAFC, by_anchor, predict_by_others
from perceptinit.judgments.controls.wrappers import ShuffledVotes
from perceptinit.judgments.forms.rdm import Dissimilarities, square
from perceptinit.judgments.own.table import Table
from perceptinit.reports.page import find_breakdowns
from perceptinit.reports.report import render
from perceptinit.results.runs import load_runs
from perceptinit.types import DataCard, RunContext, Stimuli, Triplets
from perceptinit.verdict.headline import Judged

GREY = [np.full((4, 4, 3), value, dtype=np.uint8) for value in (10, 20, 30, 200)]
STIMULI = Stimuli(("a", "b", "c", "d"), GREY)


def triplets(p_second, num_votes=1, swap=False):
    """Return the judgments b or d for anchor a, and c or d for anchor b."""
    first, second = ([3, 3], [1, 2]) if swap else ([1, 2], [3, 3])
    return Triplets.build(STIMULI, [0, 1], first, second, p_second, num_votes)


def test_the_score_of_an_anchor_is_the_mean_of_its_judgments():
    judged = Triplets.build(STIMULI, [0, 0, 1], [1, 1, 2], [2, 3, 3], [1, 1, 1], [1, 3, 1])
    values = np.array([1.0, 0.0, 0.5])
    assert by_anchor(values, judged, judged.num_votes) == {
        "a": {"value": 0.25, "num_judgments": 2},
        "b": {"value": 0.5, "num_judgments": 1},
    }
    assert by_anchor(values, judged, None)["a"]["value"] == 0.5


def test_anchors_are_not_listed_above_max_rows(monkeypatch):
    monkeypatch.setattr("perceptinit.evaluators.two_afc.MAX_ROWS", 1)
    assert by_anchor(np.ones(2), triplets([0, 0]), None) == {}


def test_agreement_with_the_other_people_uses_their_majority_on_either_side():
    people = {
        "x": triplets([1.0, 0.0]),
        "y": triplets([0.0, 1.0], swap=True),  # like x: d, then c
        "z": triplets([0.0, 0.0]),  # b, then c
        "alone": Triplets.build(STIMULI, [3], [0], [1], [1.0]),
    }
    # for the first question, the others of x and of y have one vote for d and one for b
    assert predict_by_others(people) == {"x": 0.75, "y": 0.75, "z": 0.5, "alone": None}


class Asked:
    name = "asked"
    card = DataCard(title="asked", source_url="-", license="-", citation="-")
    people = ("x", "y")

    def load(self, split):
        return triplets([0.5, 0.0], 2)

    def load_people(self, split):
        return {"x": triplets([1.0, 0.0]), "y": triplets([0.0, 0.0])}


class Brightness:
    image_size = 4

    def encode_image(self, images):
        level = images.float().mean(dim=(1, 2, 3)) / 255
        return torch.stack([level, 1 - level], dim=1)


@pytest.mark.parametrize("wrap", [False, True])
def test_a_2afc_score_contains_agreement_by_anchor_and_by_person(wrap):
    judgments = ShuffledVotes(ShuffledVotes.Config(), Asked()) if wrap else Asked()
    found, _ = TwoAFC(TwoAFC.Config(), judgments).evaluate(Brightness(), RunContext())
    extra = json.loads(json.dumps(found.extra))
    # the model chooses b, then c
    assert extra["by_anchor"]["a"] == {"value": 0.5, "num_judgments": 1}
    assert extra["by_anchor"]["b"]["value"] == 1
    assert extra["by_person"]["x"]["value"] == 0.5
    assert extra["by_person"]["x"]["others"] == 0.5
    assert extra["by_person"]["y"] == {
        "value": 1.0,
        "stderr": None,  # of fewer than 10 anchors
        "num_judgments": 2,
        "others": 0.5,
    }


def test_items_of_a_2afc_score_are_the_answers_of_named_people():
    found, _ = TwoAFC(TwoAFC.Config(), Asked()).evaluate(Brightness(), RunContext())
    assert found.items.people.tolist() == [0, 0, 1, 1]
    assert found.items.values.tolist() == [0, 1, 1, 1]
    assert found.items.images.tolist() == [[0, 1, 3], [1, 2, 3]] * 2
    assert np.average(found.items.values, weights=found.items.weights) == found.value == 0.75
    assert set(map(len, found.items.baselines.values())) == {4}


def test_judgments_that_are_not_the_votes_of_people_have_no_people():
    class Mean(Asked):
        def load(self, split):
            return triplets([1.0, 0.0], 2)

    found, _ = TwoAFC(TwoAFC.Config(), Mean()).evaluate(Brightness(), RunContext())
    assert found.items.people is None
    assert len(found.items.values) == 2


def test_choices_of_a_subject_exclude_missing_cells_of_its_matrix():
    vectors = np.array([[1.0, 2.0, 3.0], [3.0, np.nan, 1.0]])
    d = Dissimilarities.build(square(vectors, "test"), "dissimilarity", "test")
    stimuli = Stimuli(("a", "b", "c"), [b""] * 3)
    drawn = Triplets.build(stimuli, [0, 1], [1, 0], [2, 2], [0, 0.5])
    first, second = d.of_each(drawn)
    assert first.p_second.tolist() == [0, 0]
    assert (second.anchor.tolist(), second.p_second.tolist()) == ([1], [1])


class Subjects:
    name = "subjects"
    people = ("subject 3", "subject 7")

    def load_people(self, split):
        raise AssertionError("triplets are not needed")

    def load_dissimilarities(self, split):
        order = square(np.array([[1.0, 3, 6, 2, 5, 4], [2.0, 3, 6, 1, 5, 4]]), "test")
        return STIMULI, np.arange(4), order


def test_rsa_contains_the_agreement_of_each_subject_with_model_and_others():
    spearman, _ = RSA(RSA.Config(), Subjects()).evaluate(Brightness(), RunContext())
    rows = spearman.extra["by_person"]
    assert list(rows) == ["subject 3", "subject 7"]
    assert np.mean([row["value"] for row in rows.values()]) == pytest.approx(spearman.value)
    # two exchanged ranks, 1 - 6 * 2 / (6 * 35); each of the two subjects is compared with the other
    assert [row["others"] for row in rows.values()] == pytest.approx([1 - 12 / 210] * 2)


def broken_down(value, low, high):
    extra = {
        "by_anchor": {"cup": {"value": low}, "bowl": {"value": high}},
        "by_person": {"ann": {"value": high, "others": 0.9}, "bob": {"value": low, "others": None}},
    }
    return [score(value, name="2afc/x", chance=0.5, extra=extra)]


@pytest.fixture
def comparison(tmp_path):
    records = [
        record("random", 0, broken_down(0.5, 0.4, 0.6)),
        record("random", 1, broken_down(0.6, 0.6, 0.6)),
        record("pi", 0, broken_down(0.8, 0.7, 0.9)),
    ]
    return compare(load_runs([write(tmp_path, records)]))


def test_people_and_anchors_are_sorted_by_their_mean_over_seeds(comparison):
    people, anchors = find_breakdowns(comparison)
    assert (people.title, anchors.title) == ("Each person in 2afc/x", "Each anchor in 2afc/x")
    assert people.headings == ["person", "random", "pi", "the other people"]
    assert people.rows == [["bob", "50.0", "70.0", ""], ["ann", "60.0", "90.0", "90.0"]]
    assert anchors.headings == ["anchor", "random", "pi"]
    assert anchors.rows == [["cup", "50.0", "70.0"], ["bowl", "60.0", "90.0"]]


def test_the_page_shows_people_and_anchors_as_numbers(comparison):
    html = render(Judged.of(comparison), with_examples=False)
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))
    assert "person random pi the other people bob 50.0 70.0 ann 60.0 90.0 90.0" in words
    assert "anchor random pi cup 50.0 70.0 bowl 60.0 90.0" in words


def test_a_table_with_a_subject_column_gives_agreement_by_person(tmp_path):
    for name, pixels in zip("abcd", GREY, strict=True):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    rows = ["anchor,first,second,choice,subject", "a.png,b.png,d.png,first,ann"]
    rows += [
        "a.png,d.png,b.png,first,bob",
        "b.png,c.png,d.png,first,ann",
        "a.png,b.png,d.png,first,cy",
    ]
    (tmp_path / "lab.csv").write_text("\n".join(rows))
    config = Table.Config(path=tmp_path / "lab.csv", val_share=0.0, test_share=1.0)
    judgments = Table(config)
    assert judgments.people == ["ann", "bob", "cy"]
    found, _ = TwoAFC(TwoAFC.Config(), judgments).evaluate(Brightness(), RunContext())
    people = found.extra["by_person"]
    # the model chooses b, then c, like ann; bob chose d, against both others
    assert {n: (p["value"], p["others"]) for n, p in people.items()} == {
        "ann": (1, 0.5),
        "bob": (0, 0),
        "cy": (1, 0.5),
    }
    assert people["ann"]["num_judgments"] == 2
    alone = Table(replace(config, subjects=("ann",)))
    assert alone.load_people("test") == {}


def test_a_table_without_a_subject_column_has_no_people(tmp_path):
    for name, pixels in zip("abcd", GREY, strict=True):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    (tmp_path / "lab.csv").write_text("anchor,positive,negative\na.png,b.png,c.png")
    judgments = Table(Table.Config(path=tmp_path / "lab.csv", val_share=0.0, test_share=0.0))
    assert (list(judgments.people), judgments.load_people("train")) == ([], {})


def test_judgments_can_be_reindexed_to_other_stimuli():
    more = Stimuli(("x", "d", "c", "b", "a"), [b""] * 5)
    moved = triplets([1.0, 0.0]).over(more)
    assert (moved.anchor.tolist(), moved.second.tolist()) == ([4, 3], [1, 1])
    with pytest.raises(DataError, match="anchor is not one of the 1 stimuli"):
        triplets([1.0, 0.0]).over(Stimuli(("d",), [b""]))
