"""The conditions of firm sentences.

A claim is made only if every condition that applies is shown. What the records do not contain is unknown, and
never counts as shown. A condition does not apply only by what the recipe says. Some sources of runs, such as
tables of scores, cannot show every condition. The sentence then names the others as assumptions.

To add a condition, write a function that returns a `Finding` for a `Claim`, and add it to `CONDITIONS`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from perceptinit.results.source import Fact
from perceptinit.verdict import controls, copies, evidence, stage_one
from perceptinit.verdict.claim import Claim, Finding, State


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition of a claim.

    Attributes:
        text: The condition as a sentence.
        find: Returns its state.
        assumed: What a reader must assume if the source of the runs does not show it; None if scores show the
            condition.
        is_in_plan: Whether a plan shows the condition, too.
    """

    text: str
    find: Callable[[Claim], Finding]
    assumed: Fact | None = None
    is_in_plan: bool = False


# of every claim, with the most important first
_OF_RUNS: tuple[Condition, ...] = (
    Condition("The runs are not smoke runs.", evidence.find_smoke, Fact.WHOLE),
    Condition("The plan is unchanged since it was written.", evidence.find_edited_plan),
    Condition(
        "Every planned run of both arms has a finite score.", evidence.find_lost, Fact.LISTED, is_in_plan=True
    ),
    Condition("Every test set of the recipe has a score.", evidence.find_unmeasured_sets, Fact.WHOLE),
    Condition("Runs of different seeds differ.", copies.find_copies, Fact.WHOLE),
    Condition(
        "No score is above the human ceiling by more than 2 standard errors.", evidence.find_above_ceiling
    ),
)
_OF_A_DIFFERENCE: tuple[Condition, ...] = (
    *_OF_RUNS,
    Condition(
        "The runs of a seed differ only in their initialization.", evidence.find_unlike_runs, Fact.DIFFER
    ),
    Condition("Each arm has several runs, or is assumed to vary as others do.", evidence.find_single_runs),
    # the one condition that is shown if it is undecided, because equality cannot be proved
    Condition("Arms with the same initialization do not differ with p < 0.001.", evidence.find_defect),
    Condition("The baseline is not off its published scores.", evidence.find_published),
    Condition("Stage 1 has not seen the evaluated images.", evidence.find_seen, Fact.UNSEEN),
    Condition(
        "A change of [verdict] after the plan or the first run changed no answer.",
        evidence.find_changed,
        Fact.FIXED,
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
    "no difference": (
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
            Fact.LISTED,
            is_in_plan=True,
        ),
        Condition(
            "Runs of different seeds of each control differ.",
            controls.of_controls(copies.find_copies),
            Fact.WHOLE,
        ),
        Condition(
            "The runs of a seed and of its controls differ only in their initialization.",
            controls.of_controls(evidence.find_unlike_runs),
            Fact.DIFFER,
        ),
        Condition("No control collapsed in stage 1.", controls.find_collapsed_controls, Fact.LEARNED),
        Condition(
            "Stage 1 learned its judgments and did not collapse.", stage_one.find_unlearned, Fact.LEARNED
        ),
        Condition("Stage 1 learned less with shuffled votes.", stage_one.find_shuffled_rise, Fact.LEARNED),
        Condition(
            "Stage 1 of each control has the judgments, steps and settings of the arm.",
            controls.find_unlike_controls,
            Fact.DIFFER,
        ),
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
    """Return the state of a condition. It is assumed if the source can neither show nor refute it."""
    finding = condition.find(claim)
    runs = claim.runs
    is_shown = condition.assumed in runs.source.shows or (condition.is_in_plan and runs.plan)
    # runs that are not finished yet are listed in the table
    is_open = condition.is_in_plan and finding.state is State.UNKNOWN
    if condition.assumed is None or is_shown or is_open or finding.state is State.REFUTED:
        return finding
    return Finding(State.ASSUMED, condition.assumed)
