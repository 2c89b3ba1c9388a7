"""The conditions of firm sentences.

A claim is made only if every condition that applies is shown. What the records do not contain is unknown, and
never counts as shown. A condition does not apply only by what the recipe says. A table of scores cannot show
some conditions. The sentence then names them as assumptions.

To add a condition, write a function that returns a `Finding` for a `Claim`, and add it to `CONDITIONS`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from perceptinit.verdict import controls, evidence
from perceptinit.verdict.claim import Claim, Finding, State

DIFFER = "the runs of a seed differ only in the arm"
LISTED = "no run is left out"
WHOLE = "each run is complete and listed once"
UNSEEN = "no evaluated item was trained on"
FIXED = "the analysis was fixed before the runs"
LEARNED = "stage 1 learned its judgments without collapse"
ASSUMPTIONS = (
    DIFFER,
    LISTED,
    WHOLE,
    UNSEEN,
    FIXED,
    LEARNED,
    evidence.ABOVE_CHANCE,
)  # in the order of a sentence


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition of a claim.

    Attributes:
        text: The condition as a sentence.
        find: Returns its state.
        assumed: What a reader of a table must assume, as a clause; empty if scores show the condition.
        is_in_plan: Whether a plan shows the condition for a table.
    """

    text: str
    find: Callable[[Claim], Finding]
    assumed: str = ""
    is_in_plan: bool = False


# of every claim, with the most important first
_OF_RUNS: tuple[Condition, ...] = (
    Condition("The runs are not smoke runs.", evidence.find_smoke, WHOLE),
    Condition(
        "Every planned run of both arms has a finite score.", evidence.find_lost, LISTED, is_in_plan=True
    ),
    Condition("Every test set of the recipe has a score.", evidence.find_unmeasured_sets, WHOLE),
    Condition("Runs of different seeds differ.", evidence.find_copies, WHOLE),
    Condition(
        "No score is above the human ceiling by more than 2 standard errors.", evidence.find_above_ceiling
    ),
)
_OF_A_DIFFERENCE: tuple[Condition, ...] = (
    *_OF_RUNS,
    Condition("The runs of a seed differ only in their start.", evidence.find_unlike_runs, DIFFER),
    # the one condition that is shown if it is undecided, because equality cannot be proved
    Condition("Arms that start alike do not differ with p < 0.001.", evidence.find_defect),
    Condition("The baseline is not off its published scores.", evidence.find_published),
    Condition("Stage 1 has not seen the evaluated images.", evidence.find_seen, UNSEEN),
    Condition(
        "A change of [verdict] after the plan or the first run changed no answer.",
        evidence.find_changed,
        FIXED,
    ),
    Condition(
        "No other measure of the set, no set of a mean and not the last evaluation points the other way.",
        evidence.find_opposed,
    ),
)
_WORTH: tuple[Condition, ...] = (
    *_OF_A_DIFFERENCE,
    Condition("The interval of the difference is beyond delta.", evidence.find_size),
)
CONDITIONS: dict[str, tuple[Condition, ...]] = {
    "worth": _WORTH,
    "equivalent": (
        *_OF_A_DIFFERENCE,
        Condition(
            "The baseline is above chance, and could differ by delta in both directions.", evidence.find_room
        ),
    ),
    "structure": (
        *_WORTH,
        Condition("Every planned arm has runs.", controls.find_absent_controls),
        Condition(
            "Every planned run of each control has a finite score.",
            controls.of_controls(evidence.find_lost),
            LISTED,
            is_in_plan=True,
        ),
        Condition(
            "Runs of different seeds of each control differ.",
            controls.of_controls(evidence.find_copies),
            WHOLE,
        ),
        Condition(
            "The runs of a seed and of its controls differ only in their start.",
            controls.of_controls(evidence.find_unlike_runs),
            DIFFER,
        ),
        Condition("No control collapsed in stage 1.", controls.find_collapsed_controls, LEARNED),
        Condition("Stage 1 learned its judgments and did not collapse.", controls.find_unlearned, LEARNED),
        Condition("The arm leads every control over seeds and images.", controls.find_unbeaten),
        Condition(
            "No other measure, set or evaluation favors a control.",
            controls.of_controls(evidence.find_opposed),
        ),
        Condition("The arm leads every trivial model over seeds and images.", controls.find_trivial),
    ),
    "trivial": (
        *_OF_RUNS,
        Condition("The arm leads every trivial model over seeds and images.", controls.find_trivial),
    ),
    "published": _OF_RUNS,
}


def check(name: str, claim: Claim) -> tuple[Finding, ...]:
    """Return the state of each condition of a claim, in the order of `CONDITIONS`."""
    found = [(condition, _find(condition, claim)) for condition in CONDITIONS[name]]
    return tuple(replace(finding, condition=condition.text) for condition, finding in found)


def _find(condition: Condition, claim: Claim) -> Finding:
    """Return the state of a condition, which is assumed if a table cannot show it and does not refute it."""
    finding = condition.find(claim)
    is_shown = not claim.runs.is_table or (condition.is_in_plan and claim.runs.preregistered)
    # runs that are not finished yet are listed in the table
    is_open = condition.is_in_plan and finding.state is State.UNKNOWN
    if not condition.assumed or is_shown or is_open or finding.state is State.REFUTED:
        return finding
    return Finding(State.ASSUMED, condition.assumed)
