"""Decoding and resizing equal PIL for all formats, and errors name the image."""

import io
import resource
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import PIL
import pytest
import torch
from helpers.headers import encoded, header_of
from PIL import Image, ImageOps

from perceptinit.errors import DataError
from perceptinit.images import jpeg
from perceptinit.images.background import colour_of
from perceptinit.images.decoding import (
    decode,
    load_batch,
    load_box,
    load_square,
    resize_box,
    stream_batches,
)
from perceptinit.images.encoded import pixels_of
from perceptinit.types import WHITE, Fit

BOMBS = {
    "jpeg": lambda: header_of("JPEG", 30000, 30000),
    "jpeg-largest": lambda: header_of("JPEG", 65500, 65500),
    "jpeg-cmyk": lambda: header_of("JPEG", 30000, 30000, "CMYK"),
    "png": lambda: header_of("PNG", 30000, 30000),
    "png-palette": lambda: header_of("PNG", 30000, 30000, "P"),
    "png-just-over": lambda: header_of("PNG", 13378, 13378),
    "bmp": lambda: header_of("BMP", 30000, 30000),
}
WAYS = {
    "decode": lambda data: decode(data, "bomb"),
    "squash": lambda data: load_square(data, "bomb", 32, Fit("squash"), WHITE),
    "center-crop": lambda data: load_square(data, "bomb", 32, Fit()),
    "box": lambda data: load_box(data, "bomb", 32, whole),
    "box-fast": lambda data: load_box(data, "bomb", 32, whole, "fast"),
}


def whole(height, width):
    return 0, 0, height, width


