"""The answer of a comparison in one or two sentences, and at most two on what it does not say."""

import math
import re
from collections.abc import Sequence
from itertools import chain

from perceptinit.analysis.comparison import Comparison, Difference, ScoreComparison
from perceptinit.analysis.questions import NOISE, SIDES, Case, Outcome
from perceptinit.errors import MOST_NAMED, list_some
from perceptinit.results.preregistration import EDITED, is_edited
from perceptinit.results.source import Fact
from perceptinit.verdict.claim import State, to_sentence
from perceptinit.verdict.limits import SMOKE, describe_family, limit_of_delta
from perceptinit.verdict.readings import (
    find_assumptions,
    find_structure,
    limit_to_items,
    list_in_words,
    read_claim,
    read_noise,
    read_unbeaten,
)
from perceptinit.verdict.verdict import Verdict, count_runs, describe_interval

MOST_JOINED = 20  # words of a claim and its numbers in one sentence
MOST_WORDS = 40  # of a limit that is repeated as a caveat
MOST_CAVEATS = 2
MOST_ASSUMED = 5  # assumptions in a sentence, which then has 37 words
NO_CLAIM = f"No claim is made, because {EDITED}"
NO_OTHER = "Only {} has scores, so nothing is compared."
# of a further arm whose claim is shown
FIRM = {
    Outcome.BETTER: "worth it",
    Outcome.WORSE: "not worth it",
    Outcome.EQUIVALENT: "no difference that matters",
}


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a text."""
    return re.split(r"(?<=[.!?]) (?=[A-Z])", text)


def answer_in_words(
    comparison: Comparison, score: ScoreComparison, arms: Sequence[str], answers: Sequence[Verdict]
) -> list[str]:
    """Return which arm is better, by how much and how certain it is, in one or two sentences.

    Args:
        comparison: Comparison of the runs.
        score: Primary score.
        arms: Arms of the headline. An arm without a score is never the first of several.
        answers: Verdicts of the headline.
    """
    main = _list_main(score, arms, answers)
    if not main:
        return [NO_OTHER.format(comparison.runs.baseline)]
    if len(main) == 1:
        return _say(comparison, score, main[0], answers, MOST_JOINED)
    first, second = (" ".join(_say(comparison, score, v, answers)) for v in main[:2])
    if len(main) == 2:
        return [first, second]
    return [first, _list_others(score, main[1:], is_edited(comparison.runs.plan))]


def _list_main(score: ScoreComparison, arms: Sequence[str], answers: Sequence[Verdict]) -> list[Verdict]:
    """Return the verdict on each arm against the baseline, or else its first one; arms with scores first."""
    main = []
    for arm in arms:
        own = [v for v in answers if v.contrast.arm == arm]
        main.append(next((v for v in own if v.contrast.question.is_main), own[0]))
    return sorted(main, key=lambda v: score.difference(v.contrast) is None)


def _say(
    comparison: Comparison,
    score: ScoreComparison,
    main: Verdict,
    answers: Sequence[Verdict],
    most: float = math.inf,
) -> list[str]:
    """Return what is claimed about an arm and its numbers, in two sentences if one is too long."""
    claim = _claim(comparison, score, main, answers)
    difference = score.difference(main.contrast)
    if difference is None or main.case is Case.BARRED:
        return [f"{claim}."]
    arm = main.contrast.arm
    reference = main.contrast.reference
    mean = difference.value.mean
    own, other, sure = describe_numbers(score, difference, is_short=True)
    lower = "" if score.higher_is_better else "lower is better"
    numbers = f"{lower}{': ' if lower else ''}{own} and {other}{score.unit}; {sure}"
    limit = limit_to_items(score, main)
    if main.outcome in SIDES and claim.endswith(f" than {reference}{limit}"):
        return [f"{claim.removesuffix(limit)} by {score.magnitude(mean)}{limit} ({numbers})."]
    effect = score.signed(mean)
    if lower:
        effect = f"{score.magnitude(mean)} in favor of {arm if mean < 0 else reference}"
    joined = f"{claim}: {effect}{'' if lower else f' against {reference}'} ({numbers})."
    if len(joined.split()) <= most:
        return [joined]
    scores = f"{arm} scores {own}{score.unit}, {reference} {other}{score.unit}"
    return [f"{claim}.", f"{scores}: {effect} ({lower}{'; ' if lower else ''}{sure})."]


def _claim(comparison: Comparison, score: ScoreComparison, main: Verdict, answers: Sequence[Verdict]) -> str:
    """Return what is claimed about an arm, without a full stop."""
    if is_edited(comparison.runs.plan):
        return NO_CLAIM
    if main.case in (Case.BARRED, Case.MISSING):
        return main.sentence.removesuffix(".")
    if main.contrast.question == NOISE and main.outcome is not Outcome.EQUIVALENT:
        return split_sentences(read_noise(score, main))[0].removesuffix(".")
    text = read_claim(comparison, score, main, _find_own_structure(main, answers))
    if comparison.runs.is_simulated:
        text = f"in the simulated world, {text}"
    if Fact.REPEATED in find_assumptions([main]):
        text = f"if {Fact.REPEATED}, {text}"
    return text if text.startswith(main.contrast.arm) else f"{text[0].upper()}{text[1:]}"


def _find_own_structure(main: Verdict, answers: Sequence[Verdict]) -> Verdict | None:
    return find_structure(v for v in answers if v.contrast.arm == main.contrast.arm)


def describe_numbers(
    score: ScoreComparison, difference: Difference, is_short: bool = False
) -> tuple[str, str, str]:
    """Return the scores of both arms, and the interval of their difference with the number of seeds."""
    contrast = difference.contrast
    means = [score.arm(name).value for name in (contrast.arm, contrast.reference)]
    own, other = (score.number(mean.mean) if mean else "" for mean in means)
    if difference.has_interval:
        return own, other, describe_interval(difference, score, is_short)
    return own, other, score.rule.words.single or count_runs(difference)


def _list_others(score: ScoreComparison, main: Sequence[Verdict], is_refused: bool) -> str:
    """Return a sentence with the differences of further arms, by their outcome unless claims are refused.

    Of many arms, the first three with each outcome are named.
    """
    found: dict[str, list[str]] = {}
    for v in main:
        difference = score.difference(v.contrast)
        if difference is None:
            found.setdefault("no score", []).append(v.contrast.arm)
            continue
        word = "no claim" if is_refused else FIRM[v.outcome] if v.is_firm else v.outcome
        effect = score.signed(score.sign * difference.value.mean).split(" ")[0]
        found.setdefault(word, []).append(f"{v.contrast.arm} {effect}")
    unit = " in points" if score.is_share else ""
    outcomes = "; ".join(f"{list_some(arms, MOST_NAMED)} ({word})" for word, arms in found.items())
    return f"Other arms against {main[0].contrast.reference}{unit}: {outcomes}."


def find_caveats(
    comparison: Comparison,
    score: ScoreComparison,
    arms: Sequence[str],
    answers: Sequence[Verdict],
    readings: Sequence[str],
    limits: Sequence[str],
) -> list[str]:
    """Return at most two sentences on what an answer does not say, with the most important first.

    Args:
        comparison: Comparison of the runs.
        score: Primary score.
        arms: Arms of the headline.
        answers: Verdicts of the headline.
        readings: Reading of each arm of the headline, empty for an arm without one.
        limits: Limits of the answers, with the most important first.
    """
    main = _list_main(score, arms, answers)
    by_arm = dict(zip(arms, readings, strict=True))
    assumed = find_assumptions(answers)
    found = [limit for limit in limits if limit == SMOKE]
    if main:
        first = main[0]
        own = _list_own(score, first, by_arm[first.contrast.arm])
        structure = _find_own_structure(first, answers)
        control = read_unbeaten(comparison, score, first, structure).removeprefix("; ")
        found += [*own, "" if control in " ".join(own) else f"{control}."]
    parts = {"This assumes that": assumed[:MOST_ASSUMED], "It also assumes that": assumed[MOST_ASSUMED:]}
    found += [f"{start} {list_in_words(facts)}." for start, facts in parts.items() if facts]
    obstacles = {second.contrast.arm: _name_obstacle(second) for second in main[1:2]}
    found += [f"For {arm}, {obstacle}." for arm, obstacle in obstacles.items() if obstacle]
    elsewhere = (SMOKE, describe_family(score, answers), limit_of_delta(score))
    found += [limit for limit in limits if limit not in elsewhere]
    sentences = chain(*map(split_sentences, filter(None, found)))
    return [sentence for sentence in sentences if len(sentence.split()) <= MOST_WORDS][:MOST_CAVEATS]


def _list_own(score: ScoreComparison, main: Verdict, reading: str) -> list[str]:
    """Return what the answer about an arm does not say, as sentences."""
    if main.contrast.question == NOISE:
        return split_sentences(reading)[1:]
    if main.contrast.arm in score.taught or not score.is_pretrained:
        return [reading]
    return list(filter(None, [to_sentence(_name_obstacle(main))]))


def _name_obstacle(main: Verdict) -> str:
    """Return a clause with the most important condition of a claim that is not shown; empty if all are."""
    for first in main.obstacles[:1]:
        is_open = first.state is State.OPEN
        return first.reason if is_open else f"this does not show that {main.claim}: {first.reason}"
    return ""
