"""Write a shard as a tar file whose bytes depend only on its records."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from perceptinit.companion import atomic_path
from perceptinit.plugin import DataError, decode_with_alpha, read_bytes, transparent_share
from perceptinit_packing.sources import Record, Source

# formats that readers of webdataset shards support, with their extensions
_EXTENSIONS = {"JPEG": "jpg", "MPO": "jpg", "PNG": "png", "WEBP": "webp"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSettings:
    """Image storage settings.

    resize: maximum length of the shorter side, pixels; larger images become resized JPEGs; 0 keeps the bytes.
    quality: JPEG quality of resized images, 1 to 100.
    """

    resize: int = 0
    quality: int = 95


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A shard to write.

    rows: indices of its records. key: function from a record index to its sample name. templates: captions
    of labeled records without text.
    """

    name: str
    rows: range
    key: Callable[[int], str]
    templates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """A finished shard. unusable: an error message for each skipped record."""

    name: str
    num_samples: int
    num_bytes: int
    unusable: tuple[str, ...]


def write_shard(
    source: Source,
    shard: Shard,
    path: Path,
    settings: ImageSettings,
    note: Callable[[str | None], None],
) -> Written:
    """Write a shard atomically.

    note: called after each record with its error message or None; can raise an error to stop.
    """
    from webdataset import TarWriter

    unusable: list[str] = []
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        # with a fixed mtime, equal records give equal bytes
        with TarWriter(file, encoder=False, mtime=0) as tar:
            for row in shard.rows:
                complaint = None
                try:
                    tar.write(_sample(source, shard, row, settings))
                except DataError as error:
                    complaint = str(error)
                    unusable.append(complaint)
                note(complaint)
        file.flush()
        os.fsync(file.fileno())
    num_samples = len(shard.rows) - len(unusable)
    return Written(shard.name, num_samples, path.stat().st_size, tuple(unusable))


def _sample(source: Source, shard: Shard, row: int, settings: ImageSettings) -> dict[str, str | bytes]:
    """Return the key and the members of a sample: image, caption and label."""
    record = source.record(row)
    extension, data = prepare_image(record, settings)
    sample: dict[str, str | bytes] = {"__key__": shard.key(row), extension: data}
    if source.has_texts:
        if not record.text:
            raise DataError(f"{record.where}: no caption")
        sample["txt"] = record.text.encode()
    if source.classes is not None:
        label = int(source.classes.labels[row])
        sample["cls"] = str(label).encode()
        if not source.has_texts and shard.templates:
            template = shard.templates[row % len(shard.templates)]
            sample["txt"] = template.format(c=source.classes.names[label]).encode()
    return sample


def prepare_image(record: Record, settings: ImageSettings) -> tuple[str, bytes]:
    """Return the extension and bytes of an image, after decoding it once.

    The source bytes are returned unchanged, with two exceptions. A resized image is a JPEG, or a PNG if it is
    partly transparent, because training chooses the background. A format that few readers support is
    converted to PNG without changing pixels.

    Raises:
        DataError: If the image is missing or cannot be decoded.
    """
    if record.image is None:
        raise DataError(f"{record.where}: no image")
    data = _read(record)
    pixels = decode_with_alpha(data, record.where)
    extension = _EXTENSIONS.get(_format(data))
    if settings.resize and min(pixels.shape[:2]) > settings.resize:
        smaller = _shrink(Image.fromarray(pixels), settings.resize)
        if transparent_share(pixels):
            return "png", _encode(smaller, None)
        return "jpg", _encode(smaller.convert("RGB"), settings.quality)
    if extension is None:
        return "png", _encode(Image.fromarray(pixels), None)
    return extension, data


def _read(record: Record) -> bytes:
    if isinstance(record.image, bytes):
        return record.image
    assert record.image is not None
    try:
        return read_bytes(record.image)
    except OSError as error:
        raise DataError(f"{record.where}: cannot be read ({error.strerror})") from error


def _format(data: bytes) -> str:
    with Image.open(io.BytesIO(data)) as image:
        return image.format or ""


def _shrink(image: Image.Image, shorter: int) -> Image.Image:
    scale = shorter / min(image.size)
    width, height = (max(shorter, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC)


def _encode(image: Image.Image, quality: int | None) -> bytes:
    file = io.BytesIO()
    if quality is None:
        image.save(file, "PNG")
    else:
        image.save(file, "JPEG", quality=quality, subsampling=0)
    return file.getvalue()
