"""Copy images into a study's folder, so that participants and models see the same pixels.

Images that browsers show unchanged are copied byte for byte. Large images are downscaled, formats that
browsers do not support are converted to PNG, and EXIF rotations are applied to the pixels.
"""

# H W image
import hashlib
import io
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from PIL import Image, ImageOps

from perceptinit.companion import list_some, write_file
from perceptinit.plugin import DataError

FOLDER = "images"
SHOWN_BY_BROWSERS = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif"}
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm")
MAX_SIDE = 1600  # pixels, the height of a large screen
JPEG_QUALITY = 95
_ORIENTATION = 0x0112  # EXIF tag; 1 is upright

Report = Callable[[str], None]
"""Callback that receives a message for the study's owner."""


@dataclass(frozen=True, slots=True)
class StudyImage:
    """An image of the study. name: path relative to the images folder."""

    name: str
    sha256: str

    @property
    def key(self) -> str:
        """Identifier of the image in URLs; a file name could reveal the answer."""
        return self.sha256[:20]


def copy_images(source: Path, target: Path, report: Report = lambda message: None) -> list[StudyImage]:
    """Copy the images below `source` into `target` and return them, sorted by name.

    report: receives a message for each kind of change, such as downscaled images.

    Raises:
        DataError: If there are fewer than three images, an image cannot be read, or two are identical.
    """
    if not source.is_dir():
        raise DataError(f"{source}: not a folder")
    names = _image_names(source)

    def copy(name: str) -> tuple[StudyImage, str] | str:
        try:
            return _copy(source, target, name)
        except DataError as error:
            return str(error)

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        results = list(pool.map(copy, names))
    problems = [result for result in results if isinstance(result, str)]
    if problems:
        raise DataError(
            f"{source}: {len(problems)} of {len(names)} images cannot be read: {list_some(problems)}. "
            "Repair or remove them"
        )
    found = [result for result in results if not isinstance(result, str)]
    images = [image for image, _ in found]
    _refuse_duplicates(source, images)
    for change in sorted({change for _, change in found} - {""}):
        changed = [image.name for image, what in found if what == change]
        report(f"{len(changed)} images {change}: {list_some(changed)}")
    return images


def read_images(folder: Path) -> list[StudyImage]:
    """Return the images of a study, sorted by name; DataError for too few or identical images."""
    images = [
        StudyImage(name, hashlib.sha256((folder / name).read_bytes()).hexdigest())
        for name in _image_names(folder)
    ]
    _refuse_duplicates(folder, images)
    return images


def _image_names(folder: Path) -> list[str]:
    """Return the relative paths of the images below a folder, sorted; DataError for fewer than three."""
    names = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith(".")
    )
    if len(names) < 3:
        raise DataError(
            f"{folder}: {len(names)} images found ({', '.join(SUFFIXES)}). "
            "A question needs three different images"
        )
    return names


def _copy(source: Path, target: Path, name: str) -> tuple[StudyImage, str]:
    """Copy an image and return it with a description of the change, "" for none."""
    try:
        data = (source / name).read_bytes()
    except OSError as error:
        raise DataError(f"{name} ({error.strerror})") from error
    shown, suffix, change = _as_browsers_show(data, name)
    if suffix != PurePosixPath(name).suffix.lower() and change:
        name = str(PurePosixPath(name).with_suffix(suffix))
    write_file(target / name, shown)
    return StudyImage(name, hashlib.sha256(shown).hexdigest()), change


def _as_browsers_show(data: bytes, name: str) -> tuple[bytes, str, str]:
    """Return the bytes to serve, the suffix and the change; DataError for a damaged image."""
    suffix = PurePosixPath(name).suffix.lower()
    try:
        with Image.open(io.BytesIO(data)) as image:
            form = image.format or ""
            is_turned = image.getexif().get(_ORIENTATION, 1) != 1
            is_large = max(image.size) > MAX_SIDE
            if form in SHOWN_BY_BROWSERS and not is_turned and not is_large:
                # damaged images raise; JPEGs are decoded at an eighth of their size, for speed
                image.draft(None, (image.width // 8, image.height // 8))
                image.load()
                return data, suffix, ""
            return *_redraw(image, form), _describe(is_large, is_turned, form)
    except Exception as error:  # PIL's decoders raise OSError, SyntaxError, struct.error, ...
        why = str(error) if data else "empty file"
        if "cannot identify image file" in why:
            why = "unknown image format"
        raise DataError(f"{name} ({why})") from error


def _redraw(image: Image.Image, form: str) -> tuple[bytes, str]:
    form = form if form in ("JPEG", "PNG") else "PNG"
    upright = ImageOps.exif_transpose(image)
    upright.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    if upright.mode not in ("RGB", "L"):
        upright = upright.convert("RGB")
    buffer = io.BytesIO()
    options = {"quality": JPEG_QUALITY, "subsampling": 0} if form == "JPEG" else {}
    upright.save(buffer, form, icc_profile=image.info.get("icc_profile"), **options)
    return buffer.getvalue(), SHOWN_BY_BROWSERS[form]


def _describe(is_large: bool, is_turned: bool, form: str) -> str:
    changes = {
        f"downscaled (longer side {MAX_SIDE} pixels)": is_large,
        "rotated (EXIF orientation applied)": is_turned,
        "converted to PNG (browsers do not support the original format)": form not in SHOWN_BY_BROWSERS,
    }
    return " and ".join(change for change, is_made in changes.items() if is_made)


def _refuse_duplicates(source: Path, images: Sequence[StudyImage]) -> None:
    by_bytes = defaultdict(list)
    for image in images:
        by_bytes[image.sha256].append(image.name)
    same = [" = ".join(names) for names in by_bytes.values() if len(names) > 1]
    if same:
        raise DataError(
            f"{source}: identical images: {list_some(same)}. "
            "Keep one copy of each, because people cannot choose between identical images"
        )
    twice = sorted(name for name, count in Counter(image.name for image in images).items() if count > 1)
    if twice:
        raise DataError(f"{source}: two images would be saved as {twice[0]}. Rename one")
