"""Page sections of plug-ins, with the runs that plug-ins receive, and the section on tuning."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

from perceptinit.analysis.at_best import is_tuned, settings_in_words, settings_lines
from perceptinit.analysis.compare import compare
from perceptinit.analysis.comparison import Comparison
from perceptinit.analysis.numbers import number
from perceptinit.errors import PerceptInitError, describe_error
from perceptinit.protocols import Judgments
from perceptinit.recipe.recipe import Recipe
from perceptinit.registry import missing_companion
from perceptinit.reports.figures import Figure, arm_colour, drawing, finish, plot_arms
from perceptinit.results.record import recorded_sha256
from perceptinit.results.runs import BEST, LoadedRun, Record, load_runs
from perceptinit.results.source import Fact
from perceptinit.results.tuned import Search, read_searches_beside
from perceptinit.test_sets.choice import HasChoice
from perceptinit.verdict.headline import headline, headline_arms

NO_VALUE = "lost"  # in the table of trials


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the page of `perceptinit report`.

    Args:
        title: Heading, as plain text.
        html: Markup. Names from records must be escaped, and images must be data URIs.
    """

    title: str
    html: str


@dataclass(frozen=True, slots=True)
class ShownRun:
    """A finished run with its recipe. `load` builds its model on the CPU, in eval mode."""

    arm: str
    seed: int
    folder: Path
    record: Record
    recipe: Recipe
    place: int = 0
    """Index of the arm in the comparison. Its color is `var(--arm-N)` with N = place % 8."""

    def load(self, moment: str) -> Any:
        """Return the model with the weights that were saved at `moment`.

        Args:
            moment: "final" for the end of the run, or "init" for the end of stage 1.

        Raises:
            CheckpointError: If weights are missing or damaged.
        """
        from perceptinit.results.loading import load_model

        path = self.folder / "weights" / f"{moment}.safetensors"
        sha256 = recorded_sha256(self.record, path)
        return load_model(self.recipe.backbone, path, self.seed, sha256)

    def judgments(self) -> Judgments | None:
        """Return the first judgments of the arm's stages, else of the evaluators; None if there are none."""
        arm = self.recipe.arm(self.arm)
        specs = [*arm.init, *arm.posthoc, *(slot.spec for slot in self.recipe.evals)]
        return next((s.parts["judgments"].build() for s in specs if "judgments" in s.parts), None)

    def test_sets(self) -> Iterator[Any]:
        """Yield the labeled and captioned test sets of the evaluators, in recipe order."""
        for slot in self.recipe.evals:
            evaluator = slot.spec.build()
            if isinstance(evaluator, HasChoice):
                present, _ = evaluator.choice.present()
                yield from map(evaluator.choice.read, present)


def _show(runs: Sequence[LoadedRun], arms: Sequence[str]) -> Iterator[ShownRun]:
    from perceptinit.results.loading import read_recorded_recipe  # imports torch

    recipes: dict[str, Recipe] = {}  # the arms of an experiment share one, which takes a second to read
    for run in runs:
        about = json.dumps(run.record["recipe"])
        if about not in recipes:
            recipes[about] = read_recorded_recipe(run.record)
        yield ShownRun(run.arm, run.seed, run.folder, run.record, recipes[about], arms.index(run.arm))


