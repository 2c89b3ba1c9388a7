"""The file `study.toml`: questions, exclusion rule, platform and cost of a study."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from perceptinit.companion import Problem, RecipeError, parse_toml, read_config, read_text, suggest
from perceptinit.plugin import NonNegativeFloat, NonNegativeInt, PositiveInt, Share
from perceptinit_collect.tasks import TASKS

FILE = "study.toml"
PRACTICE = 6
MAX_CHECKS = 36  # attention checks by default; docs/collect.md has the shares of participants who pass
# by number of candidates, because guesses are right more often in 2AFC: 4 (2AFC) or 5 errors in MAX_CHECKS
MIN_CHECKS = {2: 0.88, 3: 0.86}
# URL parameter with which each platform passes the participant's id
PLATFORMS = {"PROLIFIC_PID": "prolific", "workerId": "mturk", "survey_code": "sona"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignSettings:
    """Questions and trials, part of the locked design."""

    task: str
    questions: PositiveInt
    """Number of distinct questions."""
    per_person: PositiveInt
    """Questions per participant, excluding practice, repeats and attention checks."""
    shared: NonNegativeInt = 0
    """Number of questions that all participants answer, to measure agreement."""
    practice: NonNegativeInt = PRACTICE
    """Trials with an obvious answer and feedback, before the first question."""
    repeats: NonNegativeInt = 6
    """Questions from the first 40 % that are repeated in the last 40 %, candidates in reverse order."""
    catch: NonNegativeInt = 6
    """Attention checks with an obvious answer, because one image is shown twice."""
    instructed: NonNegativeInt = 0
    """Attention checks that ask for a specific image."""
    break_every: NonNegativeInt = 40
    """Trials between breaks; 0 for no breaks."""
    not_sure: bool = False
    """Offer "not sure", stored as a tie."""
    language: str = "en"
    """Language of the texts as a BCP 47 tag, which sets the writing direction."""
    seed: NonNegativeInt = 0
    """Random seed of questions and candidate orders."""

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ValueError(
                f"unknown task '{self.task}'.{suggest(self.task, TASKS)} Tasks: {', '.join(TASKS)}"
            )
        c = TASKS[self.task].num_candidates
        if self.questions < c:
            raise ValueError(
                f"questions = {self.questions}: must be at least {c}, to balance screen positions"
            )
        if not c <= self.per_person <= self.questions:
            raise ValueError(
                f"per_person = {self.per_person}: must be at least {c}, to balance screen positions, "
                f"and at most questions = {self.questions}"
            )
        if self.shared > self.per_person:
            raise ValueError(f"shared = {self.shared}: must be at most per_person = {self.per_person}")
        for name in ("practice", "repeats", "catch", "instructed"):
            if getattr(self, name) % c:
                raise ValueError(
                    f"{name} = {getattr(self, name)}: must be a multiple of {c}, so that all candidates "
                    "are shown equally often at each screen position"
                )
        most = most_repeats(self.per_person, c)
        if self.repeats > most:
            raise ValueError(
                f"repeats = {self.repeats}: must be at most {most} with per_person = {self.per_person}, "
                "because repeated questions are drawn from the first 40 %"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """Optional limits below which the export excludes a participant, part of the locked design."""

    min_checks: Share | None = None
    """Share of correct attention checks, including catch and instructed trials."""
    min_catch: Share | None = None
    """Share of correct catch trials."""
    min_instructed: Share | None = None
    """Share of correct instructed trials."""
    min_repeats: Share | None = None
    """Share of repeats with the same answer; "not sure" in one of the two counts half."""
    min_agreement: Share | None = None
    """Share of answers that agree with the majority of the other participants."""
    min_median_seconds: NonNegativeFloat | None = None
    """Median reaction time."""
    min_answered: Share | None = None
    """Share of assigned questions that were answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleSettings:
    """Recruitment of participants. These settings may change while a study runs."""

    platform: str = ""
    """Recruiting platform: prolific, mturk, sona, or "" for none."""
    address: str = ""
    """Host name at which a proxy serves the page, such as study.example.org."""
    completion_url: str = ""
    """HTTPS link on the last page. `{platform_id}` becomes the participant's id, which is then stored."""
    keep_platform_ids: bool = False
    """Store platform ids. If false, only a keyed hash is stored, to recognize returning participants."""
    begins_per_minute: PositiveInt = 60
    """New participants per minute from one IP address; answers have a separate limit."""
    copy_minutes: NonNegativeFloat = 10.0
    """Minutes between two copies of the answers; 0 for no copies."""

    def __post_init__(self) -> None:
        if self.platform and self.platform not in PLATFORMS.values():
            raise ValueError(
                f"platform '{self.platform}' is unknown. Platforms: {', '.join(PLATFORMS.values())}, or "
                '"" for none'
            )
        if not re.fullmatch(r"[\w.-]*", self.address):
            raise ValueError(f"address '{self.address}' must be a host name, such as study.example.org")
        if self.completion_url and not self.completion_url.startswith("https://"):
            raise ValueError(f"completion_url '{self.completion_url}' must begin with https://")

    @property
    def stores_platform_ids(self) -> bool:
        return self.keep_platform_ids or "{platform_id}" in self.completion_url


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Cost per participant who finishes. These settings may change while a study runs."""

    per_person: NonNegativeFloat = 0.0
    fee: Share = 0.0
    """Platform fee as a share of the pay."""
    currency: str = "EUR"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Contents of `study.toml`."""

    design: DesignSettings
    exclusion: Exclusion = field(default_factory=Exclusion)
    people: PeopleSettings = field(default_factory=PeopleSettings)
    cost: Cost = field(default_factory=Cost)


_PARTS: dict[str, type[Any]] = {
    "design": DesignSettings, "exclusion": Exclusion, "people": PeopleSettings, "cost": Cost,
}  # fmt: skip


def parse_settings(tables: Mapping[str, Any], source: str) -> Settings:
    """Validate the tables of `study.toml`; RecipeError lists all problems."""
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
    """Return the settings of a study; DataError for an unreadable file, RecipeError lists all problems."""
    path = folder / FILE
    return parse_settings(parse_toml(read_text(path), str(path)), str(path))


def default_design(
    task: str, questions: int, per_person: int | None, not_sure: bool, seed: int
) -> dict[str, Any]:
    """Return the table `[design]` for a new study; at most a quarter of the trials are attention checks."""
    per_person = min(100, questions) if per_person is None else per_person
    c = TASKS[task].num_candidates if task in TASKS else 2
    repeats = min(6, most_repeats(per_person, c))
    num_checks = min(MAX_CHECKS, (PRACTICE + per_person + repeats) // 3)
    catch = num_checks // (2 * c) * c
    return {
        "task": task,
        "questions": questions,
        "per_person": per_person,
        "shared": per_person // 10 if questions > per_person else 0,
        "repeats": repeats,
        "catch": catch,
        "instructed": (num_checks - catch) // c * c,
        "not_sure": not_sure,
        "seed": seed,
    }


def most_repeats(per_person: int, num_candidates: int) -> int:
    """Return the maximum number of repeats, drawn in whole blocks from the first 40 % of questions."""
    return int(per_person * 0.4) // num_candidates * num_candidates


def plain(part: Any) -> dict[str, Any]:
    """Return a settings object as a dictionary, without None values."""
    values = {key: value for key, value in asdict(part).items() if value is not None}
    if values.get("instructed") == 0:  # designs locked before this setting existed keep their hash
        del values["instructed"]
    return values
