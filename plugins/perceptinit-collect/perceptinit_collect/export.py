"""Export a study: the table that a `judgments` component reads, a participant table, and a recipe.

The table has one row per assigned trial, answered or not. The column `excluded` states why a row is not a
judgment: practice, attention check, repeat, unanswered trial, or excluded participant.
"""

import csv
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from perceptinit.companion import OddOneOutTable, Table, write_file
from perceptinit.plugin import DataError, Split, UsageError
from perceptinit_collect.checks import read_checked
from perceptinit_collect.design import Design, Trial, read_design, versions
from perceptinit_collect.images import FOLDER as IMAGES
from perceptinit_collect.records import Given, Record, Reliability, judge_records, time_text

COMPONENTS: dict[str, type[Table | OddOneOutTable]] = {"table": Table, "odd-one-out": OddOneOutTable}
MIN_ANCHORS, MIN_JUDGMENTS = 10, 100  # in `test`, for an interval
ABOUT_TRIAL = (
    "subject", "excluded", "kind", "position", "assigned_order", "answered_place", "seconds", "input",
    "is_interrupted", "received", "image_on_screen", "window", "design",
)  # fmt: skip
ABOUT_PERSON = (
    "subject", "excluded", "platform", "platform_id", "consented", "answers", "is_finished", "catch",
    "instructed", "checks", "repeats", "agreement", "median_seconds", "answered", "design",
)  # fmt: skip


def export(folder: Path, table: Path, split_by_image: bool = False) -> tuple[list[Path], str, list[str]]:
    """Write the table, `.people.csv`, the recipe `.toml`, `.codebook.csv` and `.dataset_description.json`.

    Only the file's owner can read `.people.csv`, which may contain platform ids. A user may edit the last
    three. One with other content stays, and the new one gets a number, as in `judgments-2.toml`.

    Args:
        folder: The study.
        table: The table to write.
        split_by_image: Whether the recipe holds out images instead of anchors or questions.

    Returns:
        The paths in this order, the splits of the recipe in words, and a message for each damaged
        participant. The table contains the others.

    Raises:
        UsageError: If `table` does not end in .csv, or the study has no participants.
        DataError: If the design versions have different tasks, or no participant is intact.
    """
    if table.suffix != ".csv":
        raise UsageError(f"--export {table}: not a CSV file. Choose a name that ends in .csv")
    records, problems = _read(folder)
    design = records[-1].design
    people = table.with_suffix(".people.csv")
    write_file(table, table_text(records).encode())
    write_file(people, people_text(records).encode(), mode=0o600)
    cls = COMPONENTS[design.task.component]
    keys, splits = choose_splits(cls, {"path": table, "images": folder / IMAGES}, split_by_image)
    variables = read_codebook(design)
    codebook = _csv(list(variables[0]), (list(variable.values()) for variable in variables))
    description = description_text(table, design, variables)
    texts = [
        _write_beside(table, ".toml", lambda path: recipe_text(folder, design, table, path, keys)),
        _write_beside(table, ".codebook.csv", lambda path: codebook),
        _write_beside(table, ".dataset_description.json", lambda path: description),
    ]
    return [table, people, *texts], splits, problems


def _write_beside(table: Path, suffix: str, make: Callable[[Path], str]) -> Path:
    """Write a text next to the table, under the first name that no other content has, and return its path."""
    names = (f"{table.stem}{number}{suffix}" for number in ("", *(f"-{n}" for n in range(2, 10_000))))
    paths = map(table.with_name, names)
    path = next(path for path in paths if not path.exists() or path.read_bytes() == make(path).encode())
    write_file(path, make(path).encode())
    return path


def read_codebook(design: Design) -> list[dict[str, str]]:
    """Return the name, the values and the description of each exported column."""
    task = design.task
    columns = {*task.image_columns, *task.answer_columns, *ABOUT_TRIAL, *ABOUT_PERSON}
    text = resources.files("perceptinit_collect").joinpath("codebook.csv").read_text("utf-8")
    return [row for row in csv.DictReader(io.StringIO(text)) if row["column"] in columns]


def description_text(table: Path, design: Design, variables: Sequence[Mapping[str, str]]) -> str:
    """Return the metadata of a dataset in the format of Psych-DS, as JSON."""
    content = {
        "@context": "https://schema.org",
        "@type": "Dataset",
        "name": table.stem,
        "description": f"Similarity judgments ({design.settings.task}), collected with perceptinit collect.",
        "variableMeasured": [
            {
                "@type": "PropertyValue",
                "name": variable["column"],
                "description": f"{variable['description']}. Values: {variable['values']}",
            }
            for variable in variables
        ],
    }
    return json.dumps(content, indent=2) + "\n"


def choose_splits(
    component: type[Table | OddOneOutTable], files: dict[str, Path], split_by_image: bool
) -> tuple[dict[str, Any], str]:
    """Return keys that hold out enough judgments for an interval, and the resulting splits in words.

    The smallest share of 10 to 50 % is chosen that leaves at least MIN_ANCHORS anchors and MIN_JUDGMENTS
    judgments in `test`; 50 % if there is none.
    """
    keys: dict[str, Any] = {"split_by": "image", "val_share": 0.2} if split_by_image else {"val_share": 0.1}
    for percent in range(10, 55, 5):
        keys["test_share"] = percent / 100
        judgments = component(component.Config(**files, **keys))  # type: ignore[arg-type]
        counts = {split: _count(judgments, split) for split in ("train", "val", "test")}
        num_judgments, num_anchors = counts["test"]
        if num_judgments >= MIN_JUDGMENTS and num_anchors >= MIN_ANCHORS:
            break
    listed = [f"{split} {num:,} judgments of {anchors:,} anchors" for split, (num, anchors) in counts.items()]
    return keys, ", ".join(listed)


