"""How far a person's answers can be relied on, and whom the rule leaves out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median

from perceptinit_collect.records import Record
from perceptinit_collect.settings import Exclusion

Asked = tuple[str, ...]
"""A question by its images' names, whatever their order: the anchor, if any, then the candidates sorted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """Measures of a person; shares in [0, 1], None where there is nothing to measure yet.

    catch: catch trials answered rightly. repeats: repeats answered as before; "not sure" once counts half.
    agreement: answers that agree with most of the others who were asked the same (the person left out;
    "not sure" and ties among the others are not counted). answered: questions answered.
    """

    catch: float | None
    repeats: float | None
    agreement: float | None
    median_seconds: float | None
    answered: float


def asked(record: Record, images: Sequence[str]) -> Asked:
    """Return the question that a trial asks."""
    candidates = record.design.task.num_candidates
    return *images[:-candidates], *sorted(images[-candidates:])


def chosen(record: Record, images: Sequence[str], answer: int) -> str:
    """Return the name of the image that was answered."""
    return images[-record.design.task.num_candidates :][answer]


def votes_of(records: Iterable[Record]) -> dict[Asked, Counter[str]]:
    """Return who was chosen how often in each question, first answers only, "not sure" left out."""
    votes: dict[Asked, Counter[str]] = defaultdict(Counter)
    for record in records:
        for _, trial, given in record.given("question"):
            if given.answer is not None:
                images = record.names(trial)
                votes[asked(record, images)][chosen(record, images, given.answer)] += 1
    return votes


def measure(record: Record, votes: Mapping[Asked, Counter[str]]) -> Reliability:
    """Return a person's measures; `votes` are those of everybody, the person included."""
    seconds = [given.seconds for _, _, given in record.given("question")]
    asked_in_all = sum(trial.kind == "question" for trial in record.trials)
    return Reliability(
        catch=_mean(given.answer == trial.correct for _, trial, given in record.given("catch")),
        repeats=_mean(_repeats(record)),
        agreement=_mean(_agreements(record, votes)),
        median_seconds=median(seconds) if seconds else None,
        answered=len(seconds) / asked_in_all,
    )


def _repeats(record: Record) -> Iterable[float]:
    for _, trial, given in record.given("repeat"):
        assert trial.of is not None
        answers = (record.answers[trial.of].answer, given.answer)
        same = answers[0] == answers[1]
        yield 1.0 if same else 0.5 if None in answers else 0.0


def _agreements(record: Record, votes: Mapping[Asked, Counter[str]]) -> Iterable[bool]:
    for _, trial, given in record.given("question"):
        if given.answer is None:
            continue
        images = record.names(trial)
        mine = chosen(record, images, given.answer)
        others = votes[asked(record, images)] - Counter([mine])
        top = others.most_common(2)
        if top and (len(top) == 1 or top[0][1] > top[1][1]):
            yield top[0][0] == mine


def _mean(values: Iterable[float]) -> float | None:
    listed = [float(value) for value in values]
    return mean(listed) if listed else None


def why_excluded(found: Reliability, rule: Exclusion) -> str:
    """Return by which limit of the rule a person is left out, as a phrase; "" for nobody's business."""
    limits = (
        ("catch trials right", found.catch, rule.min_catch),
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
    """Return each person's measures and why the rule of their design leaves them out ("" if it does not)."""
    votes = votes_of(records)
    found = {record.person: measure(record, votes) for record in records}
    return {
        record.person: (
            found[record.person],
            why_excluded(found[record.person], record.design.exclusion),
        )
        for record in records
    }
