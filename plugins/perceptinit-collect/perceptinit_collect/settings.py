"""The file `study.toml`: what a study asks, and the rule by which people are left out, written before the start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from perceptinit.plugin import (
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    Problem,
    RecipeError,
    Share,
    nearest,
    read_config,
)
from perceptinit_collect.tasks import TASKS

FILE = "study.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignSettings:
    """What is asked and how; part of the locked design."""

    task: str
    questions: PositiveInt
    """Different questions in all."""
    per_person: PositiveInt
    """Questions that a person answers, practice, repeats and catch trials not counted."""
    shared: NonNegativeInt = 0
    """How many of these everybody answers: they show how far people agree."""
    practice: NonNegativeInt = 6
    """Trials with an obvious answer and feedback, before the first question."""
    repeats: NonNegativeInt = 6
    """Questions of the first part that come again in the last part, in the opposite order."""
    catch: NonNegativeInt = 6
    """Trials with an obvious answer among the questions."""
    break_every: NonNegativeInt = 40
    """A break is offered after this many trials; 0 offers none."""
    not_sure: bool = False
    """Offer "not sure", which counts as a tie."""
    language: str = "en"
    """Language of the texts (BCP 47); it decides whether the page runs from right to left."""
    seed: NonNegativeInt = 0
    """Names the draw of questions, sides and orders."""

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            guess = nearest(self.task, TASKS)
            meant = f" Did you mean '{guess}'?" if guess else ""
            raise ValueError(f"no task '{self.task}'.{meant} There are: {', '.join(TASKS)}")
        for problem in self._unbalanced():
            raise ValueError(problem)

    def _unbalanced(self) -> list[str]:
        """Return what keeps sides or orders from being balanced, as sentences."""
        c, found = TASKS[self.task].num_candidates, []
        if self.questions < c:
            found.append(f"questions = {self.questions}: too few to balance sides; at least {c}")
        if not c <= self.per_person <= self.questions:
            found.append(
                f"per_person = {self.per_person}: must be from {c} (to balance sides) to questions = "
                f"{self.questions}, so that nobody is asked twice by chance"
            )
        if self.shared > self.per_person:
            found.append(
                f"shared = {self.shared}: more than a person answers (per_person = {self.per_person})"
            )
        for name in ("practice", "repeats", "catch"):
            if getattr(self, name) % c:
                found.append(
                    f"{name} = {getattr(self, name)}: must be a multiple of {c}, so that each side is right "
                    "equally often"
                )
        most = most_repeats(self.per_person, c)
        if self.repeats > most:
            found.append(
                f"repeats = {self.repeats}: {self.per_person} questions leave room for {most} (they are drawn from "
                "the first 40 % and come again in the last 40 %)"
            )
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """Who is left out by the export; part of the locked design. A limit that is absent is not applied."""

    min_catch: Share | None = None
    """Share of catch trials answered rightly."""
    min_repeats: Share | None = None
    """Share of repeats answered as before; "not sure" once counts half."""
    min_agreement: Share | None = None
    """Share of answers that agree with most of the others who were asked the same."""
    min_median_seconds: NonNegativeFloat | None = None
    """Median time from the presentation to the answer."""
    min_answered: Share | None = None
    """Share of the questions that were answered before the person left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleSettings:
    """Where people come from and what they get back; may change while a study runs."""

    completion_url: str = ""
    """Link at the end, https. `{platform_id}` becomes the platform's id of the person, which is stored then."""
    keep_platform_ids: bool = False
    """Store the ids that platforms give people. When false, only a keyed hash is kept, to know them again."""
    begins_per_minute: PositiveInt = 60
    """People who may begin within a minute from one address; answers have a limit of their own."""

    def __post_init__(self) -> None:
        if self.completion_url and not self.completion_url.startswith("https://"):
            raise ValueError(f"completion_url '{self.completion_url}' must begin with https://")

    @property
    def stores_platform_ids(self) -> bool:
        return self.keep_platform_ids or "{platform_id}" in self.completion_url


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a person who finishes costs; may change while a study runs."""

    per_person: NonNegativeFloat = 0.0
    fee: Share = 0.0
    """The platform's fee, as a share of the pay."""
    currency: str = "EUR"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All of `study.toml`."""

    design: DesignSettings
    exclusion: Exclusion = field(default_factory=Exclusion)
    people: PeopleSettings = field(default_factory=PeopleSettings)
    cost: Cost = field(default_factory=Cost)


_PARTS: dict[str, type[Any]] = {
    "design": DesignSettings, "exclusion": Exclusion, "people": PeopleSettings, "cost": Cost,
}  # fmt: skip


def parse_settings(tables: Mapping[str, Any], source: str) -> Settings:
    """Return checked settings; RecipeError with every problem at once."""
    problems = [
        Problem(name, f"unknown table; known: {', '.join(_PARTS)}") for name in tables if name not in _PARTS
    ]
    parts: dict[str, Any] = {}
    for name, cls in _PARTS.items():
        parts[name], found = read_config(cls, tables.get(name, {}), name)
        problems += found
    if problems:
        raise RecipeError(problems, source)
    return Settings(**parts)


def read_settings(folder: Path) -> Settings:
    """Return the settings of a study; RecipeError names what is wrong in `study.toml`."""
    import tomllib

    path = folder / FILE
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError([Problem("", f"not readable TOML ({error})")], str(path)) from error
    return parse_settings(tables, str(path))


def default_design(
    task: str, questions: int, per_person: int | None, not_sure: bool, seed: int
) -> dict[str, Any]:
    """Return the table `[design]` for a new study: repeats, catch trials and shared questions as there is room."""
    per_person = min(100, questions) if per_person is None else per_person
    c = TASKS[task].num_candidates if task in TASKS else 2
    repeats = min(6, most_repeats(per_person, c))
    catch = min(6, per_person // 4) // c * c
    return {
        "task": task,
        "questions": questions,
        "per_person": per_person,
        "shared": per_person // 10 if questions > per_person else 0,
        "repeats": repeats,
        "catch": catch,
        "not_sure": not_sure,
        "seed": seed,
    }


def most_repeats(per_person: int, num_candidates: int) -> int:
    """Return how many questions can come again: whole blocks of the first 40 %."""
    return int(per_person * 0.4) // num_candidates * num_candidates


def plain(part: Any) -> dict[str, Any]:
    """Return a part of the settings as values for JSON; limits that are absent are left out."""
    return {key: value for key, value in asdict(part).items() if value is not None}
