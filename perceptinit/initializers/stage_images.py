"""The decoded images of stage 1: in the image store on disk, in memory, or on a GPU."""

# M stimuli, U distinct images, B batch, S image size
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from perceptinit.compute.devices import to_device
from perceptinit.files.cache import cache_folder
from perceptinit.images.stimuli import StimulusImages
from perceptinit.images.store import ImageStore, StoreUnusableError
from perceptinit.judgments.two_afc import ImageArray
from perceptinit.types import Fit, RunContext, Stimuli

GIB = 2**30
# smaller sets are not stored, because decoding 1,800 images of 224 pixels takes only seconds
STORED_FROM_BYTES = 256 << 20

# of free GPU memory; the rest is for weights, optimizer state and activations
SHARE_OF_MEMORY = 0.25
CHUNK = 1024

# stimuli and the indices in use
UsedImages = tuple[Stimuli, np.ndarray]


def open_images(
    sets: Sequence[UsedImages],
    size: int,
    fit: Fit,
    *,
    image_store: str,
    cache_gib: float,
    ctx: RunContext,
    resume: Callable[[], None],
) -> list[ImageArray]:
    """Return the decoded images of each set, from the image store or from memory.

    Args:
        sets: Stimuli and the int64 indices in use.
        size: Height and width of the decoded images, in pixels.
        fit: How images that are not square become square.
        image_store: Key `image_store` of `TripletConfig`.
        cache_gib: Key `cache_gib` of `TripletConfig`.
        ctx: Receives warnings and the progress of decoding.
        resume: Called after images were decoded into the store, to report the start of training.

    Raises:
        DataError: If an image cannot be decoded, or the folder `image_store` is unusable. If the default
            folder is unusable, images stay in memory, with a warning.
    """
    num_bytes = sum(len(np.unique(used)) for _, used in sets) * 3 * size * size
    is_large = num_bytes >= STORED_FROM_BYTES
    is_wanted = is_large if image_store == "auto" else image_store != "off"
    # arrays and rendered images need no decoding
    is_encoded = all(len(s) > 0 and not isinstance(s.images[0], np.ndarray) for s, _ in sets)
    if is_wanted and is_encoded:
        try:
            return _open_store(sets, size, fit, image_store, ctx, resume)
        except StoreUnusableError as error:
            if image_store != "auto":
                raise StoreUnusableError(f'image_store: {error}. Choose another folder, or "off"') from error
            ctx.warn(
                f"{error}. Decoded images stay in memory (cache_gib = {cache_gib:g}): set image_store to "
                "another folder"
            )
    return _open_in_memory([stimuli for stimuli, _ in sets], size, fit, cache_gib, ctx)


def _open_store(
    sets: Sequence[UsedImages],
    size: int,
    fit: Fit,
    folder: str,
    ctx: RunContext,
    resume: Callable[[], None],
) -> list[ImageArray]:
    root = cache_folder() / "images" if folder == "auto" else Path(folder).expanduser()
    # no other work runs while images are decoded, so all threads are available
    store = ImageStore(root, size, ctx, max(1, ctx.num_workers, torch.get_num_threads()), fit)
    opened = [store.open(stimuli, used) for stimuli, used in sets]
    if any(images.num_decoded for images in opened):
        resume()
    return [*opened]


def _open_in_memory(
    sets: Sequence[Stimuli], size: int, fit: Fit, cache_gib: float, ctx: RunContext
) -> list[ImageArray]:
    """Return the images of each set; earlier sets have priority for the memory budget."""
    room = int(cache_gib * GIB)
    opened: dict[int, ImageArray] = {}
    for stimuli in sets:
        if id(stimuli) in opened:
            continue
        need = len(stimuli) * 3 * size * size
        if need > room:
            ctx.warn(
                f"{len(stimuli):,} images of {size} pixels need {need / GIB:.2g} GiB, more than is left of "
                f"cache_gib = {cache_gib:g}, and are decoded at each use. Increase cache_gib"
            )
        opened[id(stimuli)] = StimulusImages(
            stimuli, size, fit=fit, num_workers=ctx.num_workers, cache_bytes=room
        )
        room -= need if need <= room else 0
    return [opened[id(stimuli)] for stimuli in sets]


class ResidentImages:
    """Images or features in memory, mostly that of a GPU, indexed like the array that they were copied from.

    Args:
        used: Distinct indices of the images, int64 (U,).
        values: Their pixels or features, (U, ...).
    """

    def __init__(self, used: np.ndarray, values: Tensor) -> None:
        self._row = np.zeros(int(used.max()) + 1, dtype=np.int64)
        self._row[used] = np.arange(len(used))
        self._values = values

    def __getitem__(self, indices: np.ndarray) -> Tensor:
        """Return the rows of B images on the same device, without synchronization."""
        rows = torch.from_numpy(self._row[indices])
        return self._values.index_select(0, to_device(rows, self._values.device))


def has_room(num_bytes: int, device: str) -> bool:
    """Return whether the device is a GPU, and the bytes fit into a quarter of its free memory."""
    is_gpu = torch.device(device).type == "cuda"
    return is_gpu and num_bytes <= SHARE_OF_MEMORY * torch.cuda.mem_get_info(device)[0]


def move_to_gpu(images: ImageArray, used: np.ndarray, size: int, device: str) -> ImageArray:
    """Return the used images, copied to the GPU if there is room."""
    distinct = np.unique(used)
    if not has_room(len(distinct) * 3 * size * size, device):
        return images
    parts = [
        to_device(images[part], device) for part in np.split(distinct, range(CHUNK, len(distinct), CHUNK))
    ]
    return ResidentImages(distinct, torch.cat(parts))
