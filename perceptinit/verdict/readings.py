"""Joint readings of an arm's verdicts. A firm sentence requires every condition of `conditions`."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from operator import attrgetter

from perceptinit.analysis.comparison import Comparison, ScoreComparison
from perceptinit.analysis.contrasts import is_by_people, taught_by
from perceptinit.analysis.questions import AGAINST, NOISE, SIDES, TAUGHT, WORTH, Outcome, choose
from perceptinit.results.measures import is_perceptual, measure_names
from perceptinit.results.source import Fact
from perceptinit.verdict.claim import Claim, State, to_sentence
from perceptinit.verdict.conditions import check
from perceptinit.verdict.controls import qualify_controls, read_controls
from perceptinit.verdict.evidence import DEFECT_P
from perceptinit.verdict.limits import describe_lead
from perceptinit.verdict.stage_one import describe_shuffled_rise
from perceptinit.verdict.verdict import Verdict, describe_single

UNTRAINED = "Nothing was pretrained, so these runs do not show the value of {} for pretraining."
BEFORE = "These are scores before pretraining, so they do not show the value of {} for pretraining."
LEARNED = "It learns the judgments"
NOT_LEARNED = "It is not shown to learn more of the judgments than a trivial model knows"


def check_claims(
    comparison: Comparison, score: ScoreComparison, own: Sequence[Verdict], published: tuple[Outcome, ...]
) -> list[Verdict]:
    """Return the verdicts on an arm with the conditions of the claims that their outcomes would support.

    Args:
        comparison: Comparison of the runs.
        score: Primary score.
        own: Verdicts on the arm.
        published: Outcomes of the baseline against its published scores.
    """
    worth = next((v for v in own if v.contrast.question == WORTH), None)
    if worth is None or worth.question != WORTH or worth.case or worth.outcome not in WORTH.firm:
        return list(own)
    structure = find_structure(own)
    shuffled = structure.contrast.reference if structure else ""
    claim = replace(_claim_of(comparison, score, worth), shuffled=shuffled, published=published)
    names = {id(worth): "no difference" if worth.outcome == Outcome.EQUIVALENT else "worth"}
    if structure and worth.outcome == structure.outcome == Outcome.BETTER:
        names[id(structure)] = "structure"
    return [replace(v, checked=check(names[id(v)], claim)) if id(v) in names else v for v in own]


def _claim_of(comparison: Comparison, score: ScoreComparison, worth: Verdict) -> Claim:
    return Claim(
        comparison=comparison,
        score=score,
        arm=worth.contrast.arm,
        reference=worth.contrast.reference,
        outcome=worth.outcome,
        is_beyond_delta=worth.is_beyond_delta,
    )


def find_structure(own: Iterable[Verdict]) -> Verdict | None:
    """Return the verdict on an arm against shuffled votes; None without one."""
    return next((v for v in own if v.contrast.question.structure), None)


def read_arm(
    comparison: Comparison,
    score: ScoreComparison,
    arm: str,
    own: Sequence[Verdict],
    named: Sequence[str] = (),
) -> str:
    """Return a joint reading of an arm's verdicts; empty if none answers whether the arm is worth it.

    Args:
        comparison: Comparison of the runs.
        score: Primary score.
        arm: Arm of the headline.
        own: Verdicts on the arm.
        named: Assumptions that an earlier reading names.
    """
    by_question = {v.contrast.question: v for v in own}
    main = next((v for v in own if v.contrast.question.is_main), None)
    if noise := by_question.get(NOISE):
        return read_noise(score, noise)
    if arm in score.taught and score.is_pretrained:
        return TAUGHT.readings[Outcome.UNDECIDED].format(arm=arm, seen=score.seen_in_words)
    if main is None:
        return ""
    if not score.is_pretrained:
        first = BEFORE if comparison.runs.is_pretrained else UNTRAINED
        return f"{first.format(arm)}{_compare_with_trivial(comparison, score, arm)}"
    structure = find_structure(own)
    claim = read_claim(comparison, score, main, structure)
    text = f"{claim}{_qualify(main)}{read_unbeaten(comparison, score, main, structure)}"
    start = "in the simulated world " if comparison.runs.is_simulated else ""
    if assumed := assumptions_in_words(own, named):
        start = f"{assumed}, {start}"
    return f"{text}." if not start and text.startswith(arm) else to_sentence(f"{start}{text}")


def find_assumptions(own: Iterable[Verdict]) -> list[str]:
    """Return what the claims about an arm assume, as clauses; empty without assumptions."""
    checked = chain(*map(attrgetter("checked"), own))
    reasons = {each.reason for each in checked if each.state is State.ASSUMED}
    return [fact for fact in Fact if fact in reasons]


def assumptions_in_words(own: Iterable[Verdict], named: Sequence[str]) -> str:
    """Return the assumptions of the claims about an arm, as the start of a sentence.

    Args:
        own: Verdicts on the arm.
        named: Assumptions that an earlier sentence names.
    """
    assumed = find_assumptions(own)
    new = [text for text in assumed if text not in named]
    same = ["under the same assumptions"] if len(new) < len(assumed) else []
    return ", and ".join([*same, *([f"if {list_in_words(new)}"] if new else [])])


def list_in_words(texts: Sequence[str]) -> str:
    """Return texts joined by commas and a final "and"."""
    return " and ".join(filter(None, [", ".join(texts[:-1]), *texts[-1:]]))


def read_noise(score: ScoreComparison, noise: Verdict) -> str:
    """Return the result of an A/A contrast, with its standard deviation for `[verdict] noise`."""
    difference = score.difference(noise.contrast)
    p_value = difference.p_value if difference else None
    is_defect = p_value is not None and p_value < DEFECT_P
    said = choose(NOISE.firm if is_defect else NOISE.readings, noise.outcome, noise.case)
    names = {"arm": noise.contrast.arm, "reference": noise.contrast.reference}
    text = said.format(**names, p_value=f"{p_value or 0:.1g}")
    if noise.outcome in SIDES or difference is None or not difference.value.stderr:
        return text
    spread = f"{100 * difference.value.stderr * math.sqrt(difference.value.num):.2g}"
    over_seeds = f"standard deviation of {spread} over seeds"
    return f"{text} Their difference has a {over_seeds}: [verdict] noise = {spread}."


def _compare_with_trivial(comparison: Comparison, score: ScoreComparison, arm: str) -> str:
    """Return a sentence that compares an arm with the best trivial model of the judgments, or nothing."""
    lead = describe_lead(score, arm)
    if not lead:
        return ""
    claim = Claim(comparison=comparison, score=score, arm=arm, reference=arm, outcome=Outcome.BETTER)
    reason = next((each.obstacle for each in check("trivial", claim) if each.obstacle), "")
    if not reason:
        return f" {LEARNED}: {lead}."
    found = score.find_lead(arm)
    is_said = found is not None and (found[1].low or 0.0) <= 0  # the interval shows the reason
    return f" {NOT_LEARNED}: {lead}{'' if is_said else f'; {reason}'}."


def read_claim(
    comparison: Comparison,
    score: ScoreComparison,
    main: Verdict,
    structure: Verdict | None = None,
) -> str:
    """Return what the main verdict on an arm claims, as a clause without its obstacles.

    Args:
        comparison: Comparison of the runs.
        score: Primary score.
        main: Verdict on the arm against the baseline.
        structure: Verdict on the arm against shuffled votes.
    """
    difference = score.difference(main.contrast)
    question = main.question if main.question.is_main else AGAINST
    sentences = question.firm if main.is_firm else question.readings
    clauses = [
        choose(sentences, main.outcome, main.case),
        limit_to_items(score, main),
        _explain(comparison, main, structure),
    ]
    return "".join(clauses).format(
        arm=main.contrast.arm,
        reference=main.contrast.reference,
        structure=structure.contrast.question.structure if structure else "",
        delta=score.magnitude(score.rule.delta or 0.0),
        single=describe_single(difference, score) if difference else "",
        item=name_items(score).removesuffix("s"),
    )


def limit_to_items(score: ScoreComparison, worth: Verdict) -> str:
    """Return a clause on the items of a difference whose interval does not cover other items."""
    difference = score.difference(worth.contrast)
    covers_items = difference is not None and difference.two_way is not None
    if worth.outcome not in SIDES or covers_items:
        return ""
    return f" on these {f'{score.num_sets} data sets' if score.num_sets > 1 else count_items(score)}"


def count_items(score: ScoreComparison) -> str:
    """Return the number of items of a score, such as `5,000 images`."""
    num = score.facts["num_examples"]
    return f"{num:,} {name_items(score)}" if num else name_items(score)


def name_items(score: ScoreComparison) -> str:
    """Return what a score is measured on, such as `images`."""
    usual = "judgments" if is_perceptual(score.measure) else "images"
    return str(score.facts["unit"] or (usual if score.measure in measure_names() else "items"))


def _qualify(worth: Verdict) -> str:
    """Return a clause with the most important condition of the claim that is not shown, or nothing."""
    for first in worth.obstacles[:1]:
        is_open = first.state is State.OPEN
        return f"; {first.reason}" if is_open else f", which does not show that {worth.claim}: {first.reason}"
    return ""


def read_unbeaten(
    comparison: Comparison, score: ScoreComparison, worth: Verdict, structure: Verdict | None
) -> str:
    """Return a clause on the controls that an arm that is better and learns from people does not lead."""
    claim = _claim_of(comparison, score, worth)
    is_asked = claim.outcome == Outcome.BETTER and taught_by(claim.runs, claim.arm)
    unbeaten = read_controls(claim) if is_asked and is_by_people(claim.runs, claim.arm) else ""
    said = structure.reasons[:1] if structure and worth.is_firm else []
    return f"; {unbeaten}" if unbeaten and unbeaten not in "".join(said) else ""


def _explain(comparison: Comparison, worth: Verdict, structure: Verdict | None) -> str:
    """Return a clause on whether structure explains a benefit, which requires a lead over all controls."""
    if structure is None or any(first.state is not State.OPEN for first in worth.obstacles[:1]):
        return ""
    question = structure.contrast.question
    if worth.outcome != Outcome.BETTER:
        # "undecided" is reported for the structure only if the worth is undecided, too
        is_said = structure.is_decided or not worth.is_decided
        return choose(question.after_others, structure.outcome, structure.case) if is_said else ""
    if structure.outcome != Outcome.BETTER:
        return choose(question.after_better, structure.outcome, structure.case)
    if not worth.is_firm:
        return ""
    if structure.reasons:
        first = structure.reasons[0].split("; ")[0]  # `--explain` has the others
        return f", but {first}: it is not shown to be {{structure}}"
    shuffled = structure.contrast.reference
    return (
        f"{question.firm[Outcome.BETTER]}{qualify_controls(comparison.runs, worth.contrast.arm, shuffled)}"
        f"{describe_shuffled_rise(comparison.runs, shuffled)}"
    )
