"""Files of memory-mapped arrays with a checksum that is verified on opening.

The format is safetensors. The checksum and the JSON value `about` share one metadata entry, so equal content
gives equal bytes. The checksum covers `about` and the name, type, shape and bytes of each array. CRC-32
takes 0.25 s per GB and detects accidental damage, not forgery.
"""

import json
import mmap
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from perceptinit.errors import DataError
from perceptinit.files.atomic import atomic_path, temporary_folder
from perceptinit.files.reading import parse_json, require_file

_SEAL = "sealed"  # decimal CRC-32, a space, and the JSON text of `about`


@dataclass(frozen=True, slots=True, eq=False)
class Sealed:
    """An open file: a JSON value that describes it, and its read-only memory-mapped arrays."""

    about: Any
    arrays: Mapping[str, np.ndarray]


def write_sealed(path: Path, about: Any, arrays: Mapping[str, np.ndarray], where: Path | None = None) -> None:
    """Write arrays with a description and a checksum, atomically and synced to the disk.

    Args:
        path: The file; its folder is created.
        about: A JSON value that describes the arrays.
        arrays: Integer or float arrays by name.
        where: Folder of the temporary file, see `atomic_path`.

    Raises:
        WriteError: If the file cannot be written.
    """
    text = json.dumps(about)
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    with temporary_folder(path, where) as folder, atomic_path(path, where=folder) as temporary:
        save_file(whole, temporary, {_SEAL: f"{_checksum(text, whole)} {text}"})
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())


def open_sealed(path: Path, what: str, hint: str = "") -> Sealed:
    """Verify the checksum of a file written by `write_sealed` and return its content.

    Args:
        path: The file.
        what: Description of the file; follows "not" in the error.
        hint: Advice at the end of the error.

    Raises:
        DataError: If the file is missing, damaged or of another kind.
    """
    require_file(path)
    try:
        metadata, arrays = _map(path)
        crc, _, text = metadata.get(_SEAL, "").partition(" ")
        if crc != str(_checksum(text, arrays)):
            raise DataError(f"{path}: not {what} (damaged: its checksum does not match){hint}")
        return Sealed(parse_json(text), arrays)
    except DataError:
        raise
    except Exception as error:  # a damaged header raises many exception types
        raise DataError(f"{path}: not {what} ({error}){hint}") from error


def _map(path: Path) -> tuple[Mapping[str, str], dict[str, np.ndarray]]:
    """Return the metadata and the memory-mapped arrays of a safetensors file."""
    with safe_open(path, framework="numpy") as file:  # verifies that the arrays fill the file
        metadata = file.metadata() or {}
    with path.open("rb") as file:
        pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if hasattr(mmap, "MADV_WILLNEED"):  # the checksum reads the entire file, which is faster in large pieces
        pages.madvise(mmap.MADV_WILLNEED)
    # the file begins with the length of its header, JSON that states types, shapes and places
    first = 8 + int.from_bytes(pages[:8], "little")
    header = json.loads(pages[8:first])
    header.pop("__metadata__", None)
    return metadata, {name: _map_array(pages, first, **about) for name, about in header.items()}


def _map_array(
    pages: mmap.mmap, first: int, dtype: str, shape: list[int], data_offsets: list[int]
) -> np.ndarray:
    """Return an array from its entry in the header; `dtype` is a safetensors type, such as `U8` or `F32`."""
    kind = np.dtype(f"<{dtype[0].lower()}{int(dtype[1:]) // 8}")
    return np.ndarray(tuple(shape), kind, pages, first + data_offsets[0])


def _checksum(about: str, arrays: Mapping[str, np.ndarray]) -> int:
    crc = zlib.crc32(about.encode())
    for name in sorted(arrays):
        array = arrays[name]
        crc = zlib.crc32(f"\n{name} {array.dtype} {array.shape}\n".encode(), crc)
        crc = zlib.crc32(array.reshape(-1).view(np.uint8).data, crc)
    return crc
