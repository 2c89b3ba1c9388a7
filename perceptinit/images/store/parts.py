"""One file of the store: the squares of some images, memory-mapped, with checksums.

A part is a safetensors file and never changes; more images make more parts. What is not there as a
whole (no room, a lost machine) is no safetensors file, and each square has a checksum of its own.
"""

from __future__ import annotations

# P squares of a part, F files known by a part, S size: height and width
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from perceptinit.errors import DataError
from perceptinit.files.checkpoints import write_tensors

SUFFIX = ".safetensors"
KEY_BYTES = 32


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """An open part.

    pixels: uint8 (P, 3, S, S), pages of the file that are read when they are used.
    contents: uint8 (P, 32), the key of each square's image. checksums: int64 (P,).
    stamps, stamped: uint8 (F, 32), files by their stamp, and the key of each one's content; also
    of files whose square is in another part.
    """

    path: Path
    pixels: np.ndarray
    contents: np.ndarray
    checksums: np.ndarray
    stamps: np.ndarray
    stamped: np.ndarray

    def is_whole(self, row: int) -> bool:
        """Tell whether a square is the one that was written."""
        return _checksum(self.contents[row], self.pixels[row]) == self.checksums[row]


def write_part(
    path: Path, pixels: np.ndarray, contents: list[bytes], stamps: Mapping[bytes, bytes]
) -> None:
    """Write a part, whole or not at all.

    pixels: uint8 (P, 3, S, S). contents: P keys. stamps: stamp of a file -> key of its content.

    Raises WriteError when there is no room or no permission.
    """
    keys = _rows(contents)
    pairs = zip(keys, pixels, strict=True)
    columns = {
        "pixels": torch.from_numpy(pixels),
        "contents": torch.from_numpy(keys),
        "checksums": torch.tensor([_checksum(k, p) for k, p in pairs], dtype=torch.int64),
        "stamps": torch.from_numpy(_rows(list(stamps))),
        "stamped": torch.from_numpy(_rows(list(stamps.values()))),
    }
    write_tensors(path, columns)


def read_part(path: Path, size: int) -> Part:
    """Open a part; DataError when it is not as `write_part` left it, OSError when it cannot be read."""
    names = ("pixels", "contents", "checksums", "stamps", "stamped")
    try:
        with safe_open(path, framework="pt") as file:
            part = Part(path, *(file.get_tensor(name).numpy() for name in names))
    except SafetensorError as error:
        raise DataError(f"{path}: {error}") from error
    count, files = len(part.contents), len(part.stamps)
    expected = [(count, 3, size, size), (count, KEY_BYTES), (count,), *[(files, KEY_BYTES)] * 2]
    if [getattr(part, name).shape for name in names] != expected:
        raise DataError(f"{path}: not the columns of a part")
    return part


def _rows(keys: list[bytes]) -> np.ndarray:
    return np.frombuffer(bytearray().join(keys), dtype=np.uint8).reshape(-1, KEY_BYTES)


def _checksum(key: np.ndarray, square: np.ndarray) -> int:
    return zlib.crc32(square.data, zlib.crc32(key.data))
