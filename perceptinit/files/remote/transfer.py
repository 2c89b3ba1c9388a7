"""Fetch a file, or ranges of one, to a disk: resumed after an error and after a kill, never mixed of two versions.

It arrives as `.NAME.part`. Beside it, `.NAME.part.json` notes how many bytes have arrived, their checksum, and what
identifies their version at the server. A later call compares the checksum and asks for the rest of that version.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from typing_extensions import TypedDict

from perceptinit.errors import DataError, RemoteError, writing
from perceptinit.files.archives import check_room
from perceptinit.files.atomic import final_path, remove_files, temporaries, write_json
from perceptinit.files.reading import read_json
from perceptinit.files.remote.addresses import RemoteFile
from perceptinit.files.remote.network import Answer, Stat, open_answer
from perceptinit.files.remote.store import check_part, check_version, retry

# first and last place, exclusive
Ranges = Sequence[tuple[int, int]]
# the end of a file whose size is not known yet
END = 1 << 62
# bytes so far, bytes in all or None
Progress = Callable[[int, int | None], None]

# bytes between two notes: most that a kill loses
NOTE_BYTES = 16 << 20
_READ_BYTES = 4 << 20


class _Note(TypedDict):
    url: str
    validator: str
    num_bytes: int
    crc32: int


class Part:
    """A file on its way to `path`.

    Args:
        path: Where the file goes.
        file: Where it comes from.
        ranges: Ascending places of the file that are wanted; what lies between them becomes holes.
        wanted: Size and version that the file must have at the server; an empty version is not compared.
        most_bytes: More than this is an error.
        is_checked: Whether the caller compares a size or checksum, and so notices a file that was cut off.
        report: Called with the progress.
    """

    def __init__(
        self,
        path: Path,
        file: RemoteFile,
        ranges: Ranges = ((0, END),),
        *,
        wanted: Stat | None = None,
        most_bytes: int | None = None,
        is_checked: bool = True,
        report: Progress = lambda *_: None,
    ) -> None:
        self.path, self._file, self._ranges = path, file, ranges
        self._wanted, self._is_checked, self._report = wanted, is_checked, report
        self._most_bytes = size_of(ranges) if most_bytes is None else most_bytes
        self._place = path.with_name(f".{path.name}.part")
        self._note = path.with_name(f".{path.name}.part.json")
        self.num_bytes, self.crc32, self._validator, self._noted = 0, 0, "", 0
        self.is_resumed, self.version = False, ""
        self._recall()

    def fetch(self) -> Path:
        """Fetch what has not arrived yet, and return the file that has all of it, synced to the disk.

        Raises:
            RemoteError: If the file does not arrive, is too large, or is not the wanted one.
            NoRoomError: If the disk is nearly full.
        """
        with writing(self._place):
            self._place.parent.mkdir(parents=True, exist_ok=True)
        retry(self._file, self._receive_rest, progress=lambda: self.num_bytes)
        return self._place

    def finish(self) -> None:
        """Give the file its name."""
        with writing(self.path):
            self._place.replace(self.path)
        self._remove_note()

    def discard(self) -> None:
        """Remove what has arrived."""
        self.num_bytes, self.crc32, self._validator, self._noted = 0, 0, "", 0
        self.is_resumed = False
        remove_files([self._place])
        self._remove_note()

    def _receive_rest(self) -> None:
        if not self._validator:
            self.num_bytes, self.crc32 = 0, 0
        with writing(self._place):
            target = self._place.open("r+b" if self.num_bytes else "wb")
        with target:
            try:
                for start, stop in _without_first(self._ranges, self.num_bytes):
                    self._receive(target, start, stop)
            finally:
                target.flush()
                self._write_note()
            os.fsync(target.fileno())

    def _receive(self, target: IO[bytes], start: int, stop: int) -> None:
        """Write the bytes of one answer."""
        with open_answer(self._file, start, None if stop == END else stop, self._validator) as answer:
            self._check_answer(answer)
            if answer.start != start and self._ranges[0][0] == 0 and len(self._ranges) == 1:
                start = self._start_again(target)  # no ranges there, or another version by now
            if stop < END:
                check_part(self._file, answer, start, stop)
            self.is_resumed = self.is_resumed or self.num_bytes > 0
            self._validator = answer.validator or (self._validator if answer.is_part else "")
            self.version = answer.version
            end = answer.num_bytes if stop == END else stop
            target.seek(start)
            self._report(self.num_bytes, end)
            for chunk in answer.chunks:
                self._write(target, chunk, end)
        self._check_end(target.tell(), end)

    def _start_again(self, target: IO[bytes]) -> int:
        target.truncate(0)
        self.num_bytes, self.crc32, self._noted, self.is_resumed = 0, 0, 0, False
        return 0

    def _write(self, target: IO[bytes], chunk: bytes, end: int | None) -> None:
        self._check_size(self.num_bytes + len(chunk))
        check_room(self._place.parent, len(chunk))
        with writing(self._place):
            target.write(chunk)
        self.num_bytes += len(chunk)
        self.crc32 = zlib.crc32(chunk, self.crc32)
        if self.num_bytes - self._noted >= NOTE_BYTES:
            target.flush()
            self._write_note()
        self._report(self.num_bytes, end)

    def _check_answer(self, answer: Answer) -> None:
        check_version(self._file, answer, self._wanted)
        if answer.is_part and self.num_bytes and answer.validator not in ("", self._validator):
            self.discard()
            raise OSError("the file has changed while it was fetched")
        if answer.num_bytes is None and not (answer.has_end or self._is_checked):
            raise RemoteError(
                f"{self._file}: the server does not state the size, so a file cut off would go unnoticed"
            )
        if size_of(self._ranges) >= END:
            self._check_size(answer.num_bytes or 0)

    def _check_size(self, num_bytes: int) -> None:
        if num_bytes > self._most_bytes:
            self.discard()
            raise RemoteError(f"{self._file}: {num_bytes:,} bytes, {self._most_bytes:,} are published")

    def _check_end(self, position: int, end: int | None) -> None:
        if end is not None and position < end:
            raise OSError(f"the connection ended after {position:,} of {end:,} bytes")
        if end is not None and position > end:
            self.discard()
            raise OSError(f"{position:,} bytes arrived, {end:,} were announced")

    def _recall(self) -> None:
        """Take up what an earlier call has left, if all of it is as it was noted."""
        try:
            note = read_json(self._note, _Note, "a note of a download")
            found = checksum(self._place, _first(self._ranges, note["num_bytes"]))
        except (DataError, OSError):
            return
        # without a validator nothing says that the rest is of the same version
        is_usable = re.fullmatch(r"[ -~]{1,1000}", note["validator"]) and note["num_bytes"] > 0
        if note["url"] == str(self._file) and is_usable and found == note["crc32"]:
            self.num_bytes, self.crc32 = note["num_bytes"], found
            self._validator = note["validator"]

    def _remove_note(self) -> None:
        """Remove the note, and what a process that was killed left while it wrote one."""
        unfinished = (p for p in temporaries(self.path.parent) if final_path(p) == self._note)
        remove_files([self._note, *unfinished])

    def _write_note(self) -> None:
        if self.num_bytes:
            self._noted, url = self.num_bytes, str(self._file)
            numbers = {"num_bytes": self.num_bytes, "crc32": self.crc32}
            write_json(self._note, {"url": url, "validator": self._validator, **numbers})


def part_bytes(path: Path) -> int:
    """Return how many bytes of a file to be at `path` have arrived already."""
    part = path.with_name(f".{path.name}.part")
    return part.stat().st_size if part.exists() else 0


def size_of(ranges: Ranges) -> int:
    """Return the bytes in ranges."""
    return sum(stop - start for start, stop in ranges)


def checksum(path: Path, ranges: Ranges) -> int:
    """Return the CRC-32 of ranges of a file; DataError if it ends before, OSError if it cannot be read."""
    crc = 0
    with path.open("rb") as file:
        for start, stop in ranges:
            file.seek(start)
            while start < stop:
                chunk = file.read(min(_READ_BYTES, stop - start))
                if not chunk:
                    raise DataError(f"{path}: the file ends at byte {start}, it is truncated")
                crc = zlib.crc32(chunk, crc)
                start += len(chunk)
    return crc


def _first(ranges: Ranges, num_bytes: int) -> list[tuple[int, int]]:
    """Return ranges up to so many bytes."""
    found = []
    for start, stop in ranges:
        found.append((start, min(stop, start + num_bytes)))
        num_bytes -= found[-1][1] - start
    return found


def _without_first(ranges: Ranges, num_bytes: int) -> list[tuple[int, int]]:
    """Return what is left of ranges after so many bytes."""
    firsts = _first(ranges, num_bytes)
    return [(end, stop) for (_, end), (_, stop) in zip(firsts, ranges, strict=True) if end < stop]
