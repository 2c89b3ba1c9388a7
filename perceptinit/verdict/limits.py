"""Limits of an answer, in a fixed order of importance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from perceptinit.analysis.at_best import tuning_note
from perceptinit.analysis.comparison import Comparison, ScoreComparison
from perceptinit.analysis.contrasts import is_by_simulated_people
from perceptinit.analysis.environments import find_unlike
from perceptinit.analysis.intervals import MIN_SEEDS_SIGN_FLIP
from perceptinit.analysis.numbers import interval, number, signed
from perceptinit.judgments.two_afc import COLLAPSED_SPREAD, SHRUNK
from perceptinit.results.measures import split_name
from perceptinit.results.runs import RunSet
from perceptinit.verdict.plan_text import DEPARTED, as_planned
from perceptinit.verdict.verdict import Verdict

CANNOT_EXCLUDE = 0.05
SMOKE = "This is a smoke run, shrunk to seconds: its numbers mean nothing."
UNEQUAL = "The arms are not equally trained: this compares procedures at their ends, and not starts alone."
SIMULATED_PEOPLE = (
    "The people are simulated: this tests the software and says nothing about human perception."
)
SIMULATED_DATA = (
    "Images or captions are simulated: this tests the software and says nothing about photographs."
)


def find_limits(
    comparison: Comparison, score: ScoreComparison, arms: Sequence[str], answers: Sequence[Verdict]
) -> Iterator[str]:
    """Yield the limits of a headline about `arms`, with the most important first."""
    runs = comparison.runs
    if any(record["recipe"]["smoke"] for record in runs.records):
        yield SMOKE
    yield from _describe_collapse(runs)
    yield from _describe_lost(runs)
    yield from _describe_environments(runs)
    yield from _describe_looks(score)
    yield from (text for text in as_planned(comparison, answers) if text.startswith(DEPARTED))
    if len(set(score.samples_seen.values())) > 1:
        yield UNEQUAL
    if any(is_by_simulated_people(runs, arm) for arm in runs.arms):
        yield SIMULATED_PEOPLE
    elif runs.is_simulated:
        yield SIMULATED_DATA
    yield from _compare_baselines(comparison, arms)
    yield from _describe_better_starts(comparison, score, arms)
    yield from _describe_family(answers)
    yield from _describe_distribution(score, answers)
    if note := tuning_note(runs, any(d.over_searches for d in score.differences)):
        yield note


def find_collapsed(runs: RunSet) -> dict[str, tuple[float, float]]:
    """Return the arms that collapsed in stage 1, with the spread (after, before) of the worst run."""
    found: dict[str, list[tuple[float, float]]] = {}
    for run in runs.finished:
        # later stages can restore the distances
        for metrics in (stage["metrics"] for stage in run.record["init"][-1:]):
            before, after = metrics.get("spread_before"), metrics.get("spread_after")
            if before and after is not None and after < max(SHRUNK * before, COLLAPSED_SPREAD):
                found.setdefault(run.arm, []).append((after, before))
    return {arm: min(pairs) for arm, pairs in found.items()}


def _describe_collapse(runs: RunSet) -> Iterator[str]:
    """Yield a sentence on arms whose embeddings collapsed in stage 1 or by the end of pretraining."""
    ended: dict[str, None] = {}
    for run in runs.finished:
        for row in run.scores:
            is_spread = split_name(row["name"])[0] == "embedding_spread" and row["value"] is not None
            if is_spread and row["samples_seen"] == run.samples_seen > 0 and row["value"] < COLLAPSED_SPREAD:
                ended[run.arm] = None
    if shrunk := find_collapsed(runs):
        after, before = min(shrunk.values())
        yield (
            f"Stage 1 collapsed the image embeddings of {', '.join(shrunk)}: the mean cosine distance of "
            f"different images fell from {before:.2g} to {after:.2g} in the lowest run. Differences from "
            "these arms may reflect the collapse."
        )
    if ended:
        yield (
            f"The image embeddings of {', '.join(ended)} are collapsed at the end of pretraining: different "
            f"images are less than {COLLAPSED_SPREAD:g} apart (cosine distance)."
        )


def _describe_environments(runs: RunSet) -> Iterator[str]:
    if unlike := list(find_unlike(runs)):
        yield f"Arms of one seed differ in more than their start: {'; '.join(unlike)}."


def _describe_looks(score: ScoreComparison) -> Iterator[str]:
    rule = score.rule
    if rule.is_unplanned:
        yield (
            f"Seeds were added without a stopping rule: {rule.first} seeds first, {rule.last} now. "
            "Intervals are widened for a look at every number in between, as for --until-decided."
        )


def _describe_lost(runs: RunSet) -> Iterator[str]:
    for arm in runs.arms:
        every = runs.arm_runs(arm)
        if lost := sum(run.state == "failed" for run in every):
            yield f"{lost} of {len(every)} runs of {arm} failed and are in no mean."


def describe_failures(runs: RunSet) -> Iterator[str]:
    """Yield a sentence on the failure rate that cannot be excluded, if no run failed."""
    num = min((len(runs.arm_runs(arm)) for arm in runs.arms), default=0)
    if num > 1 and not runs.unfinished:
        rate = 1 - CANNOT_EXCLUDE ** (1 / num)
        yield f"No run failed; {num} seeds cannot exclude a failure rate of {100 * rate:.0f} % in an arm."


def _describe_distribution(score: ScoreComparison, answers: Sequence[Verdict]) -> Iterator[str]:
    found = (score.difference(answer.contrast) for answer in answers)
    fewest = min((d.value.num for d in found if d), default=0)
    if 1 < fewest < MIN_SEEDS_SIGN_FLIP:
        yield (
            f"Below {MIN_SEEDS_SIGN_FLIP} seeds, intervals assume that differences are normally distributed."
        )


def _describe_family(answers: Sequence[Verdict]) -> Iterator[str]:
    num = max((answer.contrast.num_family for answer in answers), default=1)
    if num > 1:
        yield (
            f"Intervals of {num} arms against the baseline are simultaneous: with at least 95 % confidence "
            "all of them hold (Bonferroni), and a side needs a sign-flip test of the whole family."
        )


def _describe_better_starts(
    comparison: Comparison, score: ScoreComparison, arms: Sequence[str]
) -> Iterator[str]:
    values = {a.arm: a.value.mean for a in score.arms if a.value}
    own = [values[arm] for arm in arms if arm in values]
    if not own or not arms:
        return
    sign = 1 if score.higher_is_better else -1
    best = max(sign * value for value in own)
    higher = [
        a for a, v in values.items() if sign * v > best and a not in arms and a != comparison.runs.baseline
    ]
    if higher:
        yield f"Other arms of the table score higher: {', '.join(higher)}."


def _compare_baselines(comparison: Comparison, arms: Sequence[str]) -> Iterator[str]:
    """Yield a sentence on each score in which an arm is not shown to be above a trivial model."""
    for score, arm in product(comparison.scores, arms):
        for name in find_trivial(score, arm):
            lead = describe_lead(score, arm)
            yield f"In {score.name}, {arm} is not shown to be above {name}, a trivial model: {lead}."


def find_trivial(score: ScoreComparison, arm: str) -> list[str]:
    """Return the best trivial model on the same judgments, unless the arm is shown to be above it."""
    found = score.find_lead(arm)
    return [found[0].name] if found and (found[1].low or 0.0) <= 0 else []


def describe_lead(score: ScoreComparison, arm: str) -> str:
    """Return the scores of an arm and the best trivial model, and their difference; empty if unknown."""
    found, value = score.find_lead(arm), score.arm(arm).value
    if not found or not value:
        return ""
    best, lead = found
    own, other = number(value.mean, score.is_share), number(best.value, score.is_share)
    between = interval(lead, score.is_share)
    return f"{own} %, {best.name} {other} % ({signed(lead.mean, score.is_share)}, 95 % interval {between})"
