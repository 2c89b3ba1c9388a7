"""Resumable transfers of remote files, or ranges of them, to the local disk.

A transfer resumes after an error or a killed process, and never mixes versions.

Received bytes are written to `.NAME.part`. A progress note next to it, `.NAME.part.json`, records the number
of bytes, their checksum, and the validator of their version, such as an ETag. A later call verifies the
checksum and requests the rest of that version.
"""

import os
import re
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from typing_extensions import TypedDict

from perceptinit.errors import DataError, RemoteError, writing
from perceptinit.files.archives import check_room
from perceptinit.files.atomic import remove_files, write_json
from perceptinit.files.reading import read_json
from perceptinit.files.remote.addresses import RemoteFile
from perceptinit.files.remote.network import Answer, Stat, open_answer
from perceptinit.files.remote.store import check_part, check_version, retry

# start and exclusive end of each range
Ranges = Sequence[tuple[int, int]]
# the end of a file of unknown size
END = 1 << 62
# received bytes, total bytes or None
Progress = Callable[[int, int | None], None]

# bytes between two progress notes, the maximum that a killed process loses
NOTE_BYTES = 16 << 20
_READ_BYTES = 4 << 20


class _Note(TypedDict):
    url: str
    validator: str
    num_bytes: int
    crc32: int


class Part:
    """A transfer of a remote file to `path`.

    Args:
        path: Destination.
        file: Source.
        ranges: Ranges to fetch, ascending; the gaps between them become holes in the file.
        wanted: Required size and version of the remote file; an empty version is not compared.
        most_bytes: Maximum size; the size of `ranges` by default.
        is_checked: Whether the caller verifies a size or checksum, which detects a truncated file.
        report: Called with the received bytes and the total bytes.
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
        self.path = path
        self._file = file
        self._ranges = ranges
        self._wanted = wanted
        self._is_checked = is_checked
        self._report = report
        self._most_bytes = size_of(ranges) if most_bytes is None else most_bytes
        self._place = path.with_name(f".{path.name}.part")
        self._note = path.with_name(f".{path.name}.part.json")
        self.version = ""
        self._reset()
        self._recall()

    def fetch(self) -> Path:
        """Fetch the remaining bytes, sync, and return the temporary path of the complete file.

        Raises:
            RemoteError: If the transfer fails, or the file is too large or does not match `wanted`.
            NoRoomError: If the disk is nearly full.
        """
        with writing(self._place):
            self._place.parent.mkdir(parents=True, exist_ok=True)
        retry(self._file, self._receive_rest, progress=lambda: self.num_bytes)
        return self._place

    def finish(self) -> None:
        """Move the file to `path`."""
        with writing(self.path):
            self._place.replace(self.path)
        remove_files([self._note])

    def discard(self) -> None:
        """Remove the received bytes."""
        self._reset()
        remove_files([self._place, self._note])

    def _reset(self) -> None:
        self.num_bytes = 0
        self.crc32 = 0
        self._noted = 0
        self._validator = ""
        self.is_resumed = False

    def _receive_rest(self) -> None:
        if not self._validator:
            self._reset()
        with writing(self._place):
            target = self._place.open("r+b" if self.num_bytes else "wb")
        with target:
            try:
                for start, stop in _split(self._ranges, self.num_bytes)[1]:
                    self._receive(target, start, stop)
            finally:
                target.flush()
                self._write_note()
            os.fsync(target.fileno())

    def _receive(self, target: IO[bytes], start: int, stop: int) -> None:
        """Request one range and write its bytes."""
        with open_answer(self._file, start, None if stop == END else stop, self._validator) as answer:
            self._check_answer(answer)
            if answer.start != start and self._ranges[0][0] == 0 and len(self._ranges) == 1:
                start = 0  # the server does not support ranges, or has another version now
                target.truncate(0)
                self._reset()
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
        position = target.tell()
        if end is not None and position < end:
            raise OSError(f"the connection ended after {position:,} of {end:,} bytes")
        if end is not None and position > end:
            self.discard()
            raise OSError(f"received {position:,} bytes, but {end:,} were announced")

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
            raise OSError("the file changed during the transfer")
        if answer.num_bytes is None and not (answer.has_end or self._is_checked):
            raise RemoteError(
                f"{self._file}: the server does not state the size, so truncation cannot be detected"
            )
        if self._ranges[-1][1] == END:
            self._check_size(answer.num_bytes or 0)

    def _check_size(self, num_bytes: int) -> None:
        if num_bytes > self._most_bytes:
            self.discard()
            raise RemoteError(f"{self._file}: {num_bytes:,} bytes exceed the expected {self._most_bytes:,}")

    def _recall(self) -> None:
        """Resume from the progress note of an earlier call if it matches the bytes on the disk."""
        try:
            note = read_json(self._note, _Note, "a note of a download")
            found = checksum(self._place, _split(self._ranges, note["num_bytes"])[0])
        except (DataError, OSError):
            return
        # without a validator the rest may be of another version
        is_usable = re.fullmatch(r"[ -~]{1,1000}", note["validator"]) and note["num_bytes"] > 0
        if note["url"] == str(self._file) and is_usable and found == note["crc32"]:
            self.num_bytes = note["num_bytes"]
            self.crc32 = found
            self._validator = note["validator"]

    def _write_note(self) -> None:
        if self.num_bytes:
            self._noted = self.num_bytes
            note = _Note(
                url=str(self._file),
                validator=self._validator,
                num_bytes=self.num_bytes,
                crc32=self.crc32,
            )
            write_json(self._note, note)


def part_bytes(path: Path) -> int:
    """Return the received bytes of an unfinished transfer to `path`."""
    part = path.with_name(f".{path.name}.part")
    return part.stat().st_size if part.exists() else 0


def size_of(ranges: Ranges) -> int:
    """Return the number of bytes in ranges."""
    return sum(stop - start for start, stop in ranges)


def checksum(path: Path, ranges: Ranges) -> int:
    """Return the CRC-32 of ranges of a file.

    Raises:
        DataError: If the file is too short.
        OSError: If it cannot be read.
    """
    crc = 0
    with path.open("rb") as file:
        for start, stop in ranges:
            file.seek(start)
            while start < stop:
                chunk = file.read(min(_READ_BYTES, stop - start))
                if not chunk:
                    raise DataError(f"{path}: truncated at byte {start}")
                crc = zlib.crc32(chunk, crc)
                start += len(chunk)
    return crc


def _split(ranges: Ranges, num_bytes: int) -> tuple[Ranges, Ranges]:
    """Split ranges after their first `num_bytes` bytes and return both parts."""
    first = []
    rest = []
    for start, stop in ranges:
        middle = min(stop, start + num_bytes)
        num_bytes -= middle - start
        first.append((start, middle))
        if middle < stop:
            rest.append((middle, stop))
    return first, rest
