"""JPEG decoding with libjpeg-turbo at full, half, quarter or eighth size; pixels equal PIL's.

Decoding at 1 / f uses f times fewer DCT coefficients per row and column, which saves most of the work after
entropy decoding. For unsupported files (CMYK, rare subsampling, damage) the functions return None, and PIL
decodes them.
"""

# H W image, f factor, S = size: height and width of a square
import numpy as np
import simplejpeg

Box = tuple[int, int, int, int]

# Pillow's limit on the pixels of an image, applied to all formats: a header of a few hundred bytes can
# request 12 GB
MAX_PIXELS = 178_956_970

# libjpeg-turbo has no SIMD code for other factors, which are slower and less accurate
_FACTORS = (8, 4, 2)
# pixels of the box per pixel of the square, along a side; with 1, sharp images have 34 dB PSNR, not 41
_SPARE = 1.5


def shape(data: bytes) -> tuple[int, int] | None:
    """Return the height and width in the header, or None if PIL must decode or reject the file."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    is_for_pil = colours in ("CMYK", "YCCK") or height * width > MAX_PIXELS
    return None if is_for_pil else (int(height), int(width))


def decode(data: bytes, factor: int = 1) -> np.ndarray | None:
    """Return RGB pixels, uint8 (ceil(H / f), ceil(W / f), 3), or None if PIL must decode the file."""
    whole = shape(data)
    if whole is None:
        return None
    height = -(-whole[0] // factor)
    width = -(-whole[1] // factor)
    try:
        return simplejpeg.decode_jpeg(data, min_height=height, min_width=width, min_factor=factor)
    except ValueError:
        return None


def factor_for(box: Box, size: int) -> int:
    """Return the factor by which to reduce an image before a box of it is resized to `size`.

    Each side of the reduced box has at least 1.5 pixels per pixel of the square. For sharp images, the PSNR
    relative to full-size decoding is 41 dB at 1.5, 45 at 2 and 50 at 3 (`benchmarks/images.py`).
    """
    side = min(box[2:])
    return next((f for f in _FACTORS if side >= _SPARE * f * size), 1)


def reduce_box(box: Box, factor: int) -> Box:
    """Return a box (top, left, height, width) at 1 / f, rounded inward to whole pixels.

    Each edge moves by at most f - 1 pixels of the original.
    """
    top, left, height, width = box
    first = -(-top // factor), -(-left // factor)
    return *first, (top + height) // factor - first[0], (left + width) // factor - first[1]
