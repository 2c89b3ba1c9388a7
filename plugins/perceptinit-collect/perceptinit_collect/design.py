"""The locked design: an immutable, hashed file that contains everything participants see; and their trials.

A study folder contains `design-1.json`, `design-2.json`, ... A new image, or a change to the settings, the
exclusion rule or the texts, creates a new version. Participants keep the version that they started with.

The trials of a participant are drawn from the study's seed and the participant's slot. Screen positions are
balanced in blocks of C trials. Each block is a Latin square with shuffled rows, so each candidate is shown
once at each position. An incomplete last block continues the block of the previous participant. Position
counts therefore differ by at most one, per participant and overall.
"""

# C candidates of a question, and screen positions
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from perceptinit.companion import read_config, write_file
from perceptinit.plugin import DataError, generator
from perceptinit_collect.images import StudyImage
from perceptinit_collect.settings import DesignSettings, Exclusion, Settings, plain
from perceptinit_collect.tasks import TASKS, Question, Task

FORMAT = 1
Kind = Literal["practice", "question", "repeat", "catch", "instructed"]
Order = tuple[int, ...]
# an original and its repeat are separated by at least a fifth of the questions
FIRST_PART = LAST_PART = 0.4


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
            "questions": list(map(list, self.questions)),
            "texts": dict(self.texts),
        }
        return json.dumps(content, ensure_ascii=False, sort_keys=True, indent=1) + "\n"

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @cached_property
    def numbers(self) -> dict[Question, int]:
        """The number of each question."""
        return {question: number for number, question in enumerate(self.questions)}

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
    questions = tuple(task.draw(len(images), s.questions, generator(s.seed, "collect", "questions")))
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
        tuple(map(tuple, content["questions"])),
        content["texts"],
    )


@dataclass(frozen=True, slots=True)
class Trial:
    """A question as shown to a participant.

    order: the candidate at each screen position, from the left (on phones from the top). correct: the
    correct answer of practice trials and attention checks. of: for a repeat, the trial that it repeats.
    """

    kind: Kind
    images: Question
    order: Order
    correct: int | None = None
    of: int | None = None


def draw_session(design: Design, slot: int) -> list[Trial]:
    """Return the trials of participant number `slot`, counted from 0."""
    s, task = design.settings, TASKS[design.settings.task]
    rng = generator(s.seed, "collect", "session", slot)
    questions = _questions(design, slot, rng)
    orders = latin_orders(task.num_candidates, len(questions), slot, rng)
    keyed: list[tuple[float, Trial, int | None]] = [
        (i, Trial("question", question, order), None)
        for i, (question, order) in enumerate(zip(questions, orders, strict=True))
    ]
    for original in _originals(len(questions), s.repeats, task.num_candidates, rng):
        again = Trial("repeat", questions[original], orders[original][::-1])
        at = len(questions) * (1 - LAST_PART * rng.random())
        keyed.append((at, again, original))
    for i, trial in enumerate(_obvious("catch", s.catch, task, len(design.images), rng)):
        at = len(questions) * (i + 0.1 + 0.9 * rng.random()) / s.catch
        keyed.append((at, trial, None))
    practice = _obvious("practice", s.practice, task, len(design.images), rng)
    for i, trial in enumerate(_instructed(design, rng)):  # drawn last, so older designs keep their trials
        at = len(questions) * (i + 0.1 + 0.9 * rng.random()) / s.instructed
        keyed.append((at, trial, None))
    keyed.sort(key=lambda item: item[0])
    return practice + _set_originals(keyed, len(practice))


def draw_trials(design: Design, slot: int) -> str:
    """Return the trials of participant number `slot` as JSON."""
    return json.dumps(
        [{name: getattr(trial, name) for name in Trial.__slots__} for trial in draw_session(design, slot)]
    )


def read_trials(text: str) -> tuple[Trial, ...]:
    """Parse trials from JSON."""
    return tuple(
        Trial(**fields | {"images": tuple(fields["images"]), "order": tuple(fields["order"])})
        for fields in json.loads(text)
    )


def _set_originals(keyed: Sequence[tuple[float, Trial, int | None]], start: int) -> list[Trial]:
    """Return the trials, with `of` converted from a question index to a position in the session."""
    at = {key: start + place for place, (key, trial, _) in enumerate(keyed) if trial.kind == "question"}
    return [
        trial if original is None else Trial(trial.kind, trial.images, trial.order, None, at[original])
        for _, trial, original in keyed
    ]


