"""JPEG through libjpeg-turbo: the pixels of PIL, whole or at a half, a quarter or an eighth of the size.

An image at 1 / f comes from f times fewer DCT coefficients a row and column, which saves most of the
work after entropy decoding. What libjpeg-turbo does not take (CMYK, rare subsampling, damage) is
left to PIL: the functions return None.
"""

from __future__ import annotations

# H W image, f factor, S = size: height and width of a square
import numpy as np
import simplejpeg

Box = tuple[int, int, int, int]

# pixels that an image may have, of any format: Pillow's limit, beyond which its open() raises. A header
# of some hundred bytes can ask for 12 GB
MAX_PIXELS = 178_956_970

# the others are slower and differ more: libjpeg-turbo has no vector code for them
_FACTORS = (8, 4, 2)
# pixels of a box, a side, for each of its square: with 1, photographs sharp to the pixel would come out
# with 34 dB PSNR instead of 41
_SPARE = 1.5


def shape(data: bytes) -> tuple[int, int] | None:
    """Return height and width as the header says, or None where PIL has to look at the file.

    So it has where there are more than MAX_PIXELS: it refuses them.
    """
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    is_for_pil = colours in ("CMYK", "YCCK") or height * width > MAX_PIXELS
    return None if is_for_pil else (int(height), int(width))


def decode(data: bytes, factor: int = 1) -> np.ndarray | None:
    """Return RGB pixels, uint8 (ceil(H / f), ceil(W / f), 3), or None where PIL has to look at the file."""
    whole = shape(data)
    if whole is None:
        return None
    height, width = (-(-side // factor) for side in whole)
    try:
        return simplejpeg.decode_jpeg(data, min_height=height, min_width=width, min_factor=factor)
    except ValueError:
        return None


def factor_for(box: Box, size: int) -> int:
    """Return by how much an image may be reduced before a box of it is resized to a square of `size`.

    Each side of the box keeps at least 1.5 pixels for each one of the square. PSNR to squares from whole
    images, for photographs sharp to the pixel: 41 dB at 1.5, 45 at 2, 50 at 3 (`benchmarks/images.py`).
    """
    side = min(box[2:])
    return next((f for f in _FACTORS if side >= _SPARE * f * size), 1)


def reduce_box(box: Box, factor: int) -> Box:
    """Return a box (top, left, height, width) in an image at 1 / f: the whole pixels inside it.

    At most f - 1 pixels of the original are lost at a side.
    """
    top, left, height, width = box
    first = -(-top // factor), -(-left // factor)
    return *first, (top + height) // factor - first[0], (left + width) // factor - first[1]
