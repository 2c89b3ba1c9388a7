"""The table of conditions: its page, its output and its states."""

from dataclasses import replace
from pathlib import Path

import pytest
from helpers.command_line import run_command
from helpers.judging import summary
from helpers.made_runs import JUDGMENTS
from helpers.made_verdicts import made, trained_on
from situations.catalogue import SITUATIONS
from situations.made import write_runs

from perceptinit.analysis.compare import compare
from perceptinit.analysis.decisions import Outcome
from perceptinit.results.runs import load_runs
from perceptinit.verdict.claim import Claim, State
from perceptinit.verdict.conditions import CONDITIONS
from perceptinit.verdict.evidence import find_room

PAGE = (Path(__file__).parents[2] / "docs/compare.md").read_text("utf-8")
COLUMNS = ("worth", "no difference", "structure", "trivial", "published")  # in the order of the page


def answers(folder, name):
    return summary(compare(load_runs([write_runs(SITUATIONS[name], folder)]))).answers


def test_the_page_lists_the_conditions_of_each_claim():
    rows = [
        row.strip("|").split("|") for row in PAGE.splitlines() if row.startswith("| ") and row.count("|") == 7
    ]
    rows = [[cell.strip() for cell in row] for row in rows]
    for column, claim in enumerate(COLUMNS, start=1):
        listed = [row[0] for row in rows if row[column] == "x"]
        assert listed == [condition.text for condition in CONDITIONS[claim]], claim


def test_explain_prints_every_condition_with_its_state(tmp_path):
    runs = write_runs(SITUATIONS["large lead over both"], tmp_path)
    done = run_command(("compare", runs, "--explain"), tmp_path)
    assert done.stdout.startswith(
        "people - random, it is worth it: shown\n  shown: The runs are not smoke runs.\n"
    )
    assert "people - shuffled, it is the human structure: shown" in done.stdout
    assert all(condition.text in done.stdout for condition in CONDITIONS["structure"])


@pytest.mark.parametrize(
    ("name", "state", "reason"),
    [
        ("no record of what stage 1 saw", State.UNKNOWN, "the records do not say whether stage 1 has seen"),
        (
            "stage 1 saw every evaluated image",
            State.REFUTED,
            "stage 1 has seen 100 % of the evaluated images",
        ),
    ],
)
def test_a_missing_field_makes_a_condition_unknown(tmp_path, name, state, reason):
    (worth, *_) = answers(tmp_path, name)
    (found,) = [each for each in worth.checked if each.reason]
    assert (found.condition, found.state) == ("Stage 1 has not seen the evaluated images.", state)
    assert found.reason.startswith(reason)
    assert not worth.is_firm


def test_a_condition_does_not_apply_without_judgments(tmp_path):
    (worth,) = answers(tmp_path, "structured start without people")
    states = {each.condition: each.state for each in worth.checked}
    assert states["Stage 1 has not seen the evaluated images."] == State.DOES_NOT_APPLY
    assert worth.is_firm


def test_arms_at_chance_cannot_be_called_equivalent_in_a_score_without_an_upper_end(tmp_path):
    arms = {"random": ([], (2.31, 2.30, 2.32)), "pi": (trained_on(JUDGMENTS), (2.30, 2.31, 2.33))}
    comparison = made(tmp_path, arms, name="loss/x", chance=2.3026, higher_is_better=False)
    score = replace(comparison.primary, is_share=False)
    claim = Claim(
        comparison=comparison, score=score, arm="pi", reference="random", outcome=Outcome.EQUIVALENT
    )
    found = find_room(claim)
    assert found.state is State.REFUTED
    assert found.reason.endswith("random (2.310) is less than 0.001 from chance")
