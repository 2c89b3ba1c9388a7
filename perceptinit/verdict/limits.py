"""Limits of an answer, in a fixed order of importance."""

import math
from collections.abc import Iterator, Sequence
from itertools import product
from statistics import fmean

from perceptinit.analysis.at_best import tuning_note
from perceptinit.analysis.comparison import Comparison, ScoreComparison
from perceptinit.analysis.contrasts import is_by_simulated_people
from perceptinit.analysis.environments import find_unlike
from perceptinit.analysis.intervals import MIN_SEEDS_SIGN_FLIP
from perceptinit.analysis.pairing import find_pooling
from perceptinit.analysis.pooling import describe_pooling
from perceptinit.analysis.questions import Case
from perceptinit.judgments.scoring import COLLAPSED_SPREAD
from perceptinit.results.measures import split_name
from perceptinit.results.runs import LoadedRun, RunSet
from perceptinit.verdict.claim import to_sentence
from perceptinit.verdict.evidence import count_lost, describe_small_delta, describe_unlearned
from perceptinit.verdict.stage_one import find_stage_one
from perceptinit.verdict.verdict import Verdict, count_family

CANNOT_EXCLUDE = 0.05
SMOKE = "This is a smoke run, shrunk to seconds: its numbers mean nothing."
UNPLANNED = (
    "Seeds were added without a stopping rule: {first} seeds first, {last} now. Intervals are widened for a "
    "look at every number in between, as for --until-decided."
)
SIGN_FLIPS = "a sign-flip test"
UNEQUAL = (
    "The arms are not equally trained: this compares procedures at their ends, and not initializations alone."
)
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
    unlearned = describe_unlearned(score, runs.baseline)
    is_smoke = any(record["recipe"]["smoke"] for record in runs.records)
    are_simulated = any(is_by_simulated_people(runs, arm) for arm in runs.arms)
    limits = [
        SMOKE if is_smoke else "",
        *_describe_stage_one(runs),
        *_describe_lost(comparison, score, answers),
        f"Arms of one seed differ in more than {runs.source.words.cause}: {unlike}." if unlike else "",
        *_describe_rest(answers),
        UNPLANNED.format(first=score.rule.first, last=score.rule.last) if score.rule.is_unplanned else "",
        *departures,
        UNEQUAL if len(set(score.samples_seen.values())) > 1 else "",
        SIMULATED_PEOPLE if are_simulated else SIMULATED_DATA if runs.is_simulated else "",
        limit_of_delta(score),
        f"The baseline {unlearned}." if unlearned else "",
        *_compare_baselines(comparison, arms),
        _describe_better_arms(comparison, score, arms),
        describe_family(score, answers),
        describe_pooling(find_pooling(score.arms, score.rule)) if runs.rule.spread == "pooled" else "",
        _describe_distribution(score, answers),
        tuning_note(runs, any(d.over_searches for d in score.differences)),
    ]
    return [limit for limit in limits if limit]


def limit_of_delta(score: ScoreComparison) -> str:
    """Return a sentence on a delta that is probably a share, of which `compare` warns; empty if it is not."""
    return to_sentence(describe_small_delta(score))


def _describe_rest(answers: Sequence[Verdict]) -> Iterator[str]:
    """Yield a sentence for each arm on the conditions of its claim that are not shown, but for the first."""
    for arm in dict.fromkeys(v.contrast.arm for v in answers):
        own = [v for v in answers if v.contrast.arm == arm and v.reasons]
        if rest := own[0].reasons[1:] if own else []:
            yield f"Also not shown for {arm}: {'; '.join(rest)}."


def _describe_stage_one(runs: RunSet) -> Iterator[str]:
    """Yield a sentence on arms whose embeddings collapsed or contracted."""
    stages = find_stage_one(runs)
    for shape in ("collapsed", "contracted"):
        found = {arm: stage for arm, stage in stages.items() if stage.shape == shape}
        if found:
            spreads = ", ".join(f"{arm} ({s.before:.2g} to {s.after:.2g})" for arm, s in found.items())
            yield (
                f"Stage 1 {shape} the image embeddings of {spreads}: mean cosine distance of different "
                "images in the lowest run."
            )
    ended = dict.fromkeys(run.arm for run in runs.finished if _ends_collapsed(run))
    if ended:
        yield (
            f"The image embeddings of {', '.join(ended)} are collapsed at the end of pretraining: different "
            f"images are less than {COLLAPSED_SPREAD:g} apart (cosine distance)."
        )


def _ends_collapsed(run: LoadedRun) -> bool:
    """Return whether the embeddings of a run are collapsed at the end of pretraining."""
    measured = [(split_name(row["name"])[0], row["value"]) for row in run.last_scores if run.samples_seen]
    spreads = [value for measure, value in measured if measure == "embedding_spread" and value is not None]
    return min(spreads, default=COLLAPSED_SPREAD) < COLLAPSED_SPREAD


