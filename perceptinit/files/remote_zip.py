"""Read one member of a .zip on a server without fetching the archive, by range requests."""

from __future__ import annotations

import io
import re
import zipfile
from http.client import HTTPException
from pathlib import Path

from perceptinit.files.web import open_url

# one request fetches at least this much: a zip directory of many files is a few MB
BLOCK_BYTES = 1 << 20
# of a member, and of what is read to find it
MOST_BYTES = 1 << 30


class RangesRefusedError(OSError):
    """The server sends whole files only."""


def fetch_member(
    url: str, member: str, path: Path, timeout_seconds: float, max_bytes: int | None = None
) -> None:
    """Write the member of a remote zip to `path`, in whatever folder of the zip it is; its CRC is checked.

    max_bytes: most that the member may have; MOST_BYTES when None.

    Raises OSError when the server cannot be read or sends no ranges, BadZipFile when the archive is
    damaged, the member is too large, or the archive does not have it exactly once.
    """
    remote = io.BufferedReader(_RangeFile(url, timeout_seconds), BLOCK_BYTES)
    most = MOST_BYTES if max_bytes is None else max_bytes
    try:
        with zipfile.ZipFile(remote) as archive:
            found = [n for n in archive.namelist() if n == member or n.endswith(f"/{member}")]
            if len(found) != 1:
                raise zipfile.BadZipFile(f"{len(found)} members are called {member}")
            with archive.open(found[0]) as content:
                data = content.read(most + 1)
    except (OSError, HTTPException, zipfile.BadZipFile):
        raise
    except Exception as error:  # of damaged ones zipfile raises a dozen kinds
        raise zipfile.BadZipFile(str(error) or type(error).__name__) from error
    if len(data) > most:
        raise zipfile.BadZipFile(f"{member} has more than {most:,} bytes")
    path.write_bytes(data)


class _RangeFile(io.RawIOBase):
    """A file on a server that is read where it is asked."""

    def __init__(self, url: str, timeout_seconds: float) -> None:
        self._url, self._timeout_seconds, self._position = url, timeout_seconds, 0
        self._left = 2 * MOST_BYTES
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
        headers = {"Range": f"bytes={first}-{last}"}
        with open_url(self._url, headers, self._timeout_seconds) as response:
            place = str(response.headers.get("Content-Range", ""))
            size = place.rpartition("/")[2]
            if response.status != 206 or not place.startswith(f"bytes {first}-"):
                raise RangesRefusedError("the server sends whole files only")
            if not re.fullmatch(r"[0-9]{1,18}", size):
                raise RangesRefusedError("the server does not say how long the archive is")
            wanted = last - first + 1
            self._left -= wanted
            if self._left < 0:
                raise RangesRefusedError(f"more than {2 * MOST_BYTES:,} bytes of it are needed")
            data = response.read(wanted + 1)
            if len(data) != wanted:
                raise OSError(f"{len(data):,} of {wanted:,} bytes came")
            return data, int(size)
