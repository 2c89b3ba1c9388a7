"""Where runs come from: folders with records, a table of scores, or models that `perceptinit eval` measured.

A `Source` states what it can show and how its parts are called. Other modules ask for these capabilities and
words, and never for the source itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Self

from perceptinit.results.states import State

Axis = Literal["samples_seen", "step", "epoch", ""]
POINTS = 100  # percentage points per unit of a share
ABSENT = "not in the table"
_UNITS = {"step": "steps", "epoch": "epochs"}


class Fact(StrEnum):
    """What a source can show about its runs, as a clause. Claims name as assumptions what it cannot show.

    The order is that of the assumptions in a sentence.
    """

    DIFFER = "the runs of a seed differ only in the arm"
    LISTED = "no run is left out"
    WHOLE = "each run is complete and listed once"
    UNSEEN = "no evaluated item was trained on"
    FIXED = "the analysis was fixed before the runs"
    LEARNED = "stage 1 learned its judgments without collapse"
    ABOVE_CHANCE = "the baseline is above chance"
    REPEATED = "a single run varies as the repeated ones do"
    SETTINGS = "how the runs were made"


@dataclass(frozen=True, slots=True)
class Progress:
    """What counts the progress of training at an evaluation.

    Attributes:
        column: Column of a table; empty if the progress is not stated.
        unit: What is counted, such as "samples" or "epochs".
    """

    column: Axis = ""
    unit: str = "samples"

    @property
    def seen(self) -> str:
        """Words after a number: `images seen`, `steps` or `epochs`; empty if the progress is not stated."""
        if not self.column:
            return ""
        return self.unit if self.column in _UNITS else f"{self.unit} seen"

    @classmethod
    def along(cls, column: Axis, samples: str = "") -> Self:
        """Return the progress along a column of a table, which can state what its samples are."""
        return cls(column, _UNITS.get(column) or samples or "samples")


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The words of a source.

    Attributes:
        arm: What is compared.
        replicates: Heading for the number of runs of an arm, which measure the noise.
        single: What does not decide a difference without an interval; empty for the number of runs.
        cause: In what the runs of a seed may differ.
        equal: How arms score that have equal scores, with the field `num`.
        mean: Heading of the scores of arms.
        spread: What the table shows beside means; empty without it.
        over: What intervals cover.
        evidence: What shows the conditions of a claim.
        compared: Sentences on what was compared, with the fields of `account.compared_sentence`.
        listed: Start of a sentence that lists the arms, with the fields `num` and `name`.
        how: How differences are paired, and the name of their interval.
        states: States of runs that have another name.
        delta: Name of delta.
        stated_delta: Name of delta if it is stated.
        missing_delta: Clause on a missing delta.
        no_delta: The same as the start of a sentence.
        without_items: Clause on a score of single runs without values by item; empty if it is not reported.
        other_primary: End of the rule that chooses the primary score.
    """

    arm: str = "arm"
    replicates: str = "seeds"
    single: str = ""
    cause: str = "the arm"
    equal: str = "exactly in every seed ({num})"
    mean: str = "mean ± s.e."
    spread: str = "standard error over seeds"
    over: str = "seeds and, where runs have values by image, images"
    evidence: str = "scores"
    compared: str
    listed: str
    how: tuple[str, str] = ("paired by seed", "Student's t")
    states: Mapping[str, str] = field(default_factory=dict, hash=False)
    delta: str = "delta"
    stated_delta: str = "delta"
    missing_delta: str = "no delta is stated"
    no_delta: str = "No delta is stated"
    without_items: str = ""
    other_primary: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where runs come from.

    Attributes:
        shows: What the source can show.
        words: How its parts are called.
        progress: What counts the progress of training.
        pending: States of runs that can still get a score.
        question: Key of the question that contrasts with the baseline answer.
        one_run_decides: Whether an interval over items alone decides a difference of single runs. A model is
            one run. An arm is a way to train, so its single run is not replicated.
        delta_unit: Units of delta in one unit of a score that is not a share.
        digits: Decimals of scores of unknown measures; None for decimals that show the noise.
        keeps_order: Whether the order of measures was chosen by the author of the source.
        layout: How the columns of a table are interpreted.
        key: Name in a table that is written from these runs; empty if its rows are those of a table.
        has_best: Whether the best arm is the baseline if none is stated.
    """

    shows: frozenset[Fact]
    words: Words
    progress: Progress = field(default_factory=Progress)
    pending: frozenset[State] = frozenset()
    question: Literal["worth", "models"] = "worth"
    one_run_decides: bool = False
    delta_unit: int = 1
    digits: int | None = None
    keeps_order: bool = True
    layout: str = ""
    key: str = ""
    has_best: bool = False

    def units_of_delta(self, is_share: bool) -> int:
        """Return how many units of delta are one unit of a score."""
        return POINTS if is_share else self.delta_unit


RECORDS = Source(
    shows=frozenset(Fact),
    words=Words(
        cause="their initialization",
        evidence="records",
        compared=(
            "The same network was trained {num_arms} ways, {num_seeds} times each (seeds): {others} against "
            "the baseline {baseline}. The arms differ in the initialization of the image tower (or in stages "
            "after pretraining), and in {rest}."
        ),
        listed="We compared {num} initializations of the same network",
        delta="[verdict] delta",
        stated_delta="delta of the recipe",
        missing_delta="[verdict] states no delta",
        no_delta="The recipe states no [verdict] delta",
    ),
    progress=Progress("samples_seen"),
    pending=frozenset({"running", "not started"}),
    delta_unit=POINTS,
    digits=3,
    keeps_order=False,
)
TABLE = Source(
    shows=frozenset(),
    words=Words(
        compared=(
            "The table {name} contains {num_runs} runs of {num_arms} arms: {others} against the baseline "
            "{baseline}. It contains scores and no records, so it does not show how the runs were made."
        ),
        listed="We compared {num} arms of the table {name}",
        states={"not started": ABSENT},
        without_items="one run an arm and no values by item. Intervals over images need them: `perceptinit "
        "eval` writes them in the column details",
        other_primary="; then the first measure of the table",
    ),
)
MODELS = Source(
    shows=frozenset({Fact.LISTED, Fact.WHOLE, Fact.ABOVE_CHANCE}),
    words=Words(
        arm="model",
        replicates="runs",
        single="one score each without values by image",
        equal="exactly on every item",
        mean="score [95 %]",
        spread="",
        without_items="no values by item, so no interval over images",
        over="images and, where the judgments name people, people",
        compared=(
            "{num_arms} models were measured: {others} against the baseline {baseline}. Their scores do not "
            "show how they were trained."
        ),
        listed="We compared {num} models",
        how=("paired by item", "jackknife"),
    ),
    question="models",
    one_run_decides=True,
    digits=3,
    key="models",
    has_best=True,
)
KEYS = {source.key: source for source in (TABLE, MODELS)}  # by `details` of a table
