"""The folder of a study: creating, copying and opening it, and its current design."""

import dataclasses
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from perceptinit.companion import list_some, write_file, writing
from perceptinit.plugin import DataError, UsageError
from perceptinit_collect import people
from perceptinit_collect.design import Design, draw_design, lock, read_design, versions
from perceptinit_collect.images import FOLDER as IMAGES, Report, StudyImage, copy_images, read_images
from perceptinit_collect.settings import (
    FILE as SETTINGS_FILE,
    MIN_CHECKS,
    Settings,
    default_design,
    parse_settings,
    read_settings,
)
from perceptinit_collect.store import DATABASE_FILE, Store, read_rows
from perceptinit_collect.tasks import TASKS
from perceptinit_collect.texts import FOLDER as TEXTS, find_blanks, is_language_tag, read_texts, write_missing

TOKEN_FILE = "owner-token"
UNFINISHED = ".images-unfinished"
# files of a copied study, which the next copy replaces
_COPIED = re.compile(rf"images|study\.toml|owner-token|design-\d+\.json|(copy-of-)?{DATABASE_FILE.pattern}")
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
    (out / IMAGES / UNFINISHED).unlink(missing_ok=True)  # if a process was killed after it created the study
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
    _remove_unfinished_study(out)
    if (out / IMAGES).exists():
        raise UsageError(f"{out}: contains a folder '{IMAGES}' but is not a study. Choose another --out")
    with writing(out):
        try:
            found = copy_images(images, out / UNFINISHED, report)
            draw_design(1, settings, tuple(found), {})
            (out / UNFINISHED / UNFINISHED).touch()
            (out / UNFINISHED).rename(out / IMAGES)
            write_missing(out, settings.design.task)
            if not (out / TOKEN_FILE).exists():
                write_file(out / TOKEN_FILE, f"{secrets.token_urlsafe(24)}\n".encode(), mode=0o600)
            write_file(out / SETTINGS_FILE, _settings_text(settings).encode())
            (out / IMAGES / UNFINISHED).unlink()
        finally:
            shutil.rmtree(out / UNFINISHED, ignore_errors=True)


def _remove_unfinished_study(out: Path) -> None:
    """Remove what a process left that was killed while it created a study; its images contain a mark."""
    shutil.rmtree(out / UNFINISHED, ignore_errors=True)
    if (out / IMAGES / UNFINISHED).exists():
        shutil.rmtree(out / IMAGES)


def copy_study(folder: Path, name: str) -> Path:
    """Copy a study without its answers to `folder / name`, which replaces an earlier copy.

    Files that are not part of a study stay.
    """
    read_settings(folder)  # so that errors name the original file
    copy = folder / name
    if copy.is_symlink():
        raise UsageError(f"{copy}: is a link. Remove it, so that the study can be copied there")
    with writing(copy):
        copy.mkdir(exist_ok=True)
        for path in copy.glob("*"):
            if _COPIED.fullmatch(path.name) and (path.is_file() or path.is_symlink()):
                path.unlink()
        (copy / IMAGES).symlink_to(Path("..") / IMAGES)
        shutil.copytree(folder / TEXTS, copy / TEXTS, dirs_exist_ok=True)
        for path in (folder / SETTINGS_FILE, folder / TOKEN_FILE, *folder.glob("design-*.json")):
            shutil.copy(path, copy / path.name)
    return copy


def _settings_text(settings: Settings) -> str:
    values = {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in dataclasses.asdict(settings.design).items()
    }
    template = resources.files("perceptinit_collect").joinpath("new_study.toml").read_text("utf-8")
    return template.format(**values, min_checks=MIN_CHECKS[TASKS[settings.design.task].num_candidates])


def current_design(folder: Path, report: Report) -> Design:
    """Return the design for new participants; lock a new version first if something changed.

    Raises:
        DataError: If the settings are invalid, or a locked version or image was changed.
    """
    settings = read_settings(folder)
    if not is_language_tag(settings.design.language):
        raise DataError(
            f"{folder / SETTINGS_FILE}: language '{settings.design.language}' is not a language tag. "
            "Use a tag such as en or pt-BR"
        )
    write_missing(folder, settings.design.task)
    found = versions(folder)
    locked = {row["version"]: row["sha256"] for row in read_rows(folder, "SELECT * FROM designs")}
    last = read_design(folder, found[-1], locked.get(found[-1])) if found else None
    drawn = draw_design(
        found[-1] + 1 if found else 1,
        settings,
        tuple(read_images(folder / IMAGES)),
        read_texts(folder),
    )
    if last is not None and last.sha256 == drawn.sha256:
        return last
    if last is not None:
        _refuse_changed_images(folder, last, drawn)
    lock(drawn, folder)
    if last is not None:
        report(
            f"new design version {drawn.version}, because {', '.join(_changes(last, drawn))} changed. "
            f"Participants who started with version {last.version} continue with it"
        )
    return drawn


