"""Measure the models of a request with its evaluators, or on its judgments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from perceptinit.components.building import Spec, preflight, read_spec
from perceptinit.compute import distributed
from perceptinit.compute.devices import choose_device, set_up_process, usable_cores
from perceptinit.errors import Problem, RecipeError, UsageError
from perceptinit.evaluating.measure import Session, measure
from perceptinit.evaluating.models import EvalModel, find_backbone, find_models
from perceptinit.evaluating.request import Evaluation, Request
from perceptinit.evaluating.table import FIELDS, flat_rows, judged_notes, means, table_rows, text_table
from perceptinit.evaluators.features import Joint
from perceptinit.files.cache import cache_folder
from perceptinit.recipe.tables import apply_overrides
from perceptinit.registry import Registry, unknown
from perceptinit.test_sets.inventory import is_retrieval
from perceptinit.test_sets.sets import suite_sets

COMMON = {"batch_size": 256, "precision": "fp32"}
WEIGHTS = ("final", "init", "pretrain", "all")


def evaluate(request: Request, registry: Registry, tell: Callable[[str], None]) -> Evaluation:
    """Measure the requested models; `tell` receives each problem when it occurs.

    Raises UsageError for an invalid request, before any model is built, or if no model agrees with `--on`.
    """
    device, models = _prepare(request, registry)
    with distributed.process_group():
        session = Session(
            device=device,
            num_workers=usable_cores() if request.workers is None else request.workers,
            at_once=request.at_once,
            joint=Joint(
                cache_folder=cache_folder() if request.cache else None,
                is_single=len(models) == 1,
                rank=distributed.rank(),
                num_ranks=distributed.world_size(),
            ),
            tell=tell,
        )
        if not request.on:
            return _find_scores(request, models, registry, session)
        from perceptinit.evaluating.agreement_table import find_agreement

        return find_agreement(request, models, registry, session)


def _find_scores(
    request: Request, models: Sequence[EvalModel], registry: Registry, session: Session
) -> Evaluation:
    """Return the scores of models on test sets, or with the evaluators of a recipe."""
    if without := [model.title for model in models if not model.parts]:
        raise UsageError(f"{without[0]}: embeddings from a file are measured with --on only")
    results = measure(models, _chooser(_asked_specs(request, registry), models), session)
    rows = table_rows(results)
    return Evaluation(
        fields=FIELDS,
        rows=list(flat_rows(results)),
        tables=[text_table(results, rows)],
        notes=list(judged_notes(results)),
        means=list(means(results, rows)),
        session=session,
    )


def _prepare(request: Request, registry: Registry) -> tuple[str, list[EvalModel]]:
    """Return the device and the models of a request."""
    if request.on and (request.recipe or request.suite or request.sets):
        raise UsageError("--on: measured without --recipe, --suite and --sets. Run eval once for each")
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
