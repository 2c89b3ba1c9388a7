"""How a table of scores is read: which arms are paired, gaps of seeds, and the sentence that says so."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from perceptinit.errors import MOST_NAMED, DataError, UsageError, list_some, shown
from perceptinit.files.columns import Columns, is_number
from perceptinit.grouping import group
from perceptinit.results.directions import Direction
from perceptinit.results.measures import is_diagnostic, split_name
from perceptinit.results.runs import LoadedRun
from perceptinit.results.table_layouts import BOOKKEEPING, FIELDS, is_empty, may_be_setting

MIN_SHARED = 3  # seeds that two arms must share to be paired

Seeds = Mapping[str, frozenset[int]]  # by arm


def share_enough(own: frozenset[int], other: frozenset[int]) -> bool:
    """Return whether two arms are paired over the seeds that both have, whatever their scores are.

    They are paired if the seeds are equal, or if at least three are shared, and at least half of those of the
    arm with fewer.
    """
    return own == other or len(own & other) >= max(MIN_SHARED, min(len(own), len(other)) / 2)


def find_gaps(seeds: Seeds, paired: Iterable[str]) -> dict[str, list[int]]:
    """Return seeds of other paired arms between the first and last seed of an arm that lacks them."""
    own = {arm: seeds[arm] for arm in paired}
    every = frozenset().union(*own.values())
    gaps = {
        arm: sorted(seed for seed in every - found if min(found) < seed < max(found))
        for arm, found in own.items()
    }
    return {arm: missing for arm, missing in gaps.items() if missing}


def find_constants(rows: Columns, arms: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return the cells of columns that are not read and that all rows of an arm share, by column and arm.

    Empty cells and those that repeat the name of their arm do not count. Numbers are compared as numbers.
    """
    found: dict[str, dict[str, str]] = {}
    columns = [name for name in rows.names if may_be_setting(name, BOOKKEEPING) and name not in FIELDS]
    for arm in arms:
        own = rows.select(np.array(rows.texts("arm")) == arm)
        for column in columns:
            cell, *others = set(map(_normalize, own.cells(column)))
            if not others and not is_empty(cell) and cell.casefold() != arm.casefold():
                found.setdefault(column, {})[arm] = cell
    return found


def _normalize(cell: Any) -> str:
    text = str(cell).strip()
    return f"{float(text):.12g}" if is_number(text) else text


def require_distinct(path: Path, arms: Iterable[str]) -> None:
    """Raise DataError if the names of two arms differ only in case or space."""
    seen: dict[str, str] = {}
    for arm in arms:
        other = seen.setdefault("".join(arm.split()).casefold(), arm)
        if other != arm:
            raise DataError(
                f"{path}: the names of the arms {shown(repr(other))} and {shown(repr(arm))} differ only in "
                "case or space. Use one name for each arm"
            )


def require_direction(path: Path, runs: Iterable[LoadedRun], direction: Direction | None) -> None:
    """Raise UsageError if no measure that ranks arms has a direction, or if all contradict the stated one."""
    scores = [row for run in runs for row in run.scores if not is_diagnostic(split_name(row["name"])[0])]
    is_higher = direction == "higher"
    if direction and scores and all(row["higher_is_better"] != is_higher for row in scores):
        names = shown(", ".join(dict.fromkeys(split_name(row["name"])[0] for row in scores)))
        raise UsageError(
            f"{path}: --direction {direction} contradicts the name of the measure {names}. Remove it, or "
            "add a column higher_is_better"
        )
    unknown_ones = sorted({row["name"] for row in scores if not row.get("has_direction", True)})
    if unknown_ones and not any(row.get("has_direction", True) for row in scores):
        raise UsageError(
            f"{path}: the name {shown(' or '.join(unknown_ones))} does not state whether higher or lower "
            "values are better. Choose one: --direction higher or --direction lower"
        )


def describe_reading(
    layout: str, runs: Sequence[LoadedRun], seeds: Seeds, paired: Sequence[str], gaps: Mapping[str, list[int]]
) -> str:
    """Return a sentence on measures with direction and unit, pairing and seeds, and gaps with what to do.

    Args:
        layout: Columns of the fields, and columns that are not read.
        runs: The runs of the table.
        seeds: Seeds in the table, by arm.
        paired: Arms that are paired with the baseline, and the baseline.
        gaps: Missing seeds, by arm.
    """
    rows = [(split_name(row["name"])[0], row) for run in runs for row in run.scores]
    kinds = group((_describe_kind(row), measure) for measure, row in rows if not is_diagnostic(measure))
    by_seeds = group((own, arm) for arm, own in seeds.items())
    listed = "; ".join(f"{list_some(arms, MOST_NAMED)}: {write_seeds(own)}" for own, arms in by_seeds.items())
    others = [arm for arm in seeds if arm not in paired]
    pairing = f"paired by seed, except {list_some(others, MOST_NAMED)}" if others else "paired by seed"
    pairing = f"{pairing if len(paired) > 1 else 'not paired by seed'} ({listed})"
    if any("runs" in row for _, row in rows):
        pairing = "means with sd and n, compared by Welch's test"
    missing = "; ".join(f"{arm} lacks {write_seeds(own)}" for arm, own in gaps.items())
    parts = [
        *(f"{', '.join(dict.fromkeys(names))} ({kind})" for kind, names in kinds.items()),
        pairing,
        f"{missing}: run it, or list it with status = failed" if missing else "",
        layout,
    ]
    return f"Read: {'; '.join(filter(None, parts))}."


def _describe_kind(row: Mapping[str, Any]) -> str:
    """Return the direction and the unit of a score in words."""
    if not row.get("has_direction", True):
        return "unknown direction, so it does not rank arms"
    direction = "higher is better" if row["higher_is_better"] else "lower is better"
    return f"{direction}, in percent" if row["is_share"] else direction


def write_seeds(seeds: Collection[int]) -> str:
    """Return seeds as text, such as `seeds 0 to 4, 7`."""
    spans: list[list[int]] = []
    for seed in sorted(seeds):
        if spans and seed == spans[-1][-1] + 1:
            spans[-1].append(seed)
        else:
            spans.append([seed])
    texts = [f"{own[0]} to {own[-1]}" if len(own) > 2 else ", ".join(map(str, own)) for own in spans]
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(texts)}"
