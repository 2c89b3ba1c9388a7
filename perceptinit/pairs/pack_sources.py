"""Read images with captions or labels from folders, CSV and Parquet files, for `packing`."""

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from perceptinit.errors import DataError, UsageError
from perceptinit.files.reading import read_text, require_file
from perceptinit.images.background import transparent_share
from perceptinit.images.decoding import decode_with_alpha
from perceptinit.pairs.csv_pairs import CsvTable
from perceptinit.pairs.parquet_pairs import read_classes
from perceptinit.pairs.parquet_table import ParquetTable
from perceptinit.types import IMAGE_SUFFIXES, Classes

QUALITY = 95  # of resized JPEGs
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
# formats that readers of webdataset shards support, with their extensions
_EXTENSIONS = {"JPEG": "jpg", "MPO": "jpg", "PNG": "png", "WEBP": "webp"}

Record = tuple[str, Path | bytes, str]  # name in messages, image and caption


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """Records in a fixed order.

    Attributes:
        num_records: Number of records.
        record: Returns an image by its index, with its caption or an empty text; called from several
            threads. Raises DataError for a record that cannot be read.
        has_texts: Whether records have captions.
        classes: Class names and labels, None without labels.
        fingerprint: Hash that changes if the records may have changed.
    """

    num_records: int
    record: Callable[[int], Record]
    has_texts: bool
    classes: Classes | None
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Column names of a table; None for columns that it does not have.

    root: base folder of image paths, None for the table's folder.
    """

    image: str = "image"
    text: str | None = None
    label: str | None = None
    class_name: str | None = None
    root: Path | None = None


def open_source(path: Path, columns: Columns, classnames: Sequence[str] = ()) -> Source:
    """Open a folder of images or .parquet files, or a .csv, .tsv or .parquet file.

    Args:
        path: The folder or file.
        columns: Column names of a table.
        classnames: Class names by label, if the source has none.

    Raises:
        DataError: If the path or a column does not exist, or the labels do not match the class names.
        UsageError: If the file type is not supported.
    """
    tables = [path]
    if path.is_dir():
        tables = sorted(path.glob("*.parquet"))
    else:
        require_file(path, " or folder")
    if not tables:
        return _open_folder(path, classnames)
    optional = (columns.text, columns.label, columns.class_name)
    names = [columns.image, *(name for name in optional if name is not None)]
    if tables[0].suffix == ".parquet":
        return _open_table(tables, ParquetTable(tables, names), columns, classnames)
    if path.suffix not in _SEPARATORS:
        raise UsageError(f"{path}: neither a folder nor a .csv, .tsv or .parquet file")
    return _open_table(tables, CsvTable(path, names, _SEPARATORS[path.suffix]), columns, classnames)


def _open_table(
    paths: Sequence[Path], table: CsvTable | ParquetTable, columns: Columns, classnames: Sequence[str]
) -> Source:
    """Return the records of a table, whose images are bytes or paths."""
    root = columns.root or paths[0].parent

    def record(index: int) -> Record:
        where = table.where(index)
        image, *others = table.row(index)
        if isinstance(image, str):
            where = f"{where} ({image})"
            image = root / image if image else None
        if not isinstance(image, (bytes, Path)):
            raise DataError(f"{where}: no image")
        text = others[0] if columns.text else ""
        if text is not None and not isinstance(text, str):
            raise DataError(f"{where}: '{columns.text}' is {type(text).__name__}, not a caption")
        return where, image, text or ""

    labels = table.column(columns.label) if columns.label else None
    names = table.column(columns.class_name) if columns.class_name else None
    return Source(
        num_records=table.num_rows,
        record=record,
        has_texts=columns.text is not None,
        classes=read_classes(labels, names, classnames, table.where),
        fingerprint=_fingerprint(paths, paths[0].parent, repr(columns)),
    )


def _open_folder(path: Path, classnames: Sequence[str]) -> Source:
    """Return the images of a folder and its subfolders, sorted by path.

    If any image has a `.txt` file of the same name, these files are captions. Otherwise, the first folder of
    each path is the class, and classes are numbered alphabetically.
    """
    files = sorted(p for p in path.rglob("*") if p.is_file())
    images = [p for p in files if p.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        raise DataError(f"{path}: no images ({', '.join(sorted(IMAGE_SUFFIXES))})")
    captions = {p for p in files if p.suffix == ".txt"}
    has_texts = any(p.with_suffix(".txt") in captions for p in images)

    def where(index: int) -> str:
        return str(images[index].relative_to(path))

    def record(index: int) -> Record:
        caption = images[index].with_suffix(".txt")
        text = read_text(caption).strip() if caption in captions else ""
        return where(index), images[index], text

    folders = None if has_texts else [_class_of(image.relative_to(path)) for image in images]
    return Source(
        num_records=len(images),
        record=record,
        has_texts=has_texts,
        classes=read_classes(None, folders, classnames, where),
        fingerprint=_fingerprint(files, path),
    )


def _class_of(image: Path) -> str:
    """Return the name of the class folder of an image; DataError for an image outside of these folders."""
    folder, *rest = image.parts
    if not rest:
        raise DataError(
            f"{image}: not in a class folder and without a caption ({image.stem}.txt). Add one of them"
        )
    return folder


def _fingerprint(paths: Sequence[Path], root: Path, how: str = "") -> str:
    """Return a hash of `how` and of the names, sizes and modification times of files."""
    digest = hashlib.sha256(how.encode())
    for path in paths:
        stat = path.stat()
        digest.update(
            f"{path.relative_to(root)}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode(errors="surrogateescape")
        )
    return digest.hexdigest()


def convert(data: bytes, where: str, resize: int) -> tuple[str, bytes]:
    """Return the extension and the bytes of an encoded image in a shard, after decoding it once.

    The bytes are returned unchanged, with two exceptions. A resized image is a JPEG, or a PNG if it is partly
    transparent, because training chooses the background. A format that few readers support is converted to
    PNG without changing pixels.

    Args:
        data: The encoded image.
        where: Name of the image in messages.
        resize: Limit for the shorter side, pixels; 0 for no limit.

    Raises:
        DataError: If the image cannot be decoded.
    """
    pixels = decode_with_alpha(data, where)
    with Image.open(io.BytesIO(data)) as opened:
        extension = _EXTENSIONS.get(opened.format or "")
    is_large = resize and min(pixels.shape[:2]) > resize
    if extension is not None and not is_large:
        return extension, data
    changed = Image.fromarray(pixels)
    file = io.BytesIO()
    if is_large:
        changed = ImageOps.cover(changed, (resize, resize))
    if is_large and not transparent_share(pixels):
        changed.convert("RGB").save(file, "JPEG", quality=QUALITY, subsampling=0)
        return "jpg", file.getvalue()
    changed.save(file, "PNG")
    return "png", file.getvalue()
