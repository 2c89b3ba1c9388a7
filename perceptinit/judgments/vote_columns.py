"""The three ways in which a table may state judgments, read into one.

| columns | a row is |
|---|---|
| `anchor`, `first`, `second`, `first_votes`, `second_votes` | a question with the votes for each candidate |
| `anchor`, `first`, `second`, `p_second`, `num_votes` | a question with the share of people who chose `second` |
| `anchor`, `positive`, `negative` | one answer: `positive` is closer to the anchor |
"""

from __future__ import annotations

# N rows
import difflib

import numpy as np

from perceptinit.errors import DataError
from perceptinit.judgments.columns import Columns
from perceptinit.registry import nearest

VOTES = ("anchor", "first", "second", "first_votes", "second_votes")
SHARE = ("anchor", "first", "second", "p_second", "num_votes")
ANSWER = ("anchor", "positive", "negative")
FORMS = (VOTES, SHARE, ANSWER)
OPTIONAL = ("split", "group", "subject")


def find_form(columns: Columns) -> tuple[str, ...]:
    """Return the form that the columns have; other columns are allowed and not read.

    Raises DataError when none or several are complete, and when a column looks like a misspelt
    optional one, which would be left out silently.
    """
    complete = [form for form in FORMS if set(form) <= columns.cells.keys()]
    if len(complete) > 1:
        forms = " and ".join(", ".join(form) for form in complete)
        raise DataError(f"{columns.path}: says the votes more than once ({forms}); keep one form")
    if not complete:
        raise DataError(f"{columns.path}: {_missing(columns)}")
    for name in columns.cells:
        if name in OPTIONAL or name in complete[0]:
            continue
        meant = difflib.get_close_matches(name, OPTIONAL, n=1, cutoff=0.8)
        if meant and meant[0] not in columns.cells:
            raise DataError(
                f"{columns.path}: column '{name}': did you mean '{meant[0]}'? Rename it"
            )
    return complete[0]


def _missing(columns: Columns) -> str:
    form = min(FORMS, key=lambda form: len(set(form) - columns.cells.keys()))
    missing = next(name for name in form if name not in columns.cells)
    guess = nearest(missing, set(columns.cells) - set(form))
    hint = f" Did you mean '{guess}'?" if guess else ""
    forms = "; or ".join(", ".join(form) for form in FORMS)
    return f"no column '{missing}'.{hint} Columns: {', '.join(columns.cells)}. Needed: {forms}"


def read_votes(columns: Columns, form: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return votes for `second`, float64 (N,), and votes in all, int64 (N,).

    Raises DataError, naming the row, for votes that are negative, not whole or all zero, and for a
    share outside [0, 1].
    """
    if form == ANSWER:
        return np.zeros(len(columns)), np.ones(len(columns), dtype=np.int64)
    if form == SHARE:
        num_votes = columns.counts("num_votes", low=1)
        return columns.numbers("p_second", 0.0, 1.0) * num_votes, num_votes
    first, second = columns.counts("first_votes"), columns.counts("second_votes")
    unvoted = np.flatnonzero(first + second == 0)
    if unvoted.size:
        raise columns.error(unvoted[0], "no votes (first_votes and second_votes are both 0)")
    return second.astype(np.float64), first + second
