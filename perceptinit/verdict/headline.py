"""What is said about a comparison: the headline in the primary score, answers, limits and notes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from perceptinit.analysis.comparison import Comparison, ScoreComparison
from perceptinit.analysis.contrasts import is_by_people, is_by_simulated_people, taught_by
from perceptinit.analysis.numbers import counts
from perceptinit.analysis.questions import CONTROL, NO_PEOPLE, SIMULATED, STRUCTURE
from perceptinit.grouping import group
from perceptinit.results.measures import measure_title
from perceptinit.results.preregistration import EDITED, is_edited
from perceptinit.results.runs import RunSet
from perceptinit.verdict.answer import MOST_CAVEATS, answer_in_words, describe_numbers, find_caveats
from perceptinit.verdict.limits import describe_failures, find_limits
from perceptinit.verdict.plan_text import confirm_plan, describe_departures
from perceptinit.verdict.published import PublishedScore, judge_published
from perceptinit.verdict.readings import check_claims, count_items, find_assumptions, read_arm
from perceptinit.verdict.target import describe_target
from perceptinit.verdict.trivial import compare_with_trivial
from perceptinit.verdict.verdict import Verdict, verdicts

NOTHING = "No run has finished with a score that could be compared."
ALPHA = 0.05
MANY_SETS = 5  # fewer data sets of a mean are named


@dataclass(frozen=True, slots=True)
class Summary:
    """The summary of a comparison in its primary score.

    Attributes:
        answer: Which arm is better, by how much and how certain it is, in one or two sentences.
        caveats: At most two sentences on what the answer does not say.
        lead: What the first arm of the verdict is, its score, that of its reference, and their difference.
        readings: A sentence for each arm of the headline, in order.
        measured: A sentence on the score and the samples seen.
        answers: Verdicts on all contrasts of these arms.
        limits: Limits of the answers, with the most important first.
        notes: Further notes.
    """

    answer: tuple[str, ...]
    caveats: tuple[str, ...]
    lead: str
    readings: tuple[str, ...]
    measured: str
    answers: tuple[Verdict, ...]
    limits: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """What is said about a comparison. It is computed once and passed on.

    Attributes:
        comparison: The comparison.
        published: Outcomes against published scores.
        summary: The summary; None if no score can be compared.
    """

    comparison: Comparison
    published: tuple[PublishedScore, ...]
    summary: Summary | None

    @classmethod
    def of(cls, comparison: Comparison) -> Self:
        """Judge a comparison."""
        published = tuple(judge_published(comparison))
        return cls(comparison, published, _summarize(comparison, published))

    @property
    def answers(self) -> tuple[Verdict, ...]:
        """Verdicts on the contrasts of the headline; empty if no score can be compared."""
        return self.summary.answers if self.summary else ()

    @property
    def answer(self) -> list[str]:
        """The answer, what it does not say and, for a table, how it was read: a paragraph each."""
        found = self.summary
        if found is None:
            return [NOTHING, *self.comparison.problems[:MOST_CAVEATS]]
        paragraphs = (" ".join(found.answer), " ".join(found.caveats), self.comparison.runs.source.layout)
        return list(filter(None, paragraphs))

    @property
    def headline(self) -> list[str]:
        """At most one line an arm and four more: first arm, readings, measure, how it was read, a limit."""
        found = self.summary
        read = self.comparison.runs.source.layout
        lines = [found.lead, *found.readings, found.measured, read, *found.limits[:1]] if found else [NOTHING]
        return [line for line in lines if line]

    @property
    def sentences(self) -> list[str]:
        """The headline, then published scores, contrasts, further limits and notes."""
        published = [each.sentence for each in self.published]
        answers = [f"{v.question} {v.sentence}" for v in self.answers]
        rest = [*self.summary.limits[1:], *self.summary.notes] if self.summary else []
        return [*self.headline, *published, *answers, *rest]

    @property
    def family_wise(self) -> str:
        """A note on how many differences would exclude 0 by chance; empty without intervals."""
        alphas = list(_find_error_rates(self.comparison))
        if not alphas or not self.summary:
            return ""
        num = len(alphas)
        asked = [ALPHA / answer.contrast.num_family for answer in self.answers]
        most = 100 * min(1.0, sum(asked))
        is_below = self.comparison.scores[0].rule.is_repeated or min(alphas) < ALPHA
        at_most = "at most " if is_below else ""
        return (
            f"{num} {'differences are' if num > 1 else 'difference is'} shown, {len(asked)} of them in the "
            f"verdict. Each interval misses the truth in {at_most}{100 * ALPHA:.0f} % of "
            f"experiments. If all arms were equal, about {sum(alphas):.1f} of the {num} would exclude 0 by "
            f"chance, and any of the {len(asked)} with a probability of at most {most:.0f} %."
        )


def _summarize(comparison: Comparison, published: Sequence[PublishedScore]) -> Summary | None:
    """Return the summary; None if no score can be compared."""
    score = comparison.primary
    if score is None:
        return None
    arms = headline_arms(comparison)
    readings: list[str] = []
    answers: list[Verdict] = []
    named: list[str] = []
    every = verdicts(comparison, score)
    of_baseline = tuple(p.outcome for p in published if p.expected.arm == comparison.runs.baseline)
    for arm in arms:
        own = [v for v in every if v.contrast.arm == arm]
        own = check_claims(comparison, score, own, of_baseline)
        answers += own
        readings.append(read_arm(comparison, score, arm, own, named))
        named += find_assumptions(own)
    target = comparison.runs.rule.target
    of_target = [] if target is None else list(describe_target(score, target))
    departures = list(describe_departures(comparison))
    is_planned = comparison.runs.plan and not departures
    notes = [
        confirm_plan(comparison.runs, answers) if is_planned else "",
        describe_failures(comparison.runs, score),
    ]
    limits = find_limits(comparison, score, arms, answers, departures)
    said = [compare_with_trivial(score)]
    said += [compare_with_trivial(each, f"In {each.data_set}, the") for each in comparison.sets_of(score)]
    said += of_target
    if arms or not of_target:
        said += answer_in_words(comparison, score, arms, answers)
    return Summary(
        answer=tuple(filter(None, said)),
        caveats=tuple(find_caveats(comparison, score, arms, answers, readings, limits)),
        lead=_describe_first(comparison.runs, score, answers),
        readings=tuple(filter(None, [*of_target, *readings])),
        measured=_describe_measurement(comparison, score),
        answers=tuple(answers),
        limits=tuple(limits),
        notes=tuple(filter(None, notes)),
    )


def headline_arms(comparison: Comparison) -> list[str]:
    """Return the arms of the headline, which are the arms with a shuffled control.

    If no arm has one, they are all arms except the baseline and the controls, or else the controls.
    """
    asked = group((c.question, c.arm) for c in comparison.contrasts)
    everyone = [c.arm for c in comparison.contrasts]
    found = (
        [*asked.get(STRUCTURE, ()), *asked.get(SIMULATED, ())]
        or asked.get(NO_PEOPLE)
        or [arm for arm in everyone if arm not in asked.get(CONTROL, ())]
        or everyone
    )
    return list(dict.fromkeys(found))


def _describe_first(runs: RunSet, score: ScoreComparison, answers: Sequence[Verdict]) -> str:
    """Return the scores of the first answer's arms and their difference, as a sentence; empty without any."""
    difference = score.difference(answers[0].contrast) if answers else None
    if difference is None:
        return ""
    contrast = difference.contrast
    arm, reference, sure = describe_numbers(score, difference)
    effect = score.signed(score.sign * difference.value.mean)
    taught = _describe_teachers(runs, contrast.arm) if taught_by(runs, contrast.arm) else ""
    refused = f"No claim is made, because {EDITED}: " if is_edited(runs.plan) else ""
    scores = (
        f"{contrast.arm}{taught} scores {arm}{score.unit}, and {contrast.reference} {reference}{score.unit}"
    )
    return f"{refused}{scores}: {effect} ({sure})."


