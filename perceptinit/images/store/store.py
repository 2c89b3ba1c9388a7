"""The store of decoded images: finds what is there, decodes and adds what is not.

Content is the key, so equal images are stored once, whatever their names, and a changed file is
another image. Any number of processes may fill a store: each takes chunks that no other works on,
so they share the work, and what one has finished stays when it is interrupted.
"""

from __future__ import annotations

# M stimuli, B of a batch, P squares of a part, S size: height and width
import shutil
import uuid
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

import numpy as np

from perceptinit.errors import DataError
from perceptinit.files.atomic import remove_abandoned, write_json
from perceptinit.files.cache import key_of
from perceptinit.files.locks import file_lock
from perceptinit.images.decoding import Fit, load_square
from perceptinit.images.store.fingerprint import folder_name, pixel_parts
from perceptinit.images.store.parts import SUFFIX, Part, read_part, write_part
from perceptinit.images.store.sources import Item, content_of, look_at, read
from perceptinit.images.store.stored import StoredImages
from perceptinit.types import WHITE, Colour, Stimuli

# of pixels in one part: what an interruption loses at most, and what is in memory while it is made
PART_BYTES = 256 << 20
# left free on the disk beyond what is written
SPARE_BYTES = 256 << 20
REPORT_EVERY_IMAGES = 64
FIT: Fit = "squash"  # the whole image, as `StimulusImages`


class StoreUnusableError(DataError):
    """The folder of the store cannot be used: no room, no permission."""


class Listener:
    """What a store tells on its way; this one hears nothing."""

    def begin(self, folder: Path, num_images: int, num_bytes: int) -> None:
        """Hear that images are going to be decoded into the folder, and the bytes they take at most."""

    def advance(self, done: int, total: int) -> None:
        """Hear how many of the images are stored."""

    def damaged(self, path: Path) -> None:
        """Hear that a file was not as it was written, and is removed."""


