"""One edited digit or flipped bit in a record or a plan: no result is published without a message."""

import random

import harness
import pytest
from helpers.flips import flip
from situations.made import Lead, Situation, write_runs

from perceptinit.analysis.compare import compare
from perceptinit.reports.formats import markdown_table
from perceptinit.results.runs import load_runs
from perceptinit.verdict.headline import Judged

MESSAGES = ("does not match", "unreadable", "Not as planned")


def published(root):
    comparison = compare(load_runs([root]))
    return markdown_table(Judged.of(comparison), comparison.scores)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    arms = {"random": Lead(0), "people": Lead(3)}
    situation = Situation(truth="a planned experiment", arms=arms, num_seeds=2, planned=True)
    return write_runs(situation, tmp_path_factory.mktemp("edits"))


def test_an_edit_of_a_record_or_plan_is_always_reported(runs):
    rng = random.Random(harness.EXAMPLES)
    whole = published(runs)
    assert not any(message in whole for message in MESSAGES)
    files = [*runs.glob("*/seed*/record.json"), runs / "plan.json"]
    reported = 0
    for _ in range(harness.EXAMPLES or 60):
        file = rng.choice(files)
        data = file.read_bytes()
        file.write_bytes(flip(data, rng))
        try:
            text = published(runs)
        finally:
            file.write_bytes(data)
        reported += text != whole
        assert text == whole or any(message in text for message in MESSAGES), f"{file}: {text}"
    assert reported > 0.9 * (harness.EXAMPLES or 60)  # the rest changes white space or the name of the hash
