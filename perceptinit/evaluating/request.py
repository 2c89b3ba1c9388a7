"""A request to `perceptinit eval`, its evaluators, and its results."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perceptinit.components.building import Spec, preflight, read_spec
from perceptinit.compute import distributed
from perceptinit.errors import Problem, RecipeError, UsageError
from perceptinit.evaluating.layers import Pooling
from perceptinit.evaluating.measure import Measured, Session, measure
from perceptinit.evaluating.models import EvalModel, find_backbone, find_models
from perceptinit.files.cache import cache_folder
from perceptinit.recipe.tables import apply_overrides
from perceptinit.registry import Registry, unknown
from perceptinit.test_sets.inventory import is_retrieval
from perceptinit.test_sets.suite import suite_sets
from perceptinit.types import FitMode

COMMON = {"batch_size": 256, "precision": "fp32"}
WEIGHTS = ("final", "init", "pretrain", "all")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The options of the command line; see `perceptinit eval --help`."""

    models: tuple[str, ...]
    recipe: Path | None = None
    suite: str = ""
    sets: tuple[str, ...] = ()
    root: str = ""
    settings: tuple[str, ...] = ()
    on: tuple[str, ...] = ()
    images: str = ""
    split: str = ""
    fit: FitMode | None = None
    layers: tuple[str, ...] = ()
    pooling: Pooling | None = None
    baseline: str = ""
    backbone: str | None = None
    weights: str = "final"
    workers: int | None = None
    at_once: int = 8
    device: str = "auto"
    cache: bool = True


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of all models, with errors and skipped measures."""

    results: list[Measured]
    problems: list[str]
    environment: dict[str, Any]
    is_first_process: bool = True

    def text(self, form: str) -> str:
        """Return the evaluation as `table`, `csv` or `json`."""
        from rich.console import Console

        from perceptinit.evaluating import table
        from perceptinit.reports.columns import csv_text

        if form == "csv":
            return csv_text(table.FIELDS, table.flat_rows(self.results))
        if form == "json":
            return table.json_text(self.results, self.problems, self.environment)
        file = io.StringIO()
        width = int(os.environ.get("COLUMNS", 0)) or Console().width
        Console(file=file, width=width, markup=False).print(table.rich_table(self.results))
        return file.getvalue()


def evaluate(request: Request, registry: Registry, tell: Callable[[str], None]) -> Evaluation:
    """Measure the requested models; `tell` receives each problem when it occurs.

    Raises UsageError for an invalid request, before any model is built.
    """
    from perceptinit.compute.devices import usable_cores
    from perceptinit.results.record import environment

    device, models = prepare(request, registry)
    if without := [model.title for model in models if not model.parts]:
        raise UsageError(f"{without[0]}: embeddings from a file are measured with --on only")
    asked = _asked_specs(request, registry)
    specs_of = _chooser(asked, models)
    problems: list[str] = []

    def note(text: str) -> None:
        if text not in problems:
            problems.append(text)
            if distributed.rank() == 0:
                tell(text)

    with distributed.process_group():
        session = Session(
            device=device,
            num_workers=usable_cores() if request.workers is None else request.workers,
            at_once=request.at_once,
            classifier_folder=cache_folder() / "classifiers" if request.cache else None,
            rank=distributed.rank(),
            num_ranks=distributed.world_size(),
            tell=note,
        )
        results = measure(models, specs_of, session)
    return Evaluation(results, problems, environment(device), session.rank == 0)


def prepare(request: Request, registry: Registry) -> tuple[str, list[EvalModel]]:
    """Return the device and the models of a request."""
    from perceptinit.compute.devices import choose_device, set_up_process

    if request.weights not in WEIGHTS:
        raise UsageError(unknown("--weights: no weights", request.weights, WEIGHTS))
    device = distributed.local_device(choose_device(request.device))
    set_up_process(device)
    architecture = request.backbone or str(request.recipe or "")
    backbone = find_backbone(architecture, registry) if architecture else None
    return device, find_models(request.models, registry, backbone, request.weights)


def _chooser(asked: Sequence[Spec], models: Sequence[EvalModel]) -> Callable[[EvalModel], Sequence[Spec]]:
    """Return a function from a model to its evaluators: those requested, else those of its recipe."""

    def specs_of(model: EvalModel) -> Sequence[Spec]:
        return asked or ([slot.spec for slot in model.run.recipe.evals] if model.run else [])

    without = [model.title for model in models if model.run is None]
    if not asked and without:
        raise UsageError(f"{without[0]}: no evaluator. Give --on, --suite or --sets with --root, or --recipe")
    return specs_of


def _asked_specs(request: Request, registry: Registry) -> list[Spec]:
    """Return the evaluators requested on the command line; RecipeError lists all problems."""
    specs: list[Spec] = []
    problems: list[Problem] = []
    if request.recipe:
        from perceptinit.recipe.reading import load_recipe

        specs += [slot.spec for slot in load_recipe(request.recipe).evals]
    for table in _set_tables(request):
        spec, wrong = read_spec(registry, "evaluator", table, str(table["use"]))
        problems += wrong
        specs += [spec] if spec else []
    # an error in a set is reported later and does not stop other sets
    for spec in specs:
        if spec.name not in ("zero-shot", "retrieval"):
            built = [*(part.build() for part in spec.parts.values()), spec.build()]
            texts = (text for component in built for text in preflight(component))
            problems += [Problem(spec.where, text) for text in texts]
    if problems:
        raise RecipeError(problems, "eval")
    return specs


def _set_tables(request: Request) -> Iterator[dict[str, Any]]:
    """Yield the recipe tables of evaluators on labeled and captioned sets."""
    names = [*(s.key for s in suite_sets(request.suite))] if request.suite else []
    names += [name for name in request.sets if name not in names]
    captioned = [name for name in names if is_retrieval(name, request.root)]
    others = [name for name in names if name not in captioned]
    for use, chosen in (("zero-shot", others), ("retrieval", captioned)):
        if chosen:
            table = {"use": use, "datasets": chosen, "root": request.root, **COMMON}
            if problems := apply_overrides(table, request.settings):
                raise RecipeError(problems, "--set")
            yield table