def plugin_sections(comparison: Comparison) -> tuple[list[Section], list[str]]:
    """Return the sections of plug-ins, and notes on omitted sections.

    Plug-ins receive the finished runs of one seed: the run of the first arm of the headline, the run of the
    baseline, then the others. The seed is the lowest one for which these two runs have finished.
    """
    runs = comparison.runs
    cells = {(run.arm, run.seed): run for run in runs.finished if run.record}
    wanted = dict.fromkeys([*headline_arms(comparison)[:1], runs.baseline])
    arms = [arm for arm in wanted if any(a == arm for a, _ in cells)]
    seeds = sorted(seed for arm, seed in cells if arm in arms[:1] and all((a, seed) in cells for a in arms))
    if not seeds:
        return [], []
    try:
        order = dict.fromkeys([*arms, *(arm for arm in runs.arms if (arm, seeds[0]) in cells)])
        shown = list(_show([cells[arm, seeds[0]] for arm in order], runs.arms))
    except (PerceptInitError, OSError) as error:
        return [], [f"Examples are not shown. {error}"]
    plugins = shown[0].recipe.plugins
    sections: list[Section] = []
    notes: list[str] = []
    for name, plugin in plugins.manager.list_name_plugin():
        try:
            sections += chain(*plugins.call("perceptinit_report", plugin, runs=shown))
        except Exception as error:  # plug-ins can raise any exception
            notes.append(f"Sections of {name} are not shown. {describe_error(error)}")
    if not plugins.manager.hook.perceptinit_report.get_hookimpls():
        notes += filter(None, [missing_companion("section", "examples", plugins.registry.left_out)])
    return sections, notes


def search_line(searches: Sequence[Search]) -> str:
    """Return a description of the tuning."""
    config = searches[0].config
    return (
        f"Tuned by {config.measure} on validation data: {config.studies} studies of {config.trials} trials "
        f"for each of {len(searches)} arms, with the same candidates. Each arm uses the best trial of its "
        "median study."
    )


def search_headings(searches: Sequence[Search]) -> list[str]:
    """Return the column headings for `search_rows`."""
    after = [f"after {k}" for k in range(2, searches[0].config.trials + 1)]
    return ["arm", "after 1 trial", *after, "chosen settings"]


def search_rows(searches: Sequence[Search]) -> list[list[str]]:
    """Return a row per arm with the best score after k trials (median over studies) and settings."""
    found = []
    for search in searches:
        best = [search.median(k) for k in range(1, search.config.trials + 1)]
        cells = (NO_VALUE if t.value is None else number(t.value, t.is_share) for t in best)
        found.append([search.arm, *cells, settings_in_words(search.median().settings)])
    return found


def search_table(searches: Sequence[Search]) -> Table:
    """Return the terminal table of `search_rows`."""
    columns = [Column(heading, overflow="fold") for heading in search_headings(searches)]
    title = search_line(searches)
    table = Table(*columns, box=SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for row in search_rows(searches):
        table.add_row(*row)
    return table


def search_figure(searches: Sequence[Search], arms: Sequence[str]) -> Figure | None:
    """Return a plot of the best score after k trials in the median, worst and best study.

    Lines start where all studies have a score. The order of `arms` determines colors.
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
        ax.set(xlabel="trials of a study", ylabel=f"best {config.measure} on validation data{unit}")
        ends = (
            f"{arm} from {line[min(line)][1]:.3g} after {min(line)} to {line[max(line)][1]:.3g} after "
            f"{max(line)}"
            for arm, line in lines.items()
        )
        alt = f"Line chart of the best validation score over trials, median of studies: {'; '.join(ends)}."
        note = f"Median of {config.studies} studies; bands from the lowest to the highest study."
        return finish(ax, "Best after k trials (validation data)", alt, note)


def _best_by_trials(search: Search) -> dict[int, tuple[float, float, float]]:
    """Return the lowest, median and highest best score by k, where all studies have a score."""
    line = {}
    for k in range(1, search.config.trials + 1):
        best = search.best_after(k)
        median = search.median(k).value
        values = [t.value for t in best if t.value is not None]
        if median is not None and len(values) == len(best):
            factor = 100 if best[0].is_share else 1
            line[k] = (factor * min(values), factor * median, factor * max(values))
    return line


def tuning_section(comparison: Comparison) -> dict[str, Any] | None:
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
        empty: dict[str, Any] = {"figure": None, "headings": [], "rows": [], "best": None}
        return {"sentence": f"Tuning is not shown. {error}", **empty}
    if not searches:
        return None
    return {
        "sentence": search_line(searches),
        "figure": search_figure(searches, runs.arms),
        "headings": search_headings(searches),
        "rows": search_rows(searches),
        "best": best,
        "best_lines": [*headline(best), *settings_lines(best.runs)] if best else [],
    }
