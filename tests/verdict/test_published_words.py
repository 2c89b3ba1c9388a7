"""The firm words on the published runs: one that goes or comes is listed here with a reason in its commit."""

from pathlib import Path

from helpers.judging import summary

from perceptinit.analysis.compare import compare
from perceptinit.errors import UsageError
from perceptinit.results.runs import load_runs

RESULTS = Path(__file__).parents[2] / "docs/results"
FIRM = {
    "initializations": {
        "mimetic": "is worth it",
        "impulse": "is worth it",
        "procedural-shuffled": "is not worth it",
        "fractals": "is not worth it",
    },
    "initializations-longer": {"impulse": "is worth it"},
    "initializations-muon": {"mimetic": "is worth it", "impulse": "is worth it"},
    "mimetic-mlp-larger": {"mimetic-mlp": "makes no difference"},
    "mimetic-mlp-longer": {"mimetic-mlp": "makes no difference"},
    # against fresh weights; the answer adds that it is not shown to be the human structure, and that views is better
    "no-answers": {"people": "is worth it"},
    # in the simulated world
    "simulated-pairs": {"people": "is worth it", "labels-0": "is worth it", "labels-5": "is worth it"},
    "structure": {"mimetic": "is worth it", "mimetic-mlp": "is worth it", "impulse": "is worth it"},
}
FOLDERS = sorted({path.parents[2] for path in RESULTS.glob("*/*/seed*/record.json")})


def find_firm(folder):
    """Return the firm words on the runs of a folder, by arm."""
    try:
        found = summary(compare(load_runs([folder])))
    except UsageError:  # runs that are compared with those of another folder
        return {}
    answers = found.answers if found else ()
    return {each.contrast.arm: each.claim.removeprefix("it ") for each in answers if each.is_firm}


def test_firm_words_on_published_runs_are_those_listed():
    found = {folder.name: find_firm(folder) for folder in FOLDERS}
    assert {name: words for name, words in found.items() if words} == FIRM