def _count(judgments: Any, split: Split) -> tuple[int, int]:
    """Return the numbers of judgments and of anchors in a split."""
    try:
        triplets = judgments.load(split)
    except DataError:  # an empty split
        return 0, 0
    return len(triplets), len(set(triplets.anchor.tolist()))


def export_text(folder: Path) -> str:
    """Return the exported table as CSV text; DataError if a participant is damaged."""
    records, problems = _read(folder)
    if problems:
        raise DataError(
            f"{len(problems)} problems, such as {problems[0]}. Export the other participants on the server's "
            "machine with --export"
        )
    return table_text(records)


def check_command(folder: Path, table: Path) -> str:
    """Return the command that checks an exported table."""
    component = read_design(folder, versions(folder)[-1]).task.component
    use = "" if component == "table" else f",use={component}"
    return f"perceptinit data check {table}{use},images={folder / IMAGES}"


def _read(folder: Path) -> tuple[list[Record], list[str]]:
    records, problems = read_checked(folder)
    if problems and not records:
        raise DataError(f"{folder}: no participant is intact. Restore the answers with --restore")
    if not records:
        raise UsageError(f"{folder}: nothing to export, because no participant has started")
    tasks = sorted({record.design.settings.task for record in records})
    if len(tasks) > 1:
        raise DataError(
            f"{folder}: answers to different tasks ({', '.join(tasks)}) do not fit into one table. "
            "Create one study per task"
        )
    return records, problems


def table_text(records: Sequence[Record]) -> str:
    """Return the table as CSV, one row per assigned trial."""
    task = records[0].design.task
    header = (*task.image_columns, *task.answer_columns, *ABOUT_TRIAL)
    judged = judge_records(records)
    rows = (row for record in records for row in _rows(record, judged[record.person][1]))
    return _csv(header, rows)


def _rows(record: Record, why: str) -> Iterator[Sequence[object]]:
    for position, trial in enumerate(record.trials):
        given = record.answers.get(position)
        yield (
            *map(_name_cell, record.names(trial)),
            *_answer_cells(record, given),
            record.person,
            _excluded(trial, given, why),
            trial.kind,
            position,
            " ".join(str(candidate + 1) for candidate in trial.order),
            *_given_cells(trial, given),
            record.design.name,
        )


def _name_cell(name: str) -> str:
    """Return an image name that no spreadsheet executes as a formula; `./` does not change the path."""
    return f"./{name}" if name.startswith(("=", "+", "-", "@")) else name


def _answer_cells(record: Record, given: Given | None) -> Sequence[str]:
    task = record.design.task
    return [""] * len(task.answer_columns) if given is None else task.cells(given.answer)


def _given_cells(trial: Trial, given: Given | None) -> Sequence[object]:
    """Return screen position (0 for "not sure"), seconds, input, interruption, time and sizes."""
    if given is None:
        return [""] * 7
    place = 0 if given.answer is None else trial.order.index(given.answer) + 1
    image, _, window = (given.screen or "").partition(" ")
    is_interrupted = str(given.is_interrupted).lower()
    received = time_text(given.received)
    return [place, f"{given.seconds:.3f}", given.input, is_interrupted, received, image, window]


def _excluded(trial: Trial, given: Given | None, why: str) -> str:
    """Return why a row is excluded from the judgments, or "" if it is included."""
    if trial.kind != "question":
        return trial.kind
    if given is None:
        return "not answered"
    return f"person: {why}" if why else ""


def people_text(records: Sequence[Record]) -> str:
    """Return a CSV with one row per participant: reliability measures and the reason for exclusion."""
    judged = judge_records(records)
    return _csv(ABOUT_PERSON, (_person_row(record, *judged[record.person]) for record in records))


def _person_row(record: Record, found: Reliability, why: str) -> Sequence[object]:
    measures = (
        found.catch, found.instructed, found.checks, found.repeats, found.agreement, found.median_seconds,
        found.answered,
    )  # fmt: skip
    return (
        record.person, why, record.platform, record.platform_id or "", time_text(record.began),
        len(record.answers),
        str(record.is_finished).lower(), *("" if m is None else f"{m:.3f}" for m in measures),
        record.design.name,
    )  # fmt: skip


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue()


def recipe_text(folder: Path, design: Design, table: Path, recipe: Path, keys: Mapping[str, Any]) -> str:
    """Return a recipe with three arms that uses the table for stage 1. recipe: its path."""
    template = resources.files("perceptinit_collect").joinpath("exported.toml").read_text("utf-8")
    values = {
        "NAME": re.sub(r"[^A-Za-z0-9._-]|^[^A-Za-z0-9]", "-", table.stem).lstrip("-._") or "collected",
        "RECIPE": recipe.as_posix(), "TABLE": _quote(table),
        "IMAGES": _quote(Path(os.path.normpath(folder / IMAGES))),
        "COMPONENT": design.task.component,
        "EVALUATOR": design.task.evaluator, "DESIGN": design.name,
        "SPLITS": "\n".join(f"{key} = {json.dumps(value)}" for key, value in keys.items()),
    }  # fmt: skip
    for name, value in values.items():
        template = template.replace(f"@{name}@", value)
    return template


def _quote(path: Path) -> str:
    """Escape a path for a TOML string."""
    return path.as_posix().replace("\\", "\\\\").replace('"', '\\"')
