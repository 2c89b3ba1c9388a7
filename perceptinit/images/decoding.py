"""From encoded images to uint8 squares: decoding, resizing and batches, fast and with PIL's pixels.

JPEG is decoded by libjpeg-turbo, 8-bit PNG by torchvision, and both are resized by torch (bicubic,
antialiased): two to four times as fast as PIL, with its pixels (see `resize_box`). Everything else
(CMYK, palette, 16 bit, WebP, ...) goes through PIL's `convert("RGB")`, file by file (16-bit grey is
clipped at 255, not scaled: so does PIL, and so do the suites we compare with). EXIF orientation is
ignored, as in open_clip and clip-benchmark, which train and evaluate on the stored pixels.
"""

from __future__ import annotations

# B batch, C channels, H W image, S = size: height and width of the square
import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F
from torchvision.io import decode_png
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as TF

from perceptinit.errors import DataError
from perceptinit.files.reading import read_bytes
from perceptinit.images import jpeg
from perceptinit.images.jpeg import MAX_PIXELS, Box
from perceptinit.types import ImageSource

Fit = Literal["squash", "center-crop"]
Decode = Literal["quality", "fast"]

_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"
# bit depth and colour type in a PNG header: 8-bit grey, RGB, RGBA; the rest differs from PIL's colours
_PLAIN_PNG = (b"\x08\x00", b"\x08\x02", b"\x08\x06")


def decode(source: ImageSource, key: str) -> np.ndarray:
    """Return the RGB pixels of an image, uint8 (H, W, 3); pixels pass through.

    key: names the image in messages, such as `00012.tar/000123`.
    Transparency is dropped, as PIL's `convert("RGB")` does. Pixels may differ from PIL's by 1 when
    the two libraries bring different JPEG decoders; `load_square(..., "center-crop")` is exact.

    Raises DataError, naming the image, when it cannot be read or decoded, or has too many pixels by its
    header (`jpeg.MAX_PIXELS`): nothing is decoded then.
    """
    if isinstance(source, np.ndarray):
        return _checked_pixels(source, key)
    data = _read(source, key)
    pixels = _decode_fast(data)
    return np.array(_decode_pil(data, key)) if pixels is None else pixels


