"""Addresses of remote files: s3://, gs://, hf://datasets/, https://."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from perceptinit.errors import DataError, shown, without_credentials

# scheme -> the package that reads it; the standard library reads HTTP
PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "hf": "huggingface_hub", "https": "", "http": ""}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)(?:://|::)")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file at an address. `str` omits credentials, which `url` may contain.

    Args:
        url: The address.
        token: Bearer token for the server of a web address, not sent to redirects.
    """

    url: str
    token: str = field(default="", repr=False, compare=False)

    @property
    def scheme(self) -> str:
        return self.url.partition("://")[0].lower()

    @property
    def is_web(self) -> bool:
        return self.scheme in ("http", "https")

    @property
    def name(self) -> str:
        """Return the last part of the path: `00012.tar` of `https://host/00012.tar?token=...`."""
        return unquote(self._parts[0].rstrip("/").rpartition("/")[2])

    @property
    def folder(self) -> RemoteFile:
        path, query = self._parts
        return RemoteFile(path.rstrip("/").rpartition("/")[0] + query, self.token)

    def __truediv__(self, name: str) -> RemoteFile:
        path, query = self._parts
        return RemoteFile(f"{path.rstrip('/')}/{name}{query}", self.token)

    def __str__(self) -> str:
        return without_credentials(self.url)

    __repr__ = __str__

    @property
    def _parts(self) -> tuple[str, str]:
        """Return the address up to the query, and the query of a web address."""
        path, mark, query = self.url.partition("?") if self.is_web else (self.url, "", "")
        return path, mark + query


Place = Path | RemoteFile


def is_remote(text: str) -> bool:
    """Return whether a text is an address (any scheme, or `pipe:`) and not a path."""
    return bool(_SCHEME.match(text)) or text.startswith("pipe:")


def remote_file(text: str) -> RemoteFile:
    """Return the file at an address; DataError for a scheme without random access."""
    file = RemoteFile(text)
    if file.scheme not in PACKAGES or "::" in text:
        raise DataError(
            f"{shown(file)}: no random access (supported: {' '.join(f'{s}://' for s in PACKAGES)}). "
            "Use pairs 'webdataset-stream' for streams, or give a local copy"
        )
    if file.scheme == "hf" and not re.match(r"hf://datasets/[^/]+/[^/]+", text):
        raise DataError(f"{shown(file)}: expected hf://datasets/USER/REPO/PATH")
    return file
