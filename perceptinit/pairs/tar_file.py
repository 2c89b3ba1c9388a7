"""Read the headers of a tar file: its members, their offsets, and the samples they form.

Supports ustar, GNU long names and pax, as written by tar, Python's tarfile and webdataset. The error for a
truncated or damaged file names the byte. Python's tarfile takes four to five times the CPU time and ignores
data after a damaged header.
"""

import os
import re
import weakref
import zlib
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from perceptinit.errors import DataError, shown
from perceptinit.files.reading import open_regular
from perceptinit.files.remote.addresses import Place, RemoteFile

BLOCK_BYTES = 512
_REGULAR = b"0\x007"  # type flags of regular files; \0 in old tars
_GNU_LONG_NAME = ord("L")
_PAX = ord("x")
_SPARSE = ord("S")
_ADLER_MODULUS = 65521
_MAX_DIGITS = 19  # decimal digits of a number below 2^63
_MAX_EXTENDED_BYTES = 1 << 17  # limit for a long-name or pax header, usually a few hundred bytes
META = re.compile(r"__[^/]*__($|/)")  # members that describe the shard, which webdataset skips


class Member(NamedTuple):
    """A regular file in a tar.

    start: Offset of its header, or of the long-name headers before it. offset, num_bytes: Its content.
    """

    name: str
    start: int
    offset: int
    num_bytes: int


