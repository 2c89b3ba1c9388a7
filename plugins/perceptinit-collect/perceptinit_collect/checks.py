"""Read the participants of a study, and verify each of them; damaged participants are left out."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import cache, partial
from itertools import accumulate
from pathlib import Path
from typing import Any

from perceptinit.plugin import DataError
from perceptinit_collect.design import Design, read_design
from perceptinit_collect.records import Given, Record
from perceptinit_collect.sessions import draw_trials, read_trials
from perceptinit_collect.store import (
    ANSWER,
    FILE,
    HEADS_FILE,
    PERSON,
    chain_sha256,
    connect,
    has_column,
    reading_database,
)


def read_checked(folder: Path) -> tuple[list[Record], list[str]]:
    """Return the intact participants, sorted by design version and start, and a message for each problem.

    Raises:
        StoreError: If the database cannot be opened.
    """
    if not (folder / FILE).is_file():
        return [], []
    # without the heads, the study is of version 0.2.0 or earlier, and gets columns for checksums
    with (
        closing(connect(folder / FILE, read_only=(folder / HEADS_FILE).exists())) as connection,
        reading_database(folder / FILE),
    ):
        return check_people(connection, folder)


def check_people(connection: sqlite3.Connection, folder: Path) -> tuple[list[Record], list[str]]:
    """Return the intact participants and a message for each problem, and leave a transaction open.

    The checksums, the heads and the trials of each participant must match. Participants from before checksums
    have only their trials compared.
    """
    records: list[Record] = []
    problems: list[str] = []
    # the heads first, because they must not be newer than the answers
    heads = _scan(folder / HEADS_FILE, "SELECT person, count, sha256 FROM heads WHERE count >= 0", problems)
    # an expression, because an index could be damaged
    people = _scan(folder / FILE, "SELECT id FROM people ORDER BY design + 0, slot", problems)
    connection.execute("BEGIN")
    read = cache(partial(read_design, folder))
    for code, *head in {row[0]: row for row in (*people, *heads)}.values():
        try:
            records.append(_read_record(connection, read, code, *head))
        except (DataError, sqlite3.Error, ValueError, TypeError, LookupError) as error:
            problems.append(str(DataError(f"participant {code}: {error}")))
    return records, problems


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
    columns = ANSWER if has_column(connection, "answers", "screen") else ANSWER.replace("screen", "NULL")
    person = connection.execute(f"SELECT {PERSON}, sha256 FROM people WHERE id = ?", (code,)).fetchone()
    answers = connection.execute(
        f"SELECT {columns}, sha256 FROM answers WHERE person = ? ORDER BY position", (code,)
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
    )


def _verify_chain(person: Sequence[Any], answers: Sequence[Any], count: int, last: str | None) -> None:
    """Raise DataError unless the checksums and the head match; those from before checksums have none."""
    if person[-1] is last is None:
        return
    start = chain_sha256("", person[:-1])
    chain = [*accumulate(answers, lambda last, row: chain_sha256(last, row[:-1]), initial=start)]
    stored = [row[-1] for row in (person, *answers)]
    if stored != chain or chain[count] != (last or person[-1]):
        raise DataError("a checksum does not match")
