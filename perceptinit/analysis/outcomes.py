"""The outcomes of a difference, and every text of an outcome.

Arms, models, published scores and tuned arms have the same four outcomes. Texts are looked up by outcome or,
if there is one, by case: `choose(SENTENCES, outcome, case)`.
"""

from collections.abc import Mapping
from enum import StrEnum


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
    MISSING = "no seed in common"
    BARRED = "not comparable"
    OTHER_SETTING = "another setting"
    NOT_MEASURED = "not measured"
    NOT_SHOWN = "a condition is not shown"


SIDES = (Outcome.BETTER, Outcome.WORSE)
DECIDED = (Outcome.EQUIVALENT, *SIDES)
Sentences = Mapping[Outcome | Case, str]


def choose(sentences: Sentences, outcome: Outcome, case: Case | None = None) -> str:
    """Return the sentence of a case, else of an outcome, else of `UNDECIDED`."""
    found = (sentences.get(key) for key in (case, outcome) if key)
    return next(filter(None, found), "") or sentences[Outcome.UNDECIDED]


# a difference of two arms in one score
SENTENCES: Sentences = {
    Outcome.BETTER: "{arm} is better than {reference} by {size} ({side}).",
    Outcome.WORSE: "{arm} is worse than {reference} by {size} ({side}).",
    Outcome.EQUIVALENT: "{arm} and {reference} differ by less than {delta}: {effect}.",
    Outcome.UNDECIDED: "{arm} against {reference} is undecided: {effect}. {outlook}",
    Case.EQUAL: "{arm} equals {reference} {equal}.",
    Case.ONE_SEED: "{arm} {where} {reference} in the only common seed; one seed has no interval.",
    Case.ONE_RUN: "{arm} {where} {reference}; {single} does not decide.",
}
NONE_IN_COMMON = "{arm} and {reference} have no seed in common."
PROBABILITIES = "probability of better by more than {delta} {better}, within {within}, worse {worse}"
BEYOND_DELTA = "{} by more than delta"
# headings of answers on the page
ANSWERS: Sentences = {
    Outcome.BETTER: "Better:",
    Outcome.WORSE: "Worse:",
    Outcome.EQUIVALENT: "No difference that matters:",
    Outcome.UNDECIDED: "Undecided:",
    Case.EQUAL: "Equal in every seed:",
    Case.ONE_SEED: "Unknown from one seed:",
    Case.ONE_RUN: "Unknown from one run:",
    Case.MISSING: "No seed in common.",
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
BASELINE = "the baseline is {} than its published score"
# a control, given the outcome of the arm that it controls
CONTROL: Sentences = {
    Outcome.WORSE: "{control} is better",
    Outcome.EQUIVALENT: "{control} does as well",
    Outcome.UNDECIDED: "{control} is not shown to do worse",
}
# readings of an arm and of a model
READINGS: Sentences = {
    Outcome.BETTER: "{arm} is better than {reference}",
    Outcome.WORSE: "{arm} is worse than {reference}",
    Outcome.EQUIVALENT: "{arm} and {reference} differ by less than {delta}",
    Outcome.UNDECIDED: "whether {arm} is better than {reference} is undecided",
    Case.EQUAL: "{arm} scores exactly as {reference} does",
    Case.ONE_RUN: "{single} does not show whether {arm} is better than {reference}",
}
WORTH_READINGS: Sentences = {
    **READINGS,
    Outcome.UNDECIDED: "whether {arm} is worth it is undecided",
    Case.EQUAL: "{arm} scores exactly as {reference} does in every seed",
    Case.ONE_RUN: "{single} does not show whether {arm} is worth it",
}
WORTH_FIRM: Sentences = {
    Outcome.BETTER: "{arm} is worth it",
    Outcome.WORSE: "{arm} is not worth it",
    Outcome.EQUIVALENT: "{arm} makes no difference that matters in seeds like these: it is equivalent to "
    "{reference} within {delta}",
}
WORTH_CLAIMS: Sentences = {
    Outcome.BETTER: "it is worth it",
    Outcome.WORSE: "it is not worth it",
    Outcome.EQUIVALENT: "it makes no difference",
}
# clauses on shuffled votes that continue a reading, if the arm is better than the baseline and otherwise
AFTER_BETTER: Sentences = {
    Outcome.WORSE: ", but shuffled votes do better still: {structure} does not explain it",
    Outcome.EQUIVALENT: ", but shuffled votes do as well: {structure} does not explain it",
    Outcome.UNDECIDED: ", but whether {structure} helps is undecided",
}
AFTER_OTHERS: Sentences = {
    Outcome.BETTER: ", although votes as given do better than shuffled ones",
    Outcome.WORSE: ", and shuffled votes do better than those given",
    Outcome.EQUIVALENT: ", and shuffled votes do as well as those given",
    Outcome.UNDECIDED: ", and so is whether votes as given do better than shuffled ones",
}
_NOISE_SHOWN = (
    "{arm} and {reference} start alike, but a difference is shown, as noise does in one of 20 such "
    "comparisons. Do not trust differences of this size elsewhere."
)
NOISE_READINGS: Sentences = {
    Outcome.BETTER: _NOISE_SHOWN,
    Outcome.WORSE: _NOISE_SHOWN,
    Outcome.UNDECIDED: "{arm} and {reference} start alike, and no difference is shown, as expected.",
}
_DEFECT = (
    "{arm} and {reference} start alike, but they differ with p = {p_value}: suspect a defect, such as "
    "other data or settings in one of them, and not a difference of the starts."
)
NOISE_FIRM: Sentences = {**NOISE_READINGS, Outcome.BETTER: _DEFECT, Outcome.WORSE: _DEFECT}
