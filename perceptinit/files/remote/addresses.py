"""Addresses of files that are not on a disk of this machine: s3://, gs://, hf://datasets/, https://."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from perceptinit.errors import DataError, shown, without_credentials

# scheme -> the package that speaks it
PACKAGES = {
    "s3": "s3fs",
    "gs": "gcsfs",
    "hf": "huggingface_hub",
    "https": "aiohttp",
    "http": "aiohttp",
}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)(?:://|::)")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file at an address. As text it has no credentials; `url` may have them."""

    url: str

    @property
    def scheme(self) -> str:
        return self.url.partition("://")[0].lower()

    @property
    def name(self) -> str:
        """Return the last part of the path: `00012.tar` of `https://host/00012.tar?token=...`."""
        return unquote(self._path.rstrip("/").rpartition("/")[2])

    @property
    def folder(self) -> RemoteFile:
        return RemoteFile(self._path.rstrip("/").rpartition("/")[0] + self._query)

    def __truediv__(self, name: str) -> RemoteFile:
        return RemoteFile(f"{self._path.rstrip('/')}/{name}{self._query}")

    def __str__(self) -> str:
        return without_credentials(self.url)

    __repr__ = __str__

    @property
    def _path(self) -> str:
        return self.url.partition("?")[0] if self._query else self.url

    @property
    def _query(self) -> str:
        mark = "?" if self.scheme in ("http", "https") else ""
        return "".join(self.url.partition(mark)[1:]) if mark else ""


Place = Path | RemoteFile


def is_remote(text: str) -> bool:
    """Tell whether a text is an address and not a path; `pipe:` and other schemes are, too."""
    return bool(_SCHEME.match(text)) or text.startswith("pipe:")


def remote_file(text: str) -> RemoteFile:
    """Return the file at an address; DataError for a scheme that cannot be read at random places."""
    file = RemoteFile(text)
    if file.scheme not in PACKAGES or "::" in text:
        raise DataError(
            f"{shown(file)}: cannot be read at random places; {' '.join(f'{s}://' for s in PACKAGES)} can. "
            "What can only be streamed: pairs 'webdataset-stream', or download it and name the local copy"
        )
    if file.scheme == "hf" and not re.match(r"hf://datasets/[^/]+/[^/]+", text):
        raise DataError(f"{shown(file)}: expected hf://datasets/USER/REPO/PATH")
    return file
