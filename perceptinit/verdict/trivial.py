"""The best of several models beside trivial models on the same human judgments."""

from collections.abc import Mapping

from perceptinit.analysis.comparison import ScoreComparison
from perceptinit.analysis.contrasts import Contrast
from perceptinit.analysis.decisions import CONFIDENCE
from perceptinit.analysis.intervals import estimate_two_way
from perceptinit.analysis.statistics import Estimate
from perceptinit.verdict.verdict import POOLED


def find_best_model(score: ScoreComparison) -> str:
    """Return the model with the best score; empty if the arms are not models, or are not measured."""
    measured = [arm for arm in score.arms if arm.value] if score.rule.one_run_decides else []
    best = max(measured, key=lambda arm: score.sign * arm.value.mean if arm.value else 0.0, default=None)
    return best.arm if best else ""


def find_leads(score: ScoreComparison, model: str) -> Mapping[str, Estimate]:
    """Return the differences of a model and each trivial model, paired by item.

    The intervals are simultaneous over the trivial models (Bonferroni).
    """
    parts = {trivial.name: score.components.get(Contrast(model, trivial.name)) for trivial in score.baselines}
    level = 1 - (1 - CONFIDENCE) / max(1, len(parts))
    return {name: estimate_two_way(own, level) for name, own in parts.items() if own}


def compare_with_trivial(score: ScoreComparison, place: str = "The") -> str:
    """Return a sentence on the best model and the best trivial model; empty without one of them.

    Without an interval of their difference, the sentence claims nothing.

    Args:
        score: Scores of models.
        place: First word, or words that name the data set.
    """
    arm = find_best_model(score)
    value = score.arm(arm).value if arm else None
    if not score.baselines or value is None:
        return ""
    best = max(score.baselines, key=lambda trivial: trivial.value)
    scores = f"{score.number(value.mean)} and {score.in_units(best.value)}"
    leads = find_leads(score, arm)
    if best.name not in leads:
        names = f"{place} best model, {arm}, and the best trivial model, {best.name}"
        difference = score.signed(value.mean - best.value)
        return f"{names}, score {scores}: {difference}, without an interval of the difference."
    lead = leads[best.name]
    relation = "is not shown to be above"
    if (lead.low or 0.0) > 0:
        relation = "is above"
    elif (lead.high or 0.0) < 0:
        relation = "is below"
    units = score.components[Contrast(arm, best.name)].units
    judges = "" if "people" in units else f", {POOLED}"
    return (
        f"{place} best model, {arm}, {relation} the best trivial model, {best.name}: "
        f"{score.signed(lead.mean)} ({scores}; simultaneous 95 % interval of {len(leads)} trivial models "
        f"{score.interval(lead)} over {' and '.join(units)}{judges})."
    )


def write_leads(score: ScoreComparison) -> str:
    """Return the differences of the best model and each trivial model in words; empty if unknown."""
    arm = find_best_model(score)
    found = []
    for name, lead in find_leads(score, arm).items():
        difference = score.signed(lead.mean).removesuffix(" points")
        found.append(f"{name} {difference} [{score.interval(lead, ', ')}]")
    return f"{arm} against them: {', '.join(found)}" if found else ""
