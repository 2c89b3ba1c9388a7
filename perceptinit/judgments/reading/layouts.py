"""Answers as other programs export them, told by their columns and put under the names that tables here have.

| program | columns | source |
|---|---|---|
| NEXT | `Participant ID`, `Center`, `Left`, `Right`, `Answer` | NEXT-psych, participant data of PoolBasedTripletMDS |
| Salmon | `head_filename`, `left_filename`, `right_filename`, `winner_filename`, `puid` | Salmon 1.0, `/responses`; without file names `head`, `left`, `right`, `winner`, numbers from 0 |
| Meadows | `stim1_name`, `stim2_name`, `stim3_name`, `label`, `participation` | docs.meadows-research.com, downloads, annotations of the triplet choice task |
| jsPsych | `trial_type`, `response` (the button, from 0), and, stated as `data` of the trial, `anchor`, `first`, `second`, or `image_1` to `image_3` | docs.jspsych.org, data, button responses |

Rows of other trials and tasks, and those that were not answered, are left out.
"""

from __future__ import annotations

# N rows
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from perceptinit.judgments.reading.columns import Columns, read_columns

TRIPLET = ("anchor", "first", "second", "choice")
ODD = ("image_1", "image_2", "image_3", "odd")
SUBJECTS = ("subject", "subject_id", "participant", "participant_id", "PROLIFIC_PID")


@dataclass(frozen=True, slots=True)
class Layout:
    """How a program calls the columns: `columns` in the order of `roles`; `subject` if it says who answered."""

    program: str
    columns: tuple[str, ...]
    roles: tuple[str, ...]
    subject: tuple[str, ...] = ()


LAYOUTS = (
    Layout("NEXT", ("Center", "Left", "Right", "Answer"), TRIPLET, ("Participant ID",)),
    Layout(
        "Salmon",
        ("head_filename", "left_filename", "right_filename", "winner_filename"),
        TRIPLET,
        ("puid",),
    ),
    Layout("Salmon", ("head", "left", "right", "winner"), TRIPLET, ("puid",)),
    Layout("Meadows", ("stim1_name", "stim2_name", "stim3_name", "label"), ODD, ("participation",)),
    Layout("jsPsych", ("anchor", "first", "second", "response", "trial_type"), TRIPLET, SUBJECTS),
    Layout("jsPsych", ("image_1", "image_2", "image_3", "response", "trial_type"), ODD, SUBJECTS),
)


def layout_of(columns: Columns) -> Layout | None:
    """Return the layout of a program that the columns have, if any."""
    found = (layout for layout in LAYOUTS if set(layout.columns) <= columns.cells.keys())
    return next(found, None)


def read_answers(path: Path) -> Columns:
    """Return a table, one of another program with our names for its columns; DataError as `read_columns` raises."""
    columns = read_columns(path)
    layout = layout_of(columns)
    return columns if layout is None else _renamed(columns, layout)


def _renamed(columns: Columns, layout: Layout) -> Columns:
    source = dict(zip(layout.roles, layout.columns, strict=False))
    is_answered = [_is_filled(columns, name) for name in source.values()]
    columns = columns.select(np.all(is_answered, axis=0))
    for name in layout.subject:
        if name in columns.cells:
            source.setdefault("subject", name)
    given = {role: list(columns.cells[name]) for role, name in source.items()}
    images = [given[role] for role in layout.roles[:3]]
    answer: Callable[[list[str], str, int], str] = _named
    if layout.program == "jsPsych":
        answer = _button
    elif layout.program == "Meadows" and "stim1_id" in columns.cells:
        ids = [list(columns.cells[f"stim{i}_id"]) for i in (1, 2, 3)]
        answer = lambda names, label, row: _by_id(names, [c[row] for c in ids], label)  # noqa: E731
    last = layout.roles[3]
    shown = images[1:] if layout.roles == TRIPLET else images
    given[last] = [
        answer([str(column[row]) for column in shown], str(label), row)
        for row, label in enumerate(given[last])
    ]
    return Columns.of(columns.path, given, columns.rows)


def _is_filled(columns: Columns, name: str) -> np.ndarray:
    empty = (None, "", "null", "NULL")
    return np.array([cell not in empty for cell in columns.distinct[name]])[columns.codes[name]]


def _named(names: list[str], answer: str, row: int) -> str:
    return answer


def _by_id(names: list[str], ids: list[str], label: str) -> str:
    """Return the image that a label of Meadows means, which is a name or an id."""
    return names[ids.index(label)] if label in ids else label


def _button(names: list[str], button: str, row: int) -> str:
    """Return the image of a button; an answer that is no button's number stays, and is told as no candidate."""
    number = button.removesuffix(".0")
    return names[int(number)] if number.isdigit() and int(number) < len(names) else button


def component_of(path: Path) -> str:
    """Return the component that reads a table by its columns: `table` where nothing else fits."""
    return component_for(read_columns(path))


def component_for(columns: Columns) -> str:
    """Return the component that reads these columns; see `component_of`."""
    layout = layout_of(columns)
    names = set(layout.roles) if layout else columns.cells.keys()
    for component, needed in (
        ("odd-one-out", {"image_1", "image_2", "image_3"}),
        ("multi-select", {"anchor", "chosen_1", "other_1"}),
        ("ratings", {"reference", "image", "rating"}),
        ("same-different", {"first", "second", "p_same"}),
    ):
        if needed <= names:
            return component
    return "table"
