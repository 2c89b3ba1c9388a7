"""The cache of remote data: pieces of remote files on the local disk, shared by all processes.

A piece is a folder `KEY-BYTES/`, which reserves the space before the bytes arrive. Its file `seal.json`,
written last, contains the checksums of the other files. A process that uses a piece holds a shared lock on
it. Eviction removes the least recently used unlocked pieces.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from perceptinit.errors import DataError, RemoteError, WriteError, writing
from perceptinit.files.archives import SPARE_BYTES
from perceptinit.files.atomic import file_lock, remove_files, temporaries, write_json
from perceptinit.files.cache import (
    PIECE_FILES,
    SEAL,
    KeptFiles,
    cache_folder,
    piece_files,
)
from perceptinit.files.reading import read_json
from perceptinit.files.remote.addresses import RemoteFile
from perceptinit.files.remote.network import Stat
from perceptinit.files.remote.transfer import Part, Ranges, checksum, size_of

NUM_THREADS = 8  # to fetch the files of a piece
# attempts, and seconds between them, to repair a damaged piece that other processes have locked
_TRIES = 20
_WAIT_SECONDS = 0.05
# inode and modification time of the seals that this process has verified
_COMPARED: dict[Path, tuple[int, int]] = {}


@dataclass(frozen=True, slots=True)
class Piece:
    """Byte ranges of a remote file that are fetched together and keep their offsets on the disk.

    Args:
        file: The file.
        stat: Size and version of the file when the piece was planned.
        ranges: Start and exclusive end of each range, ascending.
    """

    file: RemoteFile
    stat: Stat
    ranges: Ranges

    @classmethod
    def whole(cls, file: RemoteFile, stat: Stat) -> Piece:
        """Return an entire file as one piece."""
        return cls(file, stat, ((0, stat.num_bytes),))

    @property
    def room(self) -> int:
        """Return the size of the piece on the disk in bytes."""
        return size_of(self.ranges)

    @property
    def key(self) -> str:
        """Return the name of the piece's folder in a cache."""
        return _name_of({self.file.name: self})


class Held:
    """A cached piece with its lock, which is shared or exclusive.

    The lock is released when the object is deleted or the process ends.
    """

    def __init__(self, cache: Path, name: str) -> None:
        self.folder = cache / name
        path = cache / "locks" / f"{name}.lock"
        with writing(path):
            self._lock = path.open("ab")

    def share(self) -> None:
        """Acquire the shared lock, waiting while another process has the exclusive lock."""
        fcntl.flock(self._lock, fcntl.LOCK_SH)

    def own(self) -> bool:
        """Acquire the exclusive lock if it is free; return whether it was acquired."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Release the lock, so that the piece can be removed."""
        fcntl.flock(self._lock, fcntl.LOCK_UN)


