"""The answers of participants for export and status, their reliability, and the exclusion rule."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import mean, median

from perceptinit_collect.design import Design, Kind, Trial
from perceptinit_collect.settings import Exclusion

Asked = tuple[str, ...]
"""Image names of a question: the anchor, if any, then the sorted candidates."""


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
    """The trials of a participant, and the stored answers by trial position. began: Unix time of consent."""

    person: str
    design: Design
    platform: str
    platform_id: str | None
    trials: tuple[Trial, ...]
    answers: dict[int, Given] = field(default_factory=dict)
    began: float = 0.0

    @property
    def is_finished(self) -> bool:
        return len(self.answers) == len(self.trials)

    def given(self, kind: str) -> Iterator[tuple[int, Trial, Given]]:
        """Yield the position, trial and answer of each answered trial of this kind."""
        for position, trial in enumerate(self.trials):
            if trial.kind == kind and position in self.answers:
                yield position, trial, self.answers[position]

    def votes(self) -> Iterator[tuple[tuple[str, ...], int]]:
        """Yield image names and answer of each answered question, without repeats and "not sure"."""
        for _, trial, given in self.given("question"):
            if given.answer is not None:
                yield self.names(trial), given.answer

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
    agreement: float | None
    median_seconds: float | None
    answered: float


def time_text(seconds: float) -> str:
    """Return a Unix time in UTC, in ISO 8601 to the second."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def question_of(record: Record, images: Sequence[str]) -> Asked:
    """Return the question of a trial, independent of the candidate order."""
    candidates = record.design.task.num_candidates
    return *images[:-candidates], *sorted(images[-candidates:])


def image_of(record: Record, images: Sequence[str], answer: int) -> str:
    """Return the name of the chosen image."""
    return images[-record.design.task.num_candidates :][answer]


def votes_of(records: Iterable[Record]) -> dict[Asked, Counter[str]]:
    """Count the votes for each image of each question, excluding repeats and "not sure"."""
    votes: dict[Asked, Counter[str]] = defaultdict(Counter)
    for record in records:
        for images, answer in record.votes():
            votes[question_of(record, images)][image_of(record, images, answer)] += 1
    return votes


def measure(record: Record, votes: Mapping[Asked, Counter[str]]) -> Reliability:
    """Return the reliability of a participant, whose own votes are included in `votes`."""
    seconds = [given.seconds for _, _, given in record.given("question")]
    asked_in_all = sum(trial.kind == "question" for trial in record.trials)
    return Reliability(
        catch=_mean(_checks(record, "catch")),
        instructed=_mean(_checks(record, "instructed")),
        checks=_mean(_checks(record, "catch", "instructed")),
        repeats=_mean(_repeats(record)),
        agreement=_mean(_agreements(record, votes)),
        median_seconds=median(seconds) if seconds else None,
        answered=len(seconds) / asked_in_all,
    )


def _checks(record: Record, *kinds: Kind) -> list[bool]:
    """Return whether each answered check is correct; [False] if none of the assigned ones is answered."""
    answered = [given.answer == trial.correct for kind in kinds for _, trial, given in record.given(kind)]
    is_assigned = any(trial.kind in kinds for trial in record.trials)
    return answered or [False] * is_assigned


def _repeats(record: Record) -> Iterable[float]:
    for _, trial, given in record.given("repeat"):
        assert trial.of is not None
        answers = (record.answers[trial.of].answer, given.answer)
        same = answers[0] == answers[1]
        yield 1.0 if same else 0.5 if None in answers else 0.0


def _agreements(record: Record, votes: Mapping[Asked, Counter[str]]) -> Iterable[bool]:
    for images, answer in record.votes():
        mine = image_of(record, images, answer)
        others = votes[question_of(record, images)] - Counter([mine])
        top = others.most_common(2)
        if top and (len(top) == 1 or top[0][1] > top[1][1]):
            yield top[0][0] == mine


def _mean(values: Iterable[float]) -> float | None:
    listed = list(map(float, values))
    return mean(listed) if listed else None


def why_excluded(found: Reliability, rule: Exclusion) -> str:
    """Return the violated limits of the exclusion rule as text, "" for none."""
    limits = (
        ("attention checks correct", found.checks, rule.min_checks),
        ("catch trials correct", found.catch, rule.min_catch),
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


def judge(records: Sequence[Record]) -> dict[str, tuple[Reliability, str]]:
    """Return, by participant code, the reliability and the violated limits of the exclusion rule."""
    votes = votes_of(records)
    found = {record.person: measure(record, votes) for record in records}
    return {r.person: (found[r.person], why_excluded(found[r.person], r.design.exclusion)) for r in records}
