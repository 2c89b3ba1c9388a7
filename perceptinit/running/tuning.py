"""`perceptinit tune`: the same number of trials for every arm, then each arm at its best settings.

A trial is an ordinary run of the recipe, with settings, evaluator and seed as overrides, so it is recorded,
resumed and shared like any run. The chosen settings depend only on the records of trials.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from perceptinit.errors import Problem, RecipeError, UsageError
from perceptinit.evaluators.judged import JudgedMeasure
from perceptinit.evaluators.set_measure import SetMeasure
from perceptinit.recipe.differences import shorten, write_toml
from perceptinit.recipe.reading import load_recipe, override_recipe
from perceptinit.recipe.recipe import Recipe
from perceptinit.recipe.tuning import Tuning
from perceptinit.results.runs import BEST, TRIALS
from perceptinit.results.tuned import Search, find_tuning, is_over, parse_tuning, read_searches
from perceptinit.running.cells import Cell, check_same_run, plan_cells
from perceptinit.running.readiness import check_ready
from perceptinit.running.runner import run_recipe

NO_TUNE = "[tune] is missing. Add it (docs/tuning.md), or use `perceptinit run` for the recipe without tuning"
SAME_DATA = (
    "uses the same data as [[eval]] ({}). Settings chosen on test data inflate the scores of all arms, so "
    'use validation data, such as another split (split = "val") or another set'
)
TRAINED_ON = 'uses the judgments that stage 1 is trained on. Use another split, such as "val"'


class Tune:
    """The tuning of a recipe, in folders next to its runs.

    Args:
        path: Recipe file.
        overrides: `path=value` strings.
        out: Parent of the folders of runs.
        options: Options of `run_recipe`.

    Raises:
        UsageError: If the recipe has no `[tune]`.
        RecipeError: If settings would be chosen on test data, or a sampled point makes the recipe invalid.
    """

    def __init__(self, path: Path, overrides: Sequence[str], out: Path, **options: Any) -> None:
        self.recipe = load_recipe(path, overrides)
        if self.recipe.tune is None:
            raise UsageError(f"{self.recipe.source}: {NO_TUNE}")
        self._out = out
        self._options = options
        self._plan = self.recipe.tune
        if problems := find_same_data(self.recipe):
            raise RecipeError(problems, self.recipe.source)
        self._of_best = (f"name={json.dumps(self.recipe.name + BEST)}", 'tune.role="best"')
        own = (
            f"name={json.dumps(self.recipe.name + TRIALS)}",
            'tune.role="trial"',
            f"seeds={list(self._plan.seeds)}",
            f"eval={write_toml([{**shorten(self._plan.evaluator), 'every': 'end'}])}",
        )
        trials = zip(self._plan.seeds, self._plan.points(), strict=True)
        self.trials = [cell for seed, point in trials for cell in self._plan_cells(own, point, seeds=[seed])]

    def unfinished(self) -> list[tuple[Recipe, list[Cell]]]:
        """Return the runs to start next, by experiment: trials; after them, the final runs; [] at the end."""
        self._check()
        if trials := [cell for cell in self.trials if not is_over(cell.loaded)]:
            return [(trials[0].recipe, trials)]
        final = self.final(self._read_searches())
        return [(r, cells) for r, cells in final if not all(c.loaded.state == "finished" for c in cells)]

    def search(self) -> list[Search]:
        """Run all trials and return them by arm.

        The first trials test whether the measure exists. A trial whose training diverged also counts as done.
        Any other failure is raised after the other trials.
        """
        check_ready(self.recipe)  # for the runs after the trials
        if not self._options["fresh"]:
            self._check()
        num_first = self._options["jobs"]
        for cells in (self.trials[:num_first], self.trials[num_first:]):
            self._finish(cells)
            searches = self._read_searches()
        return searches

    def final(self, searches: Sequence[Search]) -> list[tuple[Recipe, list[Cell]]]:
        """Return the runs at the recipe's own settings, then those at the best settings of each arm."""
        best = self._at_best(searches)
        return [(self.recipe, self._at_shared()), (best[0].recipe, best)]

    def _at_best(self, searches: Sequence[Search]) -> list[Cell]:
        """Return the final runs, with each arm at the best settings of its median search."""
        cells: list[Cell] = []
        for search in searches:
            trial = search.median()
            if trial.value is None:
                raise UsageError(
                    f"arm {search.arm}: in most searches no trial ended with a score (see `perceptinit "
                    f"status {self.trials[0].root}`). Tune it over different ranges, with another --out"
                )
            cells += self._plan_cells(self._of_best, trial.settings, arms=[search.arm])
        return sorted(cells, key=lambda cell: self.recipe.seeds.index(cell.seed))

    def run(self, recipe: Recipe, cells: Sequence[Cell]) -> None:
        """Run the cells of one experiment."""
        run_recipe(recipe, cells=cells, **self._options)

    def _at_shared(self) -> list[Cell]:
        """Return the runs at the recipe's own settings, which all arms share."""
        return plan_cells(self.recipe, out=self._out)

    def _plan_cells(
        self, overrides: Iterable[str], settings: Mapping[str, float | str], **chosen: Any
    ) -> list[Cell]:
        """Return runs of the recipe with overrides and tuned settings."""
        recipe = override_recipe(self.recipe, [*overrides, *_write_settings(settings)])
        return plan_cells(recipe, out=self._out, **chosen)

    def _read_searches(self) -> list[Search]:
        runs = [cell.loaded for cell in self.trials]
        return read_searches(runs, self._plan.config, [arm.name for arm in self.recipe.arms])

    def _check(self) -> None:
        """Raise UsageError if a folder has other runs, or tuned runs of another search."""
        for cell in (*self.trials, *self._at_shared()):
            check_same_run(cell)
        for cell in self._plan_cells(self._of_best, {}):
            recipe = cell.recipe
            record = cell.loaded.record
            now = parse_tuning(recipe.text, recipe.source, recipe.overrides)
            if record and find_tuning(record).how != now.how:
                raise UsageError(
                    f"{cell.root} contains arms tuned with other trials, seeds, space or measure. "
                    "Remove that folder, which contains no trials, or choose another --out"
                )

    def _finish(self, cells: Sequence[Cell]) -> None:
        is_fresh = self._options["fresh"]
        todo = [cell for cell in cells if is_fresh or not is_over(cell.loaded)]
        try:
            if todo:
                self.run(todo[0].recipe, todo)
        except Exception:
            if not all(is_over(cell.loaded) for cell in cells):
                raise


