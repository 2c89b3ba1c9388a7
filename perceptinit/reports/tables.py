"""A comparison as a table for the terminal, and the cells and notes that every format shares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from perceptinit.reports.at_best import settings_lines
from perceptinit.reports.comparison import ArmScore, Comparison, MiddleMean, ScoreComparison
from perceptinit.reports.numbers import interval, number
from perceptinit.reports.verdicts.headline import headline, seen_in_words

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

READ_ME = (
    "s.e.: standard error over seeds. Differences are paired by seed, with Student's t interval "
    "(95 %); shares in per cent and points."
)
BESIDE = "the same judgments by"
MIDDLE_HALF = (
    "Interquartile means are of the middle half of all scores. Their intervals draw seeds anew within each set (rliable), as "
    "if each set had runs of its own; here a run is measured on all sets, which makes them too narrow. No answer rests on them."
)
SIMULATED = "Simulated data: the images and the observers are made by a program."


def references(comparison: Comparison) -> list[str]:
    """Return the arms that others are compared with, the baseline first."""
    return list(dict.fromkeys(c.reference for c in comparison.contrasts))


def cells(comparison: Comparison, score: ScoreComparison, arm: ArmScore) -> list[str]:
    """Return an arm's cells in a score: mean with s.e., each difference, number of seeds."""
    by_reference = {
        d.contrast.reference: d.value for d in score.differences if d.contrast.arm == arm.arm
    }
    shown = [_difference(by_reference.get(r), score.is_share) for r in references(comparison)]
    return [mean_cell(arm, score.is_share), *shown, _seeds(arm)]


def mean_cell(arm: ArmScore, is_share: bool) -> str:
    """Return an arm's mean with its standard error over seeds."""
    if arm.value is None:
        return "no value"
    mean = number(arm.value.mean, is_share)
    if arm.value.stderr is None:
        return mean
    return f"{mean} ± {number(arm.value.stderr, is_share)}"


def _difference(value: Any, is_share: bool) -> str:
    if value is None:
        return ""
    mean = f"{100 * value.mean:+.1f}" if is_share else f"{value.mean:+.3f}"
    between = interval(value, is_share, ", ")
    return f"{mean} [{between}]" if between else f"{mean} (one seed)"


def _seeds(arm: ArmScore) -> str:
    return f"{len(arm.by_seed)} of {len(arm.by_seed) + len(arm.missing)}"


def headings(comparison: Comparison) -> list[str]:
    """Return the headings over `cells`."""
    return ["mean ± s.e.", *(f"vs {r} [95 %]" for r in references(comparison)), "seeds"]


def rich_table(comparison: Comparison, scores: Sequence[ScoreComparison]) -> Group:
    """Return a table per score, as wide as the terminal allows, then the verdict and what is left out."""
    from rich.console import Group
    from rich.text import Text

    from perceptinit.reports.fitting import FirstThatFits

    parts: list[Any] = [Text(f"{comparison.runs.name}: {comparison.runs.summary}".rstrip(": "))]
    widths = _widths(comparison, scores)
    for score in scores:
        shapes = (_wide(comparison, score, widths), _long(comparison, score))
        parts.append(FirstThatFits(shapes))
        parts += [Text(f"{BESIDE}: {line}") for line in [baselines_in_words(score)] if line]
    parts += [Text(line) for line in [*headline(comparison), *sets_lines(comparison)]]
    parts += [Text(problem, style="yellow") for problem in comparison.problems]
    parts += [Text(line, style="dim") for line in reading_aids(comparison)]
    return Group(*parts)


def _table(comparison: Comparison, score: ScoreComparison) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, title=_title(score), title_justify="left", pad_edge=False)
    table.add_column("arm", min_width=max(map(len, comparison.runs.arms)))
    return table


def _wide(comparison: Comparison, score: ScoreComparison, widths: Sequence[int]) -> Table:
    """Return a table with a row per arm and a column per arm that others are compared with."""
    table = _table(comparison, score)
    for heading, least in zip(headings(comparison), widths, strict=True):
        table.add_column(heading, justify="right", min_width=least, overflow="fold")
    for arm in score.arms:
        table.add_row(arm.arm, *cells(comparison, score, arm))
    return table


