"""Claims about two arms, and the state of a condition of a claim."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from perceptinit.analysis.comparison import Comparison, Difference, ScoreComparison
from perceptinit.analysis.intervals import Components
from perceptinit.analysis.questions import Outcome
from perceptinit.analysis.statistics import differences
from perceptinit.results.runs import RunSet


class State(StrEnum):
    """Whether the records show a condition."""

    SHOWN = "shown"
    REFUTED = "refuted"
    UNKNOWN = "unknown"
    DOES_NOT_APPLY = "does not apply"


@dataclass(frozen=True, slots=True)
class Finding:
    """The state of a condition, and the reason as a clause if it is refuted or unknown."""

    state: State
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """A condition of a claim with its state, and the reason if it is refuted or unknown."""

    condition: str
    state: State
    reason: str


DOES_NOT_APPLY = Finding(State.DOES_NOT_APPLY)


def judge(refuted: Iterable[str], unknown: Iterable[str] = ()) -> Finding:
    """Return a finding, given the reasons why a condition is refuted or unknown; empty texts are ignored."""
    for state, texts in ((State.REFUTED, refuted), (State.UNKNOWN, unknown)):
        if reason := "; ".join(filter(None, texts)):
            return Finding(state, reason)
    return Finding(State.SHOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a sentence claims about an arm, compared with a reference in one score.

    Attributes:
        outcome: Better, worse or equivalent.
        is_beyond_delta: Whether the interval of the difference is beyond delta.
        shuffled: Control with shuffled votes; empty without one.
        published: Outcomes of the published scores of the baseline.
    """

    comparison: Comparison
    score: ScoreComparison
    arm: str
    reference: str
    outcome: Outcome
    is_beyond_delta: bool = False
    shuffled: str = ""
    published: tuple[str, ...] = ()

    @property
    def runs(self) -> RunSet:
        return self.comparison.runs

    @property
    def pair(self) -> tuple[str, ...]:
        """Both arms, or one if an arm is compared with a published score."""
        return tuple(dict.fromkeys((self.arm, self.reference)))

    @property
    def side(self) -> int:
        """1 if the arm is claimed to be better, -1 if it is claimed to be worse, 0 for equivalence."""
        return {Outcome.BETTER: 1, Outcome.WORSE: -1}.get(self.outcome, 0)

    def gains_in(self, score: ScoreComparison) -> list[float]:
        """Return the differences of both arms in a score for each common seed."""
        arm, reference = (score.arm(name).by_seed for name in (self.arm, self.reference))
        return list(differences(arm, reference).values())

    def parts_in(self, score: ScoreComparison) -> Components | None:
        """Return the variance components of the difference of both arms; None without values by image."""
        found = (parts for c, parts in score.components.items() if (c.arm, c.reference) == self.pair)
        return next(found, None)

    def difference_in(self, score: ScoreComparison) -> Difference | None:
        """Return the difference of both arms in a score."""
        found = (d for d in score.differences if (d.contrast.arm, d.contrast.reference) == self.pair)
        return next(found, None)
