"""Scores on test sets: rows by measure and family with their means, text, and flat rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perceptinit.evaluating.measure import Measured
from perceptinit.evaluating.request import Table
from perceptinit.judgments.baselines import from_extra
from perceptinit.results.measures import FACTS, OTHER, family_of, incomplete, is_share, rank, split_name
from perceptinit.results.record import finite
from perceptinit.types import Score

FROM = ("arm", "seed", "samples_seen")  # columns about the run that a model comes from
FIELDS = (
    *("model", *FROM, "measure", "data_set", "family", "value", "stderr"),
    *FACTS,
    *("precision", "incomplete"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table: the score of each model on a set, or its mean score over `num_sets` sets."""

    measure: str
    label: str
    scores: tuple[Score | None, ...]
    num_sets: int = 1


def table_rows(results: Sequence[Measured]) -> list[Row]:
    """Return the table rows by measure and family. Groups of several sets end with their mean."""
    by_name = [{score.name: score for score in result.scores} for result in results]
    names = list(dict.fromkeys(name for scores in by_name for name in scores))
    measures = sorted({split_name(name)[0] for name in names}, key=lambda m: (rank(m), m))
    rows: list[Row] = []
    for measure in measures:
        sets = [split_name(n)[1] for n in names if split_name(n)[0] == measure]
        rows += _measure_rows(measure, sets, by_name)
    return rows


def _measure_rows(measure: str, sets: Sequence[str], by_name: Sequence[Mapping[str, Score]]) -> Iterator[Row]:
    found: list[tuple[str, Row]] = []
    for data_set in sets:
        scores = tuple(s.get(f"{measure}/{data_set}") for s in by_name)
        notes = (incomplete(score.extra) for score in scores if score is not None)
        note = next((f" ({text})" for text in notes if text), "")
        found.append((family_of(data_set), Row(measure, data_set + note, scores)))
    for family in dict.fromkeys(family for family, _ in found):
        rows = [row for other, row in found if other == family]
        yield from rows
        if len(rows) > 1 and family != OTHER:
            yield _mean(measure, f"mean of {family}", rows)
    in_families = [row for family, row in found if family != OTHER]
    if len(in_families) > 1:
        yield _mean(measure, "mean of all sets", in_families)


def _mean(measure: str, label: str, rows: Sequence[Row]) -> Row:
    """Return the unweighted mean over sets, None for a model that lacks a set."""
    columns = zip(*(row.scores for row in rows), strict=True)
    text = f"{label} ({len(rows)})"
    return Row(measure, text, tuple(_mean_score(c) for c in columns), len(rows))


def _mean_score(scores: Sequence[Score | None]) -> Score | None:
    there = [score for score in scores if score is not None]
    if len(there) < len(scores):
        return None
    errors = [score.stderr for score in there if score.stderr is not None]
    chances = [score.chance for score in there if score.chance is not None]
    num = len(there)
    return Score(
        name="",
        value=sum(score.value for score in there) / num,
        num_examples=sum(score.num_examples for score in there),
        # sets are independent samples
        stderr=sum(e**2 for e in errors) ** 0.5 / num if len(errors) == num else None,
        chance=sum(chances) / num if len(chances) == num else None,
    )


def text_table(results: Sequence[Measured], rows: Sequence[Row]) -> Table:
    """Return the rows as text, with a column for each model: percent for shares, with standard errors."""
    cells = [
        [row.measure, row.label, *(_cell(row.measure, score) for score in row.scores), _chance(row)]
        for row in rows
    ]
    return Table(["measure", "set", *(r.model.title for r in results), "chance"], cells, num_texts=2)


def judged_notes(results: Sequence[Measured]) -> Iterator[str]:
    """Yield the human ceiling and the scores of trivial models for each score on judgments."""
    scores = {score.name: score for result in results for score in result.scores}
    for name, score in scores.items():
        parts = [score.missing] if score.missing else []
        if score.ceiling is not None:
            lower = score.ceiling if score.lower_ceiling is None else score.lower_ceiling
            ends = [_value(score, value) for value in (lower, score.ceiling)]
            parts.append(f"human ceiling {' to '.join(ends)}")
        parts += [f"{b.name} {_value(score, b.value, b.stderr)}" for b in from_extra(score.extra)]
        if parts:
            yield f"{name}: {', '.join(parts)}"


def _cell(measure: str, score: Score | None) -> str:
    if score is None or finite(score.value) is None:
        return "-"
    return _value(score, score.value, score.stderr, measure)


def _value(score: Score, value: float, stderr: float | None = None, measure: str = "") -> str:
    """Return a value in the unit of its score, shares in percent. A mean has no name: pass `measure`."""
    share = is_share(measure or split_name(score.name)[0], score.chance)
    factor, digits = (100, 2) if share else (1, 4)
    error = "" if stderr is None else f" ± {factor * stderr:.{digits}f}"
    return f"{factor * value:.{digits}f}{error}"


def _chance(row: Row) -> str:
    chance = next((s.chance for s in row.scores if s is not None), None)
    if chance is None:
        return ""
    return f"{100 * chance:.2f}" if is_share(row.measure, chance) else f"{chance:g}"


def flat_rows(results: Sequence[Measured]) -> Iterator[dict[str, Any]]:
    """Yield one flat row per model and score, unrounded, with shares in [0, 1] and the `extra` data."""
    for result in results:
        run = result.model.run
        about = {"model": result.model.title, **{key: getattr(run, key, None) for key in FROM}}
        for score in result.scores:
            measure, data_set = split_name(score.name)
            yield {
                **about,
                "measure": measure,
                "data_set": data_set,
                "family": family_of(data_set),
                "value": finite(score.value),
                "stderr": score.stderr,
                **{key: getattr(score, key) for key in FACTS},
                "precision": score.extra.get("precision"),
                "incomplete": incomplete(score.extra),
                "extra": score.extra,
            }


def means(results: Sequence[Measured], rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """Yield the mean scores of each model over several sets."""
    titles = [result.model.title for result in results]
    for row in rows:
        if row.num_sets > 1:
            values = [score.value if score else None for score in row.scores]
            yield {
                "measure": row.measure,
                "of": row.label,
                "num_sets": row.num_sets,
                "values": dict(zip(titles, values, strict=True)),
            }
