"""Copies of images by their pixels."""

import io

import numpy as np
from PIL import Image

from perceptinit.images.copies import find_copies


def encoded(pixels, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def draw(seed, size=(8, 6)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def test_a_copy_has_equal_pixels_whatever_its_file(tmp_path):
    path = tmp_path / "other-name.bmp"
    Image.fromarray(draw(0)).save(path)
    images = [encoded(draw(0)), encoded(draw(1)), draw(0), encoded(draw(2), "JPEG")]
    assert find_copies([images], [path]) == [0.5]


def test_images_of_another_size_are_not_decoded(monkeypatch):
    from perceptinit.images import copies

    monkeypatch.setattr(copies, "decode", None)
    assert find_copies([[encoded(draw(0))]], [encoded(draw(0, (4, 4)))]) == [0.0]


def test_each_set_has_its_share():
    assert find_copies([[draw(0), draw(1)], [draw(1)]], [draw(1)]) == [0.5, 1.0]


def test_an_image_that_cannot_be_read_is_no_copy(tmp_path):
    assert find_copies([[b"no image", encoded(draw(0))[:60]]], [tmp_path / "absent.png", draw(0)]) == [0.0]