class ImageStore:
    """Squares of one size in `root/<size>px-squash-<fingerprint>/`, for all that decodes alike.

    num_threads: that decode. background: what is behind the transparent parts of images.
    """

    def __init__(
        self,
        root: Path,
        size: int,
        *,
        num_threads: int = 2,
        listener: Listener | None = None,
        background: Colour = WHITE,
    ) -> None:
        self.size, self.folder = size, root / folder_name(size, FIT, background)
        self._background = background
        self._num_threads = max(1, num_threads)
        self._listener = listener or Listener()
        self._parts: dict[Path, Part] = {}
        self._places: dict[bytes, tuple[Part, int]] = {}
        self._contents: dict[bytes, bytes] = {}  # by stamp
        self._done = self._total = 0

    def open(self, stimuli: Stimuli, used: np.ndarray) -> StoredImages:
        """Return the squares of the stimuli at `used`; those that are not stored yet are decoded now.

        Squares that are damaged are found here, by their checksums, and decoded again.

        Raises DataError, naming the image, for one that cannot be decoded, StoreUnusableError when the
        folder cannot be read or cannot take them.
        """
        items = self._look_at(stimuli, np.unique(used))
        try:
            self._refresh()
            self._remove_damaged(items)
            missing = [item for item in items if not self._has(item)]
            if missing:
                self._build(missing)
        except OSError as error:
            raise StoreUnusableError(f"{self.folder}: cannot be used ({error})") from error
        return StoredImages(len(stimuli), self.size, {i.index: self._place(i) for i in items})

    def _look_at(self, stimuli: Stimuli, used: np.ndarray) -> list[Item]:
        def look(index: int) -> Item:
            return look_at(index, stimuli.ids[index], stimuli.images[index])

        with ThreadPoolExecutor(self._num_threads) as pool:
            return list(pool.map(look, used.tolist()))

    def _refresh(self) -> None:
        """Open the parts that are new; one that is no whole part is removed."""
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            if path in self._parts or path.name.startswith("."):
                continue
            try:
                self._add(read_part(path, self.size))
            except FileNotFoundError:  # another process removed it
                continue
            except DataError:
                self._remove(path)

    def _remove(self, path: Path) -> None:
        self._listener.damaged(path)
        path.unlink(missing_ok=True)

    def _add(self, part: Part) -> None:
        self._parts[part.path] = part
        for row, key in enumerate(part.contents):
            self._places.setdefault(key.tobytes(), (part, row))
        for stamp, key in zip(part.stamps, part.stamped, strict=True):
            self._contents[stamp.tobytes()] = key.tobytes()

    def _has(self, item: Item) -> bool:
        if item.content is None and item.stamp is not None:
            item.content = self._contents.get(item.stamp)
        return item.content in self._places

    def _place(self, item: Item) -> tuple[np.ndarray, int]:
        assert item.content is not None
        part, row = self._places[item.content]
        return part.pixels, row

    def _remove_damaged(self, items: Sequence[Item]) -> None:
        """Remove the parts in which a square that is wanted is not what was written."""
        wanted = {i.content: self._places[i.content] for i in items if self._has(i) and i.content}

        def is_whole(place: tuple[Part, int]) -> bool:
            part, row = place
            return part.is_whole(row)

        with ThreadPoolExecutor(self._num_threads) as pool:
            checks = zip(wanted.values(), pool.map(is_whole, wanted.values()), strict=True)
            damaged = {part.path for (part, _), whole in checks if not whole}
        if damaged:
            kept = [part for path, part in self._parts.items() if path not in damaged]
            for collection in (self._parts, self._places, self._contents):
                collection.clear()
            for path in sorted(damaged):
                self._remove(path)
            for part in kept:
                self._add(part)

    def _build(self, missing: Sequence[Item]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._check_room(len(missing))
        remove_abandoned(self.folder)
        self._listener.begin(self.folder, len(missing), len(missing) * self._square_bytes)
        self._done, self._total = 0, len(missing)
        if not (self.folder / "about.json").is_file():
            parts = pixel_parts(self.size, FIT, self._background)
            write_json(self.folder / "about.json", parts)
        length = max(1, PART_BYTES // self._square_bytes)
        chunks = [missing[start : start + length] for start in range(0, len(missing), length)]
        # first what nobody else is working on, then wait for the others
        busy = [chunk for chunk in chunks if not self._fill(chunk, timeout=0)]
        for chunk in busy:
            self._fill(chunk, timeout=-1)

    @property
    def _square_bytes(self) -> int:
        return 3 * self.size * self.size

    def _check_room(self, num_images: int) -> None:
        need, free = num_images * self._square_bytes, shutil.disk_usage(self.folder).free
        if need + SPARE_BYTES > free:
            raise StoreUnusableError(
                f"{self.folder}: {num_images:,} decoded images take {need / 1e9:,.1f} GB and "
                f"{free / 1e9:,.1f} GB are free"
            )

    def _fill(self, chunk: Sequence[Item], timeout: float) -> bool:
        """Make sure that the images of a chunk are stored; return False when another process is at it."""
        keys = [(item.stamp or item.content or item.key.encode()).hex() for item in chunk]
        lock = self.folder / f"{key_of({'chunk': keys})[:16]}.lock"
        with file_lock(lock, timeout) as is_mine:
            if is_mine:
                self._refresh()
                missing = [item for item in chunk if not self._has(item)]
                self._advance(len(chunk) - len(missing))
                if missing:
                    self._add(self._decode(missing))
            return is_mine

    def _decode(self, items: Sequence[Item]) -> Part:
        """Write the squares of the items as a part and return it."""
        squares = _Squares(len(items), self.size, self._background, self._places)
        with ThreadPoolExecutor(self._num_threads) as pool:
            for done, _ in enumerate(pool.map(squares.take, items), 1):
                if done % REPORT_EVERY_IMAGES == 0:
                    self._advance(REPORT_EVERY_IMAGES)
        self._advance(len(items) % REPORT_EVERY_IMAGES)
        path = self.folder / f"{uuid.uuid4().hex}{SUFFIX}"
        stamps = {i.stamp: i.content for i in items if i.stamp and i.content}
        write_part(path, squares.pixels[: len(squares.contents)], squares.contents, stamps)
        return read_part(path, self.size)

    def _advance(self, num_images: int) -> None:
        self._done += num_images
        self._listener.advance(self._done, self._total)


class _Squares:
    """Squares of a new part, filled by several threads; equal images take one row."""

    def __init__(self, count: int, size: int, background: Colour, stored: Iterable[bytes]) -> None:
        self.pixels = np.empty((count, 3, size, size), dtype=np.uint8)
        self.contents: list[bytes] = []
        self._taken, self._size, self._lock = set(stored), size, Lock()
        self._background = background

    def take(self, item: Item) -> None:
        """Decode an item, unless its content is stored or another thread has it."""
        source = read(item)
        item.content = content_of(source)
        with self._lock:
            if item.content in self._taken:
                return
            row = len(self.contents)
            self._taken.add(item.content)
            self.contents.append(item.content)
        self.pixels[row] = load_square(source, item.key, self._size, FIT, self._background)
