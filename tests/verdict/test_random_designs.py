"""Random designs with known truth, whose firm sentences docs/calibration-tables.md counts."""

import pytest
import random_designs
from calibration_counts import Cells
from design_draws import EVERY, Truth
from design_kinds import KINDS
from design_runs import Experiment, headline_in_memory
from helpers.judging import headline
from situations.catalogue import SITUATIONS
from situations.made import write_runs

from perceptinit.analysis.compare import compare
from perceptinit.results.items import read_items
from perceptinit.results.runs import load_runs

FIRM = "people is worth it, and it is the human structure that helps."
EXACT = [kind for kind in KINDS if not kind.needs_statistics]


@pytest.mark.parametrize(
    "name", ["two controls beaten", "pixels equally good", "within delta", "one of ten people lost"]
)
def test_runs_in_memory_are_read_like_runs_on_disk(name, tmp_path):
    situation = SITUATIONS[name]
    folder = write_runs(situation, tmp_path)
    runs = {(path.parent.name, int(path.name[4:])): path for path in folder.glob("*/seed*")}
    items = {
        run: {score: each.values for score, each in read_items(path).items()} for run, path in runs.items()
    }
    states = {run: "failed" for run in runs if not items[run]}
    experiment = Experiment(situation=situation, delta=1.0, items=items, states=states)
    on_disk = random_designs.firm_claims(headline(compare(load_runs([folder]))), "people")
    assert random_designs.firm_claims(headline_in_memory(experiment), "people") == on_disk


@pytest.mark.parametrize(
    ("claim", "leads", "is_false"),
    [
        ("worth", {"people": 2.0}, False),
        ("worth", {"people": 1.0}, True),  # exactly delta
        ("not worth", {"people": -1.5}, False),
        ("not worth", {"people": -0.5}, True),
        ("equivalent", {"people": 1.0}, False),
        ("equivalent", {"people": -1.1}, True),
        ("structure", {"people": 2.0, "shuffled": 0.0, "pixels": 1.9}, False),
        ("structure", {"people": 2.0, "shuffled": 0.0, "pixels": 2.0}, True),
    ],
)
def test_the_truth_of_a_claim(claim, leads, is_false):
    assert Truth(leads=leads).is_false(claim, "people", delta=1.0) is is_false
    assert Truth(leads=leads, void=EVERY).is_false(claim, "people", delta=1.0)


def test_firm_claims_are_read_from_sentences():
    lines = [
        FIRM,
        "Whether start1 is worth it is undecided.",
        "start2 makes no difference that matters: it is equivalent.",
    ]
    assert random_designs.firm_claims(lines, "people") == {"worth": FIRM, "structure": FIRM}
    assert random_designs.firm_claims(lines, "start1") == {}
    assert [*random_designs.firm_claims(lines, "start2")] == ["equivalent"]


def test_a_claim_so_far_is_not_firm():
    assert random_designs.firm_claims([f"So far, with 4 of 6 seeds, {FIRM}"], "people") == {}


@pytest.mark.parametrize("kind", EXACT, ids=lambda kind: kind.name.replace(" ", "-"))
def test_a_design_with_a_defect_has_no_false_firm_sentence(kind):
    counts = Cells().find(kind.name, 4, random_designs.count, kind)
    assert counts["examples"] == []


@pytest.mark.parametrize("kind", random_designs.SOUND, ids=lambda kind: kind.name.replace(" ", "-"))
def test_most_sound_designs_have_firm_sentences(kind):
    counts = Cells().find(kind.name, 12, random_designs.count, kind)
    assert counts["supported"] >= 8
    assert counts["false"] == 0


def test_kinds_have_unique_names():
    assert len({kind.name for kind in (*KINDS, *random_designs.SOUND)}) == len(KINDS) + len(
        random_designs.SOUND
    )
