"""The answers of participants for export and status, their reliability, and the exclusion rule."""

from __future__ import annotations

# V answers to questions, Q questions, P participants, C candidates of a question
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from statistics import mean, median

import numpy as np

from perceptinit_collect.design import Design, Kind, Trial, num_trials
from perceptinit_collect.settings import Exclusion
from perceptinit_collect.tasks import TASKS, Question

MAX_CANDIDATES = max(task.num_candidates for task in TASKS.values())


@dataclass(frozen=True, slots=True)
class Given:
    """A stored answer. answer: candidate index, None for "not sure". received: Unix time in seconds.

    screen: see `people.Answer`; None if it is unknown.
    """

    answer: int | None
    seconds: float
    input: str
    is_interrupted: bool
    received: float
    screen: str | None = None


@dataclass(frozen=True)
class Record:
    """The trials of a participant, and the stored answers by trial position.

    began: Unix time of consent. head: the last checksum.
    """

    person: str
    design: Design
    platform: str
    platform_id: str | None
    trials: tuple[Trial, ...]
    answers: dict[int, Given] = field(default_factory=dict)
    began: float = 0.0
    head: str = ""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """Reliability of a participant: shares in [0, 1] and a reaction time, each None without data.

    Attributes:
        catch: Share of correct catch trials among those answered; 0 if none is answered.
        instructed: Share of correct instructed trials.
        checks: Share of correct attention checks of both kinds.
        repeats: Share of repeats with the same answer; "not sure" in one of the two counts half.
        agreement: Share of answers that agree with the majority of the other participants on the same
            question. "Not sure" and ties between the others do not count.
        median_seconds: Median reaction time of questions.
        answered: Share of assigned questions that were answered.
    """

    catch: float | None
    instructed: float | None
    checks: float | None
    repeats: float | None
    median_seconds: float | None
    answered: float
    agreement: float | None = None


NUM_COLUMNS = 3


@dataclass(frozen=True, slots=True)
class Measured:
    """What the status and the exclusion rule need of a participant.

    Attributes:
        code: The participant's code.
        design: The design version with which the participant started.
        num_answers: Number of answered trials.
        began: Unix time of consent.
        last: Unix time of the latest answer, or of the consent.
        head: The last checksum.
        found: The reliability, without the agreement with others.
        given: Answered questions, int32 (n, NUM_COLUMNS): number in the design, answer and screen position,
            both -1 for "not sure".
    """

    code: str
    design: Design
    num_answers: int
    began: float
    last: float
    head: str
    found: Reliability
    given: np.ndarray

    @property
    def num_trials(self) -> int:
        return num_trials(self.design.settings)


# rows of votes, int32 (4, V): index of the participant; number of the question, independent of the candidate
# order; the chosen one of the sorted candidates; the chosen screen position; the last two -1 for "not sure"
PERSON, QUESTION, CHOICE, PLACE = range(4)


def time_text(seconds: float) -> str:
    """Return a Unix time in UTC, in ISO 8601 to the second."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def measure(record: Record) -> Measured:
    """Return what the status and the exclusion rule need of a participant."""
    questions = list(record.given("question"))
    numbers = record.design.numbers
    given = [
        (numbers[trial.images], -1, -1)
        if answered.answer is None
        else (numbers[trial.images], answered.answer, trial.order.index(answered.answer))
        for _, trial, answered in questions
    ]
    asked_in_all = sum(trial.kind == "question" for trial in record.trials)
    seconds = [answered.seconds for _, _, answered in questions]
    found = Reliability(
        catch=_mean(_checks(record, "catch")),
        instructed=_mean(_checks(record, "instructed")),
        checks=_mean(_checks(record, "catch", "instructed")),
        repeats=_mean(_repeats(record)),
        median_seconds=median(seconds) if seconds else None,
        answered=len(seconds) / asked_in_all,
    )
    return Measured(
        record.person,
        record.design,
        len(record.answers),
        record.began,
        max((answered.received for answered in record.answers.values()), default=record.began),
        record.head,
        found,
        np.array(given, dtype=np.int32).reshape(-1, NUM_COLUMNS),
    )


def gather(people: Sequence[Measured]) -> tuple[np.ndarray, list[Question]]:
    """Return the votes of all participants, and the images of each question with sorted candidates.

    Images and questions are numbered across design versions.
    """
    images: dict[str, int] = {}
    asked: dict[Question, int] = {}
    parts = [np.zeros((4, 0), np.int32)]
    for design in {id(person.design): person.design for person in people}.values():
        members = [i for i, person in enumerate(people) if person.design is design]
        counts = [len(people[i].given) for i in members]
        question, answer, place = np.concatenate([people[i].given for i in members]).T
        number, choice = _number_questions(design, images, asked)
        person = np.repeat(np.array(members, np.int32), counts)
        parts.append(np.stack([person, number[question], choice[question, answer], place]))
    return np.hstack(parts), list(asked)


def _number_questions(
    design: Design, images: dict[str, int], asked: dict[Question, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of each question (Q,), and the choice for each answer and "not sure" (Q, C + 1)."""
    names = [images.setdefault(image.name, len(images)) for image in design.images]
    numbers, choices = [], []
    for question in design.questions:
        shown = [names[image] for image in question]
        first = len(shown) - design.task.num_candidates
        candidates = shown[first:]
        ordered = sorted(candidates)
        numbers.append(asked.setdefault((*shown[:first], *ordered), len(asked)))
        choices.append([*map(ordered.index, candidates), -1])
    return np.array(numbers, np.int32), np.array(choices, np.int32)


