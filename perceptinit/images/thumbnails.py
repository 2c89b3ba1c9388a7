"""Small copies of images, for pages."""

import base64
import io

import numpy as np
from PIL import Image

from perceptinit.images.decoding import decode, load_square
from perceptinit.types import WHITE, Color, Fit, ImageSource

THUMBNAIL_SIZE = 112  # pixels


def thumbnail(source: ImageSource, key: str, background: Color = WHITE) -> str:
    """Return an image as a data URI: a JPEG of `THUMBNAIL_SIZE` pixels, or a PNG for tiny images."""
    pixels = decode(source, key, background)
    is_tiny = max(pixels.shape[:2]) <= THUMBNAIL_SIZE // 2
    if not is_tiny:
        pixels = load_square(pixels, key, THUMBNAIL_SIZE, Fit("pad", WHITE), WHITE).transpose(1, 2, 0)
    stream = io.BytesIO()
    kind = "png" if is_tiny else "jpeg"
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, kind, quality=85)
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"
