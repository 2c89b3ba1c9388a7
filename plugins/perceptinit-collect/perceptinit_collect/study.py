"""A study's folder: settings, texts, images, locked designs, answers and the owner's token."""

from __future__ import annotations

import dataclasses
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from filelock import FileLock, Timeout

from perceptinit.plugin import DataError, UsageError, atomic_path, list_some
from perceptinit_collect import people
from perceptinit_collect.design import Design, draw_design, lock, read_design, versions
from perceptinit_collect.pictures import FOLDER as IMAGES, Picture, Report, copy_pictures, read_pictures
from perceptinit_collect.settings import (
    FILE as SETTINGS_FILE,
    Settings,
    default_design,
    parse_settings,
    read_settings,
)
from perceptinit_collect.store import Store, connect, read_rows
from perceptinit_collect.tasks import TASKS
from perceptinit_collect.texts import FOLDER as TEXTS, find_blanks, is_language_tag, read_texts, write_missing

TOKEN_FILE = "owner-token"
OPTIONS = ("task", "questions", "per_person", "not_sure", "seed")  # of the command line


def is_study(folder: Path) -> bool:
    """Return whether a folder is a study, not a folder of images."""
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
    """Return the study in `out`, made from a folder of images now or earlier by the same options.

    Raises:
        UsageError: If `task` or `questions` is missing, or the study in `out` has other settings.
    """
    if task is None or questions is None:
        raise UsageError(
            f"{images}: not a study ({SETTINGS_FILE} not found). To make one, add --task "
            f"({' or '.join(TASKS)}) and --questions, the number of different questions"
        )
    design = default_design(task, questions, per_person, not_sure, seed)
    if not is_study(out):
        create(images, out, design, report)
        return out
    made = read_settings(out).design
    differs = [name for name in OPTIONS if getattr(made, name) != design[name]]
    if differs:
        raise UsageError(
            f"{out}: is a study with other settings ({', '.join(differs)}). Change {out}/{SETTINGS_FILE}, "
            "which makes a new version of its design, or choose another --out"
        )
    return out


def create(images: Path, out: Path, design: dict[str, Any], report: Report) -> None:
    """Make a study from a folder of images. After an error, `out` contains no study.

    Raises:
        RecipeError: If a setting is invalid.
        DataError: If the images cannot be used.
    """
    settings = parse_settings({"design": design}, "the new study")
    if out.is_file():
        raise DataError(f"{out}: is a file; a study needs a folder")
    if (out / IMAGES).exists():
        raise UsageError(f"{out}: contains a folder '{IMAGES}' but is not a study. Choose another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out, prefix=".images-") as temporary:
            copied = Path(temporary) / IMAGES
            pictures = copy_pictures(images, copied, report)
            draw_design(1, settings, tuple(pictures), {})
            copied.rename(out / IMAGES)
        write_missing(out, settings.design.task)
        if not (out / TOKEN_FILE).exists():
            write_private(out / TOKEN_FILE, secrets.token_urlsafe(24) + "\n")
        with atomic_path(out / SETTINGS_FILE) as temporary:
            temporary.write_text(_settings_text(settings), encoding="utf-8")
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror})") from error


