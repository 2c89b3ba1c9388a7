"""`perceptinit tune`: equally many trials for every arm, then each arm at its best settings with the final seeds.

A trial is an ordinary run of the recipe, with settings, evaluator and seed as overrides: its record says how to do it
again, and whatever continues or shares runs does so with trials. What an arm takes depends on their records alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from perceptinit.errors import Problem, RecipeError, UsageError
from perceptinit.evaluators.judged import JudgedMeasure
from perceptinit.evaluators.set_measure import SetMeasure
from perceptinit.recipe.differences import shorten, write_toml
from perceptinit.recipe.reading import load_recipe, override_recipe
from perceptinit.recipe.recipe import Recipe
from perceptinit.recipe.tuning import Tuning
from perceptinit.results.runs import BEST, TRIALS, load_run
from perceptinit.results.tuned import Search, find_tuning, is_over, parse_tuning, read_searches
from perceptinit.running.cells import Cell, check_same_run, plan_cells
from perceptinit.running.readiness import check_ready
from perceptinit.running.runner import run_recipe

NO_TUNE = (
    "no [tune], which says what is tuned and on which validation data (docs/tuning.md); `perceptinit run` does the "
    "recipe as it stands"
)
SAME_DATA = (
    "measures on {}, as [[eval]] does: settings that are chosen on test data flatter every arm. Take validation data, "
    'such as another split (split = "val") or a set with a name of its own'
)
TRAINED_ON = 'measures on the judgments that stage 1 learns from: take another split, such as "val"'


class Tune:
    """The tuning of a recipe, in the folders beside its runs; options: as `run_recipe` takes them.

    Raises UsageError for a recipe that says nothing of tuning, and RecipeError where settings would be chosen on
    the data that decide, or the recipe is wrong at any of the points.
    """

    def __init__(self, path: Path, overrides: Sequence[str], out: Path, **options: Any) -> None:
        self.recipe = load_recipe(path, overrides)
        self._out, self._options = out, options
        self._plan = plan_of(self.recipe)
        problems = find_same_data(self.recipe)
        if problems:
            raise RecipeError(problems, self.recipe.source)
        self._of_best = (f"name={json.dumps(self.recipe.name + BEST)}", 'tune.role="best"')
        self.trials = self._trial_cells()

    def search(self) -> list[Search]:
        """Do all trials and return them by arm.

        The first ones show whether there is a score to choose by. A trial whose training is lost, as by a loss that
        is not finite, is over as well; any other failure is raised after the others are done.
        """
        check_ready(self.recipe)  # of what comes after the trials
        if not self._options["fresh"]:
            for cell in (*self.trials, *self.at_shared()):
                check_same_run(cell)
            self._refuse_other_tuning()
        num_first = self._options["jobs"]
        for cells in (self.trials[:num_first], self.trials[num_first:]):
            self._finish(cells)
            runs = [load_run(cell.record_path) for cell in self.trials]
            arms = [arm.name for arm in self.recipe.arms]
            searches = read_searches(runs, self._plan.config, arms)
        return searches

    def at_best(self, searches: Sequence[Search]) -> list[Cell]:
        """Return the runs with the final seeds, each arm at the best settings of its median study."""
        cells = [cell for search in searches for cell in self._best_cells(search)]
        return sorted(cells, key=lambda cell: self.recipe.seeds.index(cell.seed))

    def run(self, cells: Sequence[Cell]) -> None:
        """Do runs of one experiment with the options that were given."""
        by_name = {cell.recipe.name: cell.recipe for cell in reversed(cells)}
        recipe = by_name.get(self.recipe.name, cells[0].recipe)
        run_recipe(recipe, cells=cells, **self._options)

    def at_shared(self) -> list[Cell]:
        """Return the runs of the recipe as it stands."""
        return plan_cells(self.recipe, out=self._out)

    def _trial_cells(self) -> list[Cell]:
        own = [
            f"name={json.dumps(self.recipe.name + TRIALS)}",
            'tune.role="trial"',
            f"seeds={list(self._plan.seeds)}",
            f"eval={write_toml([{**shorten(self._plan.evaluator), 'every': 'end'}])}",
        ]
        trials = zip(self._plan.seeds, self._plan.points(), strict=True)
        return [
            cell
            for seed, point in trials
            for cell in plan_cells(
                override_recipe(self.recipe, [*own, *_settings(point)]), seeds=[seed], out=self._out
            )
        ]

    def _best_cells(self, search: Search) -> list[Cell]:
        trial = search.median()
        if trial.value is None:
            raise UsageError(
                f"arm {search.arm}: in most studies no trial ended with a score, and `perceptinit status "
                f"{self.trials[0].root}` says why; tune it over other ranges, with another --out"
            )
        best = override_recipe(self.recipe, [*self._of_best, *_settings(trial.settings)])
        return plan_cells(best, arms=[search.arm], out=self._out)

    def _refuse_other_tuning(self) -> None:
        """Raise UsageError when an arm there is at its best of another search: its run would be kept as it is."""
        for cell in plan_cells(override_recipe(self.recipe, self._of_best), out=self._out):
            recipe, record = cell.recipe, cell.state.record
            now = parse_tuning(recipe.text, recipe.source, recipe.overrides)
            if record and find_tuning(record).how != now.how:
                raise UsageError(
                    f"{cell.root} holds arms at their best of another search (other trials, seeds, space or measure). "
                    "Remove that folder, which keeps the trials, or choose another --out"
                )

    def _finish(self, cells: Sequence[Cell]) -> None:
        is_fresh = self._options["fresh"]
        todo = [cell for cell in cells if is_fresh or not is_over(cell.state)]
        try:
            if todo:
                self.run(todo)
        except Exception:
            if not all(is_over(cell.state) for cell in cells):
                raise


def plan_of(recipe: Recipe) -> Tuning:
    """Return what the recipe says of tuning; UsageError when it says nothing."""
    if recipe.tune is None:
        raise UsageError(f"{recipe.source}: {NO_TUNE}")
    return recipe.tune


def find_same_data(recipe: Recipe) -> list[Problem]:
    """Return why settings would be chosen on data that are no validation data; empty without `[tune]`."""
    if recipe.tune is None:
        return []
    evaluator = recipe.tune.evaluator.build()
    own = _data_sets(evaluator, recipe.tune.evaluator.table())
    decide = [name for slot in recipe.evals for name in _data_sets(slot.spec.build(), slot.spec.table())]
    messages = [SAME_DATA.format(name) for name in sorted(own & {*decide})]
    if isinstance(evaluator, JudgedMeasure) and evaluator.config.split == "train":
        messages.append(TRAINED_ON)
    return [Problem("tune.eval", message) for message in messages]


def _data_sets(evaluator: Any, table: Mapping[str, Any]) -> set[str]:
    """Return the data sets of an evaluator as scores call them; of one that does not tell, what it is."""
    if isinstance(evaluator, JudgedMeasure):
        return {evaluator.set_name}
    if isinstance(evaluator, SetMeasure):
        return {evaluator.choice.name(data_set) for data_set in evaluator.choice.all}
    return {write_toml(table)}


def keys_by_arm(recipe: Recipe) -> dict[str, list[str]]:
    """Return the tuned keys that each arm has: `init.lr` means nothing to an arm without a stage 1."""
    found: dict[str, list[str]] = {arm.name: [] for arm in recipe.arms}
    for dimension in plan_of(recipe).space:
        ends = [
            override_recipe(recipe, _settings({dimension.path: dimension.value(share)}))
            for share in (0.0, 1.0)
        ]
        for arm in found:
            if len({end.fingerprint(end.arm(arm)) for end in ends}) > 1:
                found[arm].append(dimension.path)
    return found


def tuning_lines(recipe: Recipe) -> Iterator[str]:
    """Yield what `tune` would do: how many runs, chosen by what, and which arm lacks which key; nothing without `[tune]`."""
    if recipe.tune is None:
        return
    plan, config = recipe.tune, recipe.tune.config
    num, num_final = plan.num_trials * len(recipe.arms), len(recipe.seeds) * len(recipe.arms)
    yield (
        f"tune: {config.trials} trials x {config.studies} studies x {len(recipe.arms)} arms = {num} runs with the seeds "
        f"{plan.seeds[0]} to {plan.seeds[-1]}, chosen by {config.measure} of {plan.evaluator.name}; then {num_final} runs "
        f"with each arm at its best: {(num + num_final) / num_final:.3g} times the cost of the recipe beside it"
    )
    for arm, keys in keys_by_arm(recipe).items():
        lacking = [d.path for d in plan.space if d.path not in keys]
        if lacking:
            yield f"  {arm} has no {' and no '.join(lacking)}, and as many trials as the others"


def _settings(point: Mapping[str, float | str]) -> list[str]:
    return [f"{path}={value}" for path, value in point.items()]
