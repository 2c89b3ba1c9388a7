"""What the scores of a table show about its runs: copies, rounding, other columns and names of arms."""

import re

import numpy as np
import pytest
from helpers.made_tables import read_scores, read_text

from perceptinit.analysis.compare import compare
from perceptinit.analysis.comparison import ArmScore
from perceptinit.analysis.decisions import Rule
from perceptinit.analysis.pairing import estimate_difference
from perceptinit.errors import DataError
from perceptinit.verdict.headline import Judged

COPIES = "Runs of different seeds differ."
ALIKE = "The runs of a seed differ only in their initialization."


def find_condition(runs, text, arm="pi"):
    """Return the state and the reason of a condition of the claim about an arm."""
    answer = next(a for a in Judged.of(compare(runs)).answers if a.contrast.arm == arm)
    finding = next(each for each in answer.checked if each.condition == text)
    return finding.state, finding.reason


def draw(num, digits, lead=0.05, spread=0.01, seed=0):
    """Return scores of two arms over seeds, rounded."""
    rng = np.random.default_rng(seed)
    return {
        arm: {s: round(float(rng.normal(0.7 + shift, spread)), digits) for s in range(num)}
        for arm, shift in (("random", 0.0), ("pi", lead))
    }


# --- copies --------------------------------------------------------------------------------------------------------
def test_seeds_with_equal_scores_in_all_arms_are_copies():
    arms = draw(5, 4)
    for own in arms.values():
        own[3] = own[1]
    expected = ("refuted", "the runs of seeds 1 and 3 have equal scores in all arms")
    assert find_condition(read_scores(arms, delta=0.5), COPIES) == expected


def test_equal_scores_in_one_arm_alone_are_nott_copies():
    arms = draw(5, 4)
    arms["pi"][3] = arms["pi"][1]
    assert find_condition(read_scores(arms, delta=0.5), COPIES)[0] == "assumed"


def test_coarsely_rounded_scores_are_equal_by_chance():
    arms = draw(5, 2, spread=0.02)
    for own in arms.values():
        own[3] = own[1]
    assert find_condition(read_scores(arms, delta=0.5), COPIES)[0] == "assumed"


def test_unrounded_shares_of_few_items_are_equal_by_chance():
    arms = {
        arm: {s: round(v * 96) / 96 for s, v in own.items()} for arm, own in draw(5, 9, spread=0.02).items()
    }
    for own in arms.values():
        own[3] = own[1]
    assert find_condition(read_scores(arms, delta=0.5), COPIES)[0] == "assumed"


def write_items(values):
    """Return a table with a row for each item, given the values of items by arm and seed."""
    rows = [
        f"{arm},{seed},acc,{value},{item}"
        for (arm, seed), own in values.items()
        for item, value in enumerate(own)
    ]
    return "\n".join(["arm,seed,measure,value,item", *rows]) + "\n"


@pytest.mark.parametrize(("num_items", "state"), [(60, "refuted"), (3, "assumed")])
def test_seeds_of_an_arm_with_equal_values_of_every_item_are_copies(num_items, state, tmp_path):
    rng = np.random.default_rng(0)
    values = {
        (arm, seed): (rng.random(num_items) < share).astype(int)
        for arm, share in (("random", 0.3), ("pi", 0.8))
        for seed in range(4)
    }
    values["pi", 2] = values["pi", 0]
    values["pi", 1][:1] = 1 - values["pi", 0][:1]  # runs differ in an item
    runs = read_text(tmp_path, write_items(values), delta=0.1)
    found = list(find_claim_copies(runs))
    assert (found != []) == (state == "refuted")
    if found:
        assert found[0] == "the runs of seeds 0 and 2 of pi have equal values of every item"


def find_claim_copies(runs):
    from perceptinit.analysis.questions import Outcome
    from perceptinit.verdict.claim import Claim
    from perceptinit.verdict.copies import _list_equal_items

    comparison = compare(runs)
    claim = Claim(
        comparison=comparison,
        score=comparison.scores[0],
        arm="pi",
        reference="random",
        outcome=Outcome.BETTER,
    )
    return _list_equal_items(claim)


# --- rounding ------------------------------------------------------------------------------------------------------
def difference(runs):
    return compare(runs).primary.differences[0]