def _questions(design: Design, slot: int, rng: np.random.Generator) -> list[Question]:
    """Return the shared questions and the questions assigned from the pool, shuffled."""
    s = design.settings
    shared, pool = design.questions[: s.shared], design.questions[s.shared :]
    own = s.per_person - s.shared
    chosen = [*shared, *(pool[i] for i in _assign(len(pool), own, slot, s.seed))]
    return [chosen[i] for i in rng.permutation(len(chosen))]


def _assign(pool: int, own: int, slot: int, seed: int) -> list[int]:
    """Return indices of `own` distinct questions for a participant, assigned in passes over the pool."""
    if not own:
        return []
    number, start = divmod(slot * own, pool)
    chosen = _draw_pass(pool, own, seed, number)[start : start + own].tolist()
    if len(chosen) < own:
        chosen += _draw_pass(pool, own, seed, number + 1)[: own - len(chosen)].tolist()
    return chosen


def _draw_pass(pool: int, own: int, seed: int, number: int) -> np.ndarray:
    """Return a pass over the pool, continued from the latest one because slots mostly follow one another."""
    drawn = _drawn_passes(pool, own, seed)
    before = max(this for this in drawn if this <= number)
    order = drawn[before]
    for this in range(before + 1, number + 1):
        order = _next_pass(order, _shuffle(pool, seed, this), own, this * pool % own)
    if before:  # the first pass stays
        del drawn[before]
    drawn[number] = order
    return order


@lru_cache(maxsize=8)
def _drawn_passes(pool: int, own: int, seed: int) -> dict[int, np.ndarray]:
    """Return the first pass and the latest passes, by number; `_draw_pass` changes the dictionary."""
    return {0: _shuffle(pool, seed, 0)}


def _next_pass(order: np.ndarray, shuffled: np.ndarray, own: int, taken: int) -> np.ndarray:
    """Return the next pass over the pool, starting with questions that the participant does not have yet."""
    is_new = np.ones(len(order), dtype=bool)
    is_new[order[len(order) - taken :]] = False
    head = shuffled[is_new[shuffled]][: own - taken]
    is_left = np.ones(len(order), dtype=bool)
    is_left[head] = False
    return np.concatenate([head, shuffled[is_left[shuffled]]])


def _shuffle(pool: int, seed: int, number: int) -> np.ndarray:
    return generator(seed, "collect", "pass", number).permutation(pool)


def latin_orders(num_places: int, count: int, slot: int, rng: np.random.Generator) -> list[Order]:
    """Return a candidate order for each of `count` trials, balanced by Latin squares.

    slot: number of the participant, from 0; selects the orders of an incomplete last block.
    """
    square = np.array([np.roll(np.arange(num_places), -i) for i in range(num_places)])
    orders: list[Order] = []
    for _ in range(count // num_places):
        rows = square[rng.permutation(num_places)]
        turned = rows[:, ::-1] if rng.random() < 0.5 else rows
        orders += map(tuple, turned.tolist())
    left_over = count % num_places
    rows = square[[(slot * left_over + i) % num_places for i in range(left_over)]]
    return orders + list(map(tuple, rows.tolist()))


def _originals(num_questions: int, repeats: int, num_places: int, rng: np.random.Generator) -> list[int]:
    """Draw the questions to repeat: whole blocks from early in the session, to keep repeats balanced."""
    num_blocks = int(num_questions * FIRST_PART) // num_places
    blocks = rng.choice(max(num_blocks, 1), repeats // num_places, replace=False)
    return [int(block) * num_places + i for block in blocks for i in range(num_places)]


def _obvious(kind: Kind, count: int, task: Task, num_images: int, rng: np.random.Generator) -> list[Trial]:
    orders = latin_orders(task.num_candidates, count, 0, rng)
    return [Trial(kind, task.obvious(num_images, rng), order, task.obvious_answer) for order in orders]


def _instructed(design: Design, rng: np.random.Generator) -> list[Trial]:
    """Return instructed trials, which ask for candidate 0 of randomly drawn questions."""
    orders = latin_orders(design.task.num_candidates, design.settings.instructed, 0, rng)
    chosen = rng.integers(len(design.questions), size=len(orders)).tolist()
    return [
        Trial("instructed", design.questions[q], order, 0) for q, order in zip(chosen, orders, strict=True)
    ]


def num_trials(settings: DesignSettings) -> int:
    """Return the number of trials per participant, including practice."""
    s = settings
    return s.practice + s.per_person + s.repeats + s.catch + s.instructed
