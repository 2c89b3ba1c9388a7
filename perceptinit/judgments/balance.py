"""The columns that `perceptinit collect` adds to a table: which rows count, and what stood where on the page.

* `excluded`: why a row is no judgment (practice, a catch trial, a person left out by the rule); empty when it is one.
* `assigned_order`: the candidate at each place of the page, from the left: `2 1` is second left, first right.
* `answered_place`: the place that was chosen, counted from 1; 0 is "not sure"; empty when never answered.
"""

from __future__ import annotations

# N rows
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from perceptinit.errors import DataError
from perceptinit.files.columns import Columns
from perceptinit.files.tables import read_table
from perceptinit.judgments.own.own_table import EXCLUDED

ORDER, PLACE, SUBJECT = "assigned_order", "answered_place", "subject"
# a share of answers at a place this many standard errors from equal is no chance
MAX_Z = 4.0
# share of the trials by which the places of a candidate may differ over people who are balanced each
MAX_LEFT_OVER = 0.01


def check_balance(path: Path) -> Iterator[tuple[bool, str]]:
    """Yield what the table says of sides and orders as assigned and as answered: (is fine, sentence).

    Nothing for a table that does not say what stood where. Raises DataError for a cell that is no order.
    """
    columns = read_table(path)
    if not {ORDER, PLACE, SUBJECT} <= columns.names:
        return
    if EXCLUDED in columns:
        reasons = Counter(str(cell or "").partition(":")[0] for cell in columns.cells(EXCLUDED))
        used = reasons.pop("", 0)
        listed = ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items()))
        yield True, f"{used:,} of {len(columns):,} rows are judgments; left out: {listed or 'none'}"
    orders = _read_orders(columns)
    yield _check_assigned(columns, orders)
    yield _check_answered(columns, len(orders[0]))


def _read_orders(columns: Columns) -> list[tuple[int, ...]]:
    orders = []
    for index, cell in enumerate(columns.texts(ORDER)):
        order = tuple(int(word) for word in cell.split() if word.isdigit())
        if sorted(order) != list(range(1, len(order) + 1)):
            raise columns.error(index, f"{ORDER} '{cell}' does not name each candidate once, such as 2 1")
        orders.append(order)
    if len({len(order) for order in orders}) > 1:
        raise DataError(f"{columns.path}: {ORDER} is longer in some rows than in others")
    return orders


def _check_assigned(columns: Columns, orders: Sequence[tuple[int, ...]]) -> tuple[bool, str]:
    num_places = len(orders[0])
    of_person: dict[str, Counter[tuple[int, int]]] = defaultdict(Counter)
    for person, order in zip(columns.texts(SUBJECT), orders, strict=True):
        of_person[person].update((place, candidate) for place, candidate in enumerate(order))
    overall = sum(of_person.values(), Counter[tuple[int, int]]())
    worst = max(_find_spread(counts, num_places) for counts in of_person.values())
    total = _find_spread(overall, num_places)
    # people who were deleted later, and a second version of a design, leave odd trials over
    return worst <= 1 and total <= max(1, MAX_LEFT_OVER * len(orders)), (
        f"assigned: every candidate stood at every place equally often, within {worst} for each of "
        f"{len(of_person):,} people and within {total} overall ({len(orders):,} trials)"
    )


def _find_spread(counts: Mapping[tuple[int, int], int], num_places: int) -> int:
    """Return the largest difference between two counts of (place, candidate), those that are 0 included."""
    filled = [counts.get((p, c), 0) for p in range(num_places) for c in range(1, num_places + 1)]
    return max(filled) - min(filled)


def _check_answered(columns: Columns, num_places: int) -> tuple[bool, str]:
    chosen = Counter(_read_place(columns, i, num_places) for i in range(len(columns)))
    not_sure = chosen.pop(0, 0)
    chosen.pop(None, 0)
    total, fair = sum(chosen.values()), 1 / num_places
    if not total:
        return True, "answered: nothing yet"
    shares = [chosen[place] / total for place in range(1, num_places + 1)]
    error = (fair * (1 - fair) / total) ** 0.5
    is_fair = all(abs(share - fair) <= MAX_Z * error for share in shares)
    listed = " / ".join(f"{share:.1%}" for share in shares)
    more = "" if is_fair else "; people favour a place, whatever stands there"
    return is_fair, f"answered: {listed} from the left, {not_sure:,} not sure{more}"


def _read_place(columns: Columns, index: int, num_places: int) -> int | None:
    cell = columns.cell(PLACE, index)
    text = "" if cell is None else str(cell).strip()
    if not text:
        return None
    if not text.isdigit() or int(text) > num_places:
        raise columns.error(index, f"{PLACE} '{text}' is no place from 1 to {num_places}, nor 0 for not sure")
    return int(text)
