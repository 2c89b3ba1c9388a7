"""On-disk store of decoded images: runs share one memory-mapped file per set of stimuli and image size.

Each row contains the pixels of one stimulus, a checksum, and a stamp of the source image. The stamp of an
image file depends on its path, size, times and inode. Rows are filled on first use, by one process at a time.
A row with a wrong checksum is decoded again, so a partial row is never used. Library versions that decode
differently use different folders.
"""

# M stimuli, U used ones, B batch, S size: height and width
import hashlib
import io
import os
import shutil
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from PIL import Image

from perceptinit.errors import DataError
from perceptinit.files.archives import SPARE_BYTES
from perceptinit.files.atomic import atomic_path, file_lock, remove_abandoned
from perceptinit.files.cache import key_of
from perceptinit.files.reading import read_bytes
from perceptinit.images.decoding import load_square
from perceptinit.images.encoded import ORIENTATION
from perceptinit.types import WHITE, Color, Fit, ImageSource, RunContext, Stimuli

SUFFIX = ".npy"
FORMAT = 2  # version of the file format, part of the folder name
PACKAGES = ("pillow", "simplejpeg", "torch", "torchvision")
REPORT_EVERY_IMAGES = 64
# A second change within one tick of the file system's clock does not alter a file's times. FAT has the
# coarsest clock, 2 s.
SETTLED_SECONDS = 2.0


class StoreUnusableError(DataError):
    """The store's folder is not accessible, or its disk is full."""


class StoredImages:
    """Square images in the store: `images[indices]` returns a copy, uint8 (B, 3, S, S).

    num_decoded: Number of images decoded when the store was opened.
    """

    def __init__(self, rows: np.ndarray, used: np.ndarray, num_decoded: int) -> None:
        self._pixels = rows["pixels"]
        self.num_decoded = num_decoded
        self._is_used = np.zeros(len(rows), dtype=bool)
        self._is_used[used] = True

    def __getitem__(self, indices: np.ndarray) -> torch.Tensor:
        """Return the images at `indices`; IndexError for a stimulus that was not requested in `open`."""
        for index in indices[~self._is_used[indices]]:
            raise IndexError(f"stimulus {index} was not requested when the store was opened")
        batch = np.empty((len(indices), *self._pixels.shape[1:]), dtype=np.uint8)
        # a copy per row is five times as fast as fancy indexing, which copies byte by byte
        for row, index in enumerate(indices.tolist()):
            batch[row] = self._pixels[index]
        return torch.from_numpy(batch)


