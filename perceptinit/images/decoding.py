"""From encoded images to uint8 squares: decoding, resizing and batches, fast and with PIL's pixels.

JPEG is decoded by libjpeg-turbo, 8-bit PNG by torchvision, and both are resized by torch (bicubic,
antialiased): two to four times as fast as PIL, with its pixels (see `resize_box`). Everything else
(CMYK, palette, 16 bit, WebP, ...) goes through PIL's `convert("RGB")`, file by file (16-bit grey is
clipped at 255, not scaled: so does PIL, and so do the suites we compare with). EXIF orientation is
ignored, as in open_clip and clip-benchmark, which train and evaluate on the stored pixels. Transparent
parts show a stated ground, except in the squares of test sets, where alpha is dropped as in those suites.
"""

from __future__ import annotations

# B batch, C channels, H W image, S = size: height and width of the square
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F
from torchvision.io import decode_png
from torchvision.transforms import InterpolationMode, functional as TF

from perceptinit.errors import DataError
from perceptinit.images import jpeg
from perceptinit.images.background import flatten
from perceptinit.images.encoded import check_pixels, check_size, decode_pil, pixels_of, read
from perceptinit.images.jpeg import MAX_PIXELS, Box
from perceptinit.types import WHITE, Colour, ImageSource

Fit = Literal["squash", "center-crop"]
Decode = Literal["quality", "fast"]
Interpolation = Literal["bicubic", "bilinear"]

_PNG = b"\x89PNG\r\n\x1a\n"
# bit depth and colour type in a PNG header: 8-bit grey, RGB, RGBA; the rest differs from PIL's colours
_PLAIN_PNG = (b"\x08\x00", b"\x08\x02", b"\x08\x06")


def decode(source: ImageSource, key: str, background: Colour = WHITE) -> np.ndarray:
    """Return the RGB pixels of an image, uint8 (H, W, 3); pixels pass through.

    key: names the image in messages, such as `00012.tar/000123`. background: what is behind its
    transparent parts. Pixels may differ from PIL's by 1 when the two libraries bring different JPEG
    decoders; `load_square(..., "center-crop")` is exact.

    Raises DataError, naming the image, when it cannot be read or decoded, or has too many pixels by its
    header (`jpeg.MAX_PIXELS`): nothing is decoded then.
    """
    return flatten(decode_with_alpha(source, key), background)


def decode_with_alpha(source: ImageSource, key: str) -> np.ndarray:
    """Return pixels as `pixels_of` does, with its errors, PNGs faster."""
    if isinstance(source, np.ndarray):
        return pixels_of(source, key)
    data = read(source, key)
    pixels = _decode_png(data)
    return pixels_of(data, key) if pixels is None else pixels


