"""A study's folder: settings, texts, images, locked designs, answers and the owner's token."""

from __future__ import annotations

import dataclasses
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from filelock import FileLock, Timeout

from perceptinit.plugin import DataError, UsageError, atomic_path, list_some
from perceptinit_collect import people
from perceptinit_collect.design import Design, draw_design, lock, read_design, versions
from perceptinit_collect.pictures import FOLDER as IMAGES, Picture, Tell, copy_pictures, read_pictures
from perceptinit_collect.settings import (
    FILE as SETTINGS_FILE,
    Settings,
    default_design,
    parse_settings,
    read_settings,
)
from perceptinit_collect.store import Store, connect, read_rows
from perceptinit_collect.tasks import TASKS
from perceptinit_collect.texts import is_example, is_language_tag, read_texts, write_missing

TOKEN_FILE = "owner-token"


def is_study(folder: Path) -> bool:
    """Tell whether a folder is a study's (and not one of images)."""
    return (folder / SETTINGS_FILE).is_file()


def made_of(
    images: Path,
    out: Path,
    task: str | None,
    questions: int | None,
    per_person: int | None,
    not_sure: bool,
    seed: int,
    tell: Tell,
) -> Path:
    """Return the study in `out`, made of a folder of images now or, by the same request, before.

    Raises UsageError when what is needed is not given, and when the study there asks something else.
    """
    if task is None or questions is None:
        raise UsageError(
            f"{images}: is no study (no {SETTINGS_FILE} there). A new one needs --task ({' or '.join(TASKS)}) and "
            "--questions, the number of different questions"
        )
    design = default_design(task, questions, per_person, not_sure, seed)
    if not is_study(out):
        create(images, out, design, tell)
        return out
    made = read_settings(out).design
    differs = [name for name, value in design.items() if getattr(made, name) != value]
    if differs:
        raise UsageError(
            f"{out}: is a study with other settings ({', '.join(differs)}). Change {out}/{SETTINGS_FILE}, which makes a "
            "new version of its design, or name another --out"
        )
    return out


def create(images: Path, out: Path, design: dict[str, Any], tell: Tell) -> None:
    """Make a study's folder from a folder of images; `tell` hears what was done to the images.

    Raises RecipeError or DataError, and leaves no study behind, when the settings or the images will not do.
    """
    settings = parse_settings({"design": design}, "the new study")
    if out.is_file():
        raise DataError(f"{out}: is a file; a study needs a folder")
    if (out / IMAGES).exists():
        raise UsageError(f"{out}: has a folder '{IMAGES}' already, but is no study; name another folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out, prefix=".images-") as temporary:
            copied = Path(temporary) / IMAGES
            pictures = copy_pictures(images, copied, tell)
            draw_design(1, settings, tuple(pictures), {})
            copied.rename(out / IMAGES)
        write_missing(out, settings.design.task)
        _write_token(out)
        with atomic_path(out / SETTINGS_FILE) as temporary:
            temporary.write_text(_settings_text(settings), encoding="utf-8")
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror})") from error


def _settings_text(settings: Settings) -> str:
    values = {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in dataclasses.asdict(settings.design).items()
    }
    template = resources.files("perceptinit_collect").joinpath("new_study.toml").read_text("utf-8")
    return template.format(**values, min_catch="" if settings.design.catch else "# ")


def _write_token(folder: Path) -> None:
    path = folder / TOKEN_FILE
    if not path.exists():
        with atomic_path(path) as temporary:
            temporary.write_text(secrets.token_urlsafe(24) + "\n", encoding="utf-8")
        path.chmod(0o600)


def current_design(folder: Path, tell: Tell) -> Design:
    """Return the design that new people get: the last version, or a new one when something was changed.

    Raises DataError for what cannot be asked, and when a locked version was tampered with.
    """
    settings = read_settings(folder)
    if not is_language_tag(settings.design.language):
        raise DataError(
            f"{folder / SETTINGS_FILE}: language '{settings.design.language}' is no language tag, such as en or pt-BR"
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
        tell(
            f"design {drawn.version} is locked, since something in {', '.join(_changes(last, drawn))} changed; who "
            f"began with design {last.version} goes on with it"
        )
    return drawn


def _refuse_changed_pictures(folder: Path, old: Design, new: Design) -> None:
    gone = sorted(picture.name for picture in {*old.pictures} - {*new.pictures})
    if gone:
        raise DataError(
            f"{folder / IMAGES}: {list_some(gone)}: changed or gone since design {old.version} was locked, and people saw it. "
            "Put it back; images may only be added, under new names"
        )


def _changes(old: Design, new: Design) -> list[str]:
    names = {
        "settings": "[design]",
        "exclusion": "[exclusion]",
        "pictures": "images/",
        "texts": "texts/",
    }
    changed = [label for name, label in names.items() if getattr(old, name) != getattr(new, name)]
    return changed or ["the way that perceptinit draws questions"]


class Study:
    """An open study, the only one that writes answers: a second server on its folder is refused."""

    def __init__(self, folder: Path, tell: Tell = lambda message: None) -> None:
        self.folder = folder
        self.settings = read_settings(folder)
        self.design = current_design(folder, tell)
        self.token = (folder / TOKEN_FILE).read_text(encoding="utf-8").strip()
        self.store = Store(folder)
        self._designs = {self.design.version: self.design}
        version, sha256 = self.design.version, self.design.sha256
        self.store.submit(
            lambda c: c.execute("INSERT OR IGNORE INTO designs VALUES (?, ?)", (version, sha256))
        ).result()

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

    @property
    def has_example_consent(self) -> bool:
        return is_example(self.design.texts)

    def picture_path(self, picture: Picture) -> Path:
        return self.folder / IMAGES / picture.name


@contextmanager
def opened(folder: Path, tell: Tell = lambda message: None) -> Iterator[Study]:
    """Open a study for the block; UsageError when another process has it open."""
    _refuse_unwritable(folder)
    lock_file = FileLock(folder / ".server.lock")
    try:
        lock_file.acquire(timeout=0)
    except Timeout as error:
        raise UsageError(f"{folder}: another process serves this study already; stop it first") from error
    try:
        study = Study(folder, tell)
        try:
            yield study
        finally:
            study.store.close()
    finally:
        lock_file.release()


def _refuse_unwritable(folder: Path) -> None:
    if not os.access(folder, os.W_OK):
        raise DataError(f"{folder}: may not be written to, so that no answer could be kept")


def write_once(folder: Path, write: Callable[[Any], Any]) -> Any:
    """Write to a study's database from a process of its own, also while a server has it open."""
    from contextlib import closing

    with closing(connect(folder / "answers.sqlite")) as connection:
        connection.execute("BEGIN IMMEDIATE")
        value = write(connection)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return value


def close(folder: Path) -> None:
    """Take nobody in any more; who has begun may finish."""
    write_once(
        folder,
        lambda c: c.execute("INSERT OR IGNORE INTO facts VALUES ('closed', ?)", (str(time.time()),)),
    )


def forget(folder: Path, code: str) -> int:
    """Delete a person by code or platform id and return the number of answers deleted; UsageError when unknown."""
    count = write_once(folder, lambda c: people.forget(c, code))
    if count < 0:
        raise UsageError(f"{folder}: nobody with the code or platform id '{code}'")
    return int(count)
