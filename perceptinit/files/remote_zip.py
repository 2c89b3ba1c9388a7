"""Read one member of a .zip on a server without fetching the archive, by range requests."""

from __future__ import annotations

import io
import urllib.request
import zipfile
from pathlib import Path

# one request fetches at least this much: a zip directory of many files is a few MB
BLOCK_BYTES = 1 << 20


class RangesRefusedError(OSError):
    """The server sends whole files only."""


def fetch_member(url: str, member: str, path: Path, timeout_seconds: float) -> None:
    """Write the member of a remote zip to `path`, in whatever folder of the zip it is; its CRC is checked.

    Raises OSError when the server cannot be read or sends no ranges, BadZipFile when the archive is
    damaged or does not have the member exactly once.
    """
    remote = io.BufferedReader(_RangeFile(url, timeout_seconds), BLOCK_BYTES)
    with zipfile.ZipFile(remote) as archive:
        found = [n for n in archive.namelist() if n == member or n.endswith(f"/{member}")]
        if len(found) != 1:
            raise zipfile.BadZipFile(f"{len(found)} members are called {member}")
        path.write_bytes(archive.read(found[0]))


class _RangeFile(io.RawIOBase):
    """A file on a server that is read where it is asked."""

    def __init__(self, url: str, timeout_seconds: float) -> None:
        self._url, self._timeout_seconds, self._position = url, timeout_seconds, 0
        _, self._size = self._get(0, 0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        last = min(self._position + len(buffer), self._size) - 1
        if last < self._position:
            return 0
        data, _ = self._get(self._position, last)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _get(self, first: int, last: int) -> tuple[bytes, int]:
        """Return the bytes first..last and the size of the whole file."""
        headers = {"User-Agent": "perceptinit", "Range": f"bytes={first}-{last}"}
        request = urllib.request.Request(self._url, headers=headers)
        with urllib.request.urlopen(request, timeout=self._timeout_seconds) as response:
            place = str(response.headers.get("Content-Range", ""))
            if response.status != 206 or not place.startswith(f"bytes {first}-"):
                raise RangesRefusedError("the server sends whole files only")
            data = response.read()
            if len(data) != last - first + 1:
                raise OSError(f"{len(data):,} of {last - first + 1:,} bytes came")
            return data, int(place.rpartition("/")[2])