class FetchedCache:
    """The cache in a folder, for one process.

    Args:
        max_bytes: Upper bound on the size of all pieces. None: half of the space that is free or used by the
            cache.
        folder: `shards` in the user's cache folder by default.
    """

    def __init__(self, max_bytes: int | None = None, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder() / "shards"
        with writing(self.folder):
            (self.folder / "locks").mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.folder).free
        self.max_bytes = (free + self._used()) // 2 if max_bytes is None else max_bytes
        # for files of unknown version, the version that was fetched first
        self._versions: dict[RemoteFile, str] = {}

    def hold(self, piece: Piece) -> tuple[Path, Held] | None:
        """Lock a piece, fetching it if needed, and return its file and lock; None if it does not fit.

        Processes that need the same piece fetch it only once.

        Raises:
            RemoteError: If the transfer fails or the file has changed at its source.
            WriteError: If the disk is full.
        """
        held = self.hold_files({piece.file.name: piece})
        return None if held is None else (held.folder / piece.file.name, held)

    @contextmanager
    def holding(self, piece: Piece, advice: str = "", *, keep: bool = True) -> Iterator[Path]:
        """Lock a piece during the block and yield its file; RemoteError as in `hold`, or if it does not fit.

        If `keep` is false, a piece that this call fetched is removed after the block.
        """
        keep |= (self.folder / piece.key / SEAL).is_file()
        found = self.hold(piece)
        if found is None:
            raise RemoteError(f"{piece.file}: no space for it in the cache {self.folder}{advice}")
        try:
            yield found[0]
        finally:
            found[1].release()
            if not keep and found[1].own():  # no other process uses it
                _delete(found[1])

    def trim(self) -> None:
        """Remove the least recently used unlocked pieces until the rest fits the limit."""
        with file_lock(self.folder / "locks" / "room.lock"):
            excess = self._used() - self.max_bytes
            if excess > 0:
                self._remove(excess, at_least=0)

    def hold_files(self, pieces: Mapping[str, Piece]) -> Held | None:
        """Fetch and lock files, given by relative path; None if the cache is too small. See `hold`."""
        if outside := [path for path in pieces if ".." in Path(path).parts]:
            raise DataError(f"{pieces[outside[0]].file}: the path {outside[0]!r} is outside its folder")
        held = Held(self.folder, _name_of(pieces))
        try:
            if self._share_whole(held, pieces):
                return held
        except BaseException:  # the traceback would keep the lock
            held.release()
            raise
        held.release()
        return None

    def _share_whole(self, held: Held, pieces: Mapping[str, Piece]) -> bool:
        """Fetch a piece if necessary and acquire its shared lock; return whether that was possible."""
        for _ in range(_TRIES):
            held.share()  # waits while another process fetches it
            if _is_whole(held.folder, pieces):
                with suppress(OSError):
                    os.utime(held.folder)
                return True
            held.release()
            if not held.own():  # another process starts to fetch it, or uses the damaged piece
                time.sleep(_WAIT_SECONDS)
            elif not _is_whole(held.folder, pieces):
                if not self._make_room(held.folder):
                    return False
                self._receive(held.folder, pieces)
        return False

    def _receive(self, folder: Path, pieces: Mapping[str, Piece]) -> None:
        """Fetch the missing files and write the seal; until then, PIECE_FILES lists them."""
        write_json(folder / PIECE_FILES, {path: piece.room for path, piece in pieces.items()})
        with ThreadPoolExecutor(min(NUM_THREADS, len(pieces))) as pool:
            sums = list(pool.map(lambda path: self._fetch(folder / path, pieces[path]), pieces))
        seal = folder / SEAL
        write_json(seal, dict(zip(pieces, sums, strict=True)))
        remove_files([folder / PIECE_FILES])
        _COMPARED[seal] = _identify(seal)

    def _fetch(self, path: Path, piece: Piece) -> int:
        """Fetch one file unless it exists, and return its checksum."""
        if path.is_file():
            return checksum(path, piece.ranges)
        version = piece.stat.version or self._versions.get(piece.file, "")
        part = Part(path, piece.file, piece.ranges, wanted=Stat(piece.stat.num_bytes, version))
        part.fetch()
        part.finish()
        self._versions.setdefault(piece.file, part.version)
        return part.crc32

    def _make_room(self, folder: Path) -> bool:
        """Reserve space for a piece by removing unlocked pieces; False if that is not enough."""
        with file_lock(self.folder / "locks" / "room.lock"):
            if folder.is_dir():  # reserved by an interrupted call, which is resumed
                return True
            room = _room_of(folder)
            used = self._used()
            free = shutil.disk_usage(self.folder).free - SPARE_BYTES
            if room > used + free and room <= self.max_bytes:
                raise WriteError(
                    self.folder,
                    f"No space left on device: {room / 1e6:,.1f} MB are needed, and "
                    f"{max(0, free) / 1e6:,.1f} MB are free beyond a reserve of {SPARE_BYTES >> 20} MB",
                )
            excess = used + room - min(self.max_bytes, used + free)
            if excess > 0 and not self._remove(excess, at_least=excess):
                return False
            with writing(folder):
                folder.mkdir()
            return True

    def _remove(self, num_bytes: int, at_least: int) -> bool:
        """Free `num_bytes`, oldest unlocked pieces first; if `at_least` is impossible, free none (False)."""
        owned: list[Held] = []
        room = 0
        try:
            for folder in sorted(self._folders(), key=_modified):
                if room >= num_bytes:
                    break
                held = Held(self.folder, folder.name)
                if held.own():
                    owned.append(held)
                    room += _room_of(folder)
            if room < at_least:
                return False
            for held in owned:
                _delete(held)
            return True
        finally:
            for held in owned:
                held.release()

    def _used(self) -> int:
        return sum(map(_room_of, self._folders()))

    def _folders(self) -> list[Path]:
        return [folder for folder in self.folder.glob("*-*") if _room_of(folder) and _is_piece(folder)]


def _delete(owned: Held) -> None:
    """Delete the files of a piece, the seal first, and release its lock. No process writes to it then."""
    paths = [owned.folder / SEAL, *piece_files(owned.folder)]
    paths += chain(*map(temporaries, {path.parent for path in paths}))
    KeptFiles("", owned.folder.parent, paths).clear()
    owned.release()


def _is_piece(folder: Path) -> bool:
    """Return whether a folder contains a piece or nothing yet, and not only other files that are left."""
    return any((folder / name).exists() for name in (SEAL, PIECE_FILES)) or not any(folder.glob("[!.]*"))


def _is_whole(folder: Path, pieces: Mapping[str, Piece]) -> bool:
    """Return whether a piece is intact, verified on first use; damaged files are removed."""
    seal = folder / SEAL
    if not seal.is_file():
        return False
    if _COMPARED.get(seal) == _identify(seal):
        return True
    try:
        sums = read_json(seal, dict[str, int], "checksums of a piece")
    except DataError:
        sums = {}
    damaged = [folder / path for path, p in pieces.items() if sums.get(path) != _sum(folder / path, p)]
    if damaged:
        logging.getLogger(__name__).warning("%s: damaged, so it is fetched again", damaged[0])
        remove_files([seal, *damaged])
        return False
    _COMPARED[seal] = _identify(seal)
    return True


def _name_of(pieces: Mapping[str, Piece]) -> str:
    parts = [(path, str(p.file), p.stat.num_bytes, p.stat.version, p.ranges) for path, p in pieces.items()]
    room = sum(piece.room for piece in pieces.values())
    return f"{hashlib.sha256(repr(sorted(parts)).encode()).hexdigest()[:32]}-{room}"


def _sum(path: Path, piece: Piece) -> int:
    try:
        return checksum(path, piece.ranges)
    except (DataError, OSError):
        return -1


def _identify(seal: Path) -> tuple[int, int]:
    about = seal.stat()
    return about.st_ino, about.st_mtime_ns


def _room_of(folder: Path) -> int:
    room = folder.name.rpartition("-")[2]
    return int(room) if room.isdigit() else 0


def _modified(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0
