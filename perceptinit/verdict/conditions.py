"""The conditions of firm sentences.

A claim is made only if every condition that applies is shown. What the records do not contain is unknown, and
never counts as shown. A condition does not apply only by what the recipe says.

To add a condition, write a function that returns a `Finding` for a `Claim`, and add it to `CONDITIONS`.
"""

from collections.abc import Callable

from perceptinit.verdict import controls, evidence
from perceptinit.verdict.claim import Checked, Claim, Finding

Condition = tuple[str, Callable[[Claim], Finding]]

# of every claim, with the most important first
_OF_RUNS: tuple[Condition, ...] = (
    ("The runs are not smoke runs.", evidence.find_smoke),
    ("Every planned run of both arms has a finite score.", evidence.find_lost),
    ("Every test set of the recipe has a score.", evidence.find_unmeasured_sets),
    ("Runs of different seeds differ.", evidence.find_copies),
    ("No score is above the human ceiling by more than 2 standard errors.", evidence.find_above_ceiling),
)
_OF_A_DIFFERENCE: tuple[Condition, ...] = (
    *_OF_RUNS,
    ("The runs of a seed differ only in their start.", evidence.find_unlike_runs),
    # the one condition that is shown if it is undecided, because equality cannot be proved
    ("Arms that start alike do not differ with p < 0.001.", evidence.find_defect),
    ("The baseline is not off its published scores.", evidence.find_published),
    ("Stage 1 has not seen the evaluated images.", evidence.find_seen),
    ("A change of [verdict] after the plan or the first run changed no answer.", evidence.find_changed),
    (
        "No other measure of the set, no set of a mean and not the last evaluation points the other way.",
        evidence.find_opposed,
    ),
)
_WORTH: tuple[Condition, ...] = (
    *_OF_A_DIFFERENCE,
    ("The interval of the difference is beyond delta.", evidence.find_size),
)
CONDITIONS: dict[str, tuple[Condition, ...]] = {
    "worth": _WORTH,
    "equivalent": (
        *_OF_A_DIFFERENCE,
        ("The baseline is above chance, and could differ by delta in both directions.", evidence.find_room),
    ),
    "structure": (
        *_WORTH,
        ("Every planned arm has runs.", controls.find_absent_controls),
        ("Every planned run of each control has a finite score.", controls.of_controls(evidence.find_lost)),
        ("Runs of different seeds of each control differ.", controls.of_controls(evidence.find_copies)),
        (
            "The runs of a seed and of its controls differ only in their start.",
            controls.of_controls(evidence.find_unlike_runs),
        ),
        ("No control collapsed in stage 1.", controls.find_collapsed_controls),
        ("Stage 1 learned its judgments and did not collapse.", controls.find_unlearned),
        ("The arm leads every control over seeds and images.", controls.find_unbeaten),
        (
            "No other measure, set or evaluation favors a control.",
            controls.of_controls(evidence.find_opposed),
        ),
        ("The arm leads every trivial model over seeds and images.", controls.find_trivial),
    ),
    "trivial": (
        *_OF_RUNS,
        ("The arm leads every trivial model over seeds and images.", controls.find_trivial),
    ),
    "published": _OF_RUNS,
}


def check(name: str, claim: Claim) -> tuple[Checked, ...]:
    """Return the state of each condition of a claim, in the order of `CONDITIONS`."""
    found = [(text, find(claim)) for text, find in CONDITIONS[name]]
    return tuple(Checked(text, finding.state, finding.reason) for text, finding in found)
