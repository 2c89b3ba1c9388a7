"""The cache of fetched data: pieces of remote files on a disk of this machine, shared by all its processes.

A piece is a folder `KEY-BYTES/`. The folder reserves the room before the bytes arrive, and the file `seal.json` in it,
written last, has the checksums of the others. A process that uses a piece holds a shared lock on it. When room is
needed, the pieces go that were used longest ago and that no process holds.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from perceptinit.errors import DataError, WriteError, writing
from perceptinit.files.archives import SPARE_BYTES
from perceptinit.files.atomic import remove_files, write_json
from perceptinit.files.cache import cache_folder
from perceptinit.files.locks import file_lock
from perceptinit.files.reading import read_json
from perceptinit.files.remote.addresses import RemoteFile
from perceptinit.files.remote.network import Stat
from perceptinit.files.remote.transfer import Part, Ranges, checksum, size_of

SEAL = "seal.json"
NUM_THREADS = 8  # that fetch the files of one piece
# how often, and after how many seconds, a damaged piece is asked for that other processes hold
_TRIES, _WAIT_SECONDS = 20, 0.05
# inode and time of the seals whose checksums this process has compared
_COMPARED: dict[Path, tuple[int, int]] = {}


@dataclass(frozen=True, slots=True)
class Piece:
    """Ranges of a remote file that are needed together; on the disk they are at their places in the file.

    Args:
        file: The file.
        num_bytes: Size of the whole file, when it was looked at.
        version: Its version then, see `Stat`; empty if unknown.
        ranges: First places and those after the last, ascending.
    """

    file: RemoteFile
    num_bytes: int
    version: str
    ranges: Ranges

    @classmethod
    def whole(cls, file: RemoteFile, num_bytes: int, version: str = "") -> Piece:
        """Return a file as one piece."""
        return cls(file, num_bytes, version, ((0, num_bytes),))

    @property
    def room(self) -> int:
        """Return the bytes that the piece takes; between its ranges the file has holes."""
        return size_of(self.ranges)

    @property
    def key(self) -> str:
        """Return the name of its folder in a cache."""
        return _name_of({self.file.name: self})


class Held:
    """A piece in the cache that stays there until it is released."""

    def __init__(self, folder: Path, lock: _PieceLock) -> None:
        self.folder, self._lock = folder, lock

    def release(self) -> None:
        self._lock.release()


class FetchedCache:
    """The cache in a folder, as one process uses it.

    Args:
        max_bytes: Most that pieces take together at any time; None for half of what is free or in use by it already.
        folder: `shards` in the user's cache folder, unless given.
    """

    def __init__(self, max_bytes: int | None = None, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder() / "shards"
        with writing(self.folder):
            (self.folder / "locks").mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.folder).free
        self.max_bytes = (free + self._used()) // 2 if max_bytes is None else max_bytes
        # of files whose version nobody has noted, the version that was fetched first
        self._versions: dict[RemoteFile, str] = {}

    def hold(self, piece: Piece) -> tuple[Path, Held] | None:
        """Return the file of a piece, fetched unless it is there; None while there is no room for it.

        Two processes that want the same piece fetch it once. A damaged piece is fetched again.

        Raises:
            RemoteError: If it does not arrive or has changed at its source.
            WriteError: If the disk cannot take it.
        """
        held = self.hold_files({piece.file.name: piece})
        return None if held is None else (held.folder / piece.file.name, held)

    def hold_files(self, pieces: Mapping[str, Piece]) -> Held | None:
        """Return a folder with several files by their paths in it, as `hold` does for one."""
        name = _name_of(pieces)
        if any(".." in Path(path).parts for path in pieces):
            raise DataError(f"{next(iter(pieces.values())).file}: a name that leads out of its folder")
        lock = _PieceLock(self.folder / "locks" / f"{name}.lock")
        try:
            if self._share_whole(lock, name, pieces):
                return Held(self.folder / name, lock)
        except BaseException:  # whoever keeps the error would keep the lock
            lock.release()
            raise
        lock.release()
        return None

    def _share_whole(self, lock: _PieceLock, name: str, pieces: Mapping[str, Piece]) -> bool:
        """Share the lock of a piece that is whole, fetched unless it is; return whether that was possible."""
        for _ in range(_TRIES):
            lock.share()  # waits for a process that fetches it
            if self._is_whole(name, pieces):
                with suppress(OSError):
                    os.utime(self.folder / name)
                return True
            lock.release()
            if not lock.own():  # another process begins to fetch it, or uses it although it is damaged
                time.sleep(_WAIT_SECONDS)
            elif not self._is_whole(name, pieces):
                if not self._make_room(name):
                    return False
                self._receive(name, pieces)
        return False

    def _is_whole(self, name: str, pieces: Mapping[str, Piece]) -> bool:
        """Return whether all files are there, and as they were fetched when this process first uses them.

        Removes files that are not.
        """
        folder, seal = self.folder / name, self.folder / name / SEAL
        if not seal.is_file():
            return False
        if _COMPARED.get(seal) == _identify(seal):
            return True
        try:
            sums = read_json(seal, dict[str, int], "checksums of a piece")
        except DataError:
            sums = {}
        damaged = [folder / path for path, p in pieces.items() if sums.get(path) != _sum(folder, path, p)]
        if damaged:
            logging.getLogger(__name__).warning("%s: damaged; fetched again", damaged[0])
            remove_files([seal, *damaged])
            return False
        _COMPARED[seal] = _identify(seal)
        return True

    def _receive(self, name: str, pieces: Mapping[str, Piece]) -> None:
        """Fetch the files that are absent, and write the seal."""
        with ThreadPoolExecutor(min(NUM_THREADS, len(pieces))) as pool:
            sums = list(pool.map(lambda path: self._fetch(name, path, pieces[path]), pieces))
        seal = self.folder / name / SEAL
        write_json(seal, dict(zip(pieces, sums, strict=True)))
        _COMPARED[seal] = _identify(seal)

    def _fetch(self, name: str, path: str, piece: Piece) -> int:
        """Fetch one file unless it is there, and return its checksum."""
        place = self.folder / name / path
        if place.is_file():
            return checksum(place, piece.ranges)
        version = piece.version or self._versions.get(piece.file, "")
        part = Part(place, piece.file, piece.ranges, wanted=Stat(piece.num_bytes, version))
        part.fetch()
        part.finish()
        self._versions.setdefault(piece.file, part.version)
        return part.crc32

    def _make_room(self, name: str) -> bool:
        """Reserve room for a piece, of others that nobody holds; False if those leave too little."""
        with file_lock(self.folder / "locks" / "room.lock"):
            place, room = self.folder / name, _room_of(name)
            if place.is_dir():  # reserved by an interrupted call, whose parts are resumed
                return True
            used, free = self._used(), shutil.disk_usage(self.folder).free - SPARE_BYTES
            if room > used + free and room <= self.max_bytes:
                raise WriteError(
                    self.folder, f"{room / 1e6:,.1f} MB are needed, and {max(0, free) / 1e6:,.1f} MB are free beside "
                    f"{SPARE_BYTES >> 20} MB that are spared",
                )  # fmt: skip
            too_much = used + room - min(self.max_bytes, used + free)
            if too_much > 0 and not self._remove(too_much):
                return False
            with writing(place):
                place.mkdir()
            return True

    def _remove(self, num_bytes: int) -> bool:
        """Remove the pieces used longest ago that nobody holds, of so many bytes; none if they are too few."""
        owned: dict[Path, _PieceLock] = {}
        try:
            for folder in sorted(self._folders(), key=_modified):
                if sum(_room_of(f.name) for f in owned) >= num_bytes:
                    break
                lock = _PieceLock(self.folder / "locks" / f"{folder.name}.lock")
                if lock.own():
                    owned[folder] = lock
            if sum(_room_of(folder.name) for folder in owned) < num_bytes:
                return False
            for folder in owned:
                remove_files([folder / SEAL])
                shutil.rmtree(folder, ignore_errors=True)
            return True
        finally:
            for lock in owned.values():
                lock.release()

    def _used(self) -> int:
        return sum(_room_of(folder.name) for folder in self._folders())

    def _folders(self) -> list[Path]:
        return [folder for folder in self.folder.glob("*-*") if _room_of(folder.name)]


class _PieceLock:
    """A lock that several processes may share, or one may own; the system drops it when its holder ends."""

    def __init__(self, path: Path) -> None:
        with writing(path):
            self._file = path.open("ab")

    def share(self) -> None:
        """Wait until no one owns it, and share it."""
        fcntl.flock(self._file, fcntl.LOCK_SH)

    def own(self) -> bool:
        """Own the lock if nobody shares or owns it; return whether it is owned."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)


def _name_of(pieces: Mapping[str, Piece]) -> str:
    parts = [(path, str(p.file), p.num_bytes, p.version, p.ranges) for path, p in pieces.items()]
    room = sum(piece.room for piece in pieces.values())
    return f"{hashlib.sha256(repr(sorted(parts)).encode()).hexdigest()[:32]}-{room}"


def _sum(folder: Path, path: str, piece: Piece) -> int:
    try:
        return checksum(folder / path, piece.ranges)
    except (DataError, OSError):
        return -1


def _identify(seal: Path) -> tuple[int, int]:
    about = seal.stat()
    return about.st_ino, about.st_mtime_ns


def _room_of(name: str) -> int:
    room = name.rpartition("-")[2]
    return int(room) if room.isdigit() else 0


def _modified(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0
