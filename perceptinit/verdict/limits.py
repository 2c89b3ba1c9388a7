"""Limits of an answer, in a fixed order of importance."""

import math
from collections.abc import Iterator, Sequence
from itertools import product

from perceptinit.analysis.at_best import tuning_note
from perceptinit.analysis.comparison import Comparison, ScoreComparison
from perceptinit.analysis.contrasts import is_by_simulated_people
from perceptinit.analysis.environments import find_unlike
from perceptinit.analysis.intervals import MIN_SEEDS_SIGN_FLIP
from perceptinit.judgments.two_afc import COLLAPSED_SPREAD, SHRUNK
from perceptinit.results.measures import split_name
from perceptinit.results.runs import RunSet
from perceptinit.verdict.verdict import Verdict

CANNOT_EXCLUDE = 0.05
SMOKE = "This is a smoke run, shrunk to seconds: its numbers mean nothing."
UNPLANNED = (
    "Seeds were added without a stopping rule: {first} seeds first, {last} now. Intervals are widened for a "
    "look at every number in between, as for --until-decided."
)
UNEQUAL = "The arms are not equally trained: this compares procedures at their ends, and not starts alone."
SIMULATED_PEOPLE = (
    "The people are simulated: this tests the software and says nothing about human perception."
)
SIMULATED_DATA = (
    "Images or captions are simulated: this tests the software and says nothing about photographs."
)


def find_limits(
    comparison: Comparison,
    score: ScoreComparison,
    arms: Sequence[str],
    answers: Sequence[Verdict],
    departures: Sequence[str],
) -> list[str]:
    """Return the limits of a headline about `arms`, with the most important first.

    Args:
        comparison: Comparison of the runs.
        score: Primary score.
        arms: Arms of the headline.
        answers: Verdicts of the headline.
        departures: Sentences on departures from the plan.
    """
    runs = comparison.runs
    unlike = "; ".join(find_unlike(runs))
    is_smoke = any(record["recipe"]["smoke"] for record in runs.records)
    are_simulated = any(is_by_simulated_people(runs, arm) for arm in runs.arms)
    limits = [
        SMOKE if is_smoke else "",
        *_describe_collapse(runs),
        *_describe_lost(runs),
        f"Arms of one seed differ in more than their start: {unlike}." if unlike else "",
        UNPLANNED.format(first=score.rule.first, last=score.rule.last) if score.rule.is_unplanned else "",
        *departures,
        UNEQUAL if len(set(score.samples_seen.values())) > 1 else "",
        SIMULATED_PEOPLE if are_simulated else SIMULATED_DATA if runs.is_simulated else "",
        *_compare_baselines(comparison, arms),
        _describe_better_arms(comparison, score, arms),
        _describe_family(answers),
        _describe_distribution(score, answers),
        tuning_note(runs, any(d.over_searches for d in score.differences)),
    ]
    return [limit for limit in limits if limit]


def find_collapsed(runs: RunSet) -> dict[str, tuple[float, float]]:
    """Return the arms that collapsed in stage 1, with the spread (after, before) of the worst run."""
    found: dict[str, tuple[float, float]] = {}
    for run in runs.finished:
        # later stages can restore the distances
        for stage in run.record["init"][-1:]:
            before = stage["metrics"].get("spread_before")
            after = stage["metrics"].get("spread_after")
            if before and after is not None and after < max(SHRUNK * before, COLLAPSED_SPREAD):
                found[run.arm] = min((after, before), found.get(run.arm, (after, before)))
    return found


