"""Create a study folder from a folder of images, or copy another study."""

import dataclasses
import secrets
import shutil
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from perceptinit.companion import write_file, writing
from perceptinit.plugin import DataError, UsageError
from perceptinit_collect.design import draw_design
from perceptinit_collect.images import FOLDER as IMAGES, Report, copy_images
from perceptinit_collect.settings import (
    FILE as SETTINGS_FILE,
    Settings,
    default_design,
    parse_settings,
    read_settings,
)
from perceptinit_collect.tasks import TASKS
from perceptinit_collect.texts import FOLDER as TEXTS, write_missing

TOKEN_FILE = "owner-token"
OPTIONS = ("task", "questions", "per_person", "not_sure", "seed")  # command-line options


def is_study(folder: Path) -> bool:
    """Return whether a folder is a study."""
    return (folder / SETTINGS_FILE).is_file()


def make_or_find(
    images: Path,
    out: Path,
    task: str | None,
    questions: int | None,
    per_person: int | None,
    not_sure: bool,
    seed: int,
    report: Report,
) -> Path:
    """Create a study in `out`, or return the study that the same options created earlier.

    Raises:
        UsageError: If `task` or `questions` is missing, or the study in `out` has different settings.
    """
    if task is None or questions is None:
        raise UsageError(
            f"{images}: not a study ({SETTINGS_FILE} not found). To create one, add --task "
            f"({' or '.join(TASKS)}) and --questions, the number of distinct questions"
        )
    design = default_design(task, questions, per_person, not_sure, seed)
    if not is_study(out):
        create(images, out, design, report)
        return out
    made = read_settings(out).design
    differs = [name for name in OPTIONS if getattr(made, name) != design[name]]
    if differs:
        raise UsageError(
            f"{out}: already a study with other settings ({', '.join(differs)}). Edit {out}/{SETTINGS_FILE} "
            "to create a new design version, or choose another --out"
        )
    return out


def create(images: Path, out: Path, design: dict[str, Any], report: Report) -> None:
    """Create a study from a folder of images. After an error, `out` does not contain a study.

    Raises:
        RecipeError: If a setting is invalid.
        DataError: If the images cannot be used.
    """
    settings = parse_settings({"design": design}, "the new study")
    if out.is_file():
        raise DataError(f"{out}: is a file. Choose a folder with --out")
    if (out / IMAGES).exists():
        raise UsageError(f"{out}: contains a folder '{IMAGES}' but is not a study. Choose another --out")
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out, prefix=".images-") as temporary:
            copied = Path(temporary) / IMAGES
            found = copy_images(images, copied, report)
            draw_design(1, settings, tuple(found), {})
            copied.rename(out / IMAGES)
        write_missing(out, settings.design.task)
        if not (out / TOKEN_FILE).exists():
            write_file(out / TOKEN_FILE, f"{secrets.token_urlsafe(24)}\n".encode(), mode=0o600)
        write_file(out / SETTINGS_FILE, _settings_text(settings).encode())


def copy_study(folder: Path, name: str) -> Path:
    """Copy a study without its answers to `folder / name`, which replaces an earlier copy."""
    read_settings(folder)  # so that errors name the original file
    copy = folder / name
    shutil.rmtree(copy, ignore_errors=True)
    with writing(copy):
        copy.mkdir()
        (copy / IMAGES).symlink_to(Path("..") / IMAGES)
        shutil.copytree(folder / TEXTS, copy / TEXTS)
        for path in (folder / SETTINGS_FILE, folder / TOKEN_FILE, *folder.glob("design-*.json")):
            shutil.copy(path, copy / path.name)
    return copy


def _settings_text(settings: Settings) -> str:
    values = {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in dataclasses.asdict(settings.design).items()
    }
    template = resources.files("perceptinit_collect").joinpath("new_study.toml").read_text("utf-8")
    return template.format(**values)