def load_square(source: ImageSource, key: str, size: int, fit: Fit, background: Colour = WHITE) -> np.ndarray:
    """Return an image as a square, uint8 (3, S, S); the array may be a strided view.

    fit "squash": the whole image on `background`, its proportions given up (as DreamSim loads NIGHTS).
    fit "center-crop": the shorter side resized to `size`, then the middle, with PIL throughout and
    alpha dropped: the pixels of open_clip's evaluation transform, so that scores can be compared
    with others'.

    Raises DataError as `decode` does, and for one so long that the resized image would be too large.
    """
    if fit == "squash":
        pixels = decode(source, key, background)
        return resize_box(pixels, (0, 0, *pixels.shape[:2]), size)
    if isinstance(source, np.ndarray):
        original = Image.fromarray(check_pixels(source, key))
    else:
        original = decode_pil(read(source, key), key, keep_alpha=False)
    shorter, longer = sorted(original.size)
    check_size(size, size * longer // shorter, key)
    image = TF.resize(original, size, InterpolationMode.BICUBIC)
    return np.asarray(TF.center_crop(image, [size, size])).transpose(2, 0, 1)


def resize_box(
    pixels: np.ndarray, box: Box, size: int, interpolation: Interpolation = "bicubic"
) -> np.ndarray:
    """Return a box of an image resized to a square, uint8 (3, S, S), with antialiasing.

    pixels: uint8 (H, W, 3). box: (top, left, height, width) in pixels, inside the image.
    The array may be a strided view; copy it into a batch. Equal to the crop and resize of Pillow 13
    within 2 grey levels; before 13 it took tall boxes along the rows first, too, and single pixels
    beside strong edges differ by up to 9 (0.3 on average).
    """
    top, left, height, width = box
    view = pixels[top : top + height, left : left + width]
    if view.shape[:2] == (size, size):
        return view.transpose(2, 0, 1)
    if not view.flags.writeable:  # torch shares memory only with arrays that can be written to
        view = view.copy()
    image = torch.from_numpy(view)[None].permute(0, 3, 1, 2)  # channels_last has a faster kernel
    resize = partial(F.interpolate, mode=interpolation, antialias=True, align_corners=False)
    if 0 < height - size > 2 * (width - size):  # Pillow's rule: columns first, as fewer pixels are left
        image = resize(image, (size, width))
    return resize(image, (size, size))[0].numpy()


def load_box(
    source: ImageSource,
    key: str,
    size: int,
    draw_box: Callable[[int, int], Box],
    decoding: Decode = "quality",
    background: Colour = WHITE,
    interpolation: Interpolation = "bicubic",
) -> np.ndarray:
    """Return a box of an image as a square, uint8 (3, S, S); the array may be a strided view.

    background: see `decode`.
    draw_box: gives (top, left, height, width) for a height and a width; asked once.
    decoding "quality": `decode`, then `resize_box`. "fast": where the box is large (see
    `jpeg.factor_for`) a JPEG is decoded at a fraction of its size, and the box shrinks to whole
    pixels of that. All else, damaged files included, goes the way of "quality".

    Raises DataError as `decode` does.
    """
    data = source if isinstance(source, np.ndarray) else read(source, key)
    box = None
    if decoding == "fast" and isinstance(data, bytes) and (shape := jpeg.shape(data)):
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
    background: Colour = WHITE,
    on_error: Callable[[int, DataError], None] | None = None,
    rows: Sequence[int] | None = None,
) -> torch.Tensor:
    """Return images as a batch, uint8 (B, 3, S, S), in the order given; see `load_square`.

    Decoders and resizers release the interpreter, so threads scale like processes without the cost of
    copying images between them.

    Args:
        sources: The images; may be lazy.
        keys: Their names in messages; may be lazy.
        size: Height and width of the squares, pixels.
        fit: See `load_square`.
        num_workers: Threads that decode; 0 decodes in the calling thread.
        background: See `load_square`.
        on_error: Receives the index of an image that cannot be decoded, which then is black, in any
            thread; None raises.
        rows: Indices of the images in the batch; all if None.

    Raises:
        DataError: For the first image, in order, that cannot be decoded.
    """
    rows = range(len(sources)) if rows is None else rows
    batch = np.empty((len(rows), 3, size, size), dtype=np.uint8)

    def fill(place: int) -> None:
        row = rows[place]
        try:
            batch[place] = load_square(sources[row], keys[row], size, fit, background)
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
) -> Iterator[torch.Tensor]:
    """Yield batches as `load_batch` gives them; the next one is decoded while the last is used.

    sources, keys: may be lazy; an item is asked for once, in a decoding thread.
    on_error: is told, in any thread, the place of an image that cannot be read or decoded, which then is
    black; None raises.
    """
    rows = [
        range(start, min(start + batch_size, len(sources))) for start in range(0, len(sources), batch_size)
    ]

    def load(part: range) -> torch.Tensor:
        return load_batch(sources, keys, size, fit, num_workers, on_error=on_error, rows=part)

    if num_workers == 0 or not rows:
        yield from map(load, rows)
        return
    with ThreadPoolExecutor(1) as ahead:
        waiting = [ahead.submit(load, r) for r in rows[:1]]
        for following in [*rows[1:], None]:
            batch = waiting.pop().result()
            if following is not None:
                waiting.append(ahead.submit(load, following))
            yield batch


def _decode_png(data: bytes) -> np.ndarray | None:
    """Return pixels (H, W, 3), or (H, W, 4) with alpha; None where PIL has to look at the file."""
    if not (data.startswith(_PNG) and data[24:26] in _PLAIN_PNG):
        return None
    # a transparent colour, of which torchvision knows nothing
    if data.find(b"tRNS", 0, data.find(b"IDAT")) > 0:
        return None
    width, height = (int.from_bytes(data[place : place + 4]) for place in (16, 20))
    if width * height > MAX_PIXELS:
        return None
    try:
        image = decode_png(torch.frombuffer(bytearray(data), dtype=torch.uint8))
    except RuntimeError:  # damaged, or torchvision was built without this format: PIL decides
        return None
    if image.shape[0] <= 2:  # grey, perhaps with alpha
        image = torch.cat([image[:1].expand(3, -1, -1), image[1:]])
    return image.permute(1, 2, 0).numpy()
