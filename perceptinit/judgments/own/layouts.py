"""Tables exported by other programs: recognition and renaming of their columns.

* NEXT: `Participant ID`, `Center`, `Left`, `Right`, `Answer`; in later versions `participant_uid`,
  `target_center`, `target_left`, `target_right`, `target_winner`. Source: NEXT-psych, participant data of
  PoolBasedTripletMDS.
* Salmon: `head_filename`, `left_filename`, `right_filename`, `winner_filename`, `puid`; or `head`, `left`,
  `right`, `winner`, numbered from 0. Source: Salmon 1.0, `/responses`.
* Meadows: `stim1_name`, `stim2_name`, `stim3_name`, `label`, `participation`. Source:
  docs.meadows-research.com, downloads, annotations of the triplet choice task.
* jsPsych: `trial_type`, `response` (button number, from 0), and in the trial's `data`: `anchor`, `first`,
  `second`, or `image_1` to `image_3`. Source: docs.jspsych.org, data, button responses.
* Levels: `image1Path`, `image2Path`, `image3Path` (on the server of the experiment), `selected_image`,
  `subject_id`, `exp_trial_type`. Source: github.com/Frieda-Josefine/HumanEval_experiment, files
  experiment/index.html and analysis/stats_eval.ipynb.

Rows of other trials and tasks, and rows without an answer, are skipped. If an image is a URL, or a path of
the experiment, its name is the last part of the path.
"""

# N rows
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import numpy as np

from perceptinit.errors import DataError
from perceptinit.files.columns import Columns
from perceptinit.judgments.own.pair_table import find_value

TRIPLET = ("anchor", "first", "second", "choice")
ODD = ("image_1", "image_2", "image_3", "odd")
EMPTY = (None, "", "null", "NULL", "No image selected")  # the last is of Levels
SUBJECTS = ("subject", "subject_id", "participant", "participant_id", "PROLIFIC_PID")


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns that a program exports, in the order of `roles`.

    subject: columns that may identify the participant. ids: columns of image ids that answers may refer to.
    has_paths: whether images are paths of the experiment. trials: a column, and its value in rows that count.
    """

    program: str
    columns: tuple[str, ...]
    roles: tuple[str, ...]
    subject: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    has_paths: bool = False
    trials: tuple[str, str] | None = None


LAYOUTS = (
    Layout("NEXT", ("Center", "Left", "Right", "Answer"), TRIPLET, ("Participant ID",)),
    Layout(
        "NEXT",
        ("target_center", "target_left", "target_right", "target_winner"),
        TRIPLET,
        ("participant_uid",),
    ),
    Layout(
        "Salmon", ("head_filename", "left_filename", "right_filename", "winner_filename"), TRIPLET, ("puid",)
    ),
    Layout("Salmon", ("head", "left", "right", "winner"), TRIPLET, ("puid",)),
    Layout(
        "Meadows",
        ("stim1_name", "stim2_name", "stim3_name", "label"),
        ODD,
        ("participation",),
        ("stim1_id", "stim2_id", "stim3_id"),
    ),
    Layout("jsPsych", ("anchor", "first", "second", "response", "trial_type"), TRIPLET, SUBJECTS),
    Layout("jsPsych", ("image_1", "image_2", "image_3", "response", "trial_type"), ODD, SUBJECTS),
    Layout(
        "Levels",
        ("image1Path", "image2Path", "image3Path", "selected_image"),
        ODD,
        SUBJECTS,
        has_paths=True,
        trials=("exp_trial_type", "exp_trial"),
    ),
)


def find_layout(columns: Columns) -> Layout | None:
    """Return the layout that matches the columns, if any."""
    found = (layout for layout in LAYOUTS if set(layout.columns) <= columns.names)
    return next(found, None)


def rename_columns(columns: Columns, person: str | None = None) -> Columns:
    """Rename the columns of another program's table and drop unanswered rows; keep other tables.

    Args:
        columns: The table.
        person: Column that becomes `subject`.

    Raises:
        DataError: If the URLs of two images have the same file name, or the column `person` is missing.
    """
    columns.require([person] if person else [])
    layout = find_layout(columns)
    if layout is None:
        return columns.copy_column(person, "subject") if person else columns
    source = dict(zip(layout.roles, layout.columns, strict=False))
    for name in source.values():
        is_filled = [cell not in EMPTY for cell in columns.distinct[name]]
        columns = columns.select(np.array(is_filled, dtype=bool)[columns.codes[name]])
    if layout.trials and layout.trials[0] in columns:
        is_counted = [cell == layout.trials[1] for cell in columns.cells(layout.trials[0])]
        columns = columns.select(np.array(is_counted, dtype=bool))
    for name in [person] if person else layout.subject:
        if name in columns:
            source.setdefault("subject", name)
    files = _name_files(columns, layout)
    cells = {r: [files.get(c, c) for c in columns.cells(name)] for r, name in source.items()}
    images = [cells[role] for role in layout.roles[:3]]
    last = layout.roles[3]
    candidates = images[1:] if layout.roles == TRIPLET else images
    ids = [columns.cells(name) for name in layout.ids if name in columns]
    cells[last] = [
        _find_chosen(str(answer), [str(c[row]) for c in candidates], [c[row] for c in ids], layout)
        for row, answer in enumerate(cells[last])
    ]
    return Columns.of(columns.path, cells, columns.rows)


def _find_chosen(answer: str, candidates: list[str], ids: Sequence[str], layout: Layout) -> str:
    """Return the image that an answer refers to by number or id; other answers are unchanged."""
    if layout.program == "jsPsych":  # the button number, from 0
        number = answer.removesuffix(".0")
        is_button = number.isdigit() and int(number) < len(candidates)
        return candidates[int(number)] if is_button else answer
    return candidates[ids.index(answer)] if answer in ids else answer


def _name_files(columns: Columns, layout: Layout) -> dict[str, str]:
    """Return the file name at the end of each URL or path of the experiment."""
    cells = {cell for name in layout.columns for cell in columns.cells(name) if isinstance(cell, str)}
    files: dict[str, str] = {}
    url_of: dict[str, str] = {}
    for url in sorted(c for c in cells if layout.has_paths or c.startswith(("http://", "https://"))):
        try:
            files[url] = file = unquote(urlsplit(url).path).rpartition("/")[2]
        except ValueError:  # invalid brackets: not a URL
            continue
        if url_of.setdefault(file, url) != url:
            raise DataError(
                f"{columns.path}: '{url_of[file]}' and '{url}' have the same file name '{file}'. Rename one"
            )
    return files


def component_for(columns: Columns) -> str:
    """Return the component that reads these columns; `table` if there is no other."""
    layout = find_layout(columns)
    names = layout.roles if layout else columns.names
    for component, needed in (
        ("odd-one-out", {"image_1", "image_2", "image_3"}),
        ("odd-one-out", {"image_1", "image_2", "odd"}),
        ("multi-select", {"anchor", "chosen_1", "other_1"}),
        ("ratings", {"reference", "image", "rating"}),
        ("same-different", {"first", "second", "p_same"}),
    ):
        if needed <= set(names):
            return component
    return "rdm" if find_value(names) else "table"
