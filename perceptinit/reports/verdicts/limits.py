"""The limits of an answer, in a fixed order of importance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from perceptinit.judgments.two_afc import COLLAPSED_SPREAD, SHRUNK
from perceptinit.reports.at_best import tuning_note
from perceptinit.reports.comparison import Comparison, ScoreComparison
from perceptinit.reports.contrasts import is_by_simulated_people
from perceptinit.reports.numbers import number
from perceptinit.reports.planning.text import DEPARTED, as_planned
from perceptinit.reports.verdicts.verdict import Verdict
from perceptinit.results.measures import split_name
from perceptinit.results.runs import RunSet

SMOKE = "This is a smoke run, shrunk to seconds: its numbers mean nothing."
UNEQUAL = "The arms are not equally trained: this compares procedures at their ends, and not starts alone."
SIMULATED_PEOPLE = (
    "The people are simulated: this tests the software and says nothing about human perception."
)
SIMULATED_DATA = (
    "Pictures or captions are simulated: this tests the software and says nothing about photographs."
)


def find_limits(
    comparison: Comparison, score: ScoreComparison, arms: Sequence[str], answers: Sequence[Verdict]
) -> Iterator[str]:
    """Yield what limits the answers of a headline about `arms`, the most important limit first."""
    runs = comparison.runs
    if any(record["recipe"]["smoke"] for record in runs.records):
        yield SMOKE
    yield from _find_collapsed(runs)
    yield from (text for text in as_planned(comparison, answers) if text.startswith(DEPARTED))
    if len(set(score.samples_seen.values())) > 1:
        yield UNEQUAL
    if any(is_by_simulated_people(runs, arm) for arm in runs.arms):
        yield SIMULATED_PEOPLE
    elif runs.is_simulated:
        yield SIMULATED_DATA
    yield from _compare_baselines(comparison, arms)
    if note := tuning_note(runs):
        yield note


def _find_collapsed(runs: RunSet) -> Iterator[str]:
    """Yield which arms lost the distances between images, in stage 1 or by the end of pretraining."""
    shrunk: dict[str, list[tuple[float, float]]] = {}
    ended: dict[str, None] = {}
    for run in runs.finished:
        # a later stage may restore the distances
        for metrics in (stage["metrics"] for stage in run.record["init"][-1:]):
            before, after = metrics.get("spread_before"), metrics.get("spread_after")
            if before and after is not None and after < max(SHRUNK * before, COLLAPSED_SPREAD):
                shrunk.setdefault(run.arm, []).append((after, before))
        for row in run.scores:
            is_spread = split_name(row["name"])[0] == "embedding_spread" and row["value"] is not None
            if is_spread and row["samples_seen"] == run.samples_seen > 0 and row["value"] < COLLAPSED_SPREAD:
                ended[run.arm] = None
    if shrunk:
        after, before = min(pair for pairs in shrunk.values() for pair in pairs)
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


def _compare_baselines(comparison: Comparison, arms: Sequence[str]) -> Iterator[str]:
    """Yield for which judgments a trivial model scores as well as an arm."""
    for score in comparison.scores:
        if not score.baselines:
            continue
        best = max(score.baselines, key=lambda baseline: baseline.value)
        for arm in arms:
            value = score.arm(arm).value
            low, high = best.interval or (best.value, best.value)
            if value and value.mean <= high:
                edges = f"{number(low, score.is_share)}, {number(high, score.is_share)}"
                yield (
                    f"In {score.name}, {arm} ({number(value.mean, score.is_share)}) is not above the "
                    f"interval of {best.name} ({number(best.value, score.is_share)} [{edges}]): a trivial "
                    "model does as well."
                )
