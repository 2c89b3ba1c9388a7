"""Decode and resize images to uint8 squares and batches, with pixels that match PIL's.

libjpeg-turbo decodes JPEG and torchvision decodes 8-bit PNG. Both are resized by torch (bicubic,
antialiased), two to four times as fast as PIL (see `resize_box`). PIL decodes all other formats (CMYK,
palette, 16 bit, WebP, ...). The EXIF orientation is applied, as in browsers, and transparent pixels are
blended with a background color. For test sets, alpha is dropped and PIL resizes, as in open_clip and
clip-benchmark. In published sets, the EXIF orientation is ignored and 16-bit gray is clipped at 255, as in
those libraries.
"""

# B batch, C channels, H W image, S = size: height and width of the square
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain, pairwise
from typing import Literal, TypeVar

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from perceptinit.errors import DataError
from perceptinit.images import jpeg
from perceptinit.images.background import flatten
from perceptinit.images.encoded import (
    check_pixels,
    check_size,
    decode_pil,
    orientation_of,
    pixels_of,
    read,
    upright,
)
from perceptinit.images.jpeg import MAX_PIXELS, Box
from perceptinit.types import WHITE, Color, Fit, ImageSource

T = TypeVar("T")
Decode = Literal["quality", "fast"]
Interpolation = Literal["bicubic", "bilinear"]

_PNG = b"\x89PNG\r\n\x1a\n"
# bit depth and color type in a PNG header: 8-bit gray, RGB, RGBA; the colors of other types differ from PIL's
_PLAIN_PNG = (b"\x08\x00", b"\x08\x02", b"\x08\x06")


def decode(source: ImageSource, key: str, background: Color = WHITE) -> np.ndarray:
    """Return the RGB pixels of an image, uint8 (H, W, 3).

    Pixels may differ from PIL's by 1 if PIL uses another JPEG decoder.

    Args:
        source: A path, encoded bytes, or pixels, which are returned unchanged.
        key: Name of the image in messages, such as `00012.tar/000123`.
        background: Color behind transparent pixels.

    Raises:
        DataError: If the image cannot be read or decoded, or its header states more than `jpeg.MAX_PIXELS`
            pixels.
    """
    return flatten(decode_with_alpha(source, key), background)


def decode_with_alpha(source: ImageSource, key: str) -> np.ndarray:
    """Return the same pixels as `pixels_of`, and raise the same errors, with a faster PNG decoder."""
    if isinstance(source, np.ndarray):
        return pixels_of(source, key)
    data = read(source, key)
    pixels = _decode_png(data)
    return pixels_of(data, key) if pixels is None else upright(pixels, data)


def load_square(
    source: ImageSource,
    key: str,
    size: int,
    fit: Fit,
    background: Color | None = None,
    is_published: bool = True,
) -> np.ndarray:
    """Return an image as a square, uint8 (3, S, S); the array may be a strided view.

    Args:
        source: The image.
        key: Name of the image in messages.
        size: Height and width of the square, pixels.
        fit: How an image that is not square becomes square.
        background: Color behind transparent pixels. None is for test sets: PIL drops alpha and resizes, as in
            open_clip's evaluation transform, so scores are comparable.
        is_published: Without a background, whether the image is of a published test set, whose pixels are
            those of open_clip: not turned by their EXIF orientation.

    Raises:
        DataError: As for `decode`, or if the resized image would be too large.
    """
    if background is not None:
        pixels = decode(source, key, background)
        shape = _fit_shape(pixels.shape[0], pixels.shape[1], size, fit, key)
        return _crop_or_pad(_resize(pixels, shape), size, fit.fill)
    if isinstance(source, np.ndarray):
        original = Image.fromarray(check_pixels(source, key))
    else:
        data = read(source, key)
        original = decode_pil(data, key, keep_alpha=False, is_published=is_published)
        if not is_published:
            original = Image.fromarray(upright(np.asarray(original), data))
    shape = _fit_shape(original.height, original.width, size, fit, key)
    image = np.asarray(original.resize(shape[::-1], Image.Resampling.BICUBIC))
    return _crop_or_pad(image.transpose(2, 0, 1), size, fit.fill)