def tally(votes: np.ndarray) -> np.ndarray:
    """Return the number of votes for each candidate of each question, without "not sure", int (Q, C)."""
    _, question, choice, _ = votes[:, votes[CHOICE] >= 0]
    num_cells = (question.max(initial=-1) + 1) * MAX_CANDIDATES
    return np.bincount(question * MAX_CANDIDATES + choice, minlength=num_cells).reshape(-1, MAX_CANDIDATES)


def _checks(record: Record, *kinds: Kind) -> list[bool]:
    """Return whether each answered check is correct; [False] if none of the assigned ones is answered."""
    answered = [given.answer == trial.correct for kind in kinds for _, trial, given in record.given(kind)]
    is_assigned = any(trial.kind in kinds for trial in record.trials)
    return answered or [False] * is_assigned


def _repeats(record: Record) -> Iterable[float]:
    for _, trial, given in record.given("repeat"):
        assert trial.of is not None
        answers = (record.answers[trial.of].answer, given.answer)
        yield 1.0 if answers[0] == answers[1] else 0.5 if None in answers else 0.0


def _agreements(votes: np.ndarray, num_people: int) -> Iterator[float | None]:
    """Yield, for each participant, the share of answers that agree with the majority of the others."""
    cast = votes[:, votes[CHOICE] >= 0]
    others = tally(cast).T[:, cast[QUESTION]]
    mine = (cast[CHOICE], np.arange(cast.shape[1]))
    others[mine] -= 1
    top = others.max(axis=0)
    is_decided = (top > 0) & ((others == top).sum(axis=0) == 1)
    is_alike = is_decided & (others[mine] == top)
    num_decided = np.bincount(cast[PERSON, is_decided], minlength=num_people).tolist()
    num_alike = np.bincount(cast[PERSON, is_alike], minlength=num_people).tolist()
    for alike, decided in zip(num_alike, num_decided, strict=True):
        yield alike / decided if decided else None


def _mean(values: Iterable[float]) -> float | None:
    listed = list(map(float, values))
    return mean(listed) if listed else None


def why_excluded(found: Reliability, rule: Exclusion) -> str:
    """Return the violated limits of the exclusion rule as text, "" for none."""
    limits = (
        ("attention checks correct", found.checks, rule.min_checks),
        ("catch trials correct", found.catch, rule.min_catch),
        ("instructed trials correct", found.instructed, rule.min_instructed),
        ("repeats answered alike", found.repeats, rule.min_repeats),
        ("agreement with others", found.agreement, rule.min_agreement),
        ("median seconds", found.median_seconds, rule.min_median_seconds),
        ("questions answered", found.answered, rule.min_answered),
    )
    broken = [
        f"{name} {value:.2f} < {limit:g}"
        for name, value, limit in limits
        if value is not None and limit is not None and value < limit
    ]
    return "; ".join(broken)


def judge(people: Sequence[Measured], votes: np.ndarray) -> dict[str, tuple[Reliability, str]]:
    """Return, by participant code, the reliability and the violated limits of the exclusion rule.

    votes: those of `gather(people)`.
    """
    judged = {}
    for measured, agreement in zip(people, _agreements(votes, len(people)), strict=True):
        found = replace(measured.found, agreement=agreement)
        judged[measured.code] = found, why_excluded(found, measured.design.exclusion)
    return judged


def judge_records(records: Iterable[Record]) -> dict[str, tuple[Reliability, str]]:
    """Return the result of `judge` for records."""
    people = [measure(record) for record in records]
    return judge(people, gather(people)[0])