def _refuse_changed_images(folder: Path, old: Design, new: Design) -> None:
    gone = sorted(image.name for image in {*old.images} - {*new.images})
    if gone:
        raise DataError(
            f"{folder / IMAGES}: changed or removed since design {old.version} was locked: "
            f"{list_some(gone)}. Restore them, and add images only under new names"
        )


def _changes(old: Design, new: Design) -> list[str]:
    names = {
        "settings": "[design]",
        "exclusion": "[exclusion]",
        "images": "images/",
        "texts": "texts/",
    }
    changed = [label for name, label in names.items() if getattr(old, name) != getattr(new, name)]
    return changed or ["the question sampling of perceptinit"]


class Study:
    """An open study with its database. Create it with `open_study`, which locks the study."""

    def __init__(self, folder: Path, report: Report, is_draft: bool) -> None:
        self.folder = folder
        self.settings = read_settings(folder)
        self.has_way_back = is_draft or bool(self.settings.people.completion_url)
        self.design = current_design(folder, report)
        self.token = (folder / TOKEN_FILE).read_text(encoding="utf-8").strip()
        self.store = Store(folder)
        self._designs = {self.design.version: self.design}
        version, sha256 = self.design.version, self.design.sha256
        self.store.submit(
            lambda c: c.execute("INSERT OR IGNORE INTO designs VALUES (?, ?)", (version, sha256))
        ).result()
        self.cookie: str = self.store.submit(people.cookie_name).result()

    def design_of(self, version: int) -> Design:
        """Return a locked design version, cached after the first read."""
        if version not in self._designs:
            (row,) = self.store.reader.execute("SELECT sha256 FROM designs WHERE version = ?", (version,))
            self._designs[version] = read_design(self.folder, version, row[0])
        return self._designs[version]

    @property
    def is_closed(self) -> bool:
        return people.is_closed(self.store.reader)

    def image_path(self, image: StudyImage) -> Path:
        return self.folder / IMAGES / image.name


def lock_study(folder: Path) -> AbstractContextManager[Any]:
    """Return the acquired lock of the server; see `open_study` for errors."""
    try:
        return FileLock(folder / ".server.lock").acquire(timeout=0)
    except Timeout as error:
        raise UsageError(f"{folder}: already being served by another process. Stop it first") from error
    except (OSError, NotImplementedError) as error:  # ENOLCK or ENOSYS of a network file system
        raise DataError(f"{folder}: cannot be locked ({error}). Move the study to a local disk") from error


@contextmanager
def open_study(
    folder: Path, report: Report = lambda message: None, is_draft: bool = False
) -> Iterator[Study]:
    """Context manager that locks and opens a study.

    is_draft: accept unfilled blanks in the texts.

    Raises:
        DataError: If the folder is not writable, its file system has no locks, or the study is incomplete.
        UsageError: If another process is already serving the study.
    """
    if not os.access(folder, os.W_OK):
        raise DataError(f"{folder}: not writable, so answers cannot be stored. Change its permissions")
    if not is_draft:
        _refuse_incomplete(folder)
    with lock_study(folder):
        study = Study(folder, report, is_draft)
        with closing(study.store):
            yield study


def find_missing(folder: Path) -> list[str]:
    """Return the blanks that must be filled in before participants can start."""
    people_settings = read_settings(folder).people
    missing = find_blanks(read_texts(folder))
    if people_settings.platform == "prolific" and not people_settings.completion_url:
        missing.append(f"completion_url in {SETTINGS_FILE}, which Prolific requires")
    return missing


def _refuse_incomplete(folder: Path) -> None:
    write_missing(folder, read_settings(folder).design.task)
    missing = find_missing(folder)
    if missing:
        raise DataError(
            f"{folder}: the study is incomplete. Fill in {'; '.join(missing)}, "
            "or try the page first with --draft or --simulate 20"
        )
