"""Answers as other programs export them, told by their columns and put under the names that tables here have.

| program | columns | source |
|---|---|---|
| NEXT | `Participant ID`, `Center`, `Left`, `Right`, `Answer`, or the JSON of `next_export` | NEXT-psych, participant data of PoolBasedTripletMDS |
| NEXT | `participant_uid`, `target_center`, `target_left`, `target_right`, `target_winner` | the same, as its later versions format it |
| Salmon | `head_filename`, `left_filename`, `right_filename`, `winner_filename`, `puid` | Salmon 1.0, `/responses`; without file names `head`, `left`, `right`, `winner`, numbers from 0 |
| Meadows | `stim1_name`, `stim2_name`, `stim3_name`, `label`, `participation` | docs.meadows-research.com, downloads, annotations of the triplet choice task |
| jsPsych | `trial_type`, `response` (the button, from 0), and, stated as `data` of the trial, `anchor`, `first`, `second`, or `image_1` to `image_3`; else the three `<img>` of `stimulus`, in their order | docs.jspsych.org, data, button responses |

Rows of other trials and tasks, and those that were not answered, are left out. An image that is named by a URL is the
file at its end.
"""

from __future__ import annotations

# N rows
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from perceptinit.errors import DataError
from perceptinit.judgments.reading.columns import Columns
from perceptinit.judgments.reading.shown_images import file_of, has_button, with_shown_images
from perceptinit.judgments.reading.table_files import read_columns

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
        "NEXT",
        ("target_center", "target_left", "target_right", "target_winner"),
        TRIPLET,
        ("participant_uid",),
    ),
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


def read_answers(path: Path, roles: tuple[str, ...] = TRIPLET) -> Columns:
    """Return a table, one of another program with our names for its columns.

    roles: what trials of jsPsych are about that only show three images, TRIPLET or ODD.

    Raises DataError as `read_columns` does, and for two images whose URLs end in one file.
    """
    columns = read_columns(path)
    if layout_of(columns) is None:
        columns = with_shown_images(columns, roles[:3])
    layout = layout_of(columns)
    return columns if layout is None else _renamed(columns, layout)


def _renamed(columns: Columns, layout: Layout) -> Columns:
    source = dict(zip(layout.roles, layout.columns, strict=False))
    is_answered = [_is_filled(columns, name) for name in source.values()]
    columns = columns.select(np.all(is_answered, axis=0))
    for name in layout.subject:
        if name in columns.cells:
            source.setdefault("subject", name)
    files = _files_of_urls(columns, layout.columns)
    given = {
        role: [files.get(cell, cell) for cell in columns.cells[name]]
        for role, name in source.items()
    }
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


def _files_of_urls(columns: Columns, names: Sequence[str]) -> dict[str, str]:
    """Return the file of each URL in these columns."""
    cells = {cell for name in names for cell in columns.distinct[name] if isinstance(cell, str)}
    files = {cell: file_of(cell) for cell in cells if cell.startswith(("http://", "https://"))}
    url_of: dict[str, str] = {}
    for url, file in sorted(files.items()):
        if url_of.setdefault(file, url) != url:
            raise DataError(
                f"{columns.path}: '{url_of[file]}' and '{url}' end in one file, '{file}'; name the images apart"
            )
    return files


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
    columns = read_columns(path)
    if layout_of(columns) is None:
        columns = _with_what_is_asked(columns)
    return component_for(columns)


def _with_what_is_asked(columns: Columns) -> Columns:
    """Return trials of jsPsych that only show three images as about the odd one where a third button was pressed."""
    odd = with_shown_images(columns, ODD[:3])
    if odd is columns:
        return columns
    is_trial = _is_filled(odd, ODD[0])
    return odd if has_button(odd.select(is_trial), 2) else with_shown_images(columns, TRIPLET[:3])


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
