"""The questions that contrasts answer. `outcomes` contains their sentences.

Questions mention people only if people gave the answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from perceptinit.analysis.outcomes import (
    AFTER_BETTER,
    AFTER_OTHERS,
    NOISE_FIRM,
    NOISE_READINGS,
    READINGS,
    WORTH_CLAIMS,
    WORTH_FIRM,
    WORTH_READINGS,
    Outcome,
    Sentences,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The question of a contrast and its sentences, which are formatted with `arm` and `reference`.

    Questions with the same key are equal.

    Attributes:
        key: Name of the question in plans. It never changes, so plans stay comparable if a text changes.
        text: The question, with `{}` for the values of `format`.
        asks_for_better: Whether a card answers the question with yes or no.
        expected: Hypothesis in a plan.
        structure: Name of the structure that shuffling removes.
        readings: Sentences of the summary, by outcome.
        firm: Sentences that require every condition of `verdict.conditions` or, for arms that start alike, a
            difference beyond chance, by outcome.
        claims: What the outcomes would support if every condition is shown, as clauses.
        after_better: Clauses that continue a reading if the arm is better than the baseline, by outcome.
        after_others: Clauses that continue all other readings, by outcome.
        is_main: Whether the reading of an arm starts with its answer. The main contrasts of a comparison are
            a family.
    """

    key: str
    text: str = field(compare=False)
    asks_for_better: bool = field(default=True, compare=False)
    expected: str = field(default="{arm} scores higher than {reference}", compare=False)
    structure: str = field(default="", compare=False)
    readings: Sentences = field(default_factory=dict, compare=False)
    firm: Sentences = field(default_factory=dict, compare=False)
    claims: Sentences = field(default_factory=dict, compare=False)
    after_better: Sentences = field(default_factory=dict, compare=False)
    after_others: Sentences = field(default_factory=dict, compare=False)
    is_main: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        return self.text

    def format(self, *values: str) -> Question:
        """Return the question with `values` inserted into its text."""
        return replace(self, text=self.text.format(*values))


def _ask_structure(key: str, text: str, structure: str) -> Question:
    return Question(
        key=key,
        text=text,
        structure=structure,
        firm={Outcome.BETTER: ", and it is {structure} that helps"},
        claims={Outcome.BETTER: f"it is {structure}"},
        after_better=AFTER_BETTER,
        after_others=AFTER_OTHERS,
    )


WORTH = Question(
    key="worth",
    text="Is it worth it?",
    readings=WORTH_READINGS,
    firm=WORTH_FIRM,
    claims=WORTH_CLAIMS,
    is_main=True,
)
BETTER_MODEL = Question(key="models", text="Is it better than {}?", readings=READINGS, is_main=True)
MAIN = {question.key: question for question in (WORTH, BETTER_MODEL)}  # by `Source.question`
STRUCTURE = _ask_structure("structure", "Is it the human structure?", "the human structure")
SIMULATED = _ask_structure(
    "simulated-structure",
    "Is it the structure of the simulated judgments?",
    "the structure of the simulated judgments",
)
NO_PEOPLE = _ask_structure(
    "program-structure",
    "Is it the structure of these answers, which are not people's?",
    "the structure of these answers, which are not people's,",
)
OTHERWISE = Question(
    key="otherwise-shuffled",
    text="Against shuffled votes, with {} other than here:",
    asks_for_better=False,
)
CONTROL = Question(key="shuffled", text="Do shuffled votes make a difference?", asks_for_better=False)
NOISE = Question(
    key="noise",
    text="Do equal arms differ (A/A)?",
    asks_for_better=False,
    expected="{arm} and {reference} do not differ",
    readings=NOISE_READINGS,
    firm=NOISE_FIRM,
)
AGAINST = Question(key="against", text="Is it better than {}?")
AT_BEST = Question(key="at-best", text="Each at its best settings: is it better than {}?")
TAUGHT = Question(
    key="taught",
    text="Does it know the task that it was trained on?",
    readings={
        Outcome.UNDECIDED: "{arm} was trained on this task{seen}: the score shows what remains of stage 1 "
        "after pretraining, not whether the start is worth it."
    },
)
# plans of 0.1, and of 0.2 before its release, store texts that begin like this in place of keys
_TEXTS_IN_PLANS = {
    "Is it worth it?": "worth",
    "Is it the human structure?": "structure",
    "Is it the structure of the simulated judgments?": "simulated-structure",
    "Is it the structure of these answers, which are not people's?": "program-structure",
    "Against shuffled votes, with ": "otherwise-shuffled",
    "Do votes ": "shuffled",
    "Do shuffled votes ": "shuffled",
    "Do equal arms differ (A/A)?": "noise",
    "Is it better than ": "against",
    "Each at its best settings: is it better than ": "at-best",
}


def planned_questions(plan: Mapping[str, Any]) -> dict[tuple[str, str], Question]:
    """Return the planned questions by arm and reference, in the order of the plan."""
    return {
        (c["arm"], c["reference"]): Question(key=_find_key(c["question"]), text=c.get("text", c["question"]))
        for c in plan.get("contrasts", ())
    }


def _find_key(question: str) -> str:
    """Return the key of a question in a plan, which can be its key or its text."""
    return next((key for text, key in _TEXTS_IN_PLANS.items() if question.startswith(text)), question)
