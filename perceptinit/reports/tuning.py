"""The searches for settings of `perceptinit tune`: table, figure and page section."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter

from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

from perceptinit.analysis.at_best import is_tuned, settings_in_words, settings_lines
from perceptinit.analysis.compare import compare
from perceptinit.analysis.comparison import Comparison
from perceptinit.analysis.numbers import number
from perceptinit.errors import PerceptInitError
from perceptinit.reports.figures import Figure, arm_colour, drawing, finish, plot_arms
from perceptinit.results.runs import BEST, load_runs
from perceptinit.results.source import Fact
from perceptinit.results.tuned import Search, read_searches_beside
from perceptinit.verdict.headline import Judged

NO_VALUE = "lost"  # in the table of trials


def search_line(searches: Sequence[Search]) -> str:
    """Return a description of the tuning."""
    config = searches[0].config
    return (
        f"Tuned by {config.measure} on validation data: {config.searches} searches of {config.trials} trials "
        f"for each of {len(searches)} arms, with the same candidates. Each arm uses the best trial of its "
        "median search."
    )


def search_headings(searches: Sequence[Search]) -> list[str]:
    """Return the column headings for `search_rows`."""
    after = [f"after {k}" for k in range(2, searches[0].config.trials + 1)]
    return ["arm", "after 1 trial", *after, "chosen settings"]


def search_rows(searches: Sequence[Search]) -> Iterator[list[str]]:
    """Yield a row per arm with the best score after k trials (median over searches) and settings."""
    for search in searches:
        best = [search.median(k) for k in range(1, search.config.trials + 1)]
        cells = (NO_VALUE if t.value is None else number(t.value, t.is_share) for t in best)
        yield [search.arm, *cells, settings_in_words(search.median().settings)]


def search_table(searches: Sequence[Search]) -> Table:
    """Return the terminal table of `search_rows`."""
    columns = [Column(heading, overflow="fold") for heading in search_headings(searches)]
    title = search_line(searches)
    table = Table(*columns, box=SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for row in search_rows(searches):
        table.add_row(*row)
    return table


def search_figure(searches: Sequence[Search], arms: Sequence[str]) -> Figure | None:
    """Return a plot of the best score after k trials in the median, worst and best search.

    Lines start where all searches have a score. The order of `arms` determines colors.
    """
    lines = {search.arm: _best_by_trials(search) for search in searches}
    lines = {arm: line for arm, line in lines.items() if line}
    if not lines:
        return None
    config = searches[0].config
    with drawing() as ax:
        plot_arms(ax, {arm: [line] for arm, line in lines.items()}, arms, itemgetter(1))
        for arm, line in lines.items():
            low, _, high = zip(*line.values(), strict=True)
            ax.fill_between(list(line), low, high, color=arm_colour(arms.index(arm)), alpha=0.15, lw=0)
        unit = ", %" if searches[0].median().is_share else ""
        ax.set_xticks(range(1, config.trials + 1))
        ax.set(xlabel="trials of a search", ylabel=f"best {config.measure} on validation data{unit}")
        ends = (
            f"{arm} from {line[min(line)][1]:.3g} after {min(line)} to {line[max(line)][1]:.3g} after "
            f"{max(line)}"
            for arm, line in lines.items()
        )
        alt = f"Line chart of the best validation score over trials, median of searches: {'; '.join(ends)}."
        note = f"Median of {config.searches} searches; bands from the lowest to the highest search."
        return finish(ax, "Best after k trials (validation data)", alt, note)


def _best_by_trials(search: Search) -> dict[int, tuple[float, float, float]]:
    """Return the lowest, median and highest best score by k, where all searches have a score."""
    line = {}
    for k in range(1, search.config.trials + 1):
        best = search.best_after(k)
        median = search.median(k).value
        values = [t.value for t in best if t.value is not None]
        if median is not None and len(values) == len(best):
            factor = 100 if best[0].is_share else 1
            line[k] = (factor * min(values), factor * median, factor * max(values))
    return line


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningSection:
    """The page section on tuning. `best` is the comparison at the best settings, if there is one."""

    sentence: str
    figure: Figure | None = None
    headings: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    best: Judged | None = None

    @property
    def best_lines(self) -> list[str]:
        """The headline at the best settings, and these settings."""
        return [*self.best.headline, *settings_lines(self.best.comparison.runs)] if self.best else []


def tuning_section(comparison: Comparison) -> TuningSection | None:
    """Return the page section on tuning; None without trials.

    The page of runs at shared settings also shows the comparison at the best settings. If a trial is
    unreadable, the section contains only the reason.
    """
    runs = comparison.runs
    roots = {run.folder.parent.parent for run in runs.runs}
    if Fact.SETTINGS not in runs.source.shows or len(roots) > 1:
        return None
    root = roots.pop()
    best_root = root.with_name(root.name + BEST)
    has_best = best_root.is_dir() and not is_tuned(runs)
    try:
        searches = read_searches_beside(root, runs.arms)
        best = compare(load_runs([best_root])) if searches and has_best else None
    except PerceptInitError as error:
        return TuningSection(sentence=f"Tuning is not shown. {error}")
    if not searches:
        return None
    return TuningSection(
        sentence=search_line(searches),
        figure=search_figure(searches, runs.arms),
        headings=search_headings(searches),
        rows=list(search_rows(searches)),
        best=Judged.of(best) if best else None,
    )
