"""The decoded images of stage 1: in the store on disk, in memory within a budget, or on a GPU."""

from __future__ import annotations

# M stimuli, U distinct images, B of a batch, S height and width
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from perceptinit.compute.devices import to_device
from perceptinit.files.cache import cache_folder
from perceptinit.images.stimuli import StimulusImages
from perceptinit.images.store import ImageStore, StoreUnusableError
from perceptinit.judgments.two_afc import ImageArray
from perceptinit.types import RunContext, Stimuli

GIB = 2**30
# Less is decoded anew by every run: some 1,800 images of 224 pixels, which takes seconds
STORED_FROM_BYTES = 256 << 20

# of a GPU's free memory; the rest is for weights, moments and activations
SHARE_OF_MEMORY = 0.25
CHUNK = 1024

T = TypeVar("T")
# stimuli, and the indices of those that are used
UsedImages = tuple[Stimuli, np.ndarray]


def open_images(
    sets: Sequence[UsedImages],
    size: int,
    *,
    image_store: str,
    cache_gib: float,
    ctx: RunContext,
    resume: Callable[[], None],
) -> list[ImageArray]:
    """Return the images of each set, for the two keys of `TrainingConfig`; pixels are the same either way.

    resume: called when decoding into the store, which is shown as a stage of its own, is over.

    Raises DataError for an image that cannot be decoded, and for a folder that was named in
    `image_store` and cannot be used; without the default folder it goes on in memory, with a warning.
    """
    num_bytes = sum(len(np.unique(used)) for _, used in sets) * 3 * size * size
    is_large = num_bytes >= STORED_FROM_BYTES
    is_wanted = is_large if image_store == "auto" else image_store != "off"
    if is_wanted and all(is_encoded(stimuli) for stimuli, _ in sets):
        try:
            return _open_store(sets, size, image_store, ctx, resume)
        except StoreUnusableError as error:
            if image_store != "auto":
                raise StoreUnusableError(f'image_store: {error}. Choose another folder, or "off"') from error
            ctx.warn(
                f"{error}: decoded images stay in memory (cache_gib = {cache_gib:g}). image_store names another folder"
            )
    return _in_memory([stimuli for stimuli, _ in sets], size, cache_gib, ctx)


def is_path(image_store: str) -> bool:
    """Tell whether a value of the key is a path, not a misspelt word."""
    return "/" in image_store or os.sep in image_store


def is_encoded(stimuli: Stimuli) -> bool:
    """Tell whether images have to be decoded; pixels in memory, or made when asked for, have not."""
    return len(stimuli) > 0 and not isinstance(stimuli.images[0], np.ndarray)


def _open_store(
    sets: Sequence[UsedImages], size: int, place: str, ctx: RunContext, resume: Callable[[], None]
) -> list[ImageArray]:
    root = cache_folder() / "images" if place == "auto" else Path(place).expanduser()
    # the threads that this process may use: decoding has them for itself
    store = ImageStore(root, size, ctx, max(1, ctx.num_workers, torch.get_num_threads()))
    opened = [store.open(stimuli, used) for stimuli, used in sets]
    if any(images.num_decoded for images in opened):
        resume()
    return [*opened]


def _in_memory(sets: Sequence[Stimuli], size: int, cache_gib: float, ctx: RunContext) -> list[ImageArray]:
    """Return the images of each set; equal stimuli share theirs, the first set has first claim on memory.

    What does not fit into `cache_gib` is decoded at every use, with a warning.
    """
    room = int(cache_gib * GIB)
    opened: dict[int, ImageArray] = {}
    for stimuli in sets:
        if id(stimuli) in opened:
            continue
        need = len(stimuli) * 3 * size * size
        if need > room:
            ctx.warn(
                f"{len(stimuli):,} images of {size} pixels need {need / GIB:.2g} GiB, more than is left of "
                f"cache_gib = {cache_gib:g}: they are decoded again at every use"
            )
        opened[id(stimuli)] = StimulusImages(stimuli, size, num_workers=ctx.num_workers, cache_bytes=room)
        room -= need if need <= room else 0
    return [opened[id(stimuli)] for stimuli in sets]


class ResidentImages:
    """Images that stay on a GPU; indexed like the array they come from."""

    def __init__(self, images: ImageArray, used: np.ndarray, size: int, device: str) -> None:
        """used: int64 (U,), indices of the images that will be asked for, each once."""
        self._row = np.zeros(int(used.max()) + 1, dtype=np.int64)
        self._row[used] = np.arange(len(used))
        self._pixels = torch.empty((len(used), 3, size, size), dtype=torch.uint8, device=device)
        for start in range(0, len(used), CHUNK):
            part = images[used[start : start + CHUNK]]
            self._pixels[start : start + len(part)] = to_device(part, device)

    def __getitem__(self, indices: np.ndarray) -> Tensor:
        """Return uint8 (B, 3, S, S) on the GPU; the host does not wait."""
        rows = torch.from_numpy(self._row[indices])
        return self._pixels.index_select(0, to_device(rows, self._pixels.device))


def resident(images: ImageArray, used: np.ndarray, size: int, device: str) -> ImageArray:
    """Return the images on the GPU where a quarter of its free memory holds them, else as they are."""
    if torch.device(device).type != "cuda":
        return images
    distinct = np.unique(used)
    free, _ = torch.cuda.mem_get_info(device)
    if len(distinct) * 3 * size * size > SHARE_OF_MEMORY * free:
        return images
    return ResidentImages(images, distinct, size, device)


def ahead(items: Iterable[T], make: Callable[[T], Callable[[], Tensor]]) -> Iterator[tuple[T, Tensor]]:
    """Yield each item with its tensor, which a thread makes while the item before is used.

    make: called here for each item; gives what the thread calls.
    """
    before: tuple[T, object] | None = None
    with ThreadPoolExecutor(1, thread_name_prefix="images") as pool:
        for item in items:
            future = pool.submit(make(item))
            if before is not None:
                yield before[0], before[1].result()  # type: ignore[attr-defined]
            before = item, future
        if before is not None:
            yield before[0], before[1].result()  # type: ignore[attr-defined]
