"""The headline: readings of the arms in the primary score, with answers, limits and notes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from perceptinit.analysis.comparison import Comparison, ScoreComparison
from perceptinit.analysis.numbers import counts
from perceptinit.analysis.questions import CONTROL, NO_PEOPLE, SIMULATED, STRUCTURE, Question
from perceptinit.analysis.statistics import holm
from perceptinit.results.measures import measure_title
from perceptinit.verdict.limits import describe_failures, find_limits
from perceptinit.verdict.plan_text import confirm_plan, describe_departures
from perceptinit.verdict.readings import count_items, find_doubts, read_arm
from perceptinit.verdict.verdict import Verdict, is_pretrained, verdicts
from perceptinit.verdict.yardsticks import yardsticks

NOTHING = "No run has finished with a score that could be compared."
ALPHA = 0.05
MAX_NAMED = 6


@dataclass(frozen=True, slots=True)
class Summary:
    """The summary of a comparison in its primary score.

    Attributes:
        readings: A sentence for each arm of the headline, in order.
        measured: A sentence on the score and the samples seen.
        answers: Verdicts on all contrasts of these arms.
        limits: Limits of the answers, with the most important first.
        notes: Further notes.
    """

    readings: tuple[str, ...]
    measured: str
    answers: tuple[Verdict, ...]
    limits: tuple[str, ...]
    notes: tuple[str, ...]


def summary(comparison: Comparison) -> Summary | None:
    """Return the summary; None if no score can be compared."""
    score = comparison.primary
    if score is None:
        return None
    arms = headline_arms(comparison)
    readings: list[str] = []
    answers: list[Verdict] = []
    for arm in arms:
        own = [v for v in verdicts(comparison, score) if v.contrast.arm == arm]
        own = [replace(v, doubts=tuple(find_doubts(comparison, score, v))) for v in own]
        answers += own
        readings.append(read_arm(comparison, score, arm, own))
    departures = list(describe_departures(comparison))
    is_planned = comparison.runs.preregistered and not departures
    notes = [confirm_plan(comparison.runs, answers) if is_planned else "", describe_failures(comparison.runs)]
    return Summary(
        readings=tuple(filter(None, readings)),
        measured=_describe_measurement(score, comparison.runs.samples),
        answers=tuple(answers),
        limits=tuple(find_limits(comparison, score, arms, answers, departures)),
        notes=tuple(filter(None, notes)),
    )


def headline(comparison: Comparison) -> list[str]:
    """Return the summary as lines: published scores, measurement, contrasts, readings, limits, notes."""
    published = [yardstick.sentence for yardstick in yardsticks(comparison)]
    found = summary(comparison)
    if found is None:
        return [*published, NOTHING]
    answers = [f"{v.question} {v.sentence}" for v in found.answers]
    return [*published, found.measured, *answers, *found.readings, *found.limits, *found.notes]


def find_undecided(comparison: Comparison) -> list[Verdict]:
    """Return the undecided answers of the summary."""
    found = summary(comparison)
    return [v for v in found.answers if not v.is_decided] if found else []


def headline_arms(comparison: Comparison) -> list[str]:
    """Return the arms of the headline, which are the arms with a shuffled control.

    If no arm has one, they are all arms except the baseline and the controls, or else the controls.
    """
    asked: dict[Question, dict[str, None]] = {}
    for c in comparison.contrasts:
        asked.setdefault(c.question, {})[c.arm] = None
    everyone = list(dict.fromkeys(c.arm for c in comparison.contrasts))
    return (
        [*asked.get(STRUCTURE, ()), *asked.get(SIMULATED, ())]
        or [*asked.get(NO_PEOPLE, ())]
        or [arm for arm in everyone if arm not in asked.get(CONTROL, ())]
        or everyone
    )


def _describe_measurement(score: ScoreComparison, samples: str) -> str:
    title = measure_title(score.measure)
    seen = counts(score.samples_seen.values(), " and ")
    over = f"on {score.data_set} ({count_items(score)})"
    if score.num_sets > 1:
        over = f"as the mean over {score.num_sets} data sets"
    parts = [f"after {seen} {samples} seen" if is_pretrained(score) else "without pretraining"]
    if score.rule.delta is not None:
        within = score.magnitude(score.rule.delta)
        parts.append(f"differences within {within} (delta) do not matter")
    return f"{title[0].upper()}{title[1:]} {over}, {'; '.join(parts)}."


def family_wise(comparison: Comparison) -> str:
    """Return a note on how many differences would exclude 0 by chance; empty without intervals."""
    tested = list(_find_tested(comparison))
    top = summary(comparison)
    if not tested or top is None:
        return ""
    num = len(tested)
    alphas = [alpha for *_, alpha in tested]
    asked = [ALPHA / answer.contrast.num_family for answer in top.answers]
    is_repeated = comparison.scores[0].rule.is_repeated
    most = 100 * min(1.0, sum(asked))
    at_most = "at most " if is_repeated or min(alphas) < ALPHA else ""
    text = (
        f"{num} {'differences are' if num > 1 else 'difference is'} shown, {len(asked)} of them in the "
        f"headline. Each interval misses the truth in {at_most}{100 * ALPHA:.0f} % of "
        f"experiments. If all arms were equal, about {sum(alphas):.1f} of the {num} would exclude 0 by "
        f"chance, and any of the {len(asked)} with a probability of at most {most:.0f} %."
    )
    if is_repeated:
        return text
    corrected = zip(tested, holm([p_value for _, p_value, _ in tested]), strict=True)
    left = [name for (name, *_), p in corrected if p < ALPHA]
    named = "; ".join([*left[:MAX_NAMED], *(["others"] if len(left) > MAX_NAMED else [])])
    remain = f"{len(left)} remain{'s' if len(left) == 1 else ''}: {named}" if left else "none remains"
    return f"{text} With a family-wise error rate of {100 * ALPHA:.0f} % (Holm's correction), {remain}."


def _find_tested(comparison: Comparison) -> Iterator[tuple[str, float, float]]:
    """Yield title, p-value and error rate of each difference in a score that ranks models."""
    for score in (*comparison.averages, *comparison.scores):
        for d in score.differences:
            if d.p_value is not None and not score.is_diagnostic:
                yield f"{d.contrast.title} in {score.name}", d.p_value, ALPHA / d.contrast.num_family
