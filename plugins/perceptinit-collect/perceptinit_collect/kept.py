"""Measures of participants who were verified up to their heads, so that the status verifies no answer twice.

The table `kept` is in the file of the heads. A row is used while the head of its participant is the same.
Exports, copies and `--check` verify all answers, and remove the rows of damaged participants.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from perceptinit_collect.design import read_design
from perceptinit_collect.embedding import HeldOut
from perceptinit_collect.records import NUM_COLUMNS, Measured, Reliability
from perceptinit_collect.store import FILE, StoreError, connect, reading_database

GROWTH = 1.1  # of the answers, until the prediction is computed again


def read_kept(folder: Path) -> dict[str, Measured]:
    """Return the kept measures by participant code."""
    read = cache(partial(read_design, folder))
    heads = dict(execute(folder, "SELECT person, sha256 FROM heads.heads"))
    kept = {}
    for code, count, head, summary, given in execute(folder, "SELECT * FROM heads.kept WHERE person != ''"):
        if heads.get(code) != head:
            continue
        version, began, last, found = json.loads(summary)
        answers = np.frombuffer(given, dtype=np.int32).reshape(-1, NUM_COLUMNS)
        kept[code] = Measured(code, read(version), count, began, last, head, Reliability(**found), answers)
    return kept


def keep(folder: Path, people: Sequence[Measured]) -> None:
    """Keep the measures of verified participants who were not deleted in the meantime."""
    rows = []
    for person in people:
        summary = json.dumps([person.design.version, person.began, person.last, asdict(person.found)])
        rows.append((person.code, person.num_answers, person.head, summary, person.given.tobytes()))
    new = (
        "WHERE EXISTS (SELECT 1 FROM main.people WHERE id = ?1) "
        "AND NOT EXISTS (SELECT 1 FROM heads.kept WHERE person = ?1 AND sha256 = ?3)"
    )
    execute(folder, f"INSERT OR REPLACE INTO heads.kept SELECT ?1, ?2, ?3, ?4, ?5 {new}", *rows)


def predict(folder: Path, num_answers: int, fit: Callable[[], HeldOut | None]) -> tuple[int, HeldOut | None]:
    """Return the accuracy of the small embedding, and the number of answers with which it was computed.

    It is kept, and computed again once there are fewer answers or a tenth more.
    """
    for count, summary in execute(folder, "SELECT count, summary FROM heads.kept WHERE person = ''"):
        if count <= num_answers <= GROWTH * count:
            return count, HeldOut(**json.loads(summary))
    found = fit()
    if found is not None:
        row = (num_answers, json.dumps(asdict(found)))
        execute(folder, "INSERT OR REPLACE INTO heads.kept VALUES ('', ?, '', ?, '')", row)
    return num_answers, found


def execute(folder: Path, statement: str, *rows: Sequence[Any]) -> list[Any]:
    """Return the rows of a query of the kept measures, or run a statement for `rows` in one transaction.

    In a folder that is not writable, or with a damaged database, nothing is kept, and everything is verified.
    """
    with (
        suppress(StoreError),
        closing(connect(folder / FILE)) as connection,
        reading_database(folder / FILE),
    ):
        if not rows:
            return connection.execute(statement).fetchall()
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(statement, rows)
        connection.execute("COMMIT")
    return []
