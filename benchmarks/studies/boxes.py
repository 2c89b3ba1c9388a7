"""Boxes at the top of the pages that known_effects.py writes, from records alone (no module of the package is imported)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import from_records as records
from from_records import Answer, Difference, Runs
from rebuilt_cells import LOOKS, level_of_looks

KEPT = Path(__file__).parents[2] / "docs" / "results"
DELTA = 0.01
CAUSES = {  # experiments on mimetic-MLP, and the arm that each compares with mimetic
    "mimetic-mlp-size": "mimetic-mlp-large",
    "mimetic-mlp-larger": "mimetic-mlp",
    "mimetic-mlp-longer": "mimetic-mlp",
}


def read(*names: str) -> Runs:
    """Return the runs of an experiment, with those that it shares with others."""
    return {key: run for name in names for key, run in records.read_runs(KEPT / name).items()}


def contrast(runs: Runs, arm: str, reference: str, num_family: float = 1) -> Difference | None:
    """Return the difference of two arms in the score of the tables."""
    names = next(iter(runs.values())).scores
    score = next(name for name in sorted(names, reverse=True) if name.startswith(("top1/", "accuracy/")))
    return records.difference(records.paired(runs, arm, reference), score, num_family)


def against(runs: Runs, question: str, pair: tuple[str, str], change: str, num_family: int = 1) -> Answer:
    """Return a row for the question whether an arm is better than a reference."""
    found = contrast(runs, *pair, num_family)
    number = records.number(found, " - ".join(pair))
    together = f", simultaneous over {num_family}" if num_family > 1 else ""
    return Answer(question, records.word(records.answer(found, DELTA)), number + together, change)


def equal_arms() -> str:
    level = level_of_looks(*LOOKS["aa-few-pairs"])
    found = contrast(read("aa-few-pairs"), "redrawn", "random", 0.05 / (1 - level))
    outcome = records.answer(found, DELTA)
    word = {"better": "yes", "worse": "yes", "equivalent": "no"}.get(outcome, outcome)
    number = f"{records.number(found, 'redrawn - random')}, at every look"
    change = "more draws of fresh weights, or a smaller delta"
    return records.box(Answer("Do equal arms differ by more than 1 point?", word, number, change))


def few_pairs() -> str:
    question = "Does stage 1 on people's labels help with 4,000 pairs?"
    change = "more seeds; fewer pairs, as in [a later experiment](fewer-pairs.md)"
    return records.box(against(read("few-pairs"), question, ("people", "random"), change, 5))


def levers() -> str:
    question = "Does a margin of 0.5 instead of the published 0.05 lower the cost of stage 1?"
    change = "a stage 1 of the published length, with which the margin is confounded here"
    return records.box(against(read("few-pairs", "margin"), question, ("margin-half", "hinge"), change, 10))


def pairs() -> str:
    found = against(
        read("pairs-1000"),
        "Does stage 1 help with 1,000, 4,000, 16,000 or 45,000 pairs?",
        ("people", "random"),
        "more seeds; fewer pairs, as in [a later experiment](fewer-pairs.md)",
        4,
    )
    word = "not shown" if found.word == "undecided" else found.word
    return records.box(Answer(found.question, word, f"{found.number}, with 1,000 pairs", found.change))


def structure() -> str:
    question = "Are the published effects of closed-form initializations found?"
    change = "training as long as in the publications, after which the lead may be smaller"
    found = against(read("structure"), question, ("mimetic", "random"), change, 3)
    word = f"{found.word}, in direction" if found.word == "yes" else found.word
    return records.box(Answer(question, word, found.number, change))


def mimetic_mlp() -> str:
    runs = {name: read("structure", name) if name == "mimetic-mlp-size" else read(name) for name in CAUSES}
    found = {name: contrast(runs[name], arm, "mimetic") for name, arm in CAUSES.items()}
    widest = max(found, key=lambda name: found[name].high)
    number = f"{records.number(found[widest], f'{CAUSES[widest]} - mimetic')}, the largest of three"
    is_shown = any(records.answer(each, DELTA) == "better" for each in found.values())
    question = "Does a larger mean, a larger network or longer training show an effect of mimetic-MLP?"
    change = "the published mean and length of training, which were not accessible"
    return records.box(Answer(question, "yes" if is_shown else "not shown", number, change))


def initializations() -> str:
    runs = read("initializations")
    change = "a larger network, longer training or another optimizer; after four epochs, the lead is smaller"
    pair = "mimetic", "random"
    return records.box(
        against(runs, "Does the closed-form initialization mimetic help?", pair, change),
        against(runs, "Does the closed-form initialization impulse help?", ("impulse", "random"), change, 7),
    )


BOXES: Mapping[str, Callable[[], str]] = {
    "aa-few-pairs": equal_arms,
    "few-pairs": few_pairs,
    "initializations": initializations,
    "levers": levers,
    "mimetic-mlp": mimetic_mlp,
    "pairs": pairs,
    "structure": structure,
}