def _fit_shape(height: int, width: int, size: int, fit: Fit, key: str) -> tuple[int, int]:
    """Return the resized height and width before `_crop_or_pad`, rounded as in torchvision and timm."""
    if fit.mode == "pad":
        ratio = max(height, width) / size
        return max(1, round(height / ratio)), max(1, round(width / ratio))
    side = int(size / fit.crop)
    if fit.mode == "squash":
        return side, side
    shorter = min(height, width)
    shape = side * height // shorter, side * width // shorter
    check_size(shape[1], shape[0], key)
    return shape


def _crop_or_pad(image: np.ndarray, size: int, fill: Color) -> np.ndarray:
    """Return the central square (3, S, S) of an image (3, H, W), padded if a side is shorter."""
    # as in torchvision and timm: crops round to even, borders round down
    top = round(max(image.shape[1] - size, 0) / 2)
    left = round(max(image.shape[2] - size, 0) / 2)
    image = image[:, top : top + size, left : left + size]
    height, width = image.shape[1:]
    if height == width:
        return image
    square = np.tile(np.array(fill, dtype=np.uint8)[:, None, None], (size, size))
    top = (size - height) // 2
    left = (size - width) // 2
    square[:, top : top + height, left : left + width] = image
    return square


def resize_box(
    pixels: np.ndarray, box: Box, size: int, interpolation: Interpolation = "bicubic"
) -> np.ndarray:
    """Crop a box of an image and resize it to a square, uint8 (3, S, S), with antialiasing.

    The array may be a strided view. Values match Pillow 13 to within 2 gray levels. Earlier Pillow versions
    resize tall boxes in another order, so pixels at strong edges differ by up to 9 (0.3 on average).

    Args:
        pixels: uint8 (H, W, 3).
        box: (top, left, height, width) in pixels, inside the image.
        size: Height and width of the square, pixels.
        interpolation: Resampling kernel.
    """
    top, left, height, width = box
    return _resize(pixels[top : top + height, left : left + width], (size, size), interpolation)


def _resize(view: np.ndarray, shape: tuple[int, int], kernel: Interpolation = "bicubic") -> np.ndarray:
    """Resize an image (H, W, 3) to another height and width, (3, H, W); see `resize_box`."""
    if view.shape[:2] == shape:
        return view.transpose(2, 0, 1)
    if not view.flags.writeable:  # torch shares memory only with writable arrays
        view = view.copy()
    image = torch.from_numpy(view)[None].permute(0, 3, 1, 2)  # the kernel for channels_last is faster
    resize = partial(F.interpolate, mode=kernel, antialias=True, align_corners=False)
    height, width = view.shape[:2]
    if 0 < height - shape[0] > 2 * (width - shape[1]):  # as in Pillow: vertical pass first
        image = resize(image, (shape[0], width))
    return resize(image, shape)[0].numpy()


def load_box(
    source: ImageSource,
    key: str,
    size: int,
    draw_box: Callable[[int, int], Box],
    decoding: Decode = "quality",
    background: Color = WHITE,
    interpolation: Interpolation = "bicubic",
) -> np.ndarray:
    """Return a box of an image resized to a square, uint8 (3, S, S); the array may be a strided view.

    Args:
        source: The image.
        key: Name of the image in messages.
        size: Height and width of the square, pixels.
        draw_box: Maps the height and width of the image to (top, left, height, width); called once.
        decoding: "quality" calls `decode`, then `resize_box`. "fast" decodes a JPEG at reduced size if the
            box is large (see `jpeg.factor_for`), and rounds the box inward to whole pixels.
        background: Color behind transparent pixels.
        interpolation: Resampling kernel.

    Raises:
        DataError: As for `decode`.
    """
    data = source if isinstance(source, np.ndarray) else read(source, key)
    box = None
    is_fast = decoding == "fast" and isinstance(data, bytes) and orientation_of(data) == 1
    if is_fast and isinstance(data, bytes) and (shape := jpeg.shape(data)):
        box = draw_box(*shape)
        factor = jpeg.factor_for(box, size)
        pixels = jpeg.decode(data, factor)
        if pixels is not None:
            return resize_box(pixels, jpeg.reduce_box(box, factor), size, interpolation)
    pixels = decode(data, key, background)
    return resize_box(pixels, box or draw_box(*pixels.shape[:2]), size, interpolation)


