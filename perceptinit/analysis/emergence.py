"""When the lead of an arm emerges during training, and whether it lasts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np

from perceptinit.analysis.decisions import CONFIDENCE
from perceptinit.analysis.intervals import MIN_SEEDS_SIGN_FLIP, max_t_p
from perceptinit.analysis.statistics import Estimate, estimate

LATE = 0.75  # share of the training after which a lead emerges late
LASTING = 0.5  # share of the evaluations that show a lead that emerged late, if it lasts
Leads = Mapping[int, Sequence[float]]  # samples seen -> lead of each seed; positive is better


@dataclass(frozen=True, slots=True)
class Emergence:
    """The lead of an arm at each evaluation, and when it emerges.

    Attributes:
        leads: Mean lead with its interval, by samples seen.
        emerged: Samples seen at the earliest evaluation from which all evaluations show the lead; None if the
            last one does not. An upper limit.
        not_before: Samples seen at the first evaluation from which the upper simultaneous limit stays above
            0; None if the last limit is not above 0. A lower limit.
        peak: Samples seen at the largest lead that is shown and exceeds the last one, both simultaneously
            over the evaluations; None if the lead is not fading.
        is_again: Whether an earlier lead was lost before the lead emerged, simultaneously over all pairs of
            evaluations.
    """

    leads: Mapping[int, Estimate]
    emerged: int | None
    not_before: int | None
    peak: int | None
    is_again: bool = False

    @property
    def end(self) -> int:
        """Return the samples seen at the last evaluation."""
        return max(self.leads)

    @property
    def table(self) -> np.ndarray:
        """Return mean, lower and upper limit at each evaluation, shape (3, number of evaluations)."""
        return np.array([(lead.mean, lead.low, lead.high) for lead in self.leads.values()], dtype=float).T

    @property
    def is_late(self) -> bool:
        return self.emerged is not None and self.emerged > LATE * self.end

    @property
    def is_lasting(self) -> bool:
        """Whether the lead is not fading, over a quarter of the samples or half of several evaluations."""
        if self.emerged is None or self.peak is not None:
            return False
        num = sum(seen >= self.emerged for seen in self.leads)
        return not self.is_late or num >= max(2, LASTING * len(self.leads))


def find_emergence(
    leads: Leads,
    confidence: float = CONFIDENCE,
    floor: float = 0.0,
    last: Estimate | None = None,
    ends_ahead: bool | None = None,
) -> Emergence | None:
    """Return when the lead emerges; None with fewer than two evaluations or seeds.

    Evaluations are tested from the last one backwards, until one does not show the lead. A sequence that is
    fixed in advance needs no correction for the number of tests: an emergence is claimed before the true one
    in at most (1 - `confidence`) / 2 of experiments.

    Args:
        leads: Leads paired by seed, with the same seeds at each evaluation.
        confidence: Level of the two-sided intervals.
        floor: Lower bound on the standard deviation over seeds.
        last: Lead at the last evaluation, if its interval covers more than seeds.
        ends_ahead: Whether the last evaluation shows the lead. Default: according to its interval and, from
            six seeds on, the sign-flip test, as at the other evaluations.

    Source: Maurer, Hothorn and Lehmacher 1995 (a-priori ordered hypotheses).
    """
    if len(leads) < 2 or len(next(iter(leads.values()))) < 2:
        return None
    found = {num: estimate(leads[num], confidence, floor) for num in sorted(leads)}
    end = max(found)
    shown = {num: _is_ahead(lead, leads[num]) for num, lead in found.items()}
    found[end] = last or found[end]
    shown[end] = shown[end] if ends_ahead is None else ends_ahead
    simultaneous = 1 - (1 - confidence) / len(leads)
    not_behind = {n: (estimate(leads[n], simultaneous, floor).high or 0.0) > 0 for n in found}
    emerged = _first_of_last(shown)
    over_pairs = 1 - (1 - confidence) / math.comb(len(leads), 2)
    lost = [num for num in found if _find_peak(leads, num, over_pairs, floor) is not None]
    return Emergence(
        leads=found,
        emerged=emerged,
        not_before=_first_of_last(not_behind),
        peak=_find_peak(leads, end, simultaneous, floor),
        is_again=emerged is not None and min(lost, default=end) < emerged,
    )


def _is_ahead(lead: Estimate, values: Sequence[float]) -> bool:
    """Return whether a lead is shown: by its interval and, from six seeds on, by the sign-flip test."""
    if lead.low is None or lead.low <= 0:
        return False
    return len(values) < MIN_SEEDS_SIGN_FLIP or max_t_p([values])[0] <= 1 - CONFIDENCE


def _first_of_last(holds: Mapping[int, bool]) -> int | None:
    """Return the first key of the unbroken run of true values at the end; None if the last one is false."""
    return min(takewhile(holds.__getitem__, sorted(holds, reverse=True)), default=None)


def _find_peak(leads: Leads, end: int, confidence: float, floor: float) -> int | None:
    """Return where the largest lead before `end` is that is above 0 and above that at `end`; None without."""
    peaks = {}
    for num in sorted(num for num in leads if num < end):
        lost = [lead - last for lead, last in zip(leads[num], leads[end], strict=True)]
        lead = estimate(leads[num], confidence, floor)
        loss = estimate(lost, confidence, floor)
        if min(lead.low or 0.0, loss.low or 0.0) > 0:
            peaks[num] = lead.mean
    return max(peaks, key=lambda num: peaks[num], default=None)