def write_private(path: Path, text: str) -> None:
    """Write a file atomically that its owner alone can read at any time; DataError when the disk refuses."""
    try:
        with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as private:
            temporary = Path(private) / path.name
            temporary.touch(mode=0o600)
            temporary.write_text(text, encoding="utf-8", newline="")
            temporary.replace(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from error


def copy_study(folder: Path, name: str) -> Path:
    """Return a copy of a study without its answers, `folder / name`, which replaces an earlier copy."""
    read_settings(folder)  # errors name the file of the study itself
    copy = folder / name
    shutil.rmtree(copy, ignore_errors=True)
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


def current_design(folder: Path, report: Report) -> Design:
    """Return the design of new participants: the last version, or a new one when something changed.

    Raises:
        DataError: If the design cannot be asked, or a locked version was edited.
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
        tuple(read_pictures(folder / IMAGES)),
        read_texts(folder),
    )
    if last is not None and last.sha256 == drawn.sha256:
        return last
    if last is not None:
        _refuse_changed_pictures(folder, last, drawn)
    lock(drawn, folder)
    if last is not None:
        report(
            f"design {drawn.version} is locked, because {', '.join(_changes(last, drawn))} changed. "
            f"Participants who started with design {last.version} keep it"
        )
    return drawn


def _refuse_changed_pictures(folder: Path, old: Design, new: Design) -> None:
    gone = sorted(picture.name for picture in {*old.pictures} - {*new.pictures})
    if gone:
        raise DataError(
            f"{folder / IMAGES}: {list_some(gone)}: changed or removed since design {old.version} was "
            "locked. Restore them; images can only be added, under new names"
        )


def _changes(old: Design, new: Design) -> list[str]:
    names = {
        "settings": "[design]",
        "exclusion": "[exclusion]",
        "pictures": "images/",
        "texts": "texts/",
    }
    changed = [label for name, label in names.items() if getattr(old, name) != getattr(new, name)]
    return changed or ["the drawing of questions in perceptinit"]


class Study:
    """An open study with its database. `open_study` ensures that one process at a time has it."""

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
        """Return a locked version, read once."""
        if version not in self._designs:
            (row,) = self.store.reader.execute("SELECT sha256 FROM designs WHERE version = ?", (version,))
            self._designs[version] = read_design(self.folder, version, row[0])
        return self._designs[version]

    @property
    def is_closed(self) -> bool:
        query = "SELECT 1 FROM facts WHERE name = 'closed'"
        return self.store.reader.execute(query).fetchone() is not None

    def picture_path(self, picture: Picture) -> Path:
        return self.folder / IMAGES / picture.name


@contextmanager
def open_study(
    folder: Path, report: Report = lambda message: None, is_draft: bool = False
) -> Iterator[Study]:
    """Open a study for the block.

    is_draft: open it even with blanks in its texts.

    Raises:
        DataError: If the folder is not writable, its file system has no locks, or the study is incomplete.
        UsageError: If another process serves the study.
    """
    if not os.access(folder, os.W_OK):
        raise DataError(f"{folder}: not writable, so answers cannot be stored")
    if not is_draft:
        _refuse_incomplete(folder)
    lock_file = FileLock(folder / ".server.lock")
    try:
        lock_file.acquire(timeout=0)
    except Timeout as error:
        raise UsageError(f"{folder}: another process serves this study. Stop it first") from error
    except (OSError, NotImplementedError) as error:  # ENOLCK or ENOSYS of a network file system
        raise DataError(f"{folder}: cannot be locked ({error}). Move the study to a local disk") from error
    try:
        study = Study(folder, report, is_draft)
        try:
            yield study
        finally:
            study.store.close()
    finally:
        lock_file.release()


def find_missing(folder: Path) -> list[str]:
    """Return the blanks of a study that must be filled before people can take part."""
    people_settings = read_settings(folder).people
    missing = find_blanks(read_texts(folder))
    if people_settings.platform == "prolific" and not people_settings.completion_url:
        missing.append(f"completion_url in {SETTINGS_FILE}, which Prolific needs")
    return missing


def _refuse_incomplete(folder: Path) -> None:
    write_missing(folder, read_settings(folder).design.task)
    missing = find_missing(folder)
    if missing:
        raise DataError(
            f"{folder}: the study is not complete. Fill in {'; '.join(missing)}. "
            "To try the page before that, add --draft or --simulate 20"
        )


def write_once(folder: Path, write: Callable[[Any], Any]) -> Any:
    """Write to a study's database from this process, also while a server has it open."""
    with closing(connect(folder / "answers.sqlite")) as connection:
        connection.execute("BEGIN IMMEDIATE")
        value = write(connection)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return value


def close(folder: Path) -> None:
    """Accept no new participants; participants who started can finish."""
    write_once(
        folder,
        lambda c: c.execute("INSERT OR IGNORE INTO facts VALUES ('closed', ?)", (str(time.time()),)),
    )


def forget(folder: Path, name: str) -> int:
    """Delete a person by code or platform id and return the number of answers; see `people.match_people`.

    Raises:
        UsageError: If the name matches no person, or more than one.
    """

    def delete(connection: Any) -> int:
        found = people.match_people(connection, name)
        if not found:
            raise UsageError(f"{folder}: no person has the code or platform id '{name}'")
        if len(found) > 1:
            raise UsageError(
                f"{folder}: '{name}' matches {len(found)} people, so no one was deleted. Use one of: "
                f"{', '.join(f'--forget {exact}' for exact in sorted(found.values()))}"
            )
        return people.delete(connection, *found)

    return int(write_once(folder, delete))
