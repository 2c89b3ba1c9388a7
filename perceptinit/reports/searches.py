"""What the trials of each arm found: settings, best scores after k trials as a table and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from perceptinit.errors import PerceptInitError
from perceptinit.reports.at_best import is_tuned, settings_in_words, settings_lines
from perceptinit.reports.compare import compare
from perceptinit.reports.comparison import Comparison
from perceptinit.reports.figures import Figure, arm_colour, drawing, finish, plot_arms
from perceptinit.reports.numbers import number
from perceptinit.reports.verdicts.headline import headline
from perceptinit.results.runs import BEST, TRIALS, load_runs
from perceptinit.results.tuned import Search, find_trials, find_tuning, read_searches

if TYPE_CHECKING:
    from rich.table import Table

NO_VALUE = "lost"


def search_lines(searches: Sequence[Search]) -> list[str]:
    """Return by what, and how often, the arms were tuned."""
    if not searches:
        return []
    config = searches[0].config
    return [
        f"Tuned by {config.measure} on validation data: {config.studies} studies of {config.trials} trials for each of "
        f"{len(searches)} arms, at the same points. An arm takes the best trial of its median study."
    ]


def headings(searches: Sequence[Search]) -> list[str]:
    """Return the headings over `rows`."""
    after = [f"after {k}" for k in range(2, searches[0].config.trials + 1)]
    return ["arm", "after 1 trial", *after, "settings that it takes"]


def rows(searches: Sequence[Search]) -> list[list[str]]:
    """Return for each arm the median over studies of the best score after k trials, and what it takes."""
    found = []
    for search in searches:
        best = [search.median(k) for k in range(1, search.config.trials + 1)]
        cells = (NO_VALUE if t.value is None else number(t.value, t.is_share) for t in best)
        found.append([search.arm, *cells, settings_in_words(search.median().settings)])
    return found


def search_table(searches: Sequence[Search]) -> Table:
    """Return the rows as a table for the terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    title = " ".join(search_lines(searches))
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for heading in headings(searches):
        table.add_column(heading, overflow="fold")
    for row in rows(searches):
        table.add_row(*row)
    return table


def search_figure(searches: Sequence[Search], arms: Sequence[str]) -> Figure | None:
    """Return the best score after k trials, median over studies, with the lowest and the highest study as a band.

    arms: in the order of the page's colours. Studies without a score so far have no place in it.
    """
    lines = {search.arm: line for search in searches if (line := _line(search))}
    if not lines:
        return None
    config, is_share = searches[0].config, searches[0].median().is_share
    with drawing() as ax:
        middles = {arm: [{k: value for k, value, *_ in line}] for arm, line in lines.items()}
        plot_arms(ax, middles, arms)
        for arm, line in lines.items():
            counts, _, low, high = zip(*line, strict=True)
            ax.fill_between(counts, low, high, color=arm_colour(arms.index(arm)), alpha=0.15, lw=0)
        ax.set_xlabel("trials of a study")
        ax.set_xticks(range(1, config.trials + 1))
        ax.set_ylabel(f"best {config.measure} on validation data{', %' if is_share else ''}")
        alt = "; ".join(
            f"{arm} from {line[0][1]:.3g} after {line[0][0]} to {line[-1][1]:.3g} after {line[-1][0]}"
            for arm, line in lines.items()
        )
        alt = f"Line chart of the best validation score over trials, median of studies: {alt}."
        note = f"Median of {config.studies} studies; bands from the lowest to the highest study."
        return finish(ax, "Best after k trials", alt, note)


def _line(search: Search) -> list[tuple[int, float, float, float]]:
    """Return k with median, lowest and highest best score after k trials, from where all studies have one."""
    found = []
    for num in range(1, search.config.trials + 1):
        best = search.best_after(num)
        values = [(100 if t.is_share else 1) * t.value for t in best if t.value is not None]
        if len(values) == len(best):
            middle = values[best.index(search.median(num))]
            found.append((num, middle, min(values), max(values)))
    return found


def tuning_section(comparison: Comparison) -> dict[str, Any] | None:
    """Return what stands on the page of tuning beside the runs; None where nothing was tuned.

    The arms at their best are a table of its own, with its own sentences, on the page of the runs at shared settings.
    What cannot be read is left out, with the reason.
    """
    try:
        return _section(comparison)
    except PerceptInitError as error:
        sentences = [f"Left out: what tuning found. {error}"]
        return {"sentences": sentences, "figure": None, "headings": [], "rows": [], "best": None}


def _section(comparison: Comparison) -> dict[str, Any] | None:
    runs = comparison.runs
    roots = {run.folder.parent.parent for run in runs.runs}
    if len(roots) > 1:
        return None
    (root,) = roots
    base = root.with_name(root.name.removesuffix(BEST)) if is_tuned(runs) else root
    trials = list(find_trials(base.with_name(base.name + TRIALS)))
    configs = [config for run in trials if (config := find_tuning(run.record).config)]
    largest = max(configs, key=lambda c: c.trials * c.studies, default=None)
    searches = read_searches(trials, largest, runs.arms) if largest else []
    if not searches:
        return None
    best_root = base.with_name(base.name + BEST)
    has_best = not is_tuned(runs) and best_root.is_dir()
    best = compare(load_runs([best_root])) if has_best else None
    return {
        "sentences": search_lines(searches),
        "figure": search_figure(searches, runs.arms),
        "headings": headings(searches),
        "rows": rows(searches),
        "best": best,
        "best_lines": [*headline(best), *settings_lines(best.runs)] if best else [],
    }