def _describe_collapse(runs: RunSet) -> Iterator[str]:
    """Yield a sentence on arms whose embeddings collapsed in stage 1 or by the end of pretraining."""
    if shrunk := find_collapsed(runs):
        after, before = min(shrunk.values())
        yield (
            f"Stage 1 collapsed the image embeddings of {', '.join(shrunk)}: the mean cosine distance of "
            f"different images fell from {before:.2g} to {after:.2g} in the lowest run. Differences from "
            "these arms may reflect the collapse."
        )
    ended: dict[str, None] = {}
    for run in runs.finished:
        for row in run.scores:
            is_end = row["samples_seen"] == run.samples_seen > 0 and row["value"] is not None
            is_spread = split_name(row["name"])[0] == "embedding_spread"
            if is_end and is_spread and row["value"] < COLLAPSED_SPREAD:
                ended[run.arm] = None
    if ended:
        yield (
            f"The image embeddings of {', '.join(ended)} are collapsed at the end of pretraining: different "
            f"images are less than {COLLAPSED_SPREAD:g} apart (cosine distance)."
        )


def _describe_lost(runs: RunSet) -> Iterator[str]:
    for arm in runs.arms:
        every = runs.arm_runs(arm)
        if lost := sum(run.state == "failed" for run in every):
            yield f"{lost} of {len(every)} runs of {arm} failed and are in no mean."


def describe_failures(runs: RunSet) -> str:
    """Return a sentence on the failure rate that cannot be excluded; empty if a run failed."""
    num = min((len(runs.arm_runs(arm)) for arm in runs.arms), default=0)
    if num < 2 or runs.unfinished:
        return ""
    rate = 100 * (1 - CANNOT_EXCLUDE ** (1 / num))
    return f"No run failed; {num} seeds cannot exclude a failure rate of {rate:.0f} % in an arm."


def _describe_distribution(score: ScoreComparison, answers: Sequence[Verdict]) -> str:
    found = score.find_differences(answer.contrast for answer in answers)
    fewest = min((difference.value.num for difference in found), default=0)
    text = f"Below {MIN_SEEDS_SIGN_FLIP} seeds, intervals assume that differences are normally distributed."
    return text if 1 < fewest < MIN_SEEDS_SIGN_FLIP else ""


def _describe_family(answers: Sequence[Verdict]) -> str:
    num = max((answer.contrast.num_family for answer in answers), default=1)
    text = (
        f"Intervals of {num} arms against the baseline are simultaneous: with at least 95 % confidence "
        "all of them hold (Bonferroni), and a side needs a sign-flip test of the whole family."
    )
    return text if num > 1 else ""


def _describe_better_arms(comparison: Comparison, score: ScoreComparison, arms: Sequence[str]) -> str:
    values = {a.arm: score.sign * a.value.mean for a in score.arms if a.value}
    best = max((values[arm] for arm in arms if arm in values), default=math.inf)
    others = values.keys() - {*arms, comparison.runs.baseline}
    higher = ", ".join(arm for arm, value in values.items() if arm in others and value > best)
    return f"Other arms of the table score higher: {higher}." if higher else ""


def _compare_baselines(comparison: Comparison, arms: Sequence[str]) -> Iterator[str]:
    """Yield a sentence on each score in which an arm is not shown to be above a trivial model."""
    for score, arm in product(comparison.scores, arms):
        if name := find_trivial(score, arm):
            lead = describe_lead(score, arm)
            yield f"In {score.name}, {arm} is not shown to be above {name}, a trivial model: {lead}."


def find_trivial(score: ScoreComparison, arm: str) -> str:
    """Return the best trivial model on the same judgments; empty if the arm is shown to be above it."""
    found = score.find_lead(arm)
    return found[0].name if found and (found[1].low or 0.0) <= 0 else ""


def describe_lead(score: ScoreComparison, arm: str) -> str:
    """Return the scores of an arm and the best trivial model, and their difference; empty if unknown."""
    found = score.find_lead(arm)
    value = score.arm(arm).value
    if not found or not value:
        return ""
    best, lead = found
    return (
        f"{score.number(value.mean)} %, {best.name} {score.number(best.value)} % "
        f"({score.signed(lead.mean)}, 95 % interval {score.interval(lead)})"
    )
