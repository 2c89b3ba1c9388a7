"""The answer database: SQLite with a write-ahead log and synced commits.

The checksum of an answer covers its content and the checksum before it. The chain of a participant starts
with the checksum of the participant. A second database contains the number of answers and the last checksum
(the head) of each participant after each commit. It may lag behind the answers, but is never ahead of them.

One thread writes. Writes that arrive during a sync share the next commit, so that on a slow disk the commits
grow and the queue does not.
"""

import hashlib
import json
import queue
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from perceptinit.plugin import DataError

FILE = "answers.sqlite"
HEADS_FILE = f"{FILE}-heads"
DATABASE_FILE = re.compile(rf"{re.escape(FILE)}(-heads)?(-wal|-shm|-journal)?")
MAX_TOGETHER = 256  # writes in one commit

SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA heads.synchronous = NORMAL;  -- they may lag after a power failure
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS designs (version INTEGER PRIMARY KEY, sha256 TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS people (
    id TEXT PRIMARY KEY,
    design INTEGER NOT NULL REFERENCES designs (version),
    slot INTEGER NOT NULL,
    token_sha256 TEXT NOT NULL UNIQUE,
    platform TEXT NOT NULL,
    platform_hash TEXT UNIQUE,
    platform_id TEXT,
    trials TEXT NOT NULL,
    began REAL NOT NULL,
    sha256 TEXT NOT NULL,
    consent_sha256 TEXT,
    UNIQUE (design, slot)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answers (
    person TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    answer INTEGER,
    seconds REAL NOT NULL,
    input TEXT NOT NULL,
    is_interrupted INTEGER NOT NULL,
    received REAL NOT NULL,
    sha256 TEXT NOT NULL,
    screen TEXT,
    PRIMARY KEY (person, position)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS heads.heads (
    person TEXT PRIMARY KEY,
    count INTEGER NOT NULL,
    sha256 TEXT,
    last INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS heads.kept (
    person TEXT PRIMARY KEY,
    count INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    summary TEXT NOT NULL,
    given BLOB NOT NULL
) WITHOUT ROWID;
"""
# collects the participants of a commit, without those of writes that are rolled back
CHANGED = """
CREATE TEMP TABLE changed (person TEXT PRIMARY KEY);
CREATE TEMP TRIGGER began AFTER INSERT ON main.people
BEGIN INSERT OR IGNORE INTO changed VALUES (new.id); END;
CREATE TEMP TRIGGER answered AFTER INSERT ON main.answers
BEGIN INSERT OR IGNORE INTO changed VALUES (new.person); END;
"""
PERSON = "id, design, slot, platform, platform_hash, platform_id, trials, began"
ANSWER = "position, answer, seconds, input, is_interrupted, received, screen"
# with MAX, SQLite takes the checksum from the row of the last position
_HEADS = """
SELECT p.id, COUNT(a.position), COALESCE(a.sha256, p.sha256), MAX(a.position)
FROM people p LEFT JOIN answers a ON a.person = p.id"""
# the head of a participant who lost answers stays
UPDATE_HEADS = f"""
INSERT OR REPLACE INTO heads.heads {_HEADS} WHERE {{}} GROUP BY p.id
HAVING COUNT(a.position) >= COALESCE((SELECT count FROM heads.heads h WHERE h.person = p.id), 0)"""

Write = Callable[[sqlite3.Connection], Any]


class StoreError(DataError):
    """The database could not be opened or written, for instance on a full disk."""


@contextmanager
def reading_database(path: Path) -> Iterator[None]:
    """Convert an error of SQLite or the file system to a StoreError for `path`."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        is_damaged = type(error) is sqlite3.DatabaseError  # subclasses are other problems
        advice = (
            f"Restore it: perceptinit collect {path.parent} --restore"
            if is_damaged
            else "Check that the folder exists and is writable"
        )
        raise StoreError(f"{path}: {error}. {advice}") from error


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open a database with synced commits; StoreError if it cannot be opened.

    A writable connection attaches the heads in the same folder as `heads`.
    """
    heads = path.with_name(HEADS_FILE)
    with reading_database(path):
        if not read_only:
            for file in (path, heads):
                file.touch(mode=0o600)  # SQLite gives the write-ahead log the same permissions
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}",
            uri=True,
            isolation_level=None,
            timeout=10,
            check_same_thread=False,
        )
        # macOS needs F_FULLFSYNC to flush the disk cache; other systems ignore both fullfsync pragmas
        for pragma in ("fullfsync", "checkpoint_fullfsync", "foreign_keys", "secure_delete"):
            connection.execute(f"PRAGMA {pragma} = ON")
        connection.execute("PRAGMA synchronous = FULL")
        if not read_only:
            connection.execute("ATTACH ? AS heads", (str(heads),))
            connection.executescript(SCHEMA)
        return connection


class Store:
    """The database of a study, with its writer thread, which `close` ends."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.reader = connect(self.path)
        self.writer = connect(self.path)
        self.writer.executescript(CHANGED)
        with reading_database(self.path):
            self.writer.execute(UPDATE_HEADS.format("TRUE"))
        self._queue: queue.SimpleQueue[tuple[Write, Future[Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_all, name="answers", daemon=True)
        self._thread.start()

    def submit(self, write: Write) -> Future[Any]:
        """Queue a write and return its future, which resolves once the write is on disk.

        If `write` raises an exception, its changes are rolled back and the future raises that exception. If
        the commit fails, the future raises StoreError.
        """
        future: Future[Any] = Future()
        self._queue.put((write, future))
        return future

    def close(self) -> None:
        """Finish pending writes and close the database."""
        self._queue.put(None)
        self._thread.join()
        for connection in (self.writer, self.reader):
            connection.close()

    def _write_all(self) -> None:
        while True:
            waiting = [self._queue.get()]
            while len(waiting) < MAX_TOGETHER and waiting[-1] is not None:
                try:
                    waiting.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            # writes of disconnected clients are dropped; after this line a write cannot be canceled
            writes = [item for item in waiting if item and item[1].set_running_or_notify_cancel()]
            if writes:
                self._commit(writes)
            if waiting[-1] is None:
                return

    def _commit(self, writes: list[tuple[Write, Future[Any]]]) -> None:
        """Run the writes in one synced transaction, then resolve their futures."""
        results: list[tuple[Any, BaseException | None]]
        try:
            self.writer.execute("BEGIN IMMEDIATE")
            results = [self._attempt(write) for write, _ in writes]
            self.writer.execute("COMMIT")
            self.writer.execute(UPDATE_HEADS.format("p.id IN (SELECT person FROM changed)"))
            self.writer.execute("DELETE FROM changed")
        except sqlite3.Error as error:
            if self.writer.in_transaction:
                self.writer.execute("ROLLBACK")
            failed = StoreError(f"{self.path}: {error}. The answer was not stored")
            results = [(None, failed)] * len(writes)
        for (_, future), (value, problem) in zip(writes, results, strict=True):
            if problem is None:
                future.set_result(value)
            else:
                future.set_exception(problem)

    def _attempt(self, write: Write) -> tuple[Any, BaseException | None]:
        """Return the value or the exception of a write; an exception rolls back only this write."""
        self.writer.execute("SAVEPOINT one")
        try:
            value, problem = write(self.writer), None
        except sqlite3.OperationalError:  # a disk error affects the entire commit
            raise
        except Exception as error:
            value, problem = None, error
            self.writer.execute("ROLLBACK TO one")
        self.writer.execute("RELEASE one")
        return value, problem


def read_rows(folder: Path, query: str, *values: Any) -> list[sqlite3.Row]:
    """Return the rows of a query, [] without a database; safe while a server writes."""
    path = folder / FILE
    if not path.is_file():
        return []
    with closing(connect(path, read_only=True)) as connection, reading_database(path):
        connection.row_factory = sqlite3.Row
        return connection.execute(query, values).fetchall()


def read_head(connection: sqlite3.Connection, code: str) -> tuple[int, str]:
    """Return the number of answers of a participant, who must exist, and the last checksum."""
    return connection.execute(f"{_HEADS} WHERE p.id = ?", (code,)).fetchone()[1:3]


def chain_sha256(before: str, values: Sequence[Any]) -> str:
    """Return the checksum of the columns PERSON (`before` is "") or ANSWER of a row.

    A missing last value is left out, so that answers without `screen` keep their checksums.
    """
    known = values[:-1] if values[-1] is None else values
    return sha256(json.dumps([before, *known], default=repr))


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
