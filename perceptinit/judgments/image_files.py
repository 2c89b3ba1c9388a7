"""Image files named in tables: file names, patterns and missing files."""

# N rows, R roles, M images
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from perceptinit.errors import DataError, list_some, reading
from perceptinit.files.columns import Coded, Columns, raise_all, read_all
from perceptinit.files.reading import file_names, require_file
from perceptinit.grouping import group
from perceptinit.registry import nearest
from perceptinit.types import WHITE, Color, ImageSource, Stimuli

NO_IMAGES = Path("none")  # in place of the folder of images: names suffice, as for embeddings in a file


@dataclass(frozen=True, slots=True, eq=False)
class ImageRows:
    """The images in N rows of a table, in R roles such as anchor and candidates.

    names: M image names, sorted. index: indices into `names`, int32 (R, N); -1 for an empty cell.
    """

    names: tuple[str, ...]
    index: np.ndarray

    def role(self, number: int) -> Coded:
        """Return the image names of one role."""
        return Coded.of(self.index[number], self.names)


def read_images(
    columns: Columns,
    roles: Sequence[str],
    folder: Path,
    to_file: Callable[[str], str],
    *,
    may_be_empty: bool = False,
) -> ImageRows:
    """Return the images that are named in a table.

    Args:
        columns: The table.
        roles: Columns that name images.
        folder: The folder of the images.
        to_file: Returns the file name of a cell, such as `file_name`; ValueError for an invalid cell.
        may_be_empty: Allow empty cells.

    Raises:
        DataError: For empty cells, paths outside the folder, repeated images in one row, and missing files.
            The message names the rows.
    """
    require_images(folder)

    def convert(text: str) -> str:
        try:
            return to_file(text)
        except ValueError as error:
            raise ValueError(f": {error}") from error

    fill = "" if may_be_empty else None
    images = index_images(read_all(*(partial(columns.coded, role, convert, fill) for role in roles)))
    errors = []
    equal = [(a == b) & (a >= 0) for a, b in combinations(images.index, 2)]
    if np.any(equal):
        order = np.sort(images.index, axis=0)
        repeated = np.argwhere(((order[1:] == order[:-1]) & (order[1:] >= 0)).T)
        row, place = repeated[0]
        name = images.names[order[place, row]]
        errors.append(columns.error(repeated[:, 0], f"the image '{name}' occurs twice in one row"))
    if missing := missing_files(folder, images.names):
        cells = np.argwhere(np.isin(images.index, [images.names.index(name) for name in missing]).T)
        row, role = cells[0]
        name = images.names[images.index[role, row]]
        message = f"{roles[role]} '{name}': {describe_missing(folder, name, missing)}"
        errors.append(columns.error(cells[:, 0], message))
    raise_all(errors)
    return images


def require_images(folder: Path) -> None:
    """Raise DataError if the folder of images does not exist, unless it is `NO_IMAGES`."""
    if folder != NO_IMAGES and not folder.is_dir():
        raise DataError(f'images = "{folder}": no such folder. Set it to the folder of the images')


def are_without_files(stimuli: Stimuli) -> bool:
    """Return whether stimuli have names only, because their folder is `NO_IMAGES`."""
    first = next(iter(stimuli.images), None)
    return isinstance(first, Path) and NO_IMAGES in first.parents


def index_images(roles: Sequence[Coded]) -> ImageRows:
    """Return the images that are named in columns of file names, one column per role."""
    names = sorted({name for role in roles for name in role.distinct if name})
    place = {"": -1, **{name: i for i, name in enumerate(names)}}
    numbers = [np.array([place[n] for n in r.distinct], np.int32)[r.codes] for r in roles]
    return ImageRows(tuple(names), np.stack(numbers))


def describe_missing(folder: Path, name: str, missing: Sequence[str]) -> str:
    """Return the error for a missing image, with a similar file name and the number of `missing` images."""
    path = PurePosixPath(name)
    files = file_names(folder / path.parent)
    suffix = next((PurePosixPath(f).suffix for f in files if PurePosixPath(f).stem == path.name), "")
    near = nearest(path.name, files)
    if suffix:  # the table omits the suffix
        hint = f' Set image = "{{}}{suffix}"'
    else:
        hint = (
            f" Did you mean '{(path.parent / near).as_posix()}'?" if near else " Set images to their folder"
        )
    total = f" ({len(missing):,} images are missing: {list_some(missing)})" if len(missing) > 1 else ""
    place = folder if folder.name else folder.resolve()
    return f"no such image in {place}.{hint}{total}"


def normal_name(text: str) -> str:
    """Return an image path in canonical form, without `.` and doubled slashes.

    Raises:
        ValueError: If the path is empty, absolute or contains `..`.
    """
    path = PurePosixPath(text)
    if not path.name:
        raise ValueError("the image name is empty")
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"image '{text}' is outside the image folder. Paths must be relative to it")
    return path.as_posix()


def file_name(name: str, pattern: str | None) -> str:
    """Return the file name of an image.

    Args:
        name: Name of the image in a table or matrix.
        pattern: A format such as "{}.jpg", or "{:03d}.jpg" for integers. If None, `name` is the file name.

    Raises:
        ValueError: If the pattern is invalid, or `name` does not fit it.
    """
    if pattern is None:
        return normal_name(name)
    try:
        filled = pattern.format(int(name) if re.search(r"{0?:[^}]*d}", pattern) else name)
    except (ValueError, IndexError, KeyError, AttributeError) as error:
        raise ValueError(f"cannot insert '{name}' into image = '{pattern}' ({error})") from None
    if "{" not in pattern:
        raise ValueError(f"image = '{pattern}' has no placeholder. Use '{{}}.jpg' or '{{:03d}}.jpg'")
    return normal_name(filled)


def missing_files(folder: Path, names: Iterable[str]) -> list[str]:
    """Return the names that are not files in `folder`, sorted; each subfolder is scanned once.

    No file is missing in `NO_IMAGES`.
    """
    if folder == NO_IMAGES:
        return []
    by_parent = group((path.parent, path.name) for path in map(PurePosixPath, names))
    return sorted(
        (parent / name).as_posix()
        for parent, wanted in by_parent.items()
        for name in set(wanted).difference(file_names(folder / parent))
    )


def stimuli_in(folder: Path, names: Sequence[str], background: Color = WHITE) -> Stimuli:
    """Return the images with these names in a folder as stimuli."""
    return Stimuli(tuple(names), [folder / name for name in names], background=background)


def read_labelled_parquet(
    path: Path, image_column: str, label_column: str
) -> tuple[list[ImageSource], list[Any]]:
    """Return the encoded images and labels in a Parquet file; DataError if they cannot be read."""
    import pyarrow
    from pyarrow import parquet

    require_file(path)
    unreadable = (pyarrow.ArrowException, OSError, KeyError)
    with reading(f"{path}: cannot read columns {image_column} and {label_column}", *unreadable):
        table = parquet.read_table(path, columns=[image_column, label_column])
        return table.column(image_column).to_pylist(), table.column(label_column).to_pylist()
