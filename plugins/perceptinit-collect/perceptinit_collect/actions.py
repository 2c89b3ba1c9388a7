"""Actions of the study's owner: close the study, delete a participant, copy and restore the answers."""

import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from filelock import FileLock

from perceptinit.companion import atomic_path
from perceptinit.plugin import DataError, PerceptInitError, UsageError
from perceptinit_collect import people
from perceptinit_collect.checks import check_people, read_checked
from perceptinit_collect.design import read_design
from perceptinit_collect.store import FILE, UPDATE_HEADS, add_columns, connect, reading_database
from perceptinit_collect.study import lock_study

COPY = "copy-of-answers.sqlite"
LOCK = ".copy.lock"


def _write_once(path: Path, write: Callable[[Any], Any]) -> Any:
    """Run a write transaction on a database, even while a server has it open."""
    with closing(connect(path)) as connection, reading_database(path):
        connection.execute("BEGIN IMMEDIATE")
        value = write(connection)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return value


def close(folder: Path) -> None:
    """Stop accepting new participants. Participants who started can finish."""
    _write_once(
        folder / FILE,
        lambda c: c.execute("INSERT OR IGNORE INTO facts VALUES ('closed', ?)", (str(time.time()),)),
    )


def forget(folder: Path, name: str) -> int:
    """Delete a participant from the answers and their copy, and return the number of deleted answers.

    name: code or platform id; see `people.match_people`.

    Raises:
        UsageError: If `name` does not match exactly one participant.
    """
    found = _write_once(folder / FILE, lambda c: people.match_people(c, name))
    if not found:
        raise UsageError(f"{folder}: no participant has the code or platform id '{name}'")
    if len(found) > 1:
        raise UsageError(
            f"{folder}: '{name}' matches {len(found)} participants, so no one was deleted. Use one of: "
            f"{', '.join(f'--forget {exact}' for exact in sorted(found.values()))}"
        )
    with FileLock(folder / LOCK):  # otherwise a copy in progress would contain the participant
        if (folder / COPY).is_file():
            _write_once(folder / COPY, lambda c: people.delete(c, *found))
        return int(_write_once(folder / FILE, lambda c: people.delete(c, *found)))


def copy_answers(folder: Path) -> str:
    """Replace the copy of the answers and return a message; DataError if an answer is damaged."""
    path = folder / FILE
    with FileLock(folder / LOCK), atomic_path(folder / COPY, synced=True, mode=0o600) as temporary:
        with (
            closing(connect(path, read_only=True)) as source,
            closing(sqlite3.connect(temporary)) as target,
            reading_database(path),
        ):
            records, problems = check_people(source, folder)
            source.backup(target)
        if problems:
            raise DataError(
                f"{path}: {len(problems)} problems, so the last copy stays. List them: perceptinit collect "
                f"{folder} --check"
            )
    return f"copied the answers of {len(records)} participants to {folder / COPY}"


def restore(folder: Path) -> list[str]:
    """Replace the answers by the copy and the newer answers of intact participants, and return messages.

    The damaged databases are moved to a new folder.

    Raises:
        UsageError: If the study is being served, or has no copy.
        DataError: If a design is damaged, or the copy cannot be read.
    """
    if not (folder / COPY).is_file():
        raise UsageError(f"{folder / COPY}: not found, so nothing can be restored")
    with closing(connect(folder / COPY, read_only=True)) as connection, reading_database(folder / COPY):
        for row in connection.execute("SELECT version, sha256 FROM designs"):
            read_design(folder, *row)  # a copy does not restore a design
    damaged = folder / f"damaged-{time.time_ns()}"
    with lock_study(folder), FileLock(folder / LOCK), atomic_path(folder / FILE, mode=0o600) as temporary:
        shutil.copy(folder / COPY, temporary)
        _take_over_intact(folder, temporary)
        with closing(connect(temporary, read_only=True)) as connection:
            lost = check_people(connection, folder)[1]
        damaged.mkdir(mode=0o700)
        for path in folder.glob(f"{FILE}*"):
            path.replace(damaged / path.name)
    _write_once(folder / FILE, lambda c: c.execute(UPDATE_HEADS.format("TRUE")))
    return [*lost, f"moved the damaged answers to {damaged}. Delete them after a check"]


def _take_over_intact(folder: Path, target: Path) -> None:
    """Copy the intact participants of the damaged database to another database."""
    try:
        intact = read_checked(folder)[0]
    except PerceptInitError:  # the whole file is damaged
        return
    with closing(sqlite3.connect(target)) as connection, connection:
        add_columns(connection)
        connection.execute("ATTACH ? AS damaged", (str(folder / FILE),))
        for record in intact:
            connection.execute(
                "INSERT OR IGNORE INTO designs VALUES (?, ?)", (record.design.version, record.design.sha256)
            )
            for table, key in (("people", "id"), ("answers", "person")):
                connection.execute(
                    f"INSERT OR REPLACE INTO {table} SELECT * FROM damaged.{table} WHERE {key} = ?",
                    (record.person,),
                )
