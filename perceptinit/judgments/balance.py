"""Checks of the columns that `perceptinit collect` adds to a table.

* `excluded`: reason why a row is not a judgment (practice, catch trial, excluded participant), or empty.
* `assigned_order`: the candidates in the order shown: `2 1` means second, then first.
* `answered_place`: the chosen position in that order, from 1; 0 means "not sure", empty means no answer.
"""

from __future__ import annotations

# N rows, P positions on the page
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from perceptinit.errors import DataError
from perceptinit.files.columns import Columns
from perceptinit.files.tables import read_table
from perceptinit.judgments.own.own_table import EXCLUDED

ORDER, PLACE, SUBJECT = "assigned_order", "answered_place", "subject"
# deviation from an equal share, in standard errors, beyond which a position counts as preferred
MAX_Z = 4.0
# maximum imbalance over all participants, as a share of the trials
MAX_LEFT_OVER = 0.01


def check_balance(path: Path) -> Iterator[tuple[bool, str]]:
    """Yield (is_balanced, message) for the exclusions, the assigned orders and the answered positions.

    Yields nothing for a table without these columns. Raises DataError for an invalid order or position.
    """
    columns = read_table(path)
    if not {ORDER, PLACE, SUBJECT} <= columns.names:
        return
    if EXCLUDED in columns:
        reasons = Counter(str(cell or "").partition(":")[0] for cell in columns.cells(EXCLUDED))
        used = reasons.pop("", 0)
        listed = ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items()))
        yield True, f"{used:,} of {len(columns):,} rows are judgments; excluded: {listed or 'none'}"
    coded = columns.coded(ORDER, _check_order)
    if len({len(text.split()) for text in coded.distinct}) > 1:
        raise DataError(f"{columns.path}: {ORDER} must list the same number of candidates in all rows")
    orders = np.array([text.split() for text in coded.distinct]).astype(int)[coded.codes]
    yield _check_assigned(columns, orders)
    yield _check_answered(columns, orders.shape[1])


def _check_order(text: str) -> str:
    words = text.split()
    if set(words) != {str(number) for number in range(1, len(words) + 1)}:
        raise ValueError(f"'{text}' does not list each candidate once. Expected, for example, '2 1'")
    return text


def _check_assigned(columns: Columns, orders: np.ndarray) -> tuple[bool, str]:
    """Check that each candidate appeared equally often at each position; `orders` is (N, P), from 1."""
    people, num_places = columns.coded(SUBJECT), orders.shape[1]
    counts = np.zeros((len(people.distinct), num_places, num_places), dtype=np.int64)
    np.add.at(counts, (people.codes[:, None], np.arange(num_places), orders - 1), 1)
    worst, total = np.ptp(counts, axis=(1, 2)).max(), np.ptp(counts.sum(axis=0))
    # deleted participants and revised designs cause small imbalances
    return bool(worst <= 1 and total <= max(1, MAX_LEFT_OVER * len(orders))), (
        f"assigned: each candidate appeared equally often at each position, to within {worst} trials for "
        f"each of {len(counts):,} participants and to within {total} overall ({len(orders):,} trials)"
    )


def _check_answered(columns: Columns, num_places: int) -> tuple[bool, str]:
    """Check that all positions were chosen equally often."""
    chosen = Counter(columns.coded(PLACE, partial(_check_place, num_places), fill="").texts())
    counts = [chosen[str(place)] for place in range(1, num_places + 1)]
    total, fair = sum(counts), 1 / num_places
    if not total:
        return True, "answered: no answers yet"
    shares = [count / total for count in counts]
    error = (fair * (1 - fair) / total) ** 0.5
    is_fair = all(abs(share - fair) <= MAX_Z * error for share in shares)
    listed = " / ".join(f"{share:.1%}" for share in shares)
    more = "" if is_fair else "; participants prefer a position, regardless of the candidate"
    return is_fair, f"answered: {listed} by position, {chosen['0']:,} not sure{more}"


def _check_place(num_places: int, text: str) -> str:
    place = text.strip()
    if place and (not place.isdigit() or int(place) > num_places):
        raise ValueError(f"'{place}' is not a position from 1 to {num_places}, or 0 (not sure)")
    return place
