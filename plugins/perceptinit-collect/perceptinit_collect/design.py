"""The locked design: an immutable, hashed file that contains everything participants see.

A study folder contains `design-1.json`, `design-2.json`, ... A new image, or a change to the settings, the
exclusion rule or the texts, creates a new version. Participants keep the version that they started with.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from perceptinit.companion import read_config, write_file
from perceptinit.plugin import DataError, generator
from perceptinit_collect.images import StudyImage
from perceptinit_collect.settings import DesignSettings, Exclusion, Settings, plain
from perceptinit_collect.tasks import TASKS, Question, Task

FORMAT = 1


@dataclass(frozen=True)
class Design:
    """A version of a study's design.

    questions: indices into `images`; all participants answer the first `settings.shared`.
    texts: Markdown by name.
    """

    version: int
    settings: DesignSettings
    exclusion: Exclusion
    images: tuple[StudyImage, ...]
    questions: tuple[Question, ...]
    texts: Mapping[str, str]

    @property
    def task(self) -> Task:
        return TASKS[self.settings.task]

    @cached_property
    def text(self) -> str:
        """Content of the design file, without the version, so that equal designs have equal hashes."""
        content = {
            "format": FORMAT,
            "settings": plain(self.settings),
            "exclusion": plain(self.exclusion),
            "pictures": [[image.name, image.sha256] for image in self.images],
            "questions": [list(question) for question in self.questions],
            "texts": dict(self.texts),
        }
        return json.dumps(content, ensure_ascii=False, sort_keys=True, indent=1) + "\n"

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def name(self) -> str:
        """Version and abbreviated hash, as written in the export."""
        return f"{self.version}-{self.sha256[:12]}"


def draw_design(
    version: int, settings: Settings, images: tuple[StudyImage, ...], texts: Mapping[str, str]
) -> Design:
    """Return a design with randomly drawn questions; DataError if there are too few images."""
    s, task = settings.design, TASKS[settings.design.task]
    if s.questions > task.count(len(images)):
        raise DataError(
            f"questions = {s.questions:,}: {len(images)} images allow only {task.count(len(images)):,} "
            f"different {task.name} questions. Reduce the number of questions, or add images"
        )
    rng = generator(s.seed, "collect", "questions")
    questions = tuple(task.draw(len(images), s.questions, rng))
    return Design(version, s, settings.exclusion, images, questions, dict(texts))


def path_of(folder: Path, version: int) -> Path:
    return folder / f"design-{version}.json"


def lock(design: Design, folder: Path) -> None:
    """Write a design version as a read-only file."""
    path = path_of(folder, design.version)
    write_file(path, design.text.encode())
    path.chmod(0o444)


def versions(folder: Path) -> list[int]:
    """Return the versions in a study folder, newest last."""
    names = (path.stem.removeprefix("design-") for path in folder.glob("design-*.json"))
    return sorted(int(name) for name in names if name.isdigit())


def read_design(folder: Path, version: int, sha256: str | None = None) -> Design:
    """Return a locked version; DataError if it is damaged or differs from the locked hash."""
    path = path_of(folder, version)
    try:
        data = path.read_bytes()
        design = _design(version, json.loads(data))
        hashes = {hashlib.sha256(data).hexdigest(), design.sha256, sha256 or design.sha256}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: invalid design ({error}). Restore the file") from error
    if len(hashes) > 1:
        raise DataError(
            f"{path}: changed after it was locked. Restore it, and edit study.toml or the texts to create "
            "a new version"
        )
    return design


def _design(version: int, content: dict[str, Any]) -> Design:
    settings, problems = read_config(DesignSettings, content["settings"], "settings")
    exclusion, more = read_config(Exclusion, content["exclusion"], "exclusion")
    if settings is None or exclusion is None:
        raise ValueError("; ".join(map(str, problems + more)))
    return Design(
        version,
        settings,
        exclusion,
        tuple(StudyImage(name, sha256) for name, sha256 in content["pictures"]),
        tuple(tuple(question) for question in content["questions"]),
        content["texts"],
    )
