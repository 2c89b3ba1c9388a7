"""What a comparison is made of: scores of arms, differences between them, and what is left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from perceptinit.errors import UsageError
from perceptinit.judgments.baselines import Baseline
from perceptinit.registry import unknown
from perceptinit.reports import statistics
from perceptinit.reports.contrasts import Contrast
from perceptinit.reports.statistics import Estimate, SetsTest, estimate
from perceptinit.reports.verdicts.decisions import Rule
from perceptinit.results.measures import is_diagnostic, rank
from perceptinit.results.runs import RunSet

Values = Mapping[int, float]  # by seed
ALL = "all"  # family of the average over all data sets of a measure


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A contrast in one score, paired by seed; positive means the arm's number is larger.

    relative: mean difference over the reference's mean, None when that is 0.
    bootstrap: percentile interval, None for one seed. p_value: paired t test; q_value: corrected over the data sets of the measure.
    detectable: smallest true difference that these seeds would show with 80 % chance.
    """

    contrast: Contrast
    by_seed: Mapping[int, float]
    value: Estimate
    bootstrap: tuple[float | None, float | None]
    relative: float | None
    p_value: float | None
    detectable: float | None
    q_value: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmScore:
    """One arm in one score; `value` is None when no seed has it, `missing` are seeds without it."""

    arm: str
    by_seed: Mapping[int, float]
    value: Estimate | None
    missing: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreComparison:
    """One score, or one average over data sets, for all arms.

    facts: what the records say of it besides its value, by `columns.FACTS`.
    num_sets: data sets that it is a mean of; 1 for a score as it was measured.
    samples_seen: pairs each arm had used when the score was taken.
    taught: arms that learn from judgments of the data set that the score asks for.
    seen_in_training: share of its pictures in the training split of these judgments, None when not told.
    rule: when a difference in it is decided, in its unit.
    incomplete: a note when images of the set could not be read, else empty.
    baselines: what trivial models score on the same judgments.
    """

    name: str
    measure: str
    data_set: str
    family: str
    is_share: bool
    higher_is_better: bool
    facts: Mapping[str, Any]
    baselines: tuple[Baseline, ...]
    num_sets: int
    samples_seen: Mapping[str, int]
    taught: frozenset[str]
    seen_in_training: float | None
    arms: tuple[ArmScore, ...]
    differences: tuple[Difference, ...]
    rule: Rule
    incomplete: str = ""

    @property
    def is_diagnostic(self) -> bool:
        return is_diagnostic(self.measure)

    @property
    def seen_in_words(self) -> str:
        """Return how many of its pictures training had seen, as the end of a phrase; empty if not recorded."""
        seen = self.seen_in_training
        if seen is None:
            return ""
        share = "none" if seen == 0 else "all" if seen == 1 else f"{100 * seen:.0f} %"
        return f", {share} of its pictures seen in training"

    def arm(self, name: str) -> ArmScore:
        return next(arm for arm in self.arms if arm.arm == name)

    def difference(self, contrast: Contrast) -> Difference | None:
        return next((d for d in self.differences if d.contrast == contrast), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetsComparison:
    """A contrast over all data sets of a measure; p-values corrected over contrasts and measures."""

    measure: str
    contrast: Contrast
    test: SetsTest
    q_sign: float | None = None
    q_wilcoxon: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MiddleMean:
    """An arm's interquartile mean over the data sets of a measure; over the seeds that have all of them."""

    measure: str
    is_share: bool
    arm: str
    num_sets: int
    num_seeds: int
    value: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Everything that tables, sentences and the page are made from.

    scores: as measured; averages: over families and over all data sets of a measure; middle_means: the
    interquartile means beside them.
    problems: sentences on what is missing or left out, to be shown with every table.
    """

    runs: RunSet
    contrasts: tuple[Contrast, ...]
    scores: tuple[ScoreComparison, ...]
    averages: tuple[ScoreComparison, ...]
    over_sets: tuple[SetsComparison, ...]
    middle_means: tuple[MiddleMean, ...]
    problems: tuple[str, ...]

    @property
    def primary(self) -> ScoreComparison | None:
        """Return the score that speaks for the comparison: the overall average of the first measure.

        A score that an arm was trained on speaks only when there is no other, or when the recipe states it.
        """
        everything = [s for s in (*self.scores, *self.averages) if not s.is_diagnostic]
        candidates = [s for s in everything if self.is_stated_primary(s)] or everything
        return min(
            candidates,
            key=lambda s: (bool(s.taught), rank(s.measure), -s.num_sets, s.name),
            default=None,
        )

    def is_stated_primary(self, score: ScoreComparison) -> bool:
        """Return whether `[verdict] primary` names a score, or its measure."""
        return self.runs.plan.primary in (score.name, score.measure)

    def matching(self, patterns: Sequence[str]) -> list[ScoreComparison]:
        """Return the scores and averages that a pattern such as `top1/*` fits, all without patterns.

        Raises UsageError for a pattern that fits none.
        """
        everything = [*self.scores, *self.averages]
        for pattern in patterns:
            if not any(fnmatchcase(score.name, pattern) for score in everything):
                raise UsageError(unknown("no score fits", pattern, [s.name for s in everything]))
        return [s for s in everything if not patterns or any(fnmatchcase(s.name, p) for p in patterns)]


def score_arm(runs: RunSet, arm: str, values: Mapping[tuple[str, int], float]) -> ArmScore:
    """Return an arm in a score. values: (arm, seed) -> value of all arms; seeds without one are missing."""
    by_seed = {seed: value for (name, seed), value in values.items() if name == arm}
    missing = tuple(run.seed for run in runs.arm_runs(arm) if run.seed not in by_seed)
    value = estimate(list(by_seed.values())) if by_seed else None
    return ArmScore(arm=arm, by_seed=by_seed, value=value, missing=missing)


def pair_arms(arms: Sequence[ArmScore], contrasts: Iterable[Contrast], rule: Rule) -> tuple[Difference, ...]:
    """Return each contrast whose arms have a seed in common, with the interval that the rule asks for."""
    by_name = {arm.arm: arm.by_seed for arm in arms}
    pairs = ((c, by_name[c.arm], by_name[c.reference]) for c in contrasts)
    return tuple(
        _difference(contrast, own, other, rule.confidence)
        for contrast, own, other in pairs
        if own.keys() & other.keys()
    )


def _difference(contrast: Contrast, arm: Values, reference: Values, confidence: float) -> Difference:
    by_seed = statistics.differences(arm, reference)
    values = list(by_seed.values())
    value = estimate(values, confidence)
    level = estimate([reference[seed] for seed in by_seed]).mean
    return Difference(
        contrast=contrast,
        by_seed=by_seed,
        value=value,
        bootstrap=statistics.bootstrap_interval(values) or (None, None),
        relative=value.mean / level if level else None,
        p_value=statistics.paired_p_value(values),
        detectable=statistics.detectable_difference(values, alpha=1 - confidence),
    )
