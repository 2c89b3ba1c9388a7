"""The questions that contrasts answer, the outcomes of a difference, and every text of an outcome.

Arms, models, published scores and tuned arms have the same four outcomes. Texts are looked up by outcome or,
if there is one, by case: `choose(SENTENCES, outcome, case)`. Questions mention people only if people gave the
answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """The outcome of a difference, with the first that applies first. A positive difference is better."""

    EQUIVALENT = "equivalent"
    BETTER = "better"
    WORSE = "worse"
    UNDECIDED = "undecided"


class Case(StrEnum):
    """Why a difference has an outcome without an interval: it is equivalent if equal, and else undecided."""

    EQUAL = "equal in every seed"
    ONE_SEED = "one seed"
    ONE_RUN = "one run"
    MISSING = "no seed with scores of both"
    BARRED = "not comparable"
    OTHER_SETTING = "another setting"
    NOT_MEASURED = "not measured"
    NOT_SHOWN = "a condition is not shown"


SIDES = (Outcome.BETTER, Outcome.WORSE)
DECIDED = (Outcome.EQUIVALENT, *SIDES)
Sentences = Mapping[Outcome | Case, str]


def choose(sentences: Sentences, outcome: Outcome, case: Case | None = None) -> str:
    """Return the sentence of a case, else of an outcome, else of `UNDECIDED`."""
    return sentences.get(case or outcome) or sentences.get(outcome) or sentences[Outcome.UNDECIDED]


# a difference of two arms in one score
SENTENCES: Sentences = {
    Outcome.BETTER: "{arm} is better than {reference} by {size} ({side}).",
    Outcome.WORSE: "{arm} is worse than {reference} by {size} ({side}).",
    Outcome.EQUIVALENT: "{arm} and {reference} differ by less than {delta}: {effect}.",
    Outcome.UNDECIDED: "{arm} against {reference} is undecided: {effect}. {outlook}",
    Case.EQUAL: "{arm} equals {reference} {equal}.",
    Case.ONE_SEED: "{arm} {where} {reference} in the only common seed; one seed has no interval.",
    Case.ONE_RUN: "{arm} {where} {reference}; {single} does not decide.",
    Case.MISSING: "{arm} and {reference} have no seed with scores of both.",
}
PROBABILITIES = "probability of better by more than {delta} {better}, within {within}, worse {worse}"
# headings of answers on the page
ANSWERS: Sentences = {
    Outcome.BETTER: "Better:",
    Outcome.WORSE: "Worse:",
    Outcome.EQUIVALENT: "No difference that matters:",
    Outcome.UNDECIDED: "Undecided:",
    Case.EQUAL: "Equal in every seed:",
    Case.ONE_SEED: "Unknown from one seed:",
    Case.ONE_RUN: "Unknown from one run:",
    Case.MISSING: "No seed with scores of both.",
    Case.BARRED: "Not comparable:",
}
YES_OR_NO: Sentences = {**ANSWERS, Outcome.BETTER: "Yes:", Outcome.WORSE: "No, it is worse:"}
# the baseline or another arm against its published score
PUBLISHED: Sentences = {
    Outcome.BETTER: "better by {gap} ({seeds}); the setting may differ from the published one",
    Outcome.WORSE: "worse by {gap}, more than the allowed {allowed} ({seeds}); these runs are weak evidence "
    "about PI",
    Outcome.EQUIVALENT: "equivalent, {within} ({seeds})",
    Outcome.UNDECIDED: "undecided, the interval is partly outside the allowed {allowed} ({seeds})",
    Case.ONE_SEED: "undecided, one seed has no interval",
    Case.OTHER_SETTING: "undecided, another setting ({differs}) is not judged",
    Case.NOT_MEASURED: "undecided, not measured yet",
    Case.NOT_SHOWN: "undecided, {reason}",
}
# a control, given the outcome of the arm that it controls
OF_CONTROL: Sentences = {
    Outcome.WORSE: "{control} is better than {arm}",
    Outcome.EQUIVALENT: "{control} does as well as {arm}",
    Outcome.UNDECIDED: "{control} is not shown to do worse than {arm}",
}


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
        firm: Sentences that require every condition of `verdict.conditions` or, for arms with the same
            initialization, a difference beyond chance, by outcome.
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


# of an arm and of a model
_READINGS: Sentences = {
    Outcome.BETTER: "{arm} is better than {reference}",
    Outcome.WORSE: "{arm} is worse than {reference}",
    Outcome.EQUIVALENT: "{arm} and {reference} differ by less than {delta}",
    Outcome.UNDECIDED: "whether {arm} is better than {reference} is undecided",
    Case.EQUAL: "{arm} scores exactly as {reference} does",
    Case.ONE_RUN: "{single} does not show whether {arm} is better than {reference}",
}


def _ask_structure(key: str, text: str, structure: str) -> Question:
    return Question(
        key=key,
        text=text,
        structure=structure,
        firm={Outcome.BETTER: ", and it is {structure} that helps"},
        claims={Outcome.BETTER: f"it is {structure}"},
        after_better={
            Outcome.WORSE: ", but shuffled votes do better still: {structure} does not explain it",
            Outcome.EQUIVALENT: ", but shuffled votes do as well: {structure} does not explain it",
            Outcome.UNDECIDED: ", but whether {structure} helps is undecided",
        },
        after_others={
            Outcome.BETTER: ", although votes as given do better than shuffled ones",
            Outcome.WORSE: ", and shuffled votes do better than those given",
            Outcome.EQUIVALENT: ", and shuffled votes do as well as those given",
            Outcome.UNDECIDED: ", and so is whether votes as given do better than shuffled ones",
        },
    )


WORTH = Question(
    key="worth",
    text="Is it worth it?",
    readings={
        **_READINGS,
        Outcome.UNDECIDED: "whether {arm} is worth it is undecided",
        Case.EQUAL: "{arm} scores exactly as {reference} does in every seed",
        Case.ONE_RUN: "{single} does not show whether {arm} is worth it",
    },
    firm={
        Outcome.BETTER: "{arm} is worth it",
        Outcome.WORSE: "{arm} is not worth it",
        Outcome.EQUIVALENT: "{arm} makes no difference that matters in seeds like these: it is equivalent to "
        "{reference} within {delta}",
    },
    claims={
        Outcome.BETTER: "it is worth it",
        Outcome.WORSE: "it is not worth it",
        Outcome.EQUIVALENT: "it makes no difference",
    },
    is_main=True,
)
BETTER_MODEL = Question(
    key="models",
    text="Is it better than {}?",
    readings={**_READINGS, Case.EQUAL: "{arm} and {reference} give the same answer on every {item}"},
    is_main=True,
)
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
_NOISE_SHOWN = (
    "{arm} and {reference} have the same initialization, but a difference is shown, as noise does in one of "
    "20 such comparisons. Do not trust differences of this size elsewhere."
)
_DEFECT = (
    "{arm} and {reference} have the same initialization, but they differ with p = {p_value}: suspect a "
    "defect, such as other data or settings in one of them, and not a difference of the initializations."
)
_NOISE_UNDECIDED = (
    "{arm} and {reference} have the same initialization, and their difference is undecided, as expected."
)
NOISE = Question(
    key="noise",
    text="Do equal arms differ (A/A)?",
    asks_for_better=False,
    expected="{arm} and {reference} do not differ",
    readings={
        Outcome.BETTER: _NOISE_SHOWN,
        Outcome.WORSE: _NOISE_SHOWN,
        Outcome.UNDECIDED: _NOISE_UNDECIDED,
    },
    firm={
        Outcome.BETTER: _DEFECT,
        Outcome.WORSE: _DEFECT,
        Outcome.UNDECIDED: _NOISE_UNDECIDED,
    },
)
AGAINST = Question(
    key="against",
    text="Is it better than {}?",
    readings={**_READINGS, Outcome.UNDECIDED: "{arm} against {reference} is undecided"},
)
AT_BEST = Question(key="at-best", text="Each at its best settings: is it better than {}?")
TAUGHT = Question(
    key="taught",
    text="Does it know the task that it was trained on?",
    readings={
        Outcome.UNDECIDED: "{arm} was trained on this task{seen}: the score shows what remains of stage 1 "
        "after pretraining, not whether the initialization is worth it."
    },
)
# six plans in docs/results and recipes store texts that begin like this in place of keys
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