def _long(comparison: Comparison, score: ScoreComparison) -> Table:
    """Return a table with a row per difference, which stays narrow however many arms there are."""
    table = _table(comparison, score)
    for heading in ("mean ± s.e.", "seeds", "vs", "[95 %]"):
        table.add_column(heading, justify="left" if heading == "vs" else "right", overflow="fold")
    for arm in score.arms:
        mean, *differences, seeds = cells(comparison, score, arm)
        shown = [pair for pair in zip(references(comparison), differences, strict=True) if pair[1]]
        table.add_row(arm.arm, mean, seeds, *(shown[0] if shown else ("", "")))
        for reference, difference in shown[1:]:
            table.add_row("", "", "", reference, difference)
    return table


def _widths(comparison: Comparison, scores: Sequence[ScoreComparison]) -> list[int]:
    """Return the widest cell of each column among shares, so that tables align; longer cells fold."""
    shares = [score for score in scores if score.is_share]
    table = [cells(comparison, score, arm) for score in shares for arm in score.arms]
    return [max(map(len, column), default=0) for column in zip(*table, strict=True)] or [
        0 for _ in headings(comparison)
    ]


def _title(score: ScoreComparison) -> str:
    seen = " or ".join(f"{n:,}" for n in sorted(set(score.samples_seen.values())))
    facts = [*limits(score), f"{score.num_examples:,} examples", f"{seen} samples seen"]
    facts += trained_on(score)
    facts += [score.incomplete] if score.incomplete else []
    return f"{score.name} ({', '.join(facts)})"


def trained_on(score: ScoreComparison) -> list[str]:
    """Return which arms learn from what the score asks for, and which pictures they saw; one phrase or none."""
    if not score.taught:
        return []
    return [f"trained on by {' and '.join(sorted(score.taught))}{seen_in_words(score)}"]


def trainings(scores: Sequence[ScoreComparison]) -> list[str]:
    """Return, for each score that an arm was trained on, a note that says so."""
    return [f"{score.name}: {phrase}" for score in scores for phrase in trained_on(score)]


def baselines_in_words(score: ScoreComparison) -> str:
    """Return what trivial models score on the same judgments with 95 % intervals, empty without any."""
    parts = []
    for baseline in score.baselines:
        between = baseline.interval
        edges = [number(v, score.is_share) for v in between] if between else []
        shown = f"{baseline.name} {number(baseline.value, score.is_share)}"
        parts.append(f"{shown} [{', '.join(edges)}]" if edges else shown)
    return ", ".join(parts)


def limits(score: ScoreComparison) -> list[str]:
    """Return chance and the human ceiling in words, where they are known."""
    bounds = [v for v in (score.lower_ceiling, score.ceiling) if v is not None]
    people = " to ".join(number(value, score.is_share) for value in bounds)
    chance = "" if score.chance is None else f"chance {number(score.chance, score.is_share)}"
    return [text for text in (chance, f"human ceiling {people}" if people else "") if text]


def reading_aids(comparison: Comparison) -> list[str]:
    """Return in what arms differ, what is simulated, and what the numbers are."""
    simulated = [SIMULATED] if comparison.runs.is_simulated else []
    runs = comparison.runs
    return [*runs.differences, *settings_lines(runs), *simulated, READ_ME]


def sets_lines(comparison: Comparison) -> Iterable[str]:
    """Yield wins, ties and losses over data sets with their tests, one sentence per contrast."""
    for row in comparison.over_sets:
        test = row.test
        text = (
            f"{row.contrast.title}, {row.measure} over {test.num_sets} data sets: "
            f"{test.wins} wins, {test.ties} ties, {test.losses} losses"
        )
        if row.q_wilcoxon is not None and row.q_sign is not None:
            text += (
                f"; corrected p: sign test {row.q_sign:.2g}, signed-rank test {row.q_wilcoxon:.2g}"
            )
        yield text
    for mean in comparison.middle_means:
        yield (
            f"{mean.arm}, {mean.measure} over {mean.num_sets} data sets and {mean.num_seeds} seeds: interquartile mean "
            f"{middle_mean(mean)}"
        )
    if comparison.middle_means:
        yield MIDDLE_HALF


def middle_mean(mean: MiddleMean) -> str:
    """Return an interquartile mean with its interval: `41.0 [39.2, 42.8]`."""
    value = mean.value
    text = number(value.value, mean.is_share)
    if value.low is None or value.high is None:
        return text
    return f"{text} [{number(value.low, mean.is_share)}, {number(value.high, mean.is_share)}]"
