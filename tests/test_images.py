"""Decoding and resizing give PIL's pixels, whatever the file; what cannot be decoded is named."""

import io
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from perceptinit.errors import DataError
from perceptinit.images import decode, load_batch, load_square, resize_box, stream_batches


def smooth_pixels(height=60, width=90):
    """Return a picture with soft gradients, uint8 (H, W, 3): JPEG keeps it nearly as it is."""
    y, x = np.mgrid[:height, :width]
    channels = (x * 255 / width, y * 255 / height, 127 + 100 * np.sin((x + y) / 9))
    return np.stack(channels, axis=2).astype(np.uint8)


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


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
    "jpeg-exif-orientation": rotated_by_exif,
    "png": lambda: encoded(rgb(), "PNG"),
    "png-grey": lambda: encoded(rgb().convert("L"), "PNG"),
    "png-grey-alpha": lambda: encoded(rgb().convert("LA"), "PNG"),
    "png-alpha": lambda: encoded(rgb().convert("RGBA"), "PNG"),
    "png-transparent-colour": lambda: encoded(rgb(), "PNG", transparency=(1, 2, 3)),
    "png-palette": lambda: encoded(rgb().convert("P"), "PNG", transparency=3),
    "png-1-bit": lambda: encoded(rgb().convert("1"), "PNG"),
    "png-16-bit": lambda: encoded(
        Image.fromarray(smooth_pixels()[..., 0].astype(np.uint16) * 3), "PNG"
    ),
    "webp": lambda: encoded(rgb(), "WEBP"),
    "gif": lambda: encoded(rgb(), "GIF"),
    "bmp": lambda: encoded(rgb(), "BMP"),
    "tiff": lambda: encoded(rgb(), "TIFF"),
}


@pytest.mark.parametrize("kind", FILES)
def test_every_kind_of_file_decodes_to_the_pixels_of_pil(kind):
    data = FILES[kind]()
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    pixels = decode(data, "a")
    assert pixels.dtype == np.uint8
    assert pixels.shape == (60, 90, 3)
    assert np.abs(pixels - expected).max() <= 1


def test_pixels_bytes_and_files_give_the_same(tmp_path):
    data = FILES["png"]()
    (tmp_path / "a.png").write_bytes(data)
    assert np.array_equal(decode(data, "a"), smooth_pixels())
    assert np.array_equal(decode(tmp_path / "a.png", "a"), smooth_pixels())
    assert np.array_equal(decode(smooth_pixels(), "a"), smooth_pixels())


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_a_truncated_image_is_an_error_that_names_it(kind):
    data = FILES[kind]()
    with pytest.raises(DataError, match=r"^7\.tar/000123: cannot be decoded as an image \(.+\)$"):
        decode(data[: len(data) // 2], "7.tar/000123")


@pytest.mark.parametrize(
    ("data", "why"),
    [(b"", "it has no bytes"), (b"<html>not found</html>", "no known image format; 22 bytes")],
)
def test_what_is_no_image_says_so(data, why):
    with pytest.raises(DataError) as caught:
        decode(data, "row 3")
    assert str(caught.value) == f"row 3: cannot be decoded as an image ({why})"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError) as caught:
        decode(tmp_path / "gone.jpg", "ref/1")
    path = tmp_path / "gone.jpg"
    assert str(caught.value) == f"ref/1: cannot be read ({path}: No such file or directory)"


def test_pixels_of_another_type_are_refused():
    with pytest.raises(
        DataError, match=r"a: pixels must be uint8 \(H, W, 3\), got float64 \(4, 4, 3\)"
    ):
        decode(np.zeros((4, 4, 3)), "a")


def test_squash_is_pils_resize_of_the_whole_image():
    expected = np.asarray(rgb().resize((32, 32), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    square = load_square(FILES["png"](), "a", 32, "squash")
    assert square.shape == (3, 32, 32)
    assert np.abs(square.astype(int) - expected).max() <= 2


def test_a_box_is_cropped_before_it_is_resized():
    expected = np.asarray(rgb().crop((40, 10, 80, 40)).resize((16, 16), Image.Resampling.BICUBIC))
    square = resize_box(smooth_pixels(), (10, 40, 30, 40), 16)  # top, left, height, width
    assert np.abs(square.astype(int) - expected.transpose(2, 0, 1)).max() <= 2


def test_a_box_of_the_right_size_keeps_its_pixels():
    square = resize_box(smooth_pixels(), (5, 7, 16, 16), 16)
    assert np.array_equal(square, smooth_pixels()[5:21, 7:23].transpose(2, 0, 1))


@pytest.mark.parametrize("shape", [(60, 90), (90, 61), (32, 32), (20, 24)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_center_crop_has_exactly_the_pixels_of_open_clips_evaluation(shape, kind):
    from open_clip.transform import image_transform

    data = encoded(Image.fromarray(smooth_pixels(*shape)), kind)
    transform = image_transform(32, is_train=False, mean=(0, 0, 0), std=(1, 1, 1))
    expected = (transform(Image.open(io.BytesIO(data)).convert("RGB")) * 255).round()
    square = load_square(data, "a", 32, "center-crop")
    assert np.array_equal(square, expected.to(torch.uint8).numpy())


@pytest.mark.parametrize("num_workers", [0, 1, 3])
def test_a_batch_keeps_the_order_for_any_number_of_threads(num_workers):
    images = [np.full((8, 8, 3), value, dtype=np.uint8) for value in range(20)]
    batch = load_batch(images, [str(i) for i in range(20)], 8, "squash", num_workers)
    assert batch.dtype == torch.uint8
    assert batch.shape == (20, 3, 8, 8)
    assert batch[:, 0, 0, 0].tolist() == list(range(20))


def test_the_first_bad_image_of_a_batch_is_the_one_named():
    sources = [smooth_pixels(), b"x", b"y", smooth_pixels()]
    with pytest.raises(DataError, match=r"^one: cannot be decoded"):
        load_batch(sources, ["zero", "one", "two", "three"], 8, "squash", 2)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_stream_gives_all_images_in_order(num_workers):
    images = [np.full((8, 8, 3), value, dtype=np.uint8) for value in range(7)]
    batches = list(stream_batches(images, "abcdefg", 8, "squash", 3, num_workers))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert torch.cat(batches)[:, 0, 0, 0].tolist() == list(range(7))


def test_a_stream_that_is_left_early_leaves_no_thread_behind():
    before = threading.active_count()
    images = [smooth_pixels()] * 8
    stream = stream_batches(images, "abcdefgh", 8, "squash", 2, 2)
    next(stream)
    stream.close()
    assert threading.active_count() == before
