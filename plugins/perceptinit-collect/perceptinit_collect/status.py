"""Progress of a study: participants, reliability, agreement, cost and the answers still needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from perceptinit.plugin import generator
from perceptinit_collect.checks import read_measured
from perceptinit_collect.design import num_trials
from perceptinit_collect.embedding import HeldOut, held_out_2afc
from perceptinit_collect.kept import predict
from perceptinit_collect.records import (
    CHOICE,
    PERSON,
    PLACE,
    QUESTION,
    Measured,
    Reliability,
    gather,
    judge,
    tally,
    time_text,
)
from perceptinit_collect.settings import Cost, DesignSettings, read_settings
from perceptinit_collect.store import read_rows
from perceptinit_collect.study import find_missing
from perceptinit_collect.tasks import Question, Task

if TYPE_CHECKING:
    from rich.console import Console

AIM = 0.01  # target half-width of the interval: one percentage point
MAX_FITTED = 10_000  # answers to which the small embedding is fitted
MAX_PRINTED = 100  # participants
MAX_STOPPED = 20  # numbers of answers of participants who stopped
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


def status(folder: Path, max_people: int | None = None) -> dict[str, Any]:
    """Return the progress of a study: `summary` as rows (name, value), `people` as rows of `columns`.

    Participants who finished are the first rows. max_people: number of rows, None for all participants.
    """
    people, problems = read_measured(folder)
    votes, asked = gather(people)
    judged = judge(people, votes)
    is_used = np.array([not judged[measured.code][1] for measured in people], dtype=bool)
    used = votes[:, is_used[votes[PERSON]]]
    ordered = sorted(people, key=lambda measured: measured.num_answers < measured.num_trials)
    return {
        "summary": [
            *([["damaged", problem] for problem in problems]),
            *map(list, _summary(folder, people, is_used, votes.shape[1], used, asked)),
        ],
        "columns": list(COLUMNS),
        "people": [_person(measured, *judged[measured.code]) for measured in ordered[:max_people]],
        "num_people": len(people),
    }


def _summary(
    folder: Path,
    people: Sequence[Measured],
    is_used: np.ndarray,
    num_given: int,
    used: np.ndarray,
    asked: Sequence[Question],
) -> Iterator[tuple[str, str]]:
    is_closed = bool(read_rows(folder, "SELECT 1 FROM facts WHERE name = 'closed'"))
    missing = find_missing(folder)
    state = "incomplete: no one can start" if missing else "open"
    yield "study", "closed: no new participants" if is_closed else state
    if missing:
        yield "to fill in", "; ".join(missing)
    settings = read_settings(folder)
    yield "trials per participant", describe_trials(settings.design)
    stopped = sorted(m.num_answers for m in people if m.num_answers < m.num_trials)
    finished = len(people) - len(stopped)
    yield "participants", f"{len(people):,} started, {finished:,} finished"
    if stopped:
        more = f" and {len(stopped) - MAX_STOPPED:,} more" if len(stopped) > MAX_STOPPED else ""
        yield "answers before stopping", ", ".join(map(str, stopped[:MAX_STOPPED])) + more
    if not people:
        return
    yield "excluded by the rule", f"{len(people) - is_used.sum():,}"
    yield from _answers(people, num_given, used)
    yield from _agreement(used)
    yield from _prediction(folder, people[-1].design.task, used[:, used[CHOICE] >= 0], asked, finished)
    yield from _cost(settings.cost, finished)


def describe_trials(s: DesignSettings) -> str:
    """Return the number of trials per participant and of each kind, as text."""
    parts = (
        ("practice", s.practice), ("questions", s.per_person), ("repeats", s.repeats), ("catch", s.catch),
        ("instructed", s.instructed),
    )  # fmt: skip
    return f"{num_trials(s)} ({', '.join(f'{count} {name}' for name, count in parts if count)})"


def _answers(people: Sequence[Measured], num_given: int, used: np.ndarray) -> Iterator[tuple[str, str]]:
    not_sure = (used[CHOICE] < 0).sum()
    yield (
        "answers to questions",
        f"{num_given:,}, of which {used.shape[1]:,} are used ({not_sure:,} not sure)",
    )
    newest = max((measured.design for measured in people), key=lambda design: design.version)
    is_newest = np.array([measured.design is newest for measured in people])
    num_seen = np.count_nonzero(np.bincount(used[QUESTION, is_newest[used[PERSON]]]))
    yield f"questions of design {newest.version} answered", f"{num_seen:,} of {len(newest.questions):,}"
    places = np.bincount(used[PLACE, used[PLACE] >= 0], minlength=newest.task.num_candidates)
    if places.any():
        shares = (f"{count / places.sum():.1%}" for count in places.tolist())
        yield "chosen position, from the left", " / ".join(shares)


def _agreement(used: np.ndarray) -> Iterator[tuple[str, str]]:
    """Yield the agreement between participants, weighted by votes, on questions with several answers."""
    counts = tally(used)
    counts = counts[counts.sum(axis=1) > 1]
    if not len(counts):
        yield "ceiling", "unknown, because no question has two answers yet"
        return
    totals = counts.sum(axis=1)
    pair = ((counts * (counts - 1)).sum(axis=1) / (totals - 1)).sum() / totals.sum()
    majority = counts.max(axis=1).sum() / totals.sum()
    yield (
        "agreement of two participants",
        f"{pair:.1%} (on {len(counts):,} questions with at least two answers)",
    )
    yield "ceiling (majority)", f"{majority:.1%} (biased upward for few votes)"


def _prediction(
    folder: Path, task: Task, cast: np.ndarray, asked: Sequence[Question], finished: int
) -> Iterator[tuple[str, str]]:
    given = cast.shape[1]
    num_before, found = predict(folder, given, lambda: held_out(task, cast, asked))
    if found is None:
        yield "held-out 2AFC", "unknown, because there are too few answers so far"
        return
    num_fitted = min(num_before, MAX_FITTED)
    sampled = f"; on {num_fitted:,} answers" if num_fitted < given else ""
    yield (
        "held-out 2AFC of a small embedding",
        f"{found.accuracy:.1%} +- {100 * found.half_width:.1f} points (95 %; chance 50 %{sampled})",
    )
    more = max(0, num_fitted + found.answers_until(AIM, num_fitted) - given)
    needed = f"about {more:,}" if more else "none"
    if more and finished:
        needed += f", from {ceil(more * finished / given):,} participants who finish"
    yield "additional answers for +- 1 point", needed


def held_out(task: Task, cast: np.ndarray, asked: Sequence[Question]) -> HeldOut | None:
    """Return the accuracy of a fitted image embedding on held-out answers, None without answers.

    Args:
        task: The task of the study.
        cast: Votes other than "not sure", of which at most MAX_FITTED are sampled.
        asked: Images of each question.
    """
    sample = generator(0, "collect", "fitted").permutation(cast.shape[1])[:MAX_FITTED]
    triplets, of = [], []
    for _, question, choice, _ in cast[:, np.sort(sample)].T.tolist():
        for triplet in task.triplets(asked[question], choice):
            triplets.append(triplet)
            of.append(question)
    num_images = max(map(max, asked), default=-1) + 1
    return held_out_2afc(np.array(triplets), np.array(of), num_images) if triplets else None


def _cost(cost: Cost, finished: int) -> Iterator[tuple[str, str]]:
    if cost.per_person:
        total = finished * cost.per_person * (1 + cost.fee)
        yield "cost so far", f"{total:,.2f} {cost.currency} ({finished:,} finished, fee included)"


def _person(measured: Measured, found: Reliability, why: str) -> list[str]:
    shares = (found.catch, found.instructed, found.repeats, found.agreement)
    seconds = found.median_seconds
    reason = why.partition(";")[0]
    has_left = measured.num_answers < measured.num_trials
    minutes = max(0, measured.last - measured.began) / 60  # a clock that was set back
    return [
        measured.code,
        str(measured.num_answers),
        str(measured.num_trials),
        *("-" if share is None else f"{share:.2f}" for share in shares),
        "-" if seconds is None else f"{seconds:.2f}",
        time_text(measured.began),
        f"{minutes:.1f}",
        f"left after {measured.num_answers} of {measured.num_trials}" if has_left and why else reason,
    ]


def show(found: dict[str, Any], console: Console) -> None:
    """Print the result of `status`: the summary, then one row for each of the first participants."""
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
    more = found["num_people"] - len(found["people"])
    if more:
        console.print(f"{more:,} more participants are on the owner's page, and in the export")
