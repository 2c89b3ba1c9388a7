"""Page sections of plug-ins, with the runs that plug-ins receive."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from perceptinit.analysis.comparison import Comparison
from perceptinit.components.output import guard_process
from perceptinit.errors import PerceptInitError, describe_error
from perceptinit.protocols import Judgments
from perceptinit.recipe.recipe import Recipe
from perceptinit.registry import missing_companion
from perceptinit.results.record import recorded_sha256
from perceptinit.results.runs import LoadedRun, Record
from perceptinit.test_sets.choice import HasChoice
from perceptinit.verdict.headline import headline_arms


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
        with guard_process(name, partial(_note_failure, notes, name)):
            sections += chain(*plugins.call("perceptinit_report", plugin, runs=shown))
    if not plugins.manager.hook.perceptinit_report.get_hookimpls():
        notes += filter(None, [missing_companion("section", "examples", plugins.registry.left_out)])
    return sections, notes


def _note_failure(notes: list[str], name: str, error: BaseException) -> None:
    notes.append(f"Sections of {name} are not shown. {describe_error(error)}")
