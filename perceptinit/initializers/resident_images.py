"""Decoded images of stage 1 on their way to a GPU: all of them once where they fit, else each batch while the one before trains."""

from __future__ import annotations

# U distinct images, B of a batch, S height and width
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from perceptinit.compute.devices import to_device
from perceptinit.judgments.two_afc import ImageArray

T = TypeVar("T")

# of a GPU's free memory; the rest is for weights, moments and activations
SHARE_OF_MEMORY = 0.25
CHUNK = 1024


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


def ahead(
    items: Iterable[T], make: Callable[[T], Callable[[], Tensor]]
) -> Iterator[tuple[T, Tensor]]:
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
