"""Image decoding with libjpeg-turbo and PIL, without torch, with pixels upright as browsers show them."""

# H W image
import io
import warnings
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
from PIL import Image

from perceptinit.errors import DataError
from perceptinit.files.reading import read_bytes
from perceptinit.images import jpeg
from perceptinit.images.jpeg import MAX_PIXELS
from perceptinit.types import ImageSource

ORIENTATION = 0x0112  # EXIF tag; 1 is upright
HEADER_BYTES = 1 << 18  # of a JPEG, in which EXIF data is looked for
# how the pixels of each EXIF orientation become upright
_TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: np.fliplr,
    3: partial(np.rot90, k=2),
    4: np.flipud,
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: partial(np.rot90, k=-1),
    7: lambda pixels: np.rot90(pixels, k=2).swapaxes(0, 1),
    8: np.rot90,
}
# files that PIL decodes with a warning are accepted
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\b")


def pixels_of(source: ImageSource, key: str) -> np.ndarray:
    """Return the upright pixels of an image, uint8 (H, W, 3), or (H, W, 4) if it has alpha.

    The EXIF orientation is applied, as in browsers. Of 16-bit gray, the high byte of each pixel counts.

    Args:
        source: A path, encoded bytes, or pixels, which are returned unchanged.
        key: Name of the image in messages, such as `00012.tar/000123`.

    Raises:
        DataError: If the image cannot be read or decoded, its header states more than `jpeg.MAX_PIXELS`
            pixels, or its pixels have no stated range (32-bit integers and floats).
    """
    if isinstance(source, np.ndarray):
        return check_pixels(source, key)
    data = read(source, key)
    pixels = jpeg.decode(data)
    if pixels is None:
        pixels = np.array(decode_pil(data, key, keep_alpha=True))
    return upright(pixels, data)


def upright(pixels: np.ndarray, data: bytes) -> np.ndarray:
    """Return the pixels (H, W, C) of an encoded image, turned by its EXIF orientation."""
    turn = _TURNS.get(orientation_of(data))
    return pixels if turn is None else np.ascontiguousarray(turn(pixels))


def orientation_of(data: bytes) -> int:
    """Return the EXIF orientation of an encoded image, 1 (upright) to 8; 1 if it states none.

    Pillow turns TIFF images when it decodes them, so they count as upright.
    """
    is_jpeg = data.startswith(b"\xff\xd8")
    mark = b"Exif\0\0" if is_jpeg else b"eXIf" if data.startswith(b"\x89PNG") else b"EXIF"
    if data.find(mark, 0, HEADER_BYTES if is_jpeg else len(data)) < 0:
        return 1
    try:
        with Image.open(io.BytesIO(data), formats=_formats()) as image:
            stated = 1 if image.format == "TIFF" else image.getexif().get(ORIENTATION, 1)
    except Exception:  # PIL raises OSError, SyntaxError, struct.error, ... for damaged EXIF data
        return 1
    return stated if isinstance(stated, int) else 1


def place_of(source: ImageSource, key: str) -> str:
    """Return the path of an image file for messages, and the key of an image that is not a file."""
    return str(source) if isinstance(source, Path) else key


def read(source: Path | bytes, key: str) -> bytes:
    """Return the bytes of an encoded image; DataError naming the image if it cannot be read."""
    if isinstance(source, bytes):
        return source
    try:
        return read_bytes(source)
    except OSError as error:
        raise DataError(f"{key}: cannot be read ({source}: {error.strerror})") from error


def decode_pil(data: bytes, key: str, *, keep_alpha: bool, is_published: bool = False) -> Image.Image:
    """Return an image in mode RGB, or RGBA if it has transparency and `keep_alpha` is set, not turned.

    Of 16-bit gray, the high byte of each pixel counts. If `is_published`, it is clipped at 255, as in
    open_clip and clip-benchmark.

    Raises DataError naming the image if it cannot be decoded.
    """
    try:
        with Image.open(io.BytesIO(data), formats=_formats()) as image:
            check_size(*image.size, key)
            if not is_published and (image.mode in ("I", "F") or image.mode.startswith("I;")):
                return _reduce_gray(image, key).convert("RGB")
            return image.convert("RGBA" if keep_alpha and image.has_transparency_data else "RGB")
    except DataError:
        raise
    except Exception as error:  # PIL's decoders raise OSError, SyntaxError, struct.error, ...
        why = str(error) if data else "the file is empty"
        if "cannot identify image file" in why:
            why = f"unknown image format, {len(data)} bytes"
        raise DataError(f"{key}: cannot be decoded as an image ({why})") from error


def _reduce_gray(image: Image.Image, key: str) -> Image.Image:
    """Return a 16-bit gray image in 8 bits; DataError naming an image of 32-bit pixels."""
    # Pillow before 11.3 opens 16-bit PNG as 32-bit integers
    if not image.mode.startswith("I;") and image.format != "PNG":
        raise DataError(f"{key}: 32-bit pixels (mode {image.mode}) have no stated range. Save 8 or 16 bits")
    return Image.fromarray((np.asarray(image).astype(np.int64) >> 8).astype(np.uint8))


@cache
def _formats() -> tuple[str, ...]:
    """Return PIL's formats, JPEG and PNG first, without EPS, which Pillow decodes with Ghostscript."""
    Image.init()
    frequent = ("JPEG", "PNG")
    return (*frequent, *(name for name in Image.ID if name not in (*frequent, "EPS")))


def check_pixels(pixels: np.ndarray, key: str) -> np.ndarray:
    """Return the pixels unchanged; DataError naming the image if they are not uint8 (H, W, 3)."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise DataError(f"{key}: pixels must be uint8 (H, W, 3), got {pixels.dtype} {pixels.shape}")
    return pixels


def check_size(width: int, height: int, key: str) -> None:
    """Raise DataError naming the image if it has more than MAX_PIXELS pixels."""
    if width * height > MAX_PIXELS:
        raise DataError(f"{key}: {width:,} x {height:,} pixels exceed the limit of {MAX_PIXELS:,}")
