"""Terminal tables of a comparison, and the notes that follow the table in every format."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group
from rich.table import Column, Table
from rich.text import Text

from perceptinit.analysis.at_best import settings_lines
from perceptinit.analysis.comparison import Comparison, ScoreComparison
from perceptinit.errors import count
from perceptinit.reports import columns
from perceptinit.reports.columns import cells, each_arm, find_references
from perceptinit.reports.stages import find_split
from perceptinit.verdict.headline import Judged

ANY_WIDTH = 100_000  # in characters, wider than any table
LONG_NAME = 20  # in characters; longer names of arms may fold
READ_ME = (
    "Differences are {how}, with the interval that decides: 95 %, {test}, over {over}; shares in percent and "
    "points."
)
STAGE_ONE = "{split} 2AFC before and after stage 1 is agreement with held-out judgments, in percent."
TO_PEOPLE = (
    "% to people: part of the way from chance to the upper, and to the lower end of the human ceiling."
)
SIMULATED = "Simulated data: a program generates the images and the observers."


def rich_table(judged: Judged, scores: Sequence[ScoreComparison]) -> Group:
    """Return the answer, a table per score that fits the terminal, all sentences and problems."""
    comparison = judged.comparison
    parts: list[Any] = list(map(Text, [*judged.answer, ""]))
    parts.append(Text(f"{comparison.runs.name}: {comparison.runs.summary}".rstrip(": ")))
    # align columns across the tables of shares; longer cells fold
    shares = [score for score in scores if score.is_share]
    rows = [cells(comparison, score, arm) for score, arm in each_arm(shares)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for score in scores:
        parts.append(_FirstThatFits((_wide(comparison, score, widths), _long(comparison, score))))
        if baselines := columns.baselines_in_words(score):
            parts.append(Text(f"{columns.BESIDE}: {baselines}"))
    parts += map(Text, [*judged.sentences, *sets_lines(comparison)])
    parts += [Text(problem, style="yellow") for problem in comparison.problems]
    parts += [Text(line, style="dim") for line in reading_aids(comparison)]
    return Group(*parts)


def rich_answer(judged: Judged, scores: Sequence[ScoreComparison], more: str) -> Group:
    """Return the answer, the table of each given score, and a line on what else there is.

    Args:
        judged: Comparison to show.
        scores: Scores to show, such as the primary one.
        more: How to see the rest.
    """
    comparison = judged.comparison
    first, *others = judged.answer
    parts: list[Any] = [Text(first, style="bold"), *map(Text, others)]
    for score in scores:
        parts += [Text(""), Text(columns.title(comparison, score))]
        parts.append(_FirstThatFits((_wide(comparison, score, (), True), _long(comparison, score, True))))
    return Group(*parts, Text(describe_rest(judged, scores, more), style="dim"))


def describe_rest(judged: Judged, scores: Sequence[ScoreComparison], more: str) -> str:
    """Return a line on what `--all` adds to the answer and the given scores."""
    num_others = len(judged.comparison.all_scores) - len(scores)
    num_sentences = len(judged.sentences) + len(judged.comparison.problems)
    others = f"{count(num_others, 'other score')}, " if num_others > 0 else ""
    return f"More ({others}{count(num_sentences, 'sentence')}): {more}"


@dataclass(frozen=True, slots=True)
class _FirstThatFits:
    """Renders the first table that fits the terminal, or the last one."""

    tables: tuple[Table, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        unlimited = options.update(max_width=ANY_WIDTH)
        fitting = (
            t for t in self.tables if console.measure(t, options=unlimited).maximum <= options.max_width
        )
        yield next(fitting, self.tables[-1])


def _table(
    comparison: Comparison, score: ScoreComparison, others: Iterable[Column], is_short: bool = False
) -> Table:
    """Return a table without rows. A short one has no title and no empty lines."""
    longest = max(map(len, comparison.runs.arms))
    arm = Column("arm", min_width=longest if longest <= LONG_NAME else None, overflow="fold")
    title = None if is_short else columns.title(comparison, score)
    return Table(
        arm,
        *others,
        box=SIMPLE_HEAD,
        title=title,
        title_justify="left",
        pad_edge=False,
        show_edge=not is_short,
    )


def _wide(
    comparison: Comparison, score: ScoreComparison, widths: Sequence[int], is_short: bool = False
) -> Table:
    """Return a table with a row per arm and a column per reference.

    A short one lacks held-out 2AFC of stage 1 and does not fold cells.
    """
    headings = columns.headings(comparison)
    left_out = columns.held_out_title(comparison) if is_short else ""
    kept = [k for k, heading in enumerate(headings) if heading != left_out]
    least = [*widths, *[0] * len(headings)]
    others = [
        Column(headings[k], justify="right", min_width=least[k], overflow="fold", no_wrap=is_short)
        for k in kept
    ]
    table = _table(comparison, score, others, is_short)
    for arm in score.arms:
        values = cells(comparison, score, arm)
        table.add_row(arm.arm, *(values[k] for k in kept))
    return table


def _long(comparison: Comparison, score: ScoreComparison, is_short: bool = False) -> Table:
    """Return a table with a row per difference, whose width does not depend on the number of arms.

    Held-out 2AFC of stage 1 is below the table, because intervals need its space.
    """
    words = comparison.runs.source.words
    has_seeds = not is_short or any(arm.missing for arm in score.arms)
    headings = (words.mean, *([words.replicates] if has_seeds else []), "vs", "[95 %]")
    others = [Column(text, justify="left" if text == "vs" else "right", overflow="fold") for text in headings]
    table = _table(comparison, score, others, is_short)
    learned: list[str] = []
    for arm in score.arms:
        num = len(find_references(comparison))
        mean, *differences = cells(comparison, score, arm)[: num + 1]
        *held_out, seeds = columns.last_cells(comparison, arm)
        learned += [f"{arm.arm} {text}" for text in held_out if text]
        first = (arm.arm, mean, *([seeds] if has_seeds else []))
        pairs = zip(find_references(comparison), differences, strict=True)
        shown = [pair for pair in pairs if pair[1]]
        table.add_row(*first, *(shown[0] if shown else ("", "")))
        for reference, difference in shown[1:]:
            table.add_row(*("" for _ in first), reference, difference)
    if learned and not is_short:
        table.caption = f"{columns.held_out_title(comparison)}: {'; '.join(learned)}"
        table.caption_justify = "left"
    return table


def reading_aids(comparison: Comparison) -> list[str]:
    """Return descriptions of the arms, a note on simulated data, and an explanation of the numbers."""
    runs = comparison.runs
    split = find_split(runs)
    is_judged = any(s.rule.one_run_decides and s.facts["ceiling"] for s in comparison.scores)
    spread = runs.source.words.spread
    of_means = f"s.e.: {spread}. " if spread else ""
    aids = [
        *runs.differences,
        *settings_lines(runs),
        SIMULATED if runs.is_simulated else "",
        f"{of_means}{READ_ME.format(**find_pairing(comparison)._asdict())}",
        TO_PEOPLE if is_judged else "",
        STAGE_ONE.format(split=split) if split else "",
    ]
    return list(filter(None, aids))


class Pairing(NamedTuple):
    """How differences are paired, their interval, what it covers, and what joins `how` to a sentence."""

    how: str
    test: str
    over: str
    joint: str = ", "


def find_pairing(comparison: Comparison) -> Pairing:
    """Return how the differences of a comparison are paired."""
    words = comparison.runs.source.words
    are_paired = {d.num_runs is None for score in comparison.scores for d in score.differences}
    if are_paired <= {True}:
        return Pairing(*words.how, words.over, " ")
    if are_paired == {False}:
        return Pairing("not paired", "Welch's t", "runs")
    how = "paired by seed if both arms have the same seeds, and otherwise not paired"
    return Pairing(how, "Student's t or Welch's t", "runs")


def explain(judged: Judged) -> Iterator[str]:
    """Yield the claims that the outcomes of the headline would support, with the state of each condition."""
    claims = [answer for answer in judged.answers if answer.checked]
    for answer in claims:
        yield f"{answer.contrast.title}, {answer.claim}: {'shown' if answer.is_firm else 'not shown'}"
        for each in answer.checked:
            yield f"  {each.state}: {each.condition}{f' ({each.reason})' if each.reason else ''}"
    if not claims:
        yield "No outcome would support a claim."


def sets_lines(comparison: Comparison) -> Iterable[str]:
    """Yield lines with wins, ties and losses over data sets."""
    for row in comparison.over_sets:
        yield (
            f"{row.contrast.title}, {row.measure} over {row.num_sets} data sets: "
            f"{row.wins} wins, {row.ties} ties, {row.losses} losses"
        )
