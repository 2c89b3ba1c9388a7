"""Images of all formats: valid, damaged and with false sizes in the header."""

import io
import struct
import zlib

import numpy as np
from harness import damaged, fuzz, outcome
from hypothesis import given, strategies as st
from PIL import Image

from perceptinit.images.decoding import decode, load_box, load_square
from perceptinit.types import WHITE, Fit

FORMATS = {
    "PNG": ("L", "RGB", "RGBA", "P", "LA", "1", "I;16"), "JPEG": ("L", "RGB", "CMYK"), "GIF": ("P", "L"),
    "BMP": ("RGB", "1"), "WEBP": ("RGB", "RGBA"), "TIFF": ("RGB", "F", "I;16"), "PPM": ("RGB", "L"),
    "TGA": ("RGB",), "ICO": ("RGBA",),
}  # fmt: skip
SIDES = (0, 1, 7, 40, 5_000, 14_000, 30_000, 65_500, 2**31 - 1)


@st.composite
def images(draw):
    """Draw an encoded image, with its pixels if it is valid, plain and lossless."""
    form = draw(st.sampled_from(sorted(FORMATS)))
    mode = draw(st.sampled_from(FORMATS[form]))
    height, width = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    rgb = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
    image = rgb.convert("L").convert("I").convert("I;16") if mode == "I;16" else rgb.convert(mode)
    file = io.BytesIO()
    image.save(file, form)
    data = file.getvalue()
    if form in ("PNG", "JPEG") and draw(st.integers(0, 3)) == 0:
        sides = draw(st.sampled_from(SIDES)), draw(st.sampled_from(SIDES))
        return draw(damaged(_lie(form, data, *sides), most=1)), None
    hurt = draw(damaged(data))
    is_plain = hurt == data and form == "PNG" and mode == "RGB"
    return hurt, np.asarray(rgb) if is_plain else None


def _lie(form, data, height, width):
    """Return an image whose header states a different size."""
    if form == "PNG":
        chunk = b"IHDR" + struct.pack(">II", width, height) + data[24:29]
        return data[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]
    at = next((data.find(m) for m in (b"\xff\xc0", b"\xff\xc2") if m in data), None)
    if at is None:
        return data
    return data[: at + 5] + struct.pack(">HH", height & 0xFFFF, width & 0xFFFF) + data[at + 9 :]


def fast(source, key):
    return load_box(source, key, 16, lambda height, width: (0, 0, height, width), "fast")


DOORS = {
    "decode": decode,
    "squash": lambda source, key: load_square(source, key, 16, Fit("squash"), WHITE),
    "center-crop": lambda source, key: load_square(source, key, 16, Fit()),
    "fast": fast,
}


@fuzz(30)
@given(images(), st.sampled_from(sorted(DOORS)))
def test_an_image_is_decoded_correctly_or_refused_in_one_sentence(place, drawn, door):
    data, pixels = drawn
    path = place / "image.img"
    path.write_bytes(data)
    found = outcome("image", lambda: DOORS[door](path, path.name), [path.name], place)
    if pixels is not None:
        assert found is not None
        if door == "decode":
            assert np.array_equal(found, pixels)
    if found is not None and door != "decode":
        assert found.shape == (3, 16, 16)
