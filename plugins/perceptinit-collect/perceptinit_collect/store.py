"""The answer database: SQLite with a write-ahead log and synced commits.

One thread writes. Writes that arrive during a sync share the next commit, so that on a slow disk the commits
grow and the queue does not.
"""

import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any

from perceptinit.plugin import DataError

FILE = "answers.sqlite"
MAX_TOGETHER = 256  # writes in one commit

SCHEMA = """
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
    PRIMARY KEY (person, position)
) WITHOUT ROWID;
"""

Write = Callable[[sqlite3.Connection], Any]


class StoreError(DataError):
    """The database could not be opened or written, for instance on a full disk."""


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open the database with synced commits; StoreError if it cannot be opened."""
    try:
        mode = "ro" if read_only else "rwc"
        if not read_only and not path.exists():
            path.touch(mode=0o600)  # SQLite gives the write-ahead log the same permissions
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            isolation_level=None,
            timeout=10,
            check_same_thread=False,
        )
        # macOS needs F_FULLFSYNC to flush the disk cache; other systems ignore both fullfsync pragmas
        for pragma in ("synchronous = FULL", "fullfsync = ON", "checkpoint_fullfsync = ON"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA secure_delete = ON")
        if not read_only:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(SCHEMA)
        return connection
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"{path}: {error}. Check that the folder exists and is writable") from error


class Store:
    """The database of a study, with its writer thread, which `close` ends."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.reader = connect(self.path)
        self.writer = connect(self.path)
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
    with closing(connect(path, read_only=True)) as connection:
        connection.row_factory = sqlite3.Row
        return connection.execute(query, values).fetchall()