def load_batch(
    sources: Sequence[ImageSource],
    keys: Sequence[str],
    size: int,
    fit: Fit,
    num_workers: int = 2,
    background: Color | None = None,
    on_error: Callable[[int, DataError], None] | None = None,
    rows: Sequence[int] | None = None,
    is_published: bool = True,
) -> torch.Tensor:
    """Return images as a batch, uint8 (B, 3, S, S), in the given order.

    Decoding and resizing release the GIL, so threads scale like processes.

    Args:
        sources: The images; may be a lazy sequence.
        keys: Names of the images in messages; may be a lazy sequence.
        size: Height and width of the squares, pixels.
        fit: See `load_square`.
        num_workers: Number of decoding threads; 0 or 1 decodes in the calling thread.
        background: See `load_square`.
        on_error: Called, in any thread, with the index and error of an image that cannot be decoded. The
            image is black in the batch. If None, the error is raised.
        rows: Indices of the images in the batch; all if None.
        is_published: See `load_square`.

    Raises:
        DataError: For the first image that cannot be decoded, if `on_error` is None.
    """
    rows = range(len(sources)) if rows is None else rows
    batch = np.empty((len(rows), 3, size, size), dtype=np.uint8)

    def fill(place: int) -> None:
        row = rows[place]
        try:
            batch[place] = load_square(sources[row], keys[row], size, fit, background, is_published)
        except DataError as error:
            if on_error is None:
                raise
            on_error(row, error)
            batch[place] = 0

    if num_workers <= 1:
        for place in range(len(rows)):
            fill(place)
    else:
        with ThreadPoolExecutor(num_workers) as pool:
            list(pool.map(fill, range(len(rows))))
    return torch.from_numpy(batch)


def stream_batches(
    sources: Sequence[ImageSource],
    keys: Sequence[str],
    size: int,
    fit: Fit,
    batch_size: int,
    num_workers: int = 2,
    on_error: Callable[[int, DataError], None] | None = None,
    is_published: bool = True,
) -> Iterator[torch.Tensor]:
    """Yield the batches of `load_batch`, decoding the next batch in a background thread.

    Each item of `sources` and `keys`, which may be lazy, is accessed once.
    """
    indices = range(len(sources))
    rows = [indices[start : start + batch_size] for start in indices[::batch_size]]
    load = partial(
        load_batch, sources, keys, size, fit, num_workers, on_error=on_error, is_published=is_published
    )
    if num_workers == 0:
        yield from (load(rows=part) for part in rows)
        return
    for _, batch in prefetch(rows, lambda part: partial(load, rows=part)):
        yield batch


def prefetch(
    items: Iterable[T], make: Callable[[T], Callable[[], torch.Tensor]]
) -> Iterator[tuple[T, torch.Tensor]]:
    """Yield each item with its tensor, which a thread loads while the previous item is in use.

    Args:
        items: Items to load.
        make: Returns the function that loads an item. `make` itself runs in the calling thread.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="images") as pool:
        submitted = ((item, pool.submit(make(item))) for item in items)
        # the following item is submitted before the current one is yielded
        for current, _ in pairwise(chain(submitted, [None])):
            assert current is not None
            yield current[0], current[1].result()


def _decode_png(data: bytes) -> np.ndarray | None:
    """Return pixels (H, W, 3), or (H, W, 4) with alpha; None if PIL must decode the file."""
    if not (data.startswith(_PNG) and data[24:26] in _PLAIN_PNG):
        return None
    # torchvision does not support a transparent color
    if data.find(b"tRNS", 0, data.find(b"IDAT")) > 0:
        return None
    from torchvision.io import decode_png  # torchvision takes two seconds to import

    width, height = (int.from_bytes(data[place : place + 4]) for place in (16, 20))
    if width * height > MAX_PIXELS:
        return None
    try:
        image = decode_png(torch.frombuffer(bytearray(data), dtype=torch.uint8))
    except RuntimeError:  # damaged file, or torchvision without PNG support
        return None
    if image.shape[0] <= 2:  # grayscale, with or without alpha
        image = torch.cat([image[:1].expand(3, -1, -1), image[1:]])
    return image.permute(1, 2, 0).numpy()