def _describe_lost(
    comparison: Comparison, score: ScoreComparison, answers: Sequence[Verdict]
) -> Iterator[str]:
    """Yield a sentence on each arm that lacks scores, and the range of each difference with them."""
    ends: dict[str, tuple[float, float]] = {}
    values = [value for arm in score.arms for value in arm.by_seed.values()] or [math.nan]
    for arm in comparison.runs.arms:
        known = [*score.arm(arm).by_seed.values()]
        lost = score.arm(arm).missing
        low, high = (fmean([*known, *[end] * len(lost)]) for end in (min(values), max(values)))
        ends[arm] = low, high
        if lost:
            yield f"{count_lost(comparison.runs, score, arm)}, and these are in no mean."
    for contrast in (answer.contrast for answer in answers):
        (low, high), (least, most) = ends[contrast.arm], ends[contrast.reference]
        gains = sorted((score.sign * (low - most), score.sign * (high - least)))
        if low < high or least < most:
            yield (
                "If the missing scores lay between the lowest and the highest score of any arm, "
                f"{contrast.title} would be from {' to '.join(map(score.signed, gains))}."
            )


def describe_failures(runs: RunSet, score: ScoreComparison) -> str:
    """Return a sentence on the failure rate that cannot be excluded; empty if a run has no score."""
    num = min((len(runs.arm_runs(arm)) for arm in runs.arms), default=0)
    if num < 2 or runs.unfinished or any(arm.missing for arm in score.arms):
        return ""
    rate = 100 * (1 - CANNOT_EXCLUDE ** (1 / num))
    return f"No run failed; {num} seeds cannot exclude a failure rate of {rate:.0f} % in an arm."


def _describe_distribution(score: ScoreComparison, answers: Sequence[Verdict]) -> str:
    found = score.find_differences(answer.contrast for answer in answers)
    untested = [d for d in found if d.value.stderr is not None and not d.has_exact_test]
    if any(d.num_runs for d in untested):
        return "With so few runs, intervals assume that the scores of an arm are normally distributed."
    text = f"Below {MIN_SEEDS_SIGN_FLIP} seeds, intervals assume that differences are normally distributed."
    return text if untested else ""


def describe_family(score: ScoreComparison, answers: Sequence[Verdict]) -> str:
    """Return sentences on simultaneous intervals; empty without a family."""
    found = score.find_differences(answer.contrast for answer in answers if answer.contrast.num_family > 1)
    tests = {"a permutation test" if d.num_runs else SIGN_FLIPS for d in found} or {SIGN_FLIPS}
    asked = [a.contrast for a in answers if a.case is not Case.ONE_RUN]
    largest = max(asked, key=lambda contrast: contrast.num_family, default=None)
    if largest is None or largest.num_family == 1:
        return ""
    against = "" if largest.is_of_pairs else " against the baseline"
    is_joint = any(d.confidence < score.rule.level_for(d.contrast.num_family) for d in found)
    text = (
        f"Intervals of {count_family(largest, score)}{against} are simultaneous: with at least 95 % "
        f"confidence all of them hold ({'Dunnett' if is_joint else 'Bonferroni'})."
    )
    if score.rule.one_run_decides or any(d.is_of_means for d in found):
        return text
    agree = f"{' or '.join(sorted(tests))} over all arms agrees"
    return f"{text} 'Better' or 'worse' is said only if {agree}."


def _describe_better_arms(comparison: Comparison, score: ScoreComparison, arms: Sequence[str]) -> str:
    values = {a.arm: score.sign * a.value.mean for a in score.arms if a.value}
    best = max((values[arm] for arm in arms if arm in values), default=math.inf)
    others = values.keys() - {*arms, comparison.runs.baseline}
    higher = ", ".join(arm for arm, value in values.items() if arm in others and value > best)
    return f"Other arms of the table score higher: {higher}." if higher else ""


def _compare_baselines(comparison: Comparison, arms: Sequence[str]) -> Iterator[str]:
    """Yield a sentence on each score in which an arm is not shown to be above a trivial model.

    Of models, the answer compares the best one, and figures show the others.
    """
    if comparison.runs.source.one_run_decides:
        return
    for score, arm in product(comparison.scores, arms):
        is_read = score == comparison.primary and not score.is_pretrained  # the reading says it
        found = score.find_lead(arm)
        if found and (found[1].low or 0.0) <= 0 and not is_read:
            lead = describe_lead(score, arm)
            yield f"In {score.name}, {arm} is not shown to be above {found[0].name}, a trivial model: {lead}."


def describe_lead(score: ScoreComparison, arm: str) -> str:
    """Return the scores of an arm and the best trivial model, and their difference; empty if unknown."""
    found = score.find_lead(arm)
    value = score.arm(arm).value
    if not found or not value:
        return ""
    best, lead = found
    sure = "without an interval" if lead.low is None else f"95 % interval {score.interval(lead)}"
    return (
        f"{score.in_units(value.mean)}, {best.name} {score.in_units(best.value)} "
        f"({score.signed(lead.mean)}, {sure})"
    )
