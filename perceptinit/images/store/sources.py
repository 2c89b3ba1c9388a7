"""Which stimuli are equal: a key of an image's content, and a stamp that tells an unchanged file."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from perceptinit.errors import DataError
from perceptinit.files.reading import read_bytes
from perceptinit.types import ImageSource

# A file that changed less than this before it was looked at may change again within one tick of the
# file system's clock, which its times would not show (2 s: FAT, the coarsest).
SETTLED_SECONDS = 2.0


@dataclass(slots=True)
class Item:
    """One stimulus on its way into the store.

    index: of the stimulus. key: its name in messages. stamp: 32 bytes that differ whenever the file
    may have changed; None for what is no file, or changed a moment ago.
    content: SHA-256 of what is decoded, 32 bytes; None while unknown.
    """

    index: int
    key: str
    source: ImageSource
    stamp: bytes | None = None
    content: bytes | None = None


def look_at(index: int, key: str, source: ImageSource) -> Item:
    """Return the item of a stimulus: of a file the stamp, of anything in memory the content.

    Raises DataError, naming the image, when there is no such file.
    """
    if isinstance(source, Path):
        return Item(index, key, source, stamp=_stamp(source, key))
    return Item(index, key, source, content=content_of(source))


def content_of(source: bytes | np.ndarray) -> bytes:
    """Return the SHA-256 of an encoded image, or of pixels with their shape, 32 bytes."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).digest()
    digest = hashlib.sha256(f"pixels {source.dtype} {source.shape}\n".encode())
    digest.update(np.ascontiguousarray(source).data)
    return digest.digest()


def read(item: Item) -> bytes | np.ndarray:
    """Return the encoded image or the pixels; DataError, naming the image, when it cannot be read."""
    if not isinstance(item.source, Path):
        return item.source
    try:
        return read_bytes(item.source)
    except OSError as error:
        raise _unreadable(item.source, item.key, error) from error


def _stamp(path: Path, key: str) -> bytes | None:
    try:
        about = path.stat()
    except OSError as error:
        raise _unreadable(path, key, error) from error
    if max(about.st_mtime, about.st_ctime) > time.time() - SETTLED_SECONDS:
        return None
    times = (about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino)
    return hashlib.sha256(os.fsencode(path.absolute()) + f"\n{times}".encode()).digest()


def _unreadable(path: Path, key: str, error: OSError) -> DataError:
    return DataError(f"{key}: cannot be read ({path}: {error.strerror})")
