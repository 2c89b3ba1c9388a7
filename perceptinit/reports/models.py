"""The models and data of finished runs, made again from their records for examples and pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perceptinit.components.building import Spec
from perceptinit.recipe.reading import read_recipe
from perceptinit.recipe.recipe import Recipe
from perceptinit.results.loading import load_model
from perceptinit.results.record import recorded_sha256
from perceptinit.results.runs import LoadedRun
from perceptinit.test_sets.choice import HasChoice


@dataclass(frozen=True, slots=True)
class RunModel:
    """A run with its recipe; models are made when asked for, on the CPU, in eval mode."""

    run: LoadedRun
    recipe: Recipe

    @classmethod
    def of(cls, run: LoadedRun) -> RunModel:
        """Read the recipe that the record holds.

        Raises RecipeError when it cannot be read here, such as for want of a variable.
        """
        stated = run.record["recipe"]
        recipe = read_recipe(
            stated["text"],
            source=stated["source"],
            overrides=stated["overrides"],
            folder=Path(stated["source"]).parent,
        )
        return cls(run, recipe.smoke() if stated["smoke"] else recipe)

    def final(self) -> Any:
        """Return the dual encoder at the end of the run; CheckpointError when its weights are gone."""
        return self._load("final")

    def after_stage_one(self) -> Any:
        """Return the dual encoder whose image tower is as `[[init]]` left it."""
        return self._load("init")

    def _load(self, moment: str) -> Any:
        path = self.run.folder / "weights" / f"{moment}.safetensors"
        return load_model(
            self.recipe.backbone, path, self.run.seed, recorded_sha256(self.run.record, path)
        )

    def judgments(self) -> Spec | None:
        """Return the judgments that the arm learns from, else those it is measured on."""
        arm = self.recipe.arm(self.run.arm)
        specs = [*arm.init, *arm.posthoc, *(slot.spec for slot in self.recipe.evals)]
        return next((s.parts["judgments"] for s in specs if "judgments" in s.parts), None)

    def test_sets(self) -> Iterator[Any]:
        """Yield the labelled and captioned test sets of the evaluators, in the recipe's order."""
        for slot in self.recipe.evals:
            evaluator = slot.spec.build()
            if isinstance(evaluator, HasChoice):
                present, _ = evaluator.choice.present()
                yield from map(evaluator.choice.read, present)
