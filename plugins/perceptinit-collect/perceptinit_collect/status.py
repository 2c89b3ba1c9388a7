"""Progress of a study: participants, reliability, agreement, cost and the answers still needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from perceptinit_collect.checks import read_checked
from perceptinit_collect.design import num_trials
from perceptinit_collect.embedding import HeldOut, held_out_2afc
from perceptinit_collect.records import Record, Reliability, judge, question_of, time_text, votes_of
from perceptinit_collect.settings import Cost, DesignSettings, read_settings
from perceptinit_collect.store import read_rows
from perceptinit_collect.study import find_missing

if TYPE_CHECKING:
    from rich.console import Console

AIM = 0.01  # target half-width of the interval: one percentage point
COLUMNS = (
    "participant",
    "answers",
    "of",
    "catch",
    "instructed",
    "repeats",
    "agreement",
    "median s",
    "began",
    "minutes",
    "excluded",
)


def status(folder: Path) -> dict[str, Any]:
    """Return the progress of a study: `summary` as rows (name, value), `people` as rows of `columns`."""
    records, problems = read_checked(folder)
    judged = judge(records)
    used = [record for record in records if not judged[record.person][1]]
    return {
        "summary": [
            *([["damaged", problem] for problem in problems]),
            *map(list, _summary(folder, records, used)),
        ],
        "columns": list(COLUMNS),
        "people": [_person(record, *judged[record.person]) for record in records],
    }


def _summary(folder: Path, records: Sequence[Record], used: Sequence[Record]) -> Iterator[tuple[str, str]]:
    is_closed = bool(read_rows(folder, "SELECT 1 FROM facts WHERE name = 'closed'"))
    missing = find_missing(folder)
    state = "incomplete: no one can start" if missing else "open"
    yield "study", "closed: no new participants" if is_closed else state
    if missing:
        yield "to fill in", "; ".join(missing)
    settings = read_settings(folder)
    yield "trials per participant", describe_trials(settings.design)
    finished = sum(record.is_finished for record in records)
    yield "participants", f"{len(records):,} started, {finished:,} finished"
    stopped = sorted(len(record.answers) for record in records if not record.is_finished)
    if stopped:
        yield "answers before stopping", ", ".join(map(str, stopped))
    if not records:
        return
    yield "excluded by the rule", f"{len(records) - len(used):,}"
    yield from _answers(records, used)
    yield from _agreement(used)
    yield from _prediction(records, used)
    yield from _cost(settings.cost, finished)


def describe_trials(s: DesignSettings) -> str:
    """Return the number of trials per participant and of each kind, as text."""
    parts = (
        ("practice", s.practice), ("questions", s.per_person), ("repeats", s.repeats), ("catch", s.catch),
        ("instructed", s.instructed),
    )  # fmt: skip
    return f"{num_trials(s)} ({', '.join(f'{count} {name}' for name, count in parts if count)})"


def _answers(records: Sequence[Record], used: Sequence[Record]) -> Iterator[tuple[str, str]]:
    all_given = sum(len(list(record.given("question"))) for record in records)
    given = [answer for record in used for _, _, answer in record.given("question")]
    not_sure = sum(answer.answer is None for answer in given)
    yield "answers to questions", f"{all_given:,}, of which {len(given):,} are used ({not_sure:,} not sure)"
    newest = max((record.design for record in records), key=lambda design: design.version)
    seen = {
        trial.images for record in used for _, trial, _ in record.given("question") if record.design is newest
    }
    yield f"questions of design {newest.version} answered", f"{len(seen):,} of {len(newest.questions):,}"
    places = Counter(
        trial.order.index(answer.answer)
        for record in used
        for _, trial, answer in record.given("question")
        if answer.answer is not None
    )
    if places:
        shares = (f"{places[p] / places.total():.1%}" for p in range(newest.task.num_candidates))
        yield "chosen position, from the left", " / ".join(shares)


def _agreement(used: Sequence[Record]) -> Iterator[tuple[str, str]]:
    """Yield the agreement between participants, weighted by votes, on questions with several answers."""
    counts = [votes for votes in votes_of(used).values() if votes.total() > 1]
    if not counts:
        yield "ceiling", "unknown, because no question has two answers yet"
        return
    total = sum(votes.total() for votes in counts)
    pair = sum(sum(k * (k - 1) for k in votes.values()) / (votes.total() - 1) for votes in counts) / total
    majority = sum(max(votes.values()) for votes in counts) / total
    yield (
        "agreement of two participants",
        f"{pair:.1%} (on {len(counts):,} questions with at least two answers)",
    )
    yield "ceiling (majority)", f"{majority:.1%} (biased upward for few votes)"


def _prediction(records: Sequence[Record], used: Sequence[Record]) -> Iterator[tuple[str, str]]:
    found = held_out(used)
    if found is None:
        yield "held-out 2AFC", "unknown, because there are too few answers so far"
        return
    given = sum(a.answer is not None for r in used for _, _, a in r.given("question"))
    more = found.answers_until(AIM, given)
    yield (
        "held-out 2AFC of a small embedding",
        f"{found.accuracy:.1%} +- {100 * found.half_width:.1f} points (95 %; chance 50 %)",
    )
    num_people = ceil(more * len(records) / given)  # participants who are excluded or stop count, too
    needed = f"about {more:,}, from {num_people:,} participants" if more else "none"
    yield "additional answers for +- 1 point", needed


def held_out(records: Sequence[Record]) -> HeldOut | None:
    """Return the accuracy of a fitted image embedding on held-out answers, None without answers."""
    images: dict[str, int] = {}
    questions: dict[tuple[str, ...], int] = {}
    triplets, of = [], []
    for record in records:
        for names, answer in record.votes():
            numbers = tuple(images.setdefault(name, len(images)) for name in names)
            question = questions.setdefault(question_of(record, names), len(questions))
            for triplet in record.design.task.triplets(numbers, answer):
                triplets.append(triplet)
                of.append(question)
    return held_out_2afc(np.array(triplets), np.array(of), len(images)) if triplets else None


def _cost(cost: Cost, finished: int) -> Iterator[tuple[str, str]]:
    if cost.per_person:
        total = finished * cost.per_person * (1 + cost.fee)
        yield "cost so far", f"{total:,.2f} {cost.currency} ({finished:,} finished, fee included)"


def _person(record: Record, found: Reliability, why: str) -> list[str]:
    shares = (found.catch, found.instructed, found.repeats, found.agreement)
    seconds = found.median_seconds
    last = max((given.received for given in record.answers.values()), default=record.began)
    return [
        record.person,
        str(len(record.answers)),
        str(len(record.trials)),
        *("-" if share is None else f"{share:.2f}" for share in shares),
        "-" if seconds is None else f"{seconds:.2f}",
        time_text(record.began),
        f"{(last - record.began) / 60:.1f}",
        why,
    ]


def show(found: dict[str, Any], console: Console) -> None:
    """Print the result of `status`: the summary, then one row per participant."""
    from rich.table import Column, Table

    summary = Table(box=None, show_header=False, pad_edge=False)
    for row in found["summary"]:
        summary.add_row(*row)
    console.print(summary)
    if found["people"]:
        person, *others = found["columns"]  # --forget needs the full code
        people = Table(Column(person, min_width=10, no_wrap=True), *others, box=None, pad_edge=False)
        for row in found["people"]:
            people.add_row(*row)
        console.print()
        console.print(people)
