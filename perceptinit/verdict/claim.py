"""Claims about two arms, and the state of a condition of a claim."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from perceptinit.analysis.comparison import Comparison, ScoreComparison
from perceptinit.analysis.decisions import CONFIDENCE
from perceptinit.analysis.intervals import Components
from perceptinit.analysis.pairing import estimate_difference
from perceptinit.analysis.questions import Outcome
from perceptinit.analysis.statistics import Estimate
from perceptinit.results.runs import RunSet


class State(StrEnum):
    """Whether a condition is shown. Only conditions that the source of the runs cannot show are assumed.

    An open condition could hold or not, given the interval. It is a question and not an obstacle.
    """

    SHOWN = "shown"
    ASSUMED = "assumed"
    REFUTED = "refuted"
    UNKNOWN = "unknown"
    OPEN = "open"
    DOES_NOT_APPLY = "does not apply"


@dataclass(frozen=True, slots=True)
class Finding:
    """The state of a condition of a claim. The reason is a clause: obstacle, question or assumption."""

    condition: str = field(default="", kw_only=True)
    state: State
    reason: str = ""

    @property
    def obstacle(self) -> str:
        """Return why the condition is not shown; empty if it is shown or assumed."""
        return "" if self.state is State.ASSUMED else self.reason


DOES_NOT_APPLY = Finding(State.DOES_NOT_APPLY)


def to_sentence(clause: str) -> str:
    """Return a clause as a sentence; empty for an empty one."""
    return f"{clause[0].upper()}{clause[1:]}." if clause else ""


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
        published: Outcomes of the baseline against its published scores.
    """

    comparison: Comparison
    score: ScoreComparison
    arm: str
    reference: str
    outcome: Outcome
    is_beyond_delta: bool = False
    shuffled: str = ""
    published: tuple[Outcome, ...] = ()

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

    def gain_in(self, score: ScoreComparison, confidence: float = CONFIDENCE) -> Estimate | None:
        """Return the difference of both arms in a score over seeds; None without an interval."""
        arm = score.arm(self.arm)
        reference = score.arm(self.reference)
        value = estimate_difference(arm, reference, score.rule, confidence, score.floor)
        return None if value is None or value.low is None else value

    def parts_in(self, score: ScoreComparison) -> Components | None:
        """Return the variance components of the difference of both arms; None without values by image."""
        known = score.components.items()
        return next((parts for c, parts in known if (c.arm, c.reference) == self.pair), None)
