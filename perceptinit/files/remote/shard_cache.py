"""Pieces of remote files on this machine's disk: at most so many bytes, shared by all its processes.

A piece lies in a folder `KEY-BYTES/` under the file's own name, whole or not at all; the folder alone is its
room, taken before the bytes come. When room is needed, that piece goes which all readers need latest (Belady 1966):
every process writes down when it will need what (`readers/`), under a lock that ends with it.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from perceptinit.errors import DataError, WriteError, writing
from perceptinit.files.archives import SPARE_BYTES
from perceptinit.files.atomic import write_json
from perceptinit.files.cache import shard_folder
from perceptinit.files.locks import file_lock
from perceptinit.files.reading import misfit, read_json
from perceptinit.files.remote.addresses import RemoteFile
from perceptinit.files.remote.store import RemoteError, stat
from perceptinit.files.remote.streams import stream

_NEVER = math.inf
# how old what others know of a process may be
_TELL_SECONDS = 1.0
_TOLD = {"done": int, "first_uses": dict}


@dataclass(frozen=True, slots=True)
class Piece:
    """Ranges of a remote file that are needed together; on disk they lie where they lie in the file.

    num_bytes, version: of the whole file, as it was when it was looked at; version is empty when nobody knows.
    """

    file: RemoteFile
    num_bytes: int
    version: str
    ranges: tuple[tuple[int, int], ...]

    @classmethod
    def whole(cls, file: RemoteFile, num_bytes: int, version: str = "") -> Piece:
        """Return a file as one piece."""
        return cls(file, num_bytes, version, ((0, num_bytes),))

    @property
    def room(self) -> int:
        """Return the bytes that it takes; where nothing was written, the file has holes."""
        return sum(stop - start for start, stop in self.ranges)

    @property
    def key(self) -> str:
        parts = (str(self.file), self.num_bytes, self.version, self.ranges)
        return f"{hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}-{self.room}"


class ShardCache:
    """The cache folder as one process uses it.

    max_bytes: most that pieces take together; None for half of what is free now or in use by it already.
    """

    def __init__(self, max_bytes: int | None = None, folder: Path | None = None) -> None:
        self.folder = folder or shard_folder()
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        self.max_bytes = self._default_bytes() if max_bytes is None else max_bytes
        self._done, self._first_uses, self._told = 0, dict[str, int](), 0.0
        self._versions: dict[
            RemoteFile, str
        ] = {}  # as they were first seen, of files of no known one
        self._me = self.folder / "readers" / f"{os.getpid()}-{uuid.uuid4().hex[:8]}.json"

    def _default_bytes(self) -> int:
        return (shutil.disk_usage(self.folder).free + self._used()) // 2

    def find(self, piece: Piece) -> Path | None:
        """Return the file of a piece that is there."""
        path = self.folder / piece.key / piece.file.name
        return path if path.is_file() else None

    @contextmanager
    def reader(self) -> Iterator[None]:
        """Be, for the block, one of the processes whose next uses count."""
        with file_lock(self._me.with_suffix(".lock")):
            try:
                yield
            finally:
                self._first_uses = {}
                self._me.unlink(missing_ok=True)
                self._me.with_suffix(".lock").unlink(missing_ok=True)

    def publish(self, done: int, first_uses: Mapping[str, int]) -> None:
        """Tell how many draws are done, and at which draw pieces are needed next, by key; others are not needed."""
        is_news = first_uses.keys() != self._first_uses.keys()
        self._done, self._first_uses = done, dict(first_uses)
        if is_news or time.monotonic() - self._told > _TELL_SECONDS:
            write_json(self._me, {"done": done, "first_uses": self._first_uses})
            self._told = time.monotonic()

    def fetch(self, piece: Piece, next_use: float) -> Path | None:
        """Return the file of a piece, fetched unless it is there; None while there is no room for it.

        next_use: draws until it is needed. Room is made of what is needed later than that. Two processes that
        want the same piece fetch it once.

        Raises RemoteError when it cannot be had or has changed, WriteError when the disk does not take it.
        """
        with self._locked(piece.key) as is_mine:
            assert is_mine
            path = self.find(piece)
            if path is not None:
                return path
            shutil.rmtree(
                self.folder / piece.key, ignore_errors=True
            )  # of a process that was killed
            return self._receive(piece) if self._make_room(piece, next_use) else None

    def _receive(self, piece: Piece) -> Path:
        path = self.folder / piece.key / piece.file.name
        part = path.with_name(f".{path.name}.part")
        try:
            with writing(part), part.open("wb") as file:
                file.truncate(piece.num_bytes)
                for start, stop in piece.ranges:
                    file.seek(start)
                    file.writelines(stream(piece.file, start, stop))
            self._check_unchanged(piece)
            part.replace(path)
        except BaseException:
            shutil.rmtree(path.parent, ignore_errors=True)
            raise
        return path

    def _check_unchanged(self, piece: Piece) -> None:
        """Raise RemoteError unless the file is still the one that was looked at before."""
        now = stat(piece.file)
        known = piece.version or self._versions.setdefault(piece.file, now.version)
        if (now.num_bytes, now.version) != (piece.num_bytes, known):
            raise RemoteError(
                f"{piece.file}: has changed since it was looked at ({piece.num_bytes:,} bytes then, "
                f"{now.num_bytes:,} now). Where an index stands beside it, make that anew: perceptinit data index"
            )

    def _make_room(self, piece: Piece, next_use: float) -> bool:
        """Take room for a piece, of others that are needed later; False when those that stay leave none."""
        with file_lock(self.folder / "locks" / "room.lock"):
            used, free = self._used(), shutil.disk_usage(self.folder).free - SPARE_BYTES
            if piece.room > used + free and piece.room <= self.max_bytes:
                raise WriteError(
                    self.folder, f"{piece.file.name} needs {piece.room / 1e6:,.1f} MB, and {max(0, free) / 1e6:,.1f} "
                    f"MB are free beside {SPARE_BYTES >> 20} MB that are spared",
                )  # fmt: skip
            too_much = used + piece.room - min(self.max_bytes, used + free)
            later = self._latest_first(next_use) if too_much > 0 else []
            if too_much > sum(map(_room_of, later)):
                return False
            for key in later:
                too_much -= self._remove(key) if too_much > 0 else 0
            if too_much <= 0:
                with writing(self.folder):
                    (self.folder / piece.key).mkdir(exist_ok=True)
            return too_much <= 0

    def _latest_first(self, next_use: float) -> list[str]:
        """Return the pieces that are needed later than `next_use`, the latest first; of those, the oldest first."""
        uses = self._all_uses()
        folders = sorted(self._folders(), key=_modified)
        later = [f.name for f in folders if uses.get(f.name, _NEVER) > next_use]
        return sorted(later, key=lambda key: -uses.get(key, _NEVER))

    def _remove(self, key: str) -> int:
        """Remove a piece unless a process fetches it just now; return the room that it leaves."""
        with self._locked(key, timeout=0) as is_mine:
            if not is_mine:
                return 0
            shutil.rmtree(self.folder / key, ignore_errors=True)
            return _room_of(key)

    def _all_uses(self) -> dict[str, int]:
        """Return in how many draws the process that needs a piece soonest does so, by key."""
        tables = [(self._done, self._first_uses)]
        tables += [
            self._told_by(path) for path in self._me.parent.glob("*.json") if path != self._me
        ]
        soonest: dict[str, int] = {}
        for done, first_uses in tables:
            for key, first in first_uses.items():
                draws = max(0, first - done)
                soonest[key] = min(soonest.get(key, draws), draws)
        return soonest

    def _told_by(self, path: Path) -> tuple[int, dict[str, int]]:
        """Return what another process told; nothing, and no file any more, when it has ended."""
        with file_lock(path.with_suffix(".lock"), timeout=0) as has_ended:
            if has_ended:
                path.unlink(missing_ok=True)
                path.with_suffix(".lock").unlink(missing_ok=True)
                return 0, {}
        try:
            told = read_json(path, dict, "next uses")
        except DataError:  # removed just now
            return 0, {}
        return (0, {}) if misfit(told, _TOLD) else (told["done"], told["first_uses"])

    def _locked(self, key: str, timeout: float = -1) -> AbstractContextManager[bool]:
        return file_lock(self.folder / "locks" / f"{key}.lock", timeout)

    def _used(self) -> int:
        return sum(_room_of(folder.name) for folder in self._folders())

    def _folders(self) -> list[Path]:
        return [folder for folder in self.folder.glob("*-*") if _room_of(folder.name)]


def _room_of(key: str) -> int:
    room = key.rpartition("-")[2]
    return int(room) if room.isdigit() else 0


def _modified(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0