class TarFile:
    """An open tar, readable at any byte from several threads. Deleting the last reference closes it.

    path: Name in messages and keys. For a local copy, it is `source`, the original file.
    """

    def __init__(self, path: Path, source: Place | None = None) -> None:
        self.path: Place = source or path
        try:
            with open_regular(path) as file:
                self._descriptor = os.dup(file.fileno())
        except OSError as error:
            raise DataError(f"{shown(path)}: cannot be read ({error.strerror})") from error
        weakref.finalize(self, os.close, self._descriptor)
        self.num_bytes = os.fstat(self._descriptor).st_size

    def read(self, offset: int, num_bytes: int) -> bytes:
        """Return `num_bytes` bytes from `offset`; DataError if the file is too short."""
        data = self._pread(num_bytes, offset)
        while 0 < len(data) < num_bytes:  # one call returns at most 2 GiB
            more = self._pread(num_bytes - len(data), offset + len(data))
            if not more:
                break
            data += more
        if len(data) < num_bytes:
            raise self.error(offset + len(data), "the file ends here, so it is truncated")
        return data

    def _pread(self, num_bytes: int, offset: int) -> bytes:
        return os.pread(self._descriptor, num_bytes, offset)

    def members(self, start: int = 0) -> Iterator[Member]:
        """Yield the regular files from the header at `start` to the end-of-archive block.

        Raises:
            DataError: For a damaged header, truncated content, a missing end block, or data after it.
        """
        if self._pread(2, 0) == b"\x1f\x8b":
            raise DataError(f"{self.path}: a compressed tar is not supported. Decompress it with gunzip")
        position = start
        long_name = ""
        long_size = -1
        while True:
            header = self.read(position, BLOCK_BYTES)
            if header[0] == 0 and header.count(0) == BLOCK_BYTES:
                for begin in range(position, self.num_bytes, 1 << 20):  # padding, usually 10 KiB
                    chunk = self.read(begin, min(self.num_bytes - begin, 1 << 20))
                    if chunk.count(0) != len(chunk):
                        raise self.error(
                            position, "data after the end of the archive (two tars in one file?)"
                        )
                return
            num_bytes = self._content_bytes(header, position)
            offset = position + BLOCK_BYTES
            flag = header[156]
            if flag == _PAX:
                long_name, long_size = self._parse_pax(offset, num_bytes, long_name)
            elif flag == _GNU_LONG_NAME:
                long_name = _decode(self._read_extended(offset, num_bytes).rstrip(b"\0"))
            elif flag == _SPARSE:
                raise self.error(position, "a sparse member, which is not supported")
            else:
                num_bytes = long_size if long_size >= 0 else num_bytes
                self._check_fits(offset, num_bytes)
                if flag in _REGULAR:
                    yield Member(long_name or _name(header), start, offset, num_bytes)
                long_name = ""
                long_size = -1
            position = offset + -(-num_bytes // BLOCK_BYTES) * BLOCK_BYTES
            if not long_name and long_size < 0:
                start = position

    def sample_key(self, start: int) -> str:
        """Return the key of the sample whose first header is at `start`: `00012.tar/000123`."""
        header = self.read(start, BLOCK_BYTES)
        self._content_bytes(header, start)
        name = _name(header) if header[156] in _REGULAR else next(self.members(start)).name
        sample, _ = load_splitter()(name)
        return f"{self.path.name}/{sample or name}"

    def error(self, position: int, what: str) -> DataError:
        """Return an error that names the file and the byte."""
        return DataError(f"{self.path}: byte {position}: {what}. Copy or pack it again")

    def _content_bytes(self, header: bytes, position: int) -> int:
        """Return the size in a header, at least 0; DataError if its checksum is wrong."""
        try:
            expected = _parse_number(header[148:156])
            num_bytes = _parse_number(header[124:136])
        except ValueError:
            expected = -1
            num_bytes = 0
        summed = b"".join((header[:148], b" " * 8, header[156:]))  # the checksum field counts as spaces
        # the lower half of Adler-32 is 1 + the sum of the bytes, and takes a tenth of the time of `sum`
        if (1 + expected) % _ADLER_MODULUS != zlib.adler32(summed) & 0xFFFF:
            raise self.error(position, "no tar header, so the file is damaged")
        return num_bytes

    def _parse_pax(self, offset: int, num_bytes: int, name: str) -> tuple[str, int]:
        """Return the name and size (-1: absent) of the next member from its pax header."""
        size = -1
        rest = self._read_extended(offset, num_bytes)
        while rest.strip(b"\0"):
            length, _, _ = rest.partition(b" ")
            is_number = length.isdigit() and len(length) <= _MAX_DIGITS
            if not is_number or not 0 < int(length) <= len(rest):
                raise self.error(offset, "an unreadable pax header, so the file is damaged")
            record = rest[len(length) + 1 : int(length) - 1]
            rest = rest[int(length) :]
            keyword, _, value = record.partition(b"=")
            name = _decode(value) if keyword == b"path" else name
            if keyword == b"size":
                if not value.isdigit() or len(value) > _MAX_DIGITS:
                    raise self.error(offset, "a non-numeric pax size, so the file is damaged")
                size = int(value)
        return name, size

    def _read_extended(self, offset: int, num_bytes: int) -> bytes:
        """Return the content of a long-name or pax header; DataError if it is too long or truncated."""
        self._check_fits(offset, num_bytes)
        if num_bytes > _MAX_EXTENDED_BYTES:
            raise self.error(offset, f"a header of {num_bytes:,} bytes, so the file is damaged")
        return self.read(offset, num_bytes)

    def _check_fits(self, offset: int, num_bytes: int) -> None:
        if offset + num_bytes > self.num_bytes:
            raise self.error(self.num_bytes, "the file ends inside a member, so it is truncated")


class TarPart(TarFile):
    """A part of a tar in memory, from byte `first` on. num_bytes: Size of the entire tar."""

    def __init__(self, path: RemoteFile, data: bytes, first: int, num_bytes: int) -> None:
        self.path = path
        self.num_bytes = num_bytes
        self._data = data
        self._first = first

    def _pread(self, num_bytes: int, offset: int) -> bytes:
        start = offset - self._first
        return self._data[start : start + num_bytes] if start >= 0 else b""


@lru_cache(maxsize=128)  # a file in use stays open after eviction
def open_tar(path: Path) -> TarFile:
    """Return a local tar, opened once for all threads."""
    return TarFile(path)


@cache
def load_splitter() -> Callable[[str], tuple[str | None, str | None]]:
    """Return webdataset's function from a member name to the name of its sample and its extension.

    It returns (None, None) for a name without an extension. The import takes as long as that of torch.
    """
    from webdataset.tariterators import base_plus_ext

    return base_plus_ext


def _parse_number(field: bytes) -> int:
    """Return a number in octal digits, or in base 256 after 0x80; otherwise ValueError."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0") or b"0"
    if not digits.isdigit():  # int() would also accept a sign and underscores
        raise ValueError(f"{field!r} is not a number")
    return int(digits, 8)


def _name(header: bytes) -> str:
    name = header[:100].partition(b"\0")[0]
    has_prefix = header[345] and header[257:263] == b"ustar\0"
    prefix = header[345:500].partition(b"\0")[0] if has_prefix else b""
    return _decode(prefix + b"/" + name if prefix else name)


def _decode(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
