"""Read a study's database for export and status."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from perceptinit_collect.design import Design, read_design
from perceptinit_collect.people import read_trials
from perceptinit_collect.sessions import Trial
from perceptinit_collect.store import read_rows


@dataclass(frozen=True, slots=True)
class Given:
    """A stored answer. answer: candidate index, None for "not sure". received: Unix time in seconds."""

    answer: int | None
    seconds: float
    input: str
    is_interrupted: bool
    received: float


@dataclass(frozen=True)
class Record:
    """The trials of a participant, and the stored answers by trial position."""

    person: str
    design: Design
    platform: str
    platform_id: str | None
    trials: tuple[Trial, ...]
    answers: dict[int, Given] = field(default_factory=dict)

    @property
    def is_finished(self) -> bool:
        return len(self.answers) == len(self.trials)

    def given(self, kind: str) -> Iterator[tuple[int, Trial, Given]]:
        """Yield the position, trial and answer of each answered trial of this kind."""
        for position, trial in enumerate(self.trials):
            if trial.kind == kind and position in self.answers:
                yield position, trial, self.answers[position]

    def names(self, trial: Trial) -> tuple[str, ...]:
        """Return the image names of a trial, which are the same in all design versions."""
        return tuple(self.design.images[image].name for image in trial.images)


def read_records(folder: Path) -> list[Record]:
    """Return the participants, sorted by design version and start; DataError for a damaged design."""
    locked = {row["version"]: row["sha256"] for row in read_rows(folder, "SELECT * FROM designs")}
    designs = {version: read_design(folder, version, sha256) for version, sha256 in locked.items()}
    people = read_rows(folder, "SELECT * FROM people ORDER BY design, slot")
    answers: dict[str, dict[int, Given]] = defaultdict(dict)
    for row in read_rows(folder, "SELECT * FROM answers"):
        answers[row["person"]][row["position"]] = Given(
            row["answer"],
            row["seconds"],
            row["input"],
            bool(row["is_interrupted"]),
            row["received"],
        )
    return [
        Record(
            row["id"],
            designs[row["design"]],
            row["platform"],
            row["platform_id"],
            read_trials(row["trials"]),
            answers[row["id"]],
        )
        for row in people
    ]
