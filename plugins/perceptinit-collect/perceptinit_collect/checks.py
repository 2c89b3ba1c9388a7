"""Verify the participants of a study, and the actions of its owner: close, delete, copy and restore."""

import shutil
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, suppress
from functools import cache, partial
from itertools import accumulate
from pathlib import Path
from typing import Any

from filelock import FileLock

from perceptinit.companion import atomic_path
from perceptinit.plugin import DataError, PerceptInitError, UsageError
from perceptinit_collect import people
from perceptinit_collect.design import Design, draw_trials, read_design, read_trials
from perceptinit_collect.kept import execute, keep, read_kept
from perceptinit_collect.records import Given, Measured, Record, measure
from perceptinit_collect.store import (
    ANSWER,
    DATABASE_FILE,
    FILE,
    HEADS_FILE,
    PERSON,
    UPDATE_HEADS,
    chain_sha256,
    connect,
    reading_database,
)
from perceptinit_collect.study import lock_study

COPY = "copy-of-answers.sqlite"
LOCK = ".copy.lock"
MIN_KEPT = 20  # participants, below which the status verifies all answers in less than a second


def read_checked(folder: Path) -> tuple[list[Record], list[str]]:
    """Return the intact participants, sorted by design version and start, and a message for each problem.

    Raises:
        StoreError: If the database cannot be opened.
    """
    problems: list[str] = []
    return list(_check_study(folder, problems)), problems


def read_measured(folder: Path) -> tuple[list[Measured], list[str]]:
    """Return the measures of the intact participants and a message for each problem, see `read_checked`.

    A participant is verified if the head has changed since the last call. With fewer than MIN_KEPT
    participants, all are verified.
    """
    problems: list[str] = []
    kept = read_kept(folder) if (folder / FILE).is_file() else {}
    if len(kept) < MIN_KEPT:
        kept = {}
    new = [measure(record) for record in _check_study(folder, problems, kept)]
    if new:
        keep(folder, new)
    everyone = [*kept.values(), *new]
    return sorted(everyone, key=lambda person: (person.design.version, person.began)), problems


def _check_study(folder: Path, problems: list[str], known: Collection[str] = ()) -> Iterator[Record]:
    """Yield the intact participants of a study, see `check_people`."""
    if not (folder / FILE).is_file():
        return
    # a study that lost the heads gets an empty file of them
    with (
        closing(connect(folder / FILE, read_only=(folder / HEADS_FILE).exists())) as connection,
        reading_database(folder / FILE),
    ):
        yield from check_people(connection, folder, problems, known)


def check_people(
    connection: sqlite3.Connection, folder: Path, problems: list[str], known: Collection[str] = ()
) -> Iterator[Record]:
    """Yield the intact participants, and leave a transaction open.

    The checksums, the heads and the trials of each participant must match.

    Args:
        connection: The database.
        folder: The study, with the heads and the designs.
        problems: A message for each problem is appended.
        known: Codes of participants who are not verified.
    """
    # the heads first, because they must not be newer than the answers
    heads = _scan(folder / HEADS_FILE, "SELECT person, count, sha256 FROM heads WHERE count >= 0", problems)
    # an expression, because an index could be damaged
    people = _scan(folder / FILE, "SELECT id FROM people ORDER BY design + 0, slot", problems)
    connection.execute("BEGIN")
    read = cache(partial(read_design, folder))
    for code, *head in {row[0]: row for row in (*people, *heads)}.values():
        if code in known:
            continue
        try:
            record = _read_record(connection, read, code, *head)
        except (DataError, sqlite3.Error, ValueError, TypeError, LookupError) as error:
            problems.append(str(DataError(f"participant {code}: {error}")))
            execute(folder, "DELETE FROM heads.kept WHERE person = ?", (code,))
        else:
            yield record


def _scan(path: Path, query: str, problems: list[str]) -> list[Any]:
    """Return the rows of a query, [] and a problem if the database is damaged."""
    try:
        with closing(connect(path, read_only=True)) as connection, reading_database(path):
            return connection.execute(query).fetchall()
    except DataError as error:
        problems.append(str(error))
        return []


def _read_record(
    connection: sqlite3.Connection,
    read: Callable[[int, str], Design],
    code: str,
    count: int = 0,
    last: str | None = None,
) -> Record:
    """Return a verified participant; count, last: the head. DataError if something does not match."""
    person = connection.execute(f"SELECT {PERSON}, sha256 FROM people WHERE id = ?", (code,)).fetchone()
    answers = connection.execute(
        f"SELECT {ANSWER}, sha256 FROM answers WHERE person = ? ORDER BY position", (code,)
    ).fetchall()
    if person is None or count > len(answers):
        raise DataError(f"{count} answers were stored, and {len(answers)} are left")
    _verify_chain(person, answers, count, last)
    _, version, slot, platform, _, platform_id, text, began, _ = person
    found = connection.execute("SELECT sha256 FROM designs WHERE version = ?", (version,)).fetchone()
    design = read(version, found[0] if found else "missing")
    trials = read_trials(text)
    if text != draw_trials(design, slot):
        raise DataError(f"the trials are not those of design {version}")
    if any(row[0] != at or row[1] not in (None, *trials[at].order) for at, row in enumerate(answers)):
        raise DataError("an answer is invalid")
    return Record(
        code,
        design,
        platform,
        platform_id,
        trials,
        {row[0]: Given(row[1], row[2], row[3], bool(row[4]), *row[5:7]) for row in answers},
        began,
        (answers or [person])[-1][-1],
    )


