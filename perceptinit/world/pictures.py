"""Pictures and answers of the simulated world, computed once a machine and read from the image store.

A file contains rows with the SHA-256 of each. A file whose rows have other hashes is computed again. The name
of its folder depends on the code of the world, on numpy and on the pixels of trial pictures, so a process
reads only what it would compute equally.
"""

# S size: height and width, N rows, W bytes of a row
import hashlib
import io
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from perceptinit.errors import WriteError
from perceptinit.files.atomic import file_lock, write_file
from perceptinit.files.cache import cache_folder, key_of
from perceptinit.world.factors import ImageFactors, draw_factors
from perceptinit.world.render import render

HASH_BYTES = 32
FILE_BYTES = 2 << 20  # of the pictures in a file
MOST_BYTES = 256 << 20  # pictures of larger sets are rendered on access
NUM_TRIALS = 4

Names = Sequence[str | int]


class Picture(np.ndarray):
    """Pixels with their SHA-256, by which copies are found; derived arrays have none."""

    sha256 = b""


class Pictures(Sequence[np.ndarray]):
    """Rendered pictures: `pictures[index]` are pixels, uint8 (S, S, 3).

    Args:
        names: Names that determine the pictures, with their numbers: seed and kind.
        length: Number of pictures.
        size: Height and width in pixels.
        draw: Returns the factors of a picture by its number.
    """

    def __init__(self, names: Names, length: int, size: int, draw: Callable[[int], ImageFactors]) -> None:
        self._names = names
        self._length = length
        self._size = size
        self._draw = draw
        self._num_bytes = size * size * 3
        self._per_file = max(1, FILE_BYTES // self._num_bytes)
        self._files: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> np.ndarray:  # type: ignore[override]
        if not 0 <= index < self._length:
            raise IndexError(index)
        if self._length * self._num_bytes > MOST_BYTES:
            return render(self._draw(index), self._size)
        first = index - index % self._per_file
        if first not in self._files:
            numbers = range(first, min(first + self._per_file, self._length))
            self._files[first] = keep_rows(
                (*self._names, int(first)),
                self._size,
                (len(numbers), self._num_bytes),
                lambda: (render(self._draw(number), self._size).tobytes() for number in numbers),
            )
        row = self._files[first][index - first]
        picture = row[HASH_BYTES:].reshape(self._size, self._size, 3).copy().view(Picture)
        picture.sha256 = row[:HASH_BYTES].tobytes()
        return picture


def keep_rows(
    names: Names, size: int, shape: tuple[int, int], compute: Callable[[], Iterable[bytes]]
) -> np.ndarray:
    """Return rows after the SHA-256 of each, uint8 (N, 32 + W), from the cache or computed and cached now.

    Args:
        names: Names that determine the rows.
        size: Height and width of the pictures of this world.
        shape: Number and bytes of the rows, (N, W).
        compute: Returns the rows. Other processes that need them wait.
    """
    name = key_of({"names": list(names), "shape": list(shape)})[:32]
    path = cache_folder() / "images" / _folder_name(size) / f"{name}.npy"
    try:
        with file_lock(path.with_suffix(".lock")):
            rows = _read(path, shape)
            if rows is None:
                rows = _hash_rows(compute())
                file = io.BytesIO()
                np.save(file, rows)
                write_file(path, file.getvalue())
            return rows
    except (OSError, WriteError):  # a cache that cannot be written does not change the rows
        return _hash_rows(compute())


def _hash_rows(rows: Iterable[bytes]) -> np.ndarray:
    hashed = [hashlib.sha256(row).digest() + row for row in rows]
    return np.frombuffer(b"".join(hashed), np.uint8).reshape(len(hashed), -1)


def _read(path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    """Return the rows of a file; None if it is missing or damaged."""
    try:
        rows: np.ndarray = np.load(path, allow_pickle=False)
        is_whole = rows.shape == (shape[0], HASH_BYTES + shape[1]) and rows.dtype == np.uint8
        content = (row[HASH_BYTES:].tobytes() for row in rows)
        return rows if is_whole and np.array_equal(_hash_rows(content), rows) else None
    except Exception:  # numpy raises many types of errors for damaged headers
        return None


@cache
def _folder_name(size: int) -> str:
    code = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))))
    trials = (render(draw_factors(0, "trial", number), size).tobytes() for number in range(NUM_TRIALS))
    trial = hashlib.sha256(b"".join(trials))
    parts = {"numpy": np.__version__, "code": code.hexdigest(), "trial": trial.hexdigest()}
    return f"{size}px-world-{key_of(parts)[:16]}"
