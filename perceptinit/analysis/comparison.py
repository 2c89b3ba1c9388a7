"""Data of a comparison: scores of arms, differences between arms, and problems."""

import fnmatch
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from perceptinit.analysis.contrasts import Contrast
from perceptinit.analysis.decisions import Rule
from perceptinit.analysis.intervals import (
    MIN_LABELINGS,
    MIN_SEEDS_SIGN_FLIP,
    Components,
    estimate_two_way,
)
from perceptinit.analysis.numbers import interval, number, signed
from perceptinit.analysis.power import detected_by_signs, noncentrality
from perceptinit.analysis.statistics import Estimate
from perceptinit.errors import UsageError
from perceptinit.judgments.baselines import Baseline
from perceptinit.registry import unknown
from perceptinit.results.directions import is_of_training
from perceptinit.results.measures import is_diagnostic, rank
from perceptinit.results.runs import RunSet

Values = Mapping[int, float]  # by seed
ALL = "all"  # family name of the average over all data sets of a measure


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A contrast in one score. It is positive if the arm's value is larger.

    Attributes:
        by_seed: Difference for each common seed; empty for unpaired arms.
        relative: Mean difference divided by the mean of the reference; None if that is 0.
        is_of_means: Whether the runs of both arms are known by mean, standard deviation and number alone.
        two_way: Mean with an interval over seeds and images; None without per-item values.
        over_searches: Mean with an interval that also covers other searches; None without tuning.
        confidence: Level of the intervals. Above 95 % for interim analyses and for several arms against one
            baseline.
        p_value: p-value of the paired t test or, for unpaired arms, of Welch's t test.
        p_signs: p-value of the sign-flip test or, for unpaired arms, of the permutation of labels, corrected
            for the family of the contrast.
        num_runs: Numbers of runs of both arms if they are not paired; None for paired arms.
    """

    contrast: Contrast
    by_seed: Mapping[int, float]
    value: Estimate
    relative: float | None
    p_value: float | None
    confidence: float = 0.95
    p_signs: float | None = None
    is_of_means: bool = False
    two_way: Estimate | None = None
    over_searches: Estimate | None = None
    num_runs: tuple[int, int] | None = None

    @property
    def is_predicted(self) -> bool:
        """Return whether the interval of a single run has the spread of other runs."""
        return self.value.stderr is not None and self.value.num == 1

    @property
    def has_exact_test(self) -> bool:
        """Return whether `p_signs` can be at most 0.05."""
        if self.is_predicted or self.is_of_means:
            return False
        if self.num_runs is None:
            return self.value.num >= MIN_SEEDS_SIGN_FLIP
        return math.comb(sum(self.num_runs), self.num_runs[0]) >= MIN_LABELINGS

    @property
    def has_interval(self) -> bool:
        return self.tested.low is not None

    @property
    def tested(self) -> Estimate:
        """Return the estimate for the verdict, which covers all known sources of variance."""
        return self.over_searches or self.two_way or self.value

    @property
    def detectable(self) -> float | None:
        """Return the smallest true difference that is detected with 80 % probability, given the noise.

        Returns None for one seed, and 0 if the standard error is 0.
        """
        stderr = self.tested.stderr
        deviation = (self.value.stderr or 0.0) * math.sqrt(self.value.num)
        is_replicated = self.num_runs is None and self.value.num > 1
        if not stderr or (is_replicated and not deviation):
            return stderr
        by_interval = noncentrality(self.tested.degrees, 1 - self.confidence) * stderr
        if not is_replicated:
            return by_interval
        by_signs = detected_by_signs(self.value.num, self.confidence, self.contrast.num_family) * deviation
        return max(by_interval, by_signs)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmScore:
    """Values of an arm in one score. `missing` lists the seeds of runs without a value.

    If `is_mean`, the only value is the mean of several runs, and `value` has their standard error.
    """

    arm: str
    by_seed: Mapping[int, float]
    value: Estimate | None
    missing: tuple[int, ...]
    planned: frozenset[int] = frozenset()
    is_mean: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreComparison:
    """One score, or one average over data sets, for all arms.

    Attributes:
        facts: Fields of the records that `measures.FACTS` lists.
        baselines: Scores of trivial models on the same judgments.
        num_sets: Number of averaged data sets; 1 for a measured score.
        samples_seen: Number of samples seen at the measurement, by arm.
        taught: Arms that learn from judgments of the score's data set.
        seen_in_stage_1: Share of the images that the stages of an arm were trained on, by arm; None if not
            recorded.
        rule: Decision rule, in the unit of the score.
        floor: Lower bound on the standard deviation of a difference, given the number of items.
        components: Variance components of contrasts and of leads over `baselines`, if known.
        incomplete: Note on unreadable images of the data set, or empty.
        is_pretrained: Whether the arms were pretrained before the measurement.
        digits: Decimals of scores that are not shares.
        has_direction: Whether it is known which values are better.
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
    seen_in_stage_1: Mapping[str, float | None]
    arms: tuple[ArmScore, ...]
    differences: tuple[Difference, ...]
    rule: Rule
    floor: float = 0.0
    components: Mapping[Contrast, Components] = field(default_factory=dict)
    incomplete: str = ""
    is_pretrained: bool = True
    digits: int = 3
    has_direction: bool = True

    @property
    def is_diagnostic(self) -> bool:
        """Return whether the score does not rank arms."""
        return is_diagnostic(self.measure) or not self.has_direction

    @property
    def sign(self) -> int:
        """Return 1, or -1 if a lower value is better."""
        return 1 if self.higher_is_better else -1

    @property
    def seen_in_words(self) -> str:
        """Return whether training used the evaluated images, as a clause; empty if not recorded."""
        shares = [self.seen_in_stage_1[arm] for arm in self.taught]
        seen = None if None in shares else max(filter(None, shares), default=0.0)
        if seen is None:
            return ""
        share = "the same" if seen == 1 else f"{100 * seen:.0f} % of these"
        return f", with {share} images" if seen else ", with other images"

    @property
    def unit(self) -> str:
        """Return the unit of scores after a number: " %" for shares, else empty."""
        return " %" if self.is_share else ""

    def in_units(self, value: float) -> str:
        """Return a score with its unit."""
        return f"{self.number(value)}{self.unit}"

    def number(self, value: float) -> str:
        return number(value, self.is_share, self.digits)

    def signed(self, difference: float) -> str:
        return signed(difference, self.is_share, self.digits)

    def magnitude(self, gap: float) -> str:
        """Return the absolute value of a difference with its unit."""
        if not self.is_share:
            return f"{abs(gap):.{self.digits}f}"
        points = abs(100 * gap)
        decimals = ".1f" if points >= 0.05 or not points else ".1g"  # never "0.0" for a difference
        text = f"{points:{decimals}}"
        return "1 point" if text == "1.0" else f"{text} points"

    def interval(self, difference: Estimate, between: str = " to ") -> str:
        return interval(difference, self.is_share, between, self.digits)

    def improvement(self, difference: Estimate) -> Estimate:
        """Return a difference with its sign changed if a lower value is better: positive is better."""
        if self.higher_is_better:
            return difference
        low, high = (None if end is None else -end for end in (difference.high, difference.low))
        return replace(difference, mean=-difference.mean, low=low, high=high)

    def arm(self, name: str) -> ArmScore:
        return next(arm for arm in self.arms if arm.arm == name)

    def find_lead(self, arm: str) -> tuple[Baseline, Estimate] | None:
        """Return the best of `baselines` and the lead of an arm over it, paired by item if possible.

        Without values by item, a lead of models or of correlations has no interval.
        """
        value = self.arm(arm).value
        if not self.baselines or value is None:
            return None
        best = max(self.baselines, key=lambda baseline: baseline.value)
        if parts := self.components.get(Contrast(arm, best.name)):
            return best, estimate_two_way(parts)
        mean = value.mean - best.value
        if best.error.missing or best.error.is_correlation or self.rule.one_run_decides:
            return best, Estimate(mean, None, None, None, value.num)
        own_half = 0.0 if value.high is None else value.high - value.mean
        half = math.hypot(own_half, best.interval[1] - best.value if best.interval else 0.0)
        return best, Estimate(mean, None, mean - half, mean + half, value.num)

    def difference(self, contrast: Contrast) -> Difference | None:
        return next((d for d in self.differences if d.contrast == contrast), None)

    def find_pair(self, arm: str, reference: str) -> Difference | None:
        """Return the difference of two arms; None without a contrast, or without scores."""
        pair = (arm, reference)
        return next((d for d in self.differences if (d.contrast.arm, d.contrast.reference) == pair), None)

    def find_family(self, difference: Difference) -> list[Difference]:
        """Return the differences that are tested jointly, for the same seeds, with the given one first."""
        found = [d for d in self.differences if joint_key(d) == joint_key(difference) and d != difference]
        return [difference, *found]

    def find_differences(self, contrasts: Iterable[Contrast]) -> list[Difference]:
        """Return the differences of contrasts whose arms share a seed."""
        return [d for d in map(self.difference, contrasts) if d]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetsComparison:
    """Numbers of data sets of a measure in which an arm is better than, as good as, or worse than another.

    There is no p-value, because data sets share runs. A test that assumes independence calls equal arms
    different in 34 to 86 % of simulated experiments.
    """

    measure: str
    contrast: Contrast
    num_sets: int
    wins: int
    ties: int
    losses: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The data of tables, sentences and the page.

    Attributes:
        scores: Measured scores.
        averages: Averages over families and over all data sets of a measure.
        over_sets: Wins, ties and losses over data sets.
        problems: Sentences about missing and excluded results, shown with every table.
        replaced: The comparison under each plan that was replaced, oldest first.
        later: The comparison at the end of the runs, if this one is at an earlier number of samples.
    """

    runs: RunSet
    contrasts: tuple[Contrast, ...]
    scores: tuple[ScoreComparison, ...]
    averages: tuple[ScoreComparison, ...]
    over_sets: tuple[SetsComparison, ...]
    problems: tuple[str, ...]
    replaced: tuple[Self, ...] = ()
    later: Self | None = None

    @property
    def all_scores(self) -> list[ScoreComparison]:
        return [*self.scores, *self.averages]

    def sets_of(self, score: ScoreComparison) -> list[ScoreComparison]:
        """Return the scores that a mean over data sets averages; empty for a measured score."""
        of_measure = [s for s in self.scores if s.measure == score.measure]
        return [s for s in of_measure if score.num_sets > 1 and score.family in (ALL, s.family)]

    @property
    def primary(self) -> ScoreComparison | None:
        """Return the primary score: by default, the average over all data sets of the first measure.

        A score that an arm was trained on is primary only if the recipe states it or there is no other score.
        """
        judging = [s for s in self.all_scores if not s.is_diagnostic]
        candidates = [s for s in judging if self.is_stated_primary(s)] or judging
        return min(candidates, key=self._primary_key, default=None)

    def _primary_key(self, score: ScoreComparison) -> tuple[bool, bool, tuple[int, bool], int, str]:
        name = "" if self.runs.source.keeps_order else score.name
        return is_of_training(score.measure), bool(score.taught), rank(score.measure), -score.num_sets, name

    def is_stated_primary(self, score: ScoreComparison) -> bool:
        """Return whether `[verdict] primary` names the score or its measure."""
        return self.runs.rule.primary in (score.name, score.measure)

    def matching(self, patterns: Sequence[str]) -> list[ScoreComparison]:
        """Return the scores and averages that match a pattern such as `top1/*`; all without patterns.

        Raises:
            UsageError: If a pattern has no match.
        """
        by_name = {score.name: score for score in self.all_scores}
        wanted: set[str] = set()
        for pattern in patterns:
            found = fnmatch.filter(by_name, pattern)
            if not found:
                raise UsageError(unknown("no score matches", pattern, by_name))
            wanted.update(found)
        return [score for name, score in by_name.items() if not patterns or name in wanted]


def joint_key(difference: Difference) -> Hashable:
    """Return a key that differences share if their sign-flip or permutation tests are joint."""
    contrast = difference.contrast
    pairing = contrast.reference if difference.num_runs else tuple(difference.by_seed)
    return "family" if contrast.num_family > 1 else contrast, pairing
