"""Large parts of remote files, chunk after chunk, to be written as they come.

From web servers they come through `requests`, in one answer: fsspec's, which pass through an event loop, take twice the
processor's time (`benchmarks/remote_loader.py --fetch`). Buckets and hubs are asked through fsspec.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from perceptinit.errors import MissingPackageError
from perceptinit.files.remote.addresses import RemoteFile
from perceptinit.files.remote.store import (
    PART_BYTES,
    TIMEOUT_SECONDS,
    RemoteError,
    asked,
    read,
)

_CHUNK_BYTES = 1 << 20
_OWN = threading.local()  # a session for each thread: they are not made to be shared


def stream(file: RemoteFile, start: int, stop: int) -> Iterator[bytes]:
    """Yield the bytes from `start` to before `stop`, in chunks; RemoteError unless all come.

    Where a connection breaks off, it goes on with the next byte, unless the file is another by then: RemoteError.
    """
    if file.scheme in ("http", "https"):
        body = _WebBody(file, start, stop)
        while body.start < stop:
            yield asked(file, lambda *_: body.read())
    else:
        for first in range(start, stop, PART_BYTES):
            yield read(file, first, min(first + PART_BYTES, stop))


class _WebBody:
    """The bytes from `start` to before `stop`; `start` moves on with what is read."""

    def __init__(self, file: RemoteFile, start: int, stop: int) -> None:
        self.start = start
        self._file, self._stop = file, stop
        self._answer: Any = None
        self._version = ""

    def read(self) -> bytes:
        """Return the next bytes; after an error, ask for them anew. Raises RemoteError, or OSError where waiting may help."""
        try:
            self._answer = self._answer or self._ask()
            data: bytes = self._answer.raw.read(min(_CHUNK_BYTES, self._stop - self.start))
            if not data:
                raise OSError(f"{self._stop - self.start:,} bytes did not come")
        except BaseException:
            if self._answer:
                self._answer.close()
            self._answer = None
            raise
        self.start += len(data)
        return data

    def _ask(self) -> Any:
        headers = {"Range": f"bytes={self.start}-{self._stop - 1}", "Accept-Encoding": "identity"}
        answer = _get(self._file, headers)
        wanted = self._stop - self.start
        is_whole = self.start > 0 and answer.status_code != 206
        if is_whole or int(answer.headers.get("Content-Length", 0)) > wanted:
            answer.close()
            raise RemoteError(
                f"{self._file}: the server sends whole files, not the part that is asked for"
            )
        before, self._version = self._version, answer.headers.get("ETag", "")
        if before not in ("", self._version):
            answer.close()
            raise RemoteError(f"{self._file}: has changed while it was fetched")
        return answer


class _StatusError(OSError):
    """An answer that is an error."""

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        super().__init__(reason)


def _get(file: RemoteFile, headers: dict[str, str]) -> Any:
    """Return an answer whose body has not come yet."""
    try:
        import requests
    except ImportError as error:
        raise MissingPackageError(
            f"{file}: {file.scheme}:// needs the package requests. Install it: pip install 'perceptinit[remote]'"
        ) from error
    if not hasattr(_OWN, "session"):
        _OWN.session = requests.Session()  # the user's ~/.netrc and proxies count
    own = requests.utils.get_auth_from_url(file.url)  # else ~/.netrc would come before it
    options = {"headers": headers, "auth": own if any(own) else None, "timeout": TIMEOUT_SECONDS}
    try:
        answer = _OWN.session.get(file.url, stream=True, **options)
    except requests.Timeout as error:
        raise TimeoutError from error
    except requests.RequestException as error:  # its text has the address with what is secret in it
        cause = error.args[0] if error.args else error
        raise OSError(str(getattr(cause, "reason", cause))) from None
    if not answer.ok:
        answer.close()
        raise _StatusError(answer.status_code, answer.reason)
    return answer