def find_same_data(recipe: Recipe) -> list[Problem]:
    """Return the problems if `[tune.eval]` does not use validation data."""
    if recipe.tune is None:
        return []
    evaluator = recipe.tune.evaluator.build()
    own = _name_sets(evaluator, recipe.tune.evaluator.table())
    decide = [name for slot in recipe.evals for name in _name_sets(slot.spec.build(), slot.spec.table())]
    messages = [SAME_DATA.format(name) for name in sorted(own & {*decide})]
    if isinstance(evaluator, JudgedMeasure) and evaluator.config.split == "train":
        messages.append(TRAINED_ON)
    return [Problem("tune.eval", message) for message in messages]


def _name_sets(evaluator: Any, table: Mapping[str, Any]) -> set[str]:
    """Return the names of an evaluator's data sets, as in its scores, or else its configuration as TOML."""
    if isinstance(evaluator, JudgedMeasure):
        return {evaluator.set_name}
    if isinstance(evaluator, SetMeasure):
        return {evaluator.choice.name(data_set) for data_set in evaluator.choice.all}
    return {write_toml(table)}


def keys_by_arm(recipe: Recipe, tuning: Tuning) -> dict[str, list[str]]:
    """Return the tuned keys that affect each arm: `init.lr` does not affect an arm without stage 1."""
    found: dict[str, list[str]] = {arm.name: [] for arm in recipe.arms}
    for dimension in tuning.space:
        ends = [
            override_recipe(recipe, _write_settings({dimension.path: dimension.value(share)}))
            for share in (0.0, 1.0)
        ]
        for arm in found:
            if len({end.fingerprint(end.arm(arm)) for end in ends}) > 1:
                found[arm].append(dimension.path)
    return found


def tuning_lines(recipe: Recipe) -> Iterator[str]:
    """Yield the plan of `tune`: number of runs, measure, and arms that lack a key; empty without `[tune]`."""
    if recipe.tune is None:
        return
    plan = recipe.tune
    config = recipe.tune.config
    num = plan.num_trials * len(recipe.arms)
    num_final = len(recipe.seeds) * len(recipe.arms)
    yield (
        f"tune: {config.trials} trials x {config.searches} searches x {len(recipe.arms)} arms = {num} runs "
        f"with the seeds {plan.seeds[0]} to {plan.seeds[-1]}, chosen by {config.measure} of "
        f"{plan.evaluator.name}; then {num_final} runs with each arm at its best. In all, "
        f"{(num + num_final) / num_final:.3g} times the cost of the recipe"
    )
    for arm, keys in keys_by_arm(recipe, plan).items():
        lacking = [d.path for d in plan.space if d.path not in keys]
        if lacking:
            yield f"  {arm} has no {' and no '.join(lacking)}, but as many trials as the other arms"


def _write_settings(point: Mapping[str, float | str]) -> list[str]:
    return [f"{path}={value}" for path, value in point.items()]
