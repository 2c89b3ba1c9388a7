"""JPEG decoding at a fraction of the size: sizes, boxes, and the files that PIL decodes instead."""

import io

import numpy as np
import pytest
from PIL import Image

from perceptinit.images import jpeg


def encoded(height, width, mode="RGB", kind="JPEG"):
    y, x = np.mgrid[:height, :width]
    pixels = np.stack((x % 256, y % 256, (x + y) % 256), axis=2).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, kind)
    return file.getvalue()


def test_the_header_contains_height_and_width():
    assert jpeg.shape(encoded(61, 91)) == (61, 91)


@pytest.mark.parametrize(
    "data",
    [encoded(61, 91, mode="CMYK"), encoded(61, 91, kind="PNG"), encoded(61, 91)[:100], b""],
    ids=["cmyk", "png", "cut header", "empty"],
)
def test_pil_decodes_formats_that_libjpeg_turbo_does_not_support(data):
    assert jpeg.shape(data) is None
    assert jpeg.decode(data) is None
    assert jpeg.decode(data, 2) is None


def test_pil_decodes_jpegs_that_are_damaged_after_the_header():
    data = encoded(61, 91)
    assert jpeg.decode(data[: len(data) // 2]) is None


@pytest.mark.parametrize(("factor", "shape"), [(1, (61, 91)), (2, (31, 46)), (4, (16, 23)), (8, (8, 12))])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_fraction_of_the_image_size_is_rounded_up(factor, shape, mode):
    pixels = jpeg.decode(encoded(61, 91, mode=mode), factor)
    assert (pixels.shape, pixels.dtype) == ((*shape, 3), np.uint8)


@pytest.mark.parametrize(
    ("height", "width", "factor"),
    [(671, 2000, 1), (672, 672, 2), (900, 1343, 2), (1344, 1344, 4), (2687, 4000, 4), (2688, 2688, 8)],
)  # fmt: skip
def test_the_reduction_keeps_at_least_1_5_pixels_per_output_pixel(height, width, factor):
    assert jpeg.factor_for((5, 7, height, width), 224) == factor


def test_the_reduced_box_contains_only_whole_pixels_inside_the_box():
    # rows 3 to 12: at half size, the rows of 4 and 5 up to 10 and 11 are inside
    assert jpeg.reduce_box((3, 4, 10, 9), 2) == (2, 2, 4, 4)
    assert jpeg.reduce_box((8, 0, 16, 24), 8) == (1, 0, 2, 3)
    assert jpeg.reduce_box((3, 4, 10, 9), 1) == (3, 4, 10, 9)