class ImageStore:
    """Store of square images of one size in `root/<size>px-<fit>-<hash>/`, one file per set of stimuli."""

    def __init__(
        self, root: Path, size: int, ctx: RunContext, num_threads: int = 2, fit: Fit = Fit()
    ) -> None:
        self._root = root
        self._size = size
        self._fit = fit
        self._ctx = ctx
        self._num_threads = num_threads
        self._row = np.dtype([("pixels", "u1", (3, size, size)), ("crc", "<u4"), ("stamp", "u1", 32)])

    def open(self, stimuli: Stimuli, used: np.ndarray) -> StoredImages:
        """Return the images of the stimuli with indices `used`, decoding missing and damaged rows.

        Raises:
            DataError: If an image cannot be decoded.
            StoreUnusableError: If the folder is not accessible or its disk is full.
        """
        used = np.unique(used)
        folder = self._root / folder_name(self._size, stimuli.background, self._fit)
        try:
            with file_lock(folder / f"{_name(stimuli)}.lock"):
                return self._open(folder / f"{_name(stimuli)}{SUFFIX}", stimuli, used)
        except OSError as error:
            raise StoreUnusableError(f"{folder}: cannot be used ({error})") from error

    def _open(self, path: Path, stimuli: Stimuli, used: np.ndarray) -> StoredImages:
        with ThreadPoolExecutor(self._num_threads) as pool:
            stamps = list(pool.map(lambda i: stamp_of(stimuli.images[i], stimuli.ids[i]), used.tolist()))
        wanted = np.frombuffer(b"".join(stamps), dtype=np.uint8).reshape(len(used), 32)
        rows = self._map(path, len(stimuli))
        stored = rows["stamp"][used]  # 0 in missing rows
        if (stored.any(axis=1) & (stored != wanted).any(axis=1)).any():
            path.unlink()  # processes with an open map continue to read the old file
            rows = self._map(path, len(stimuli))
        missing = self._find_missing(path, rows, used, wanted)
        if missing.any():
            remove_abandoned(path.parent)
            self._fill(path, stimuli, used[missing], wanted[missing])
            rows = self._map(path, len(stimuli))
        return StoredImages(rows, used, int(missing.sum()))

    def _map(self, path: Path, num_stimuli: int) -> np.ndarray:
        """Return the rows of a file, or zeros if it is missing or damaged."""
        if path.exists():
            try:
                rows = np.lib.format.open_memmap(path, mode="r")
                if rows.dtype == self._row and rows.shape == (num_stimuli,):
                    return np.asarray(rows)
            except OSError:
                raise
            except Exception:
                pass
            self._ctx.warn(f"{path}: damaged file; its images are decoded again")
            path.unlink()
        return np.broadcast_to(np.zeros((), self._row), (num_stimuli,))

    def _find_missing(self, path: Path, rows: np.ndarray, used: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """Return a mask of the used rows that are missing or damaged, bool (U,)."""
        is_there = (rows["stamp"][used] == wanted).all(axis=1)
        is_whole = is_there.copy()
        with ThreadPoolExecutor(self._num_threads) as pool:
            checks = pool.map(lambda i: _checksum(rows[i]) == rows["crc"][i], used[is_there])
            is_whole[is_there] = list(checks)
        if num_damaged := int(is_there.sum() - is_whole.sum()):
            self._ctx.warn(f"{path}: damaged file; {num_damaged:,} images are decoded again")
        return ~is_whole

    def _fill(self, path: Path, stimuli: Stimuli, missing: np.ndarray, stamps: np.ndarray) -> None:
        """Decode the missing images into the file."""
        self._announce(path.parent, len(missing))
        if not path.exists():
            with atomic_path(path) as temporary:
                np.lib.format.open_memmap(temporary, "w+", self._row, (len(stimuli),)).flush()
        start = path.stat().st_size - len(stimuli) * self._row.itemsize
        lock = Lock()
        # a write to mapped pages would kill the process on a full disk
        with path.open("r+b", buffering=0) as file, ThreadPoolExecutor(self._num_threads) as pool:

            def fill_one(index: int, stamp: np.ndarray) -> None:
                row = np.zeros((), self._row)
                row["pixels"] = load_square(
                    stimuli.images[index], stimuli.ids[index], self._size, self._fit, stimuli.background
                )
                row["stamp"] = stamp
                row["crc"] = _checksum(row)
                with lock:
                    file.seek(start + index * self._row.itemsize)
                    file.write(row.tobytes())

            for done, _ in enumerate(pool.map(fill_one, missing.tolist(), stamps), 1):
                if done % REPORT_EVERY_IMAGES == 0 or done == len(missing):
                    self._ctx.progress(done, len(missing))
            os.fsync(file.fileno())

    def _announce(self, folder: Path, num_images: int) -> None:
        """Report the number and size of the images to decode; StoreUnusableError if the disk is too full."""
        need = num_images * self._row.itemsize
        free = shutil.disk_usage(folder).free
        if need + SPARE_BYTES > free:
            raise StoreUnusableError(
                f"{folder}: {num_images:,} decoded images require {need / 1e9:,.1f} GB, but only "
                f"{free / 1e9:,.1f} GB are free"
            )
        self._ctx.warn(
            f"{num_images:,} images are decoded once into {folder} ({need / 2**30:.2g} GiB) and reused by "
            'later runs (perceptinit cache). Set image_store = "off" to disable the store'
        )
        self._ctx.event("stage-start", message="decode images", total_steps=num_images)


@lru_cache
def folder_name(size: int, background: Color = WHITE, fit: Fit = Fit()) -> str:
    """Return the folder name shared by all environments that produce the same pixels: `224px-pad-1f0c...`.

    The name depends on library versions and on the pixels of trial images, which also change if a processor
    rounds differently or our code changes.
    """
    parts = {
        "format": FORMAT,
        "size": size,
        "versions": {name: version(name) for name in PACKAGES},
        "background": list(background),
        "trial": _trial(size, background, fit),
    }
    return f"{size}px-{fit.mode}-{key_of(parts)[:16]}"


def _trial(size: int, background: Color, fit: Fit) -> str:
    """Return the SHA-256 of decoded trial images."""
    digest = hashlib.sha256()
    for number, data in enumerate(_trial_images(size)):
        square = load_square(data, f"trial image {number}", size, fit, background)
        digest.update(np.ascontiguousarray(square).data)
    return digest.hexdigest()


def _trial_images(size: int) -> Iterator[bytes]:
    """Yield encoded noise images: large, small, tall, partly transparent, turned by EXIF, and 16-bit gray."""
    large = size + size // 2 + 5
    small = size // 2 + 5
    trials = (
        ("JPEG", large, large + 3, 3),
        ("PNG", small, small + 3, 3),
        ("JPEG", 3 * large, large, 3),
        ("PNG", small + 1, small, 4),
    )
    for file_format, *shape in trials:
        noise = np.random.default_rng(shape[0]).integers(0, 256, shape, dtype=np.uint8)
        yield _encode(noise, file_format)
    turned = Image.Exif()
    turned[ORIENTATION] = 6
    gray = np.random.default_rng(0).integers(0, 1 << 16, (small, small + 1), dtype=np.uint16)
    yield _encode((gray >> 8).astype(np.uint8), "JPEG", exif=turned)
    yield _encode(gray, "PNG")


def _encode(pixels: np.ndarray, file_format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, file_format, **options)
    return file.getvalue()


def _name(stimuli: Stimuli) -> str:
    """Return the file name of a set of stimuli, from its ids and the path or content of its first image."""
    first = stimuli.images[0] if len(stimuli) else b""
    place = os.fsencode(first.absolute()) if isinstance(first, Path) else _hash_content(first)
    return key_of({"ids": stimuli.ids, "place": place.hex()})[:32]


def stamp_of(source: ImageSource, key: str) -> bytes:
    """Return 32 bytes that change when an image changes; DataError naming the image if it cannot be read."""
    if not isinstance(source, Path):
        return _hash_content(source)
    try:
        about = source.stat()
        age = time.time() - max(about.st_mtime, about.st_ctime)
        if 0 <= age < SETTLED_SECONDS:
            time.sleep(SETTLED_SECONDS - age)
        if age < 0:  # the clock of another machine is ahead
            return _hash_content(read_bytes(source))
        about = source.stat()
    except OSError as error:
        raise DataError(f"{key}: cannot be read ({source}: {error.strerror})") from error
    times = (about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino)
    return hashlib.sha256(os.fsencode(source.absolute()) + f"\n{times}".encode()).digest()


def _hash_content(source: bytes | np.ndarray) -> bytes:
    """Return the SHA-256 of an encoded image, or of pixels with their dtype and shape."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).digest()
    digest = hashlib.sha256(f"pixels {source.dtype} {source.shape}\n".encode())
    digest.update(np.ascontiguousarray(source).data)
    return digest.digest()


def _checksum(row: np.ndarray) -> int:
    return zlib.crc32(row["stamp"].tobytes(), zlib.crc32(row["pixels"].tobytes()))