def load_square(source: ImageSource, key: str, size: int, fit: Fit) -> np.ndarray:
    """Return an image as a square, uint8 (3, S, S); the array may be a strided view.

    fit "squash": the whole image, its proportions given up (as DreamSim loads NIGHTS).
    fit "center-crop": the shorter side resized to `size`, then the middle, with PIL throughout:
    the pixels of open_clip's evaluation transform, so that scores can be compared with others'.

    Raises DataError as `decode` does, and for one so long that the resized image would be too large.
    """
    if fit == "squash":
        pixels = decode(source, key)
        return resize_box(pixels, (0, 0, *pixels.shape[:2]), size)
    original = _as_pil(source, key)
    shorter, longer = sorted(original.size)
    _check_size(size, size * longer // shorter, key)
    image = TF.resize(original, size, InterpolationMode.BICUBIC)
    return np.asarray(TF.center_crop(image, [size, size])).transpose(2, 0, 1)


def resize_box(pixels: np.ndarray, box: Box, size: int) -> np.ndarray:
    """Return a box of an image resized to a square, uint8 (3, S, S), bicubic with antialiasing.

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
    resize = partial(F.interpolate, mode="bicubic", antialias=True, align_corners=False)
    if (
        0 < height - size > 2 * (width - size)
    ):  # Pillow's rule: columns first, as fewer pixels are left
        image = resize(image, (size, width))
    return resize(image, (size, size))[0].numpy()


def load_box(
    source: ImageSource,
    key: str,
    size: int,
    draw_box: Callable[[int, int], Box],
    decoding: Decode = "quality",
) -> np.ndarray:
    """Return a box of an image as a square, uint8 (3, S, S); the array may be a strided view.

    draw_box: gives (top, left, height, width) for a height and a width; asked once.
    decoding "quality": `decode`, then `resize_box`. "fast": where the box is large (see
    `jpeg.factor_for`) a JPEG is decoded at a fraction of its size, and the box shrinks to whole
    pixels of that. All else, damaged files included, goes the way of "quality".

    Raises DataError as `decode` does.
    """
    data = source if isinstance(source, np.ndarray) else _read(source, key)
    box = None
    if decoding == "fast" and isinstance(data, bytes) and (shape := jpeg.shape(data)):
        box = draw_box(*shape)
        factor = jpeg.factor_for(box, size)
        pixels = jpeg.decode(data, factor)
        if pixels is not None:
            return resize_box(pixels, jpeg.reduced(box, factor), size)
    pixels = decode(data, key)
    return resize_box(pixels, box or draw_box(*pixels.shape[:2]), size)


def load_batch(
    sources: Sequence[ImageSource], keys: Sequence[str], size: int, fit: Fit, num_workers: int = 2
) -> torch.Tensor:
    """Return images as a batch, uint8 (B, 3, S, S), in the order given.

    num_workers: threads that decode; 0 decodes in the calling thread. Decoders and resizers release
    the interpreter, so threads scale like processes without the cost of handing images over.

    Raises DataError of the first image, in order, that cannot be decoded.
    """
    return _load_rows(range(len(sources)), sources, keys, size, fit, num_workers)


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
        range(start, min(start + batch_size, len(sources)))
        for start in range(0, len(sources), batch_size)
    ]
    load = partial(
        _load_rows,
        sources=sources,
        keys=keys,
        size=size,
        fit=fit,
        num_workers=num_workers,
        on_error=on_error,
    )
    if num_workers == 0:
        yield from map(load, rows)
        return
    with ThreadPoolExecutor(1) as ahead:
        waiting = [ahead.submit(load, r) for r in rows[:1]]
        for following in [*rows[1:], None]:
            batch = waiting.pop().result()
            if following is not None:
                waiting.append(ahead.submit(load, following))
            yield batch


def _load_rows(
    rows: Sequence[int],
    sources: Sequence[ImageSource],
    keys: Sequence[str],
    size: int,
    fit: Fit,
    num_workers: int,
    on_error: Callable[[int, DataError], None] | None = None,
) -> torch.Tensor:
    batch = np.empty((len(rows), 3, size, size), dtype=np.uint8)

    def fill(place: int) -> None:
        row = rows[place]
        try:
            batch[place] = load_square(sources[row], keys[row], size, fit)
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


def _read(source: Path | bytes, key: str) -> bytes:
    if isinstance(source, bytes):
        return source
    try:
        return read_bytes(source)
    except OSError as error:
        raise DataError(f"{key}: cannot be read ({source}: {error.strerror})") from error


def _decode_fast(data: bytes) -> np.ndarray | None:
    """Return pixels (H, W, 3), or None where PIL has to look at the file."""
    if data.startswith(_JPEG):
        return jpeg.decode(data)
    if not (data.startswith(_PNG) and data[24:26] in _PLAIN_PNG):
        return None
    width, height = (int.from_bytes(data[place : place + 4]) for place in (16, 20))
    if width * height > MAX_PIXELS:
        return None
    try:
        image = decode_png(torch.frombuffer(bytearray(data), dtype=torch.uint8))
    except RuntimeError:  # damaged, or torchvision was built without this format: PIL decides
        return None
    if image.shape[0] <= 2:  # grey, or grey with one transparent level
        return image[0].numpy()[..., None].repeat(3, axis=2)
    return image[:3].permute(1, 2, 0).numpy()


def _decode_pil(data: bytes, key: str) -> Image.Image:
    try:
        with Image.open(io.BytesIO(data), formats=_formats()) as image:
            _check_size(*image.size, key)
            return image.convert("RGB")
    except DataError:
        raise
    except Exception as error:  # PIL's decoders raise OSError, SyntaxError, struct.error, ...
        why = str(error) if data else "it has no bytes"
        if "cannot identify image file" in why:
            why = f"no known image format; {len(data)} bytes"
        raise DataError(f"{key}: cannot be decoded as an image ({why})") from error


@cache
def _formats() -> list[str]:
    """Return Pillow's formats but for EPS, which it hands to another program (Ghostscript)."""
    Image.init()
    return [name for name in Image.ID if name != "EPS"]


def _check_size(width: int, height: int, key: str) -> None:
    if width * height > MAX_PIXELS:
        raise DataError(
            f"{key}: an image of {width:,} x {height:,} pixels, more than the {MAX_PIXELS:,} that are allowed"
        )


def _as_pil(source: ImageSource, key: str) -> Image.Image:
    if isinstance(source, np.ndarray):
        return Image.fromarray(_checked_pixels(source, key))
    return _decode_pil(_read(source, key), key)


def _checked_pixels(pixels: np.ndarray, key: str) -> np.ndarray:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise DataError(f"{key}: pixels must be uint8 (H, W, 3), got {pixels.dtype} {pixels.shape}")
    return pixels
