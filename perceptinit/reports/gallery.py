"""Judgments on which models and people, or two models, differ: a section of the page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from perceptinit.analysis.comparison import Comparison
from perceptinit.results.measures import is_correlation

CHOSEN = {"2afc": "", "odd_one_out": " as the odd one"}


@dataclass(frozen=True, slots=True)
class Picture:
    """An image of a judgment. uri: small copy, or empty. is_picked: whether it has the most votes."""

    name: str
    uri: str
    lines: list[str]
    is_picked: bool


@dataclass(frozen=True, slots=True)
class Gallery:
    """The examples of a score: a sentence, and judgments of three images, for each kind of examples."""

    title: str
    kinds: list[tuple[str, list[list[Picture]]]]


def find_galleries(comparison: Comparison) -> Iterator[Gallery]:
    """Yield the examples of each score of models; a sentence if judgments contain no choices."""
    rows = (row for run in comparison.runs.finished for row in run.scores)
    examples = {row["name"]: row["extra"]["examples"] for row in rows if row["extra"].get("examples")}
    for score in comparison.scores:
        if found := examples.get(score.name):
            kinds = [
                (_describe(kind, found["num"]), _show(kind, found, score.measure)) for kind in found["kinds"]
            ]
            yield Gallery(score.name, kinds)
        elif examples and is_correlation(score.measure):
            yield Gallery(score.name, [("Matrices contain no choices, so no judgments are shown.", [])])


def _describe(kind: dict[str, Any], num_judgments: int) -> str:
    models = kind["models"]
    subject = {
        "best": f"{models[0]} (the best model) chooses",
        "all": f"All {len(models)} models choose",
        "two": f"{' and '.join(models[:2])} choose",
    }[kind["kind"]]
    what = "different images" if kind["kind"] == "two" else "another image than most people"
    return f"{subject} {what} in {kind['num']:,} of {num_judgments:,} judgments."


def _show(kind: dict[str, Any], found: dict[str, Any], measure: str) -> list[list[Picture]]:
    return [
        [
            Picture(
                name,
                found["pictures"].get(name, ""),
                _caption(column, judgment, kind["models"], measure),
                judgment["votes"][column] == max(judgment["votes"]),
            )
            for column, name in enumerate(judgment["images"])
        ]
        for judgment in kind["judgments"]
    ]


def _caption(column: int, judgment: dict[str, Any], models: Sequence[str], measure: str) -> list[str]:
    """Return the votes for an image, and the models that choose it."""
    if measure == "2afc" and column == 0:
        return ["reference"]
    votes = judgment["votes"]
    text = f"{votes[column]:g} of {sum(votes):g} votes{CHOSEN.get(measure, '')}"
    own = [model for model, choice in zip(models, judgment["choices"], strict=True) if choice == column]
    if len(models) > 2:
        return [text, f"{len(own)} of {len(models)} models"]
    return [text, *(f"chosen by {model}" for model in own)]