@pytest.fixture
def little_memory():
    """Limit this process to 300 MB of additional memory."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (300 << 20), limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, limits)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_header_with_too_many_pixels_is_refused_on_all_paths(bomb, way, little_memory):
    with pytest.raises(DataError, match=r"^bomb: .*178,?956,?970"):
        way(bomb())


def test_a_thin_image_that_would_be_resized_to_gigabytes_is_refused(little_memory):
    data = encoded(Image.new("L", (1, 60000)), "PNG")
    assert decode(data, "thin").shape == (60000, 1, 3)
    with pytest.raises(DataError, match=r"^thin: 224 x 13,440,000 pixels exceed the limit of"):
        load_square(data, "thin", 224, Fit())


def test_an_eps_file_is_refused_without_starting_ghostscript():
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n"
    with pytest.raises(DataError, match="unknown image format"):
        decode(eps, "drawing.jpg")


def smooth_pixels(height=60, width=90):
    """Return an image with soft gradients, uint8 (H, W, 3), that JPEG changes little."""
    y, x = np.mgrid[:height, :width]
    channels = (x * 255 / width, y * 255 / height, 127 + 100 * np.sin((x + y) / 9))
    return np.stack(channels, axis=2).astype(np.uint8)


def rgb():
    return Image.fromarray(smooth_pixels())


def with_black_ink():
    cyan, magenta, yellow, _ = rgb().convert("CMYK").split()
    return Image.merge("CMYK", (cyan, magenta, yellow, rgb().convert("L")))


def rotated_by_exif():
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by a quarter
    return encoded(rgb(), "JPEG", exif=exif)


FILES = {
    "jpeg": lambda: encoded(rgb(), "JPEG", quality=90),
    "jpeg-progressive": lambda: encoded(rgb(), "JPEG", progressive=True),
    "jpeg-grey": lambda: encoded(rgb().convert("L"), "JPEG"),
    "jpeg-cmyk": lambda: encoded(with_black_ink(), "JPEG"),
    "png": lambda: encoded(rgb(), "PNG"),
    "png-grey": lambda: encoded(rgb().convert("L"), "PNG"),
    "png-grey-alpha": lambda: encoded(rgb().convert("LA"), "PNG"),
    "png-alpha": lambda: encoded(rgb().convert("RGBA"), "PNG"),
    "png-transparent-colour": lambda: encoded(rgb(), "PNG", transparency=(1, 2, 3)),
    "png-palette": lambda: encoded(rgb().convert("P"), "PNG", transparency=3),
    "png-1-bit": lambda: encoded(rgb().convert("1"), "PNG"),
    "webp": lambda: encoded(rgb(), "WEBP"),
    "gif": lambda: encoded(rgb(), "GIF"),
    "bmp": lambda: encoded(rgb(), "BMP"),
    "tiff": lambda: encoded(rgb(), "TIFF"),
}


@pytest.mark.parametrize("kind", FILES)
def test_each_format_decodes_to_the_pixels_of_pil(kind):
    data = FILES[kind]()
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    pixels = decode(data, "a")
    assert pixels.dtype == np.uint8
    assert pixels.shape == (60, 90, 3)
    assert np.abs(pixels - expected).max() <= 1


def glass():
    """Return an RGBA image whose opacity rises from left to right."""
    pixels = np.dstack([smooth_pixels(), np.tile(np.linspace(0, 255, 90, dtype=np.uint8), (60, 1))])
    return Image.fromarray(pixels)


def hole():
    """Return a red palette image with one transparent corner."""
    indices = np.ones((60, 90), dtype=np.uint8)
    indices[:20, :30] = 0
    image = Image.fromarray(indices, mode="P")
    image.putpalette([0, 0, 0, 255, 0, 0])
    return image


TRANSPARENT = {
    "png": lambda: encoded(glass(), "PNG"),
    "png-grey": lambda: encoded(glass().convert("LA"), "PNG"),
    "png-palette-levels": lambda: encoded(hole(), "PNG", transparency=b"\x00\xff"),
    "png-colour": lambda: encoded(hole().convert("RGB"), "PNG", transparency=(0, 0, 0)),
    "png-grey-level": lambda: encoded(hole().convert("L"), "PNG", transparency=0),
    "webp": lambda: encoded(glass(), "WEBP", lossless=True, exact=True),
    "gif": lambda: encoded(hole(), "GIF", transparency=0),
}


@pytest.mark.parametrize("background", [(255, 255, 255), (0, 0, 0), (10, 200, 30)])
@pytest.mark.parametrize("kind", TRANSPARENT)
def test_transparent_parts_show_the_background_as_in_pil(kind, background):
    data = TRANSPARENT[kind]()
    image = Image.open(io.BytesIO(data)).convert("RGBA")
    ground = Image.new("RGBA", image.size, (*background, 255))
    expected = np.asarray(Image.alpha_composite(ground, image).convert("RGB")).astype(int)
    assert np.abs(decode(data, "a", background) - expected).max() <= 1
    assert np.array_equal(decode(data, "a", background)[0, 0], background)


def test_the_default_background_is_white():
    data = TRANSPARENT["png"]()
    assert decode(data, "a")[0, 0].tolist() == [255, 255, 255]
    assert load_square(data, "a", 8, Fit("squash"), WHITE)[:, 0, 0].min() > 240
    box = load_box(data, "a", 8, lambda height, width: (0, 0, height, 4), background=(0, 0, 255))
    assert box[:, 4, 0].tolist() == [0, 0, 255]


def test_a_background_does_not_change_opaque_pixels():
    assert np.array_equal(decode(encoded(rgb().convert("RGBA"), "PNG"), "a", (0, 0, 0)), smooth_pixels())


@pytest.mark.parametrize("kind", TRANSPARENT)
def test_squares_of_test_sets_drop_alpha(kind):
    data = TRANSPARENT[kind]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = Image.open(io.BytesIO(data)).convert("RGB").resize((12, 8), Image.BICUBIC)
    square = load_square(data, "a", 8, Fit())
    assert np.array_equal(square, np.asarray(expected)[:, 2:10].transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("text", "colour"),
    [(None, (255, 255, 255)), ("gray", (128, 128, 128)), ("#8090a0", (128, 144, 160))],
)
def test_a_background_is_a_css_color(text, colour):
    assert colour_of(text) == colour


@pytest.mark.parametrize("text", ["transparent", "#80808080", "whit", ""])
def test_a_background_that_is_not_an_opaque_color_is_refused(text):
    with pytest.raises(
        ValueError, match=rf"background = '{text}': not an opaque color\. Use a CSS name or a code"
    ):
        colour_of(text)


def test_warnings_of_pillow_are_suppressed(tmp_path):
    (tmp_path / "a.png").write_bytes(TRANSPARENT["png-palette-levels"]())
    script = "from pathlib import Path; from perceptinit.images.decoding import *; " + "; ".join(
        f"load_square(Path('a.png'), 'a', 8, Fit(), {background})" for background in ((0, 0, 0), None)
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""


def test_pixels_bytes_and_files_decode_to_equal_pixels(tmp_path):
    data = FILES["png"]()
    (tmp_path / "a.png").write_bytes(data)
    assert np.array_equal(decode(data, "a"), smooth_pixels())
    assert np.array_equal(decode(tmp_path / "a.png", "a"), smooth_pixels())
    assert np.array_equal(decode(smooth_pixels(), "a"), smooth_pixels())


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_a_truncated_image_is_an_error_with_its_name(kind):
    data = FILES[kind]()
    with pytest.raises(DataError, match=r"^7\.tar/000123: cannot be decoded as an image \(.+\)$"):
        decode(data[: len(data) // 2], "7.tar/000123")


@pytest.mark.parametrize(
    ("data", "why"),
    [(b"", "the file is empty"), (b"<html>not found</html>", "unknown image format, 22 bytes")],
)
def test_a_file_without_an_image_is_an_error_with_the_reason(data, why):
    with pytest.raises(DataError) as caught:
        decode(data, "row 3")
    assert str(caught.value) == f"row 3: cannot be decoded as an image ({why})"


def test_a_missing_image_file_is_an_error_with_its_path(tmp_path):
    with pytest.raises(DataError) as caught:
        decode(tmp_path / "gone.jpg", "ref/1")
    path = tmp_path / "gone.jpg"
    assert str(caught.value) == f"ref/1: cannot be read ({path}: No such file or directory)"


def test_pixels_of_the_wrong_type_are_refused():
    with pytest.raises(DataError, match=r"a: pixels must be uint8 \(H, W, 3\), got float64 \(4, 4, 3\)"):
        decode(np.zeros((4, 4, 3)), "a")


def test_squash_equals_pils_resize_of_the_whole_image():
    expected = np.asarray(rgb().resize((32, 32), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    square = load_square(FILES["png"](), "a", 32, Fit("squash"), WHITE)
    assert square.shape == (3, 32, 32)
    assert np.abs(square.astype(int) - expected).max() <= 2


def test_a_box_is_cropped_before_it_is_resized():
    expected = np.asarray(rgb().crop((40, 10, 80, 40)).resize((16, 16), Image.Resampling.BICUBIC))
    square = resize_box(smooth_pixels(), (10, 40, 30, 40), 16)  # top, left, height, width
    assert np.abs(square.astype(int) - expected.transpose(2, 0, 1)).max() <= 2


@pytest.mark.parametrize(
    ("height", "width", "is_along_columns_first"),
    [(90, 40, True), (33, 32, True), (65, 48, True), (64, 48, False), (40, 90, False), (30, 20, False)],
)  # fmt: skip
def test_a_tall_box_is_resized_along_its_columns_first_as_in_pillow_13(height, width, is_along_columns_first):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image, bicubic = Image.fromarray(pixels), Image.Resampling.BICUBIC
    between = (width, 32) if is_along_columns_first else (32, height)
    expected = image.resize(between, bicubic).resize((32, 32), bicubic)
    if int(PIL.__version__.split(".")[0]) >= 13:
        assert np.array_equal(expected, image.resize((32, 32), bicubic))
    square = resize_box(pixels, (0, 0, height, width), 32).astype(int)
    assert np.abs(square - np.asarray(expected).transpose(2, 0, 1)).max() <= 2


@pytest.mark.parametrize("mode", ["bicubic", "bilinear"])
def test_a_resized_box_equals_pil_for_both_interpolations(mode):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    square = resize_box(pixels, (0, 0, 40, 60), 16, mode).astype(int)
    wanted = Image.fromarray(pixels).resize((16, 16), getattr(Image.Resampling, mode.upper()))
    assert np.abs(square - np.asarray(wanted).transpose(2, 0, 1)).max() <= 2


def test_a_box_of_the_target_size_keeps_its_pixels():
    square = resize_box(smooth_pixels(), (5, 7, 16, 16), 16)
    assert np.array_equal(square, smooth_pixels()[5:21, 7:23].transpose(2, 0, 1))


def large_jpeg(**options):
    return encoded(Image.fromarray(smooth_pixels(240, 360)), "JPEG", quality=90, **options)


def boxed(data, box, size, decoding):
    return load_box(data, "a", size, lambda height, width: box, decoding)


def with_pil(data, box, size):
    top, left, height, width = box
    image = Image.open(io.BytesIO(data)).convert("RGB")
    crop = image.crop((left, top, left + width, top + height))
    return np.asarray(crop.resize((size, size), Image.Resampling.BICUBIC)).transpose(2, 0, 1)


def psnr(ours, theirs):
    return 10 * np.log10(255**2 / ((ours.astype(float) - theirs) ** 2).mean())


@pytest.mark.parametrize(("size", "decibel"), [(64, 45), (32, 45), (16, 43)])  # 1/2, 1/4, 1/8
def test_fast_squares_approximate_those_of_pil(size, decibel):
    data, box = large_jpeg(), (16, 24, 208, 320)
    square = boxed(data, box, size, "fast")
    assert (square.shape, square.dtype) == ((3, size, size), np.uint8)
    assert psnr(square, with_pil(data, box, size)) > decibel
    assert not np.array_equal(square, boxed(data, box, size, "quality"))


def test_a_fast_box_is_reduced_to_whole_pixels_inside_the_box():
    data = large_jpeg()
    square = boxed(data, (15, 23, 210, 322), 64, "fast")
    assert np.array_equal(square, boxed(data, (16, 24, 208, 320), 64, "fast"))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_an_image_is_turned_as_browsers_turn_it(orientation, form):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if form == "WEBP" else {}
    data = encoded(rgb(), form, exif=exif, **options)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    assert expected.shape == ((60, 90, 3) if orientation < 5 else (90, 60, 3))
    for pixels in (decode(data, "a"), pixels_of(data, "a")):
        assert pixels.shape == expected.shape
        assert np.abs(pixels.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("is_published", [True, False])
def test_only_images_of_own_test_sets_are_turned(is_published):
    data = rotated_by_exif()
    stored = load_square(encoded(rgb(), "JPEG"), "a", 16, Fit("squash"))
    upright = load_square(data, "a", 16, Fit("squash"), WHITE)
    square = load_square(data, "a", 16, Fit("squash"), is_published=is_published).astype(int)
    assert np.array_equal(square, stored) == is_published
    assert np.abs(square - (stored if is_published else upright)).max() <= 2


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_the_high_byte_of_16_bit_gray_counts(form):
    gray = np.arange(256 * 4, dtype=np.uint16).reshape(32, 32) * 64
    data = encoded(Image.fromarray(gray), form)
    expected = np.repeat((gray >> 8).astype(np.uint8)[..., None], 3, axis=2)
    assert np.array_equal(decode(data, "a"), expected)
    clipped = load_square(data, "a", 32, Fit("squash"))
    assert np.array_equal(clipped[0], np.minimum(gray, 255)), "published sets are scored as by PIL"


def test_pixels_without_a_stated_range_are_refused():
    data = encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF")
    with pytest.raises(
        DataError, match=r"^a: 32-bit pixels \(mode F\) have no stated range. Save 8 or 16 bits$"
    ):
        decode(data, "a")


def test_damaged_exif_data_counts_as_upright():
    data = bytearray(rotated_by_exif())
    place = data.find(b"Exif\0\0") + 6
    data[place : place + 12] = b"\xff" * 12
    assert decode(bytes(data), "a").shape == (60, 90, 3)


@pytest.mark.parametrize("kind", FILES)
def test_fast_equals_quality_if_half_the_size_is_too_small(kind):
    data, box = FILES[kind](), (2, 3, 50, 70)
    assert np.array_equal(boxed(data, box, 17, "fast"), boxed(data, box, 17, "quality"))


@pytest.mark.parametrize("kind", [k for k in FILES if not k.startswith("jpeg") or k == "jpeg-cmyk"])
def test_fast_equals_quality_for_all_but_plain_jpegs(kind):
    data, box = FILES[kind](), (2, 3, 50, 70)
    assert np.array_equal(boxed(data, box, 8, "fast"), boxed(data, box, 8, "quality"))


def test_fast_equals_quality_for_pixels():
    pixels, box = smooth_pixels(), (2, 3, 50, 70)
    assert np.array_equal(boxed(pixels, box, 8, "fast"), boxed(pixels, box, 8, "quality"))


def test_fast_turns_an_image_by_its_exif_orientation():
    exif = Image.Exif()
    exif[0x0112] = 6
    box = (16, 24, 208, 200)
    turned = boxed(large_jpeg(exif=exif), box, 32, "fast")
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(large_jpeg(exif=exif))))
    assert np.array_equal(turned, boxed(np.asarray(upright), box, 32, "quality"))


@pytest.mark.parametrize("decoding", ["quality", "fast"])
def test_the_box_is_drawn_once_from_the_size_of_the_image(decoding, tmp_path):
    (tmp_path / "a.jpg").write_bytes(large_jpeg())
    asked = []

    def draw(height, width):
        asked.append((height, width))
        return 0, 0, height, width

    load_box(tmp_path / "a.jpg", "a", 16, draw, decoding)
    assert asked == [(240, 360)]


def test_a_truncated_jpeg_is_an_error_in_fast_mode():
    data = large_jpeg()
    with pytest.raises(DataError, match=r"^7\.tar/1: cannot be decoded as an image \(.+\)$"):
        load_box(data[:-200], "7.tar/1", 16, lambda h, w: (0, 0, h, w), "fast")


def test_the_pil_fallback_keeps_the_drawn_box(monkeypatch):
    data, box = large_jpeg(), (15, 23, 210, 322)
    expected = boxed(data, box, 32, "quality")
    monkeypatch.setattr(jpeg, "decode", lambda data, factor=1: None)
    assert np.array_equal(boxed(data, box, 32, "fast"), expected)


@pytest.mark.parametrize("shape", [(60, 90), (90, 61), (32, 32), (20, 24)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_center_crop_equals_the_evaluation_transform_of_open_clip(shape, kind):
    from open_clip.transform import image_transform

    data = encoded(Image.fromarray(smooth_pixels(*shape)), kind)
    transform = image_transform(32, is_train=False, mean=(0, 0, 0), std=(1, 1, 1))
    expected = (transform(Image.open(io.BytesIO(data)).convert("RGB")) * 255).round()
    square = load_square(data, "a", 32, Fit())
    assert np.array_equal(square, expected.to(torch.uint8).numpy())


@pytest.mark.parametrize("num_workers", [0, 1, 3])
def test_a_batch_keeps_the_order_for_any_number_of_threads(num_workers):
    images = [np.full((8, 8, 3), value, dtype=np.uint8) for value in range(20)]
    batch = load_batch(images, [str(i) for i in range(20)], 8, Fit("squash"), num_workers)
    assert batch.dtype == torch.uint8
    assert batch.shape == (20, 3, 8, 8)
    assert batch[:, 0, 0, 0].tolist() == list(range(20))


def test_the_error_of_a_batch_names_its_first_bad_image():
    sources = [smooth_pixels(), b"x", b"y", smooth_pixels()]
    with pytest.raises(DataError, match=r"^one: cannot be decoded"):
        load_batch(sources, ["zero", "one", "two", "three"], 8, Fit("squash"), 2)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_stream_yields_all_images_in_order(num_workers):
    images = [np.full((8, 8, 3), value, dtype=np.uint8) for value in range(7)]
    batches = list(stream_batches(images, "abcdefg", 8, Fit("squash"), 3, num_workers))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert torch.cat(batches)[:, 0, 0, 0].tolist() == list(range(7))


def test_a_closed_stream_ends_its_threads():
    before = threading.active_count()
    images = [smooth_pixels()] * 8
    stream = stream_batches(images, "abcdefgh", 8, Fit("squash"), 2, 2)
    next(stream)
    stream.close()
    assert threading.active_count() == before