def _describe_teachers(runs: RunSet, arm: str) -> str:
    """Return a clause on who gave the judgments that an arm learns from."""
    teachers = "people" if is_by_people(runs, arm) else "a program"
    who = "simulated observers" if is_by_simulated_people(runs, arm) else teachers
    num = max(run.about.get("num_judgments", 0) for run in runs.arm_runs(arm))
    return f", first trained on {f'{num:,} ' if num else ''}judgments of {who},"


def _describe_measurement(comparison: Comparison, score: ScoreComparison) -> str:
    title = measure_title(score.measure)
    over = f" on {score.data_set}" if score.data_set else ""
    over += f" ({count_items(score)})" if score.facts["num_examples"] else ""
    if score.num_sets > 1:
        names = [s.data_set for s in comparison.sets_of(score)]
        named = f" ({', '.join(names)})" if score.num_sets < MANY_SETS else ""
        over = f" as the mean over {score.num_sets} data sets{named}"
    parts = [_describe_samples(comparison.runs, score)]
    if score.rule.delta is not None:
        within = score.magnitude(score.rule.delta)
        parts.append(f"differences within {within} (delta) do not matter")
    text = "; ".join(filter(None, parts))
    return f"{title[0].upper()}{title[1:]}{over}{', ' if text else ''}{text}."


def _describe_samples(runs: RunSet, score: ScoreComparison) -> str:
    """Return the samples seen at a measurement; empty if they are not stated."""
    if not score.is_pretrained:
        return runs.untrained
    seen = counts(score.samples_seen.values(), " and ")
    return f"after {seen} {runs.progress.seen}" if runs.progress.seen else ""


def _find_error_rates(comparison: Comparison) -> Iterator[float]:
    """Yield the error rate of each difference with an interval in a score that ranks models."""
    for score in comparison.all_scores:
        for d in score.differences:
            if d.p_value is not None and not score.is_diagnostic:
                yield ALPHA / d.contrast.num_family
