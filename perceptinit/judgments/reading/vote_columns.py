"""The four ways in which a table may state judgments, read into one.

| columns | a row is |
|---|---|
| `anchor`, `first`, `second`, `first_votes`, `second_votes` | a question with the votes for each candidate |
| `anchor`, `first`, `second`, `p_second`, `num_votes` | a question with the share of people who chose `second` |
| `anchor`, `first`, `second`, `choice` | one answer: `choice` repeats the image chosen, or says first or second |
| `anchor`, `positive`, `negative` | one answer: `positive` is closer to the anchor |
"""

from __future__ import annotations

# N rows
import difflib
import re

import numpy as np

from perceptinit.errors import DataError
from perceptinit.files.columns import Columns
from perceptinit.judgments.reading.layouts import component_for
from perceptinit.registry import nearest

VOTES = ("anchor", "first", "second", "first_votes", "second_votes")
SHARE = ("anchor", "first", "second", "p_second", "num_votes")
CHOICE = ("anchor", "first", "second", "choice")
ANSWER = ("anchor", "positive", "negative")
FORMS = (VOTES, SHARE, CHOICE, ANSWER)
OPTIONAL = ("split", "group", "subject", "excluded")


def find_form(columns: Columns) -> tuple[str, ...]:
    """Return the form that the columns have; other columns are allowed and not read.

    Raises DataError when none or several are complete, and when a column looks like a misspelt
    optional one, which would be left out silently.
    """
    complete = [form for form in FORMS if set(form) <= columns.names]
    if len(complete) > 1:
        forms = " and ".join(", ".join(form) for form in complete)
        raise DataError(f"{columns.path}: says the votes more than once ({forms}); keep one form")
    if not complete:
        raise DataError(f"{columns.path}: {_missing(columns)}")
    for name in columns.names:
        if name in OPTIONAL or name in complete[0]:
            continue
        meant = difflib.get_close_matches(name, OPTIONAL, n=1, cutoff=0.8)
        if meant and meant[0] not in columns:
            raise DataError(
                f"{columns.path}: column '{name}': did you mean '{meant[0]}'? Rename it"
            )
    return complete[0]


def _missing(columns: Columns) -> str:
    form = min(FORMS, key=lambda form: len(set(form) - columns.names))
    missing = next(name for name in form if name not in columns)
    guess = nearest(missing, set(columns.names) - set(form))
    hint = f" Did you mean '{guess}'?" if guess else ""
    forms = "; or ".join(", ".join(form) for form in FORMS)
    fitting = component_for(columns)
    other = f". These are columns of '{fitting}': use that" if fitting != "table" else ""
    return (
        f"no column '{missing}'.{hint} Columns: {', '.join(columns.names)}. Needed: {forms}{other}"
    )


def read_votes(columns: Columns, form: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return votes for `second`, float64 (N,), and votes in all, int64 (N,).

    Raises DataError, naming the row, for votes that are negative, not whole or all zero, for a share
    outside [0, 1], and for votes or a choice of something that is none of the two candidates.
    """
    _refuse_third_option(columns, form)
    if form == CHOICE:
        return _read_choices(columns), np.ones(len(columns), dtype=np.int64)
    if form == ANSWER:
        return np.zeros(len(columns)), np.ones(len(columns), dtype=np.int64)
    if form == SHARE:
        num_votes = columns.counts("num_votes", low=1)
        return columns.numbers("p_second", 0.0, 1.0) * num_votes, num_votes
    first, second = columns.counts("first_votes"), columns.counts("second_votes")
    unvoted = np.flatnonzero(first + second == 0)
    if unvoted.size:
        raise columns.error(unvoted, "no votes (first_votes and second_votes are both 0)")
    return second.astype(np.float64), first + second


def _read_choices(columns: Columns) -> np.ndarray:
    """Return 1 where `second` was chosen and 0 where `first` was, float64 (N,)."""
    first, second, choice = (columns.coded(name) for name in ("first", "second", "choice"))
    names = {text: i for i, text in enumerate(choice.distinct)}
    is_word = [np.array(choice.distinct)[choice.codes] == word for word in ("first", "second")]
    is_first, is_second = (
        np.array([names.get(text, -1) for text in side.distinct])[side.codes] == choice.codes
        for side in (first, second)
    )
    is_first, is_second = is_first | is_word[0], is_second | is_word[1]
    strange = np.flatnonzero(~(is_first | is_second))
    if strange.size:
        a, b, c = (columns.cell(name, strange[0]) for name in ("first", "second", "choice"))
        raise columns.error(
            strange,
            f"choice '{c}' is neither first '{a}' nor second '{b}': a judgment has two candidates",
        )
    return is_second.astype(np.float64)


def _refuse_third_option(columns: Columns, form: tuple[str, ...]) -> None:
    """Raise DataError for rows with votes in a column that is none of the two candidates'."""
    for name in columns.names:
        if name in form or not re.fullmatch(r".+_votes|votes_.+", name) or name == "num_votes":
            continue
        is_zero = [str(cell or "0").strip() in ("0", "0.0") for cell in columns.distinct[name]]
        rows = np.flatnonzero(~np.array(is_zero)[columns.codes[name]])
        if rows.size:
            raise columns.error(
                rows,
                f"{columns.cell(name, rows[0])} votes in column '{name}': a judgment has two candidates, first and "
                "second. Leave out the people who chose neither, or count half of them for each",
            )
