"""Measure the models of a request with its evaluators, or on its judgments."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from perceptinit.components.building import Spec, preflight, read_spec
from perceptinit.compute import distributed
from perceptinit.compute.devices import choose_device, set_up_process, usable_cores
from perceptinit.errors import Problem, RecipeError, UsageError
from perceptinit.evaluating.agreement import describe_set, measure_models, read_sets
from perceptinit.evaluating.as_runs import as_runs
from perceptinit.evaluating.asked import Asked, read_asked, set_tables
from perceptinit.evaluating.examples import add_examples
from perceptinit.evaluating.measure import Measured, Session, measure
from perceptinit.evaluating.models import EvalModel, find_backbone, find_models
from perceptinit.evaluating.request import Request
from perceptinit.evaluators.features import Joint
from perceptinit.files.cache import cache_folder
from perceptinit.registry import Registry, unknown
from perceptinit.results.runs import RunSet

JUDGED_ONLY = ("fit", "layer", "pooling")  # options of measures on judgments
WEIGHTS = ("final", "init", "pretrain", "all")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The scores of models as runs, and the session, with errors and skipped measures."""

    runs: RunSet
    session: Session


def evaluate(request: Request, registry: Registry, tell: Callable[[str], None]) -> Evaluation:
    """Measure the requested models; `tell` receives each problem when it occurs.

    Raises:
        UsageError: If the request is invalid, before any model is built, or the baseline has no score.
    """
    asked = read_asked(request.on, registry)
    is_judged = any(each.kind == "judgments" for each in asked)
    if not is_judged and (given := [name for name in JUDGED_ONLY if getattr(request, name)]):
        raise UsageError(f"--{given[0]} is for human judgments. Add --on JUDGMENTS")
    device, models = _prepare(request, asked, registry)
    with distributed.process_group():
        session = Session(
            device=device,
            num_workers=usable_cores() if request.workers is None else request.workers,
            at_once=request.at_once,
            joint=Joint(
                cache_folder=cache_folder() if not request.no_cache else None,
                is_single=len(models) == 1,
                rank=distributed.rank(),
                num_ranks=distributed.world_size(),
            ),
            tell=tell,
        )
        summary = ""
        if is_judged:
            sets = read_sets(asked, models, registry)
            measured = measure_models(models, sets, request, session)
            add_examples(measured, sets, with_images=request.thumbnails)
            summary = "; ".join(map(describe_set, sets))
        else:
            measured = _measure_on_sets(asked, models, registry, session)
    runs = as_runs([each for each in measured if each.scores], request.baseline, summary)
    if request.baseline not in ("", *runs.arms):
        raise UsageError(unknown("--baseline: no model called", request.baseline, runs.arms))
    return Evaluation(runs, session)


def _measure_on_sets(
    asked: Sequence[Asked], models: Sequence[EvalModel], registry: Registry, session: Session
) -> list[Measured]:
    """Return the scores of models on test sets, or with the evaluators of a recipe."""
    if without := [model.title for model in models if not model.parts]:
        raise UsageError(
            f"{without[0]}: embeddings from a file are measured on judgments only. Add --on JUDGMENTS"
        )
    return measure(models, _chooser(_asked_specs(asked, registry), models), session)


def _prepare(request: Request, asked: Sequence[Asked], registry: Registry) -> tuple[str, list[EvalModel]]:
    """Return the device and the models of a request."""
    if request.weights not in WEIGHTS:
        raise UsageError(unknown("--weights: no weights", request.weights, WEIGHTS))
    device = distributed.local_device(choose_device(request.device))
    set_up_process(device)
    recipes = [each.name for each in asked if each.kind == "recipe"]
    architecture = request.backbone or next(iter(recipes), "")
    backbone = find_backbone(architecture, registry) if architecture else None
    models = find_models(request.models, registry, backbone, request.weights)
    titles = tuple(model.title for model in models)
    is_layer_of_one = request.baseline.startswith(titles)
    if request.baseline and not is_layer_of_one and not any(model.run for model in models):
        raise UsageError(unknown("--baseline: no model called", request.baseline, titles))
    return device, models


def _chooser(asked: Sequence[Spec], models: Sequence[EvalModel]) -> Callable[[EvalModel], Sequence[Spec]]:
    """Return a function from a model to its evaluators: those requested, else those of its recipe."""

    def specs_of(model: EvalModel) -> Sequence[Spec]:
        return asked or ([slot.spec for slot in model.run.recipe.evals] if model.run else [])

    without = [model.title for model in models if model.run is None]
    if not asked and without:
        raise UsageError(f"{without[0]}: no evaluator. Name judgments, test sets or a recipe with --on")
    return specs_of


def _asked_specs(asked: Sequence[Asked], registry: Registry) -> list[Spec]:
    """Return the evaluators requested on the command line; RecipeError lists all problems."""
    specs: list[Spec] = []
    problems: list[Problem] = []
    for each in asked:
        if each.kind == "recipe":
            from perceptinit.recipe.reading import load_recipe

            specs += [slot.spec for slot in load_recipe(each.name, each.keys).evals]
    for table in set_tables([each for each in asked if each.kind == "test set"]):
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