def _verify_chain(person: Sequence[Any], answers: Sequence[Any], count: int, last: str | None) -> None:
    """Raise DataError unless the checksums and the head match."""
    start = chain_sha256("", person[:-1])
    chain = [*accumulate(answers, lambda last, row: chain_sha256(last, row[:-1]), initial=start)]
    stored = [row[-1] for row in (person, *answers)]
    if stored != chain or chain[count] != (last or person[-1]):
        raise DataError("a checksum does not match")


def _write_once(path: Path, write: Callable[[Any], Any]) -> Any:
    """Run a write transaction on a database, even while a server has it open."""
    with closing(connect(path)) as connection, reading_database(path):
        connection.execute("BEGIN IMMEDIATE")
        value = write(connection)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return value


def close(folder: Path) -> str:
    """Stop accepting new participants, copy the answers, and return a message about the copy.

    Participants who started can finish. The copy contains that the study is closed.

    Raises:
        DataError: If an answer is damaged, after the study is closed. The last copy stays.
    """
    _write_once(
        folder / FILE,
        lambda c: c.execute("INSERT OR IGNORE INTO facts VALUES ('closed', ?)", (str(time.time()),)),
    )
    return copy_answers(folder)


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
    problems: list[str] = []
    with FileLock(folder / LOCK), atomic_path(folder / COPY, synced=True, mode=0o600) as temporary:
        with (
            closing(connect(path, read_only=True)) as source,
            closing(sqlite3.connect(temporary)) as target,
            reading_database(path),
        ):
            verified = [measure(record) for record in check_people(source, folder, problems)]
            source.backup(target)
        if problems:
            raise DataError(
                f"{path}: {len(problems)} problems, so the last copy stays. List them: perceptinit "
                f"collect {folder} --check"
            )
        for suffix in ("-wal", "-shm"):  # of the last copy, if a process was killed while it wrote to it
            (folder / f"{COPY}{suffix}").unlink(missing_ok=True)
    keep(folder, verified)
    return f"copied the answers of {len(verified)} participants to {folder / COPY}"


def restore(folder: Path) -> list[str]:
    """Replace the answers by the copy and the newer answers of intact participants, and return messages.

    The damaged databases are moved to a new folder.

    Raises:
        UsageError: If the study is being served, or has no copy.
        DataError: If a design is damaged, or the copy cannot be read.
    """
    if not (folder / COPY).is_file():
        raise UsageError(f"{folder / COPY}: not found, so nothing can be restored")
    lost: list[str] = []
    damaged = folder / f"damaged-{time.time_ns()}"
    with lock_study(folder), FileLock(folder / LOCK), atomic_path(folder / FILE, mode=0o600) as temporary:
        shutil.copy(folder / COPY, temporary)
        with closing(sqlite3.connect(temporary)) as connection, reading_database(folder / COPY):
            for row in connection.execute("SELECT version, sha256 FROM designs").fetchall():
                read_design(folder, *row)  # a copy does not restore a design
            _take_over_intact(folder, connection)
            list(check_people(connection, folder, lost))
            connection.rollback()
        damaged.mkdir(mode=0o700)
        for path in folder.glob(f"{FILE}*"):
            if DATABASE_FILE.fullmatch(path.name):
                path.replace(damaged / path.name)
    _write_once(folder / FILE, lambda c: c.execute(UPDATE_HEADS.format("TRUE")))
    return [*lost, f"moved the damaged answers to {damaged}. Delete them after a check"]


def _take_over_intact(folder: Path, connection: sqlite3.Connection) -> None:
    """Copy what is intact in the damaged database: participants, designs, and whether the study is closed."""
    try:
        intact = read_checked(folder)[0]
    except PerceptInitError:  # the whole file is damaged
        return
    connection.execute("ATTACH ? AS damaged", (str(folder / FILE),))
    with suppress(sqlite3.DatabaseError):  # a damaged page; `close` wrote to the copy, too
        connection.execute("INSERT OR IGNORE INTO facts SELECT * FROM damaged.facts WHERE name = 'closed'")
    with suppress(sqlite3.DatabaseError):
        for row in connection.execute("SELECT version, sha256 FROM damaged.designs").fetchall():
            with suppress(DataError):  # a damaged row
                read_design(folder, *row)
                connection.execute("INSERT OR IGNORE INTO designs VALUES (?, ?)", row)
    with connection:
        for record in intact:
            for table, key in (("people", "id"), ("answers", "person")):
                connection.execute(
                    f"INSERT OR REPLACE INTO {table} SELECT * FROM damaged.{table} WHERE {key} = ?",
                    (record.person,),
                )
