"""Image decoding with libjpeg-turbo and PIL, without torch."""

# H W image
import io
import warnings
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from perceptinit.errors import DataError
from perceptinit.files.reading import read_bytes
from perceptinit.images import jpeg
from perceptinit.images.jpeg import MAX_PIXELS
from perceptinit.types import ImageSource

# files that PIL decodes with a warning are accepted
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\b")


def pixels_of(source: ImageSource, key: str) -> np.ndarray:
    """Return the pixels of an image, uint8 (H, W, 3), or (H, W, 4) if it has alpha.

    Args:
        source: A path, encoded bytes, or pixels, which are returned unchanged.
        key: Name of the image in messages, such as `00012.tar/000123`.

    Raises:
        DataError: If the image cannot be read or decoded, or its header states more than `jpeg.MAX_PIXELS`
            pixels.
    """
    if isinstance(source, np.ndarray):
        return check_pixels(source, key)
    data = read(source, key)
    pixels = jpeg.decode(data)
    return np.array(decode_pil(data, key, keep_alpha=True)) if pixels is None else pixels


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


def decode_pil(data: bytes, key: str, *, keep_alpha: bool) -> Image.Image:
    """Return an image in mode RGB, or RGBA if it has transparency and `keep_alpha` is set.

    Raises DataError naming the image if it cannot be decoded.
    """
    try:
        with Image.open(io.BytesIO(data), formats=_formats()) as image:
            check_size(*image.size, key)
            if keep_alpha and image.has_transparency_data:
                return image.convert("RGBA")
            return image.convert("RGB")
    except DataError:
        raise
    except Exception as error:  # PIL's decoders raise OSError, SyntaxError, struct.error, ...
        why = str(error) if data else "the file is empty"
        if "cannot identify image file" in why:
            why = f"unknown image format, {len(data)} bytes"
        raise DataError(f"{key}: cannot be decoded as an image ({why})") from error


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
