"""Random samples of test data, and thumbnails as data URIs."""

import base64
import io

import numpy as np

from perceptinit.companion import WHITE, Colour, ImageSource, decode, load_square
from perceptinit.plugin import Fit, generator

NUM_SAMPLED = 256
NUM_SHOWN = 3
THUMBNAIL_SIZE = 112


def draw_sample(count: int, name: str) -> np.ndarray:
    """Return sorted random row indices, the same for all arms and reports."""
    return np.sort(generator(0, "report", name).permutation(count)[:NUM_SAMPLED])


def thumbnail(source: ImageSource, key: str, background: Colour = WHITE) -> str:
    """Return an image as a data URI: a JPEG of `THUMBNAIL_SIZE` pixels, or a PNG for tiny images."""
    from PIL import Image

    pixels = decode(source, key, background)
    is_tiny = max(pixels.shape[:2]) <= THUMBNAIL_SIZE // 2
    if not is_tiny:
        pixels = load_square(pixels, key, THUMBNAIL_SIZE, Fit("pad", WHITE), WHITE).transpose(1, 2, 0)
    stream = io.BytesIO()
    kind = "png" if is_tiny else "jpeg"
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, kind, quality=85)
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"