def test_the_step_of_rounded_scores_widens_an_interval_that_is_below_it():
    arms = {"random": dict.fromkeys(range(4), 0.71), "pi": {0: 0.72, 1: 0.72, 2: 0.72, 3: 0.73}}
    found = difference(read_scores(arms)).value
    assert found.stderr == pytest.approx(0.01 / 6**0.5)
    assert found.low < 0


def test_runs_that_vary_by_more_than_a_step_keep_their_interval():
    arms = draw(5, 4)
    gaps = np.array([arms["pi"][s] - arms["random"][s] for s in range(5)])
    assert difference(read_scores(arms)).value.stderr == pytest.approx(gaps.std(ddof=1) / 5**0.5)


@pytest.mark.parametrize("spread", [0.0005, 0.003, 0.01])
def test_the_interval_of_rounded_scores_contains_the_true_difference(spread):
    rng = np.random.default_rng(0)
    num_held = 0
    for _ in range(300):
        level = rng.uniform(0.5, 0.6)
        lead = rng.uniform(0.0, 0.02)
        arms = [
            ArmScore(
                arm=name,
                by_seed=dict(enumerate((level + shift + spread * rng.normal(size=6)).round(2))),
                value=None,
                missing=(),
                planned=frozenset(range(6)),
            )
            for name, shift in (("random", 0.0), ("pi", lead))
        ]
        found = estimate_difference(arms[1], arms[0], Rule(grid=0.01))
        num_held += found.low <= lead <= found.high
    assert num_held >= 0.94 * 300


def test_rounded_scores_that_are_equal_hide_a_difference_up_to_a_step(tmp_path):
    arms = {arm: {0: 0.71, 1: 0.72, 2: 0.74} for arm in ("random", "pi")}
    states = {
        delta: Judged.of(compare(read_scores(arms, delta=delta))).answers[0].outcome for delta in (0.5, 5)
    }
    assert states == {0.5: "undecided", 5: "equivalent"}


def test_shares_of_a_stated_number_of_items_are_not_rounded(tmp_path):
    rows = [f"{arm},{seed},acc,0.7{seed},100" for arm in ("random", "pi") for seed in range(3)]
    runs = read_text(tmp_path, "\n".join(["arm,seed,measure,value,num_items", *rows]) + "\n")
    assert compare(runs).primary.rule.grid == 0


# --- other columns -------------------------------------------------------------------------------------------------
def write_columns(columns, cells):
    """Return a table with more columns, given their cells by arm."""
    arms = draw(4, 4)
    rows = [
        f"{arm},{seed},acc,{value},{cells[arm]}" for arm, own in arms.items() for seed, value in own.items()
    ]
    return "\n".join([f"arm,seed,measure,value,{columns}", *rows]) + "\n"


def test_a_column_that_differs_between_arms_alone_is_named_and_refutes_that_only_the_arm_differs(
    verb, tmp_path
):
    runs = read_text(tmp_path, write_columns("gpu,lr", {"random": "a100,0.1", "pi": "a100,0.3"}), delta=0.5)
    reason = "the runs of a seed differ in more than the arm: lr 0.1 (random) and 0.3 (pi)"
    assert find_condition(runs, ALIKE) == ("refuted", reason)
    text = verb("compare", "results.csv", "--baseline", "random", "--delta", "0.5")
    assert "pi is worth it" not in text.replace("whether pi is worth it", "")
    assert "lr 0.1 (random) and 0.3 (pi)" in text


@pytest.mark.parametrize(
    ("columns", "cells"),
    [
        ("gpu", {"random": "a100", "pi": "a100"}),
        ("gain", {"random": "", "pi": "1.4"}),  # a setting of one arm alone
        ("init", {"random": "Random", "pi": "pi"}),  # another name of the arm
        ("experiment_id", {"random": "1", "pi": "2"}),  # of MLflow
    ],
)
def test_a_column_that_does_not_differ_between_arms_refutes_nothing(columns, cells, tmp_path):
    runs = read_text(tmp_path, write_columns(columns, cells), delta=0.5)
    assert find_condition(runs, ALIKE)[0] == "assumed"


# --- names of arms -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["Random", "ran dom", "random "])
def test_names_of_arms_that_differ_only_in_case_or_space_are_an_error(name):
    arms = {"random": {0: 0.1, 1: 0.2}, name: {0: 0.3, 1: 0.5}}
    message = f"the names of the arms 'random' and '{name}' differ only in case or space"
    with pytest.raises(DataError, match=re.escape(message)):
        read_scores(arms)
