"""Measure models on sets of human judgments, with one decode and one forward pass an image."""

# B batch, D embedding
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from perceptinit.components.building import preflight, read_spec
from perceptinit.configs import plain_value
from perceptinit.errors import PerceptInitError, Problem, RecipeError, UsageError
from perceptinit.evaluating.asked import Asked, judgments_table
from perceptinit.evaluating.best_layer import choose_best
from perceptinit.evaluating.layers import ALL, BEST, OUTPUT, choose_layers, encode_layers
from perceptinit.evaluating.measure import Measured, Session
from perceptinit.evaluating.models import EvalModel
from perceptinit.evaluating.request import Request
from perceptinit.evaluators.judged import GivenEmbeddings
from perceptinit.files.reading import file_sha256
from perceptinit.judgments.forms.odd_one_out import HasOddOneOut
from perceptinit.judgments.forms.rdm import HasDissimilarities
from perceptinit.judgments.image_files import NO_IMAGES, are_without_files
from perceptinit.protocols import HasPeople
from perceptinit.registry import Registry
from perceptinit.results.measures import split_name
from perceptinit.types import ImageSource, RunContext, Score

BATCH_SIZE = 64
EVALUATOR_KEYS = ("readout", "distance")  # of the measure, not of the judgments
DISTANCES = {
    "pearson": "Pearson correlation",
    "euclidean": "Euclidean distance",
    "dot": "inner product",
}
OWN_KEYS = ("path", "images", "names")  # of judgments on this machine


@dataclass(frozen=True, slots=True)
class JudgedSet:
    """A set of judgments. title: Heading. measure: Evaluator. rows: Which judgments count, in words."""

    title: str
    measure: Any
    rows: str


def read_sets(asked: Sequence[Asked], models: Sequence[EvalModel], registry: Registry) -> list[JudgedSet]:
    """Return the requested sets of judgments, whose titles are unique.

    All judgments of a file count, unless a model was trained on it or the key `split` is given. If all models
    are embeddings in files, images that are missing are not an error: names suffice.

    Raises:
        RecipeError: If a set is invalid; lists all problems by what the user typed.
    """
    sets: list[JudgedSet] = []
    problems: list[Problem] = []
    need_names_only = not any(model.parts for model in models)
    for each in asked:
        table, split, wrong = judgments_table(each, registry)
        problems += wrong
        rows = _choose_rows(table, split, models, registry)
        measure, wrong = _read_measure(dict(table), split, registry, each)
        if wrong and need_names_only and "images" in _fields(table, registry):
            of_names, still_wrong = _read_measure(table | {"images": str(NO_IMAGES)}, split, registry, each)
            if not still_wrong:
                measure = of_names
                wrong = []
        if measure and not wrong and not need_names_only and are_without_files(measure.used()[0]):
            model = next(model.title for model in models if model.parts)
            wrong = [Problem(each.text, f'images = "{NO_IMAGES}": {model} needs images. Name their folder')]
        problems += wrong
        if measure is None:
            continue
        if getattr(measure.config, "readout", None):
            rows += ", under a linear map fitted on the other half of the images"
        if measure.distance != "cosine":
            rows += f", by {DISTANCES[measure.distance]}"
        title = Path(each.name).stem
        is_taken = any((s.title, s.measure.variant) == (title, measure.variant) for s in sets)
        sets.append(JudgedSet(each.text if is_taken else title, measure, rows))
    if problems:
        raise RecipeError(problems, "--on")
    return sets


def _choose_rows(table: dict[str, Any], split: str, models: Sequence[EvalModel], registry: Registry) -> str:
    """Add the keys that choose the judgments of a set to its table, and return the choice in words."""
    if split:
        return f"split {split}"
    if "path" not in table or "whole" not in _fields(table, registry):
        return "split test"
    trained = {m.title: old for m in models for old in m.judgments if _is_same(old, table)}
    if not trained:
        table["whole"] = True
        return "all judgments"
    first, *others = [{k: v for k, v in old.items() if k not in OWN_KEYS} for old in trained.values()]
    if any(other != first for other in others):
        raise UsageError(
            f"{table['path']}: {', '.join(trained)} hold out different judgments. Choose a split: --on "
            f"{table['path']},split=test"
        )
    table |= first | table
    return f"judgments held out from stage 1 of {' and '.join(trained)}"


def _fields(table: Mapping[str, Any], registry: Registry) -> Mapping[str, Any]:
    """Return the keys of judgments."""
    cls: Any = registry.get("judgments", table["use"]).load()
    fields: Mapping[str, Any] = cls.Config.__dataclass_fields__
    return fields


def _is_same(old: Mapping[str, Any], table: Mapping[str, Any]) -> bool:
    """Return whether two tables name the same file: by content, or by name if one is on another machine."""
    if "path" not in old:
        return False
    before = Path(old["path"])
    now = Path(table["path"])
    if before.is_file() and now.is_file():
        return file_sha256(before) == file_sha256(now)
    return before.name == now.name


def _read_measure(
    table: dict[str, Any], split: str, registry: Registry, asked: Asked
) -> tuple[Any, list[Problem]]:
    """Return the evaluator of a set, None for invalid keys, and its problems."""
    cls = registry.get("judgments", table["use"]).load()
    use = "two-afc"
    if isinstance(cls, HasDissimilarities):
        use = "rsa"
    elif isinstance(cls, HasOddOneOut):
        use = "odd-one-out"
    own = {key: table.pop(key) for key in EVALUATOR_KEYS if key in table}
    whole = {"use": use, "split": split or "test", **own, "judgments": plain_value(table)}
    spec, problems = read_spec(registry, "evaluator", whole, asked.text)
    if spec is None:
        return None, problems
    measure = spec.build()
    lacking = preflight(measure.judgments) + preflight(measure)
    return measure, [Problem(asked.text, lack.removeprefix(f"{asked.name}: ")) for lack in lacking]


def measure_models(
    models: Sequence[EvalModel],
    sets: Sequence[JudgedSet],
    request: Request,
    session: Session,
) -> list[Measured]:
    """Return the scores of each layer of each model. An error in one model does not stop the others."""
    measured: list[Measured] = []
    for model in models:
        try:
            measured += _measure(model, sets, request, session.context(model, "eval", f"{model.title}: "))
        except PerceptInitError as error:
            session.note(f"{model.title} has no score: {error}")
    return measured


def _measure(
    model: EvalModel, sets: Sequence[JudgedSet], request: Request, ctx: RunContext
) -> Sequence[Measured]:
    built = model.build()
    wanted = request.layer or [OUTPUT]
    if isinstance(built, GivenEmbeddings):
        measured = Measured(model, input="embeddings from a file")
        for each in sets:
            if wanted != [BEST]:
                measured.scores += _score(each, built, ctx)
            if BEST in wanted:
                measured.scores += _score_best(each, measured, {OUTPUT: built}, ctx)
        return [measured]
    built.to(ctx.device)
    if request.fit:
        built.image.fit_mode = request.fit
        built.image.crop = 1.0
    layers = choose_layers(built, wanted)
    preprocessing = describe_input(built)
    shown = layers if ALL in wanted else [layer for layer in wanted if layer != BEST]
    found = {layer: Measured(model, "" if layer == OUTPUT else layer, preprocessing) for layer in shown}
    whole = found.get(OUTPUT) or Measured(model, input=preprocessing)
    encoded: dict[str, Mapping[str, Tensor]] = {}
    for each in sets:
        names = dict(_encode(built, each, layers, request, ctx, encoded))
        given = {}
        for layer in layers:
            rows = [encoded[key][layer] for key in names.values()]
            given[layer] = GivenEmbeddings(f"{model.title} {layer}", list(names), torch.stack(rows))
        for layer, measured in found.items():
            measured.scores += _score(each, given[layer], ctx)
        if BEST in wanted:
            whole.scores += _score_best(each, whole, given, ctx)
    return [*found.values(), *([] if OUTPUT in found else [whole])]


def _score_best(
    each: JudgedSet, measured: Measured, layers: Mapping[str, GivenEmbeddings], ctx: RunContext
) -> list[Score]:
    """Return the scores of the best layer, and add the choice to the description of the model's input."""
    measure, given, choice = choose_best(each.measure, measured.title, layers, ctx)
    measured.input += f"; best layer for {each.title}: {choice}"
    return _score(replace(each, measure=measure), given, ctx, "_best_layer")


def _score(each: JudgedSet, given: GivenEmbeddings, ctx: RunContext, variant: str = "") -> list[Score]:
    """Return the scores of a measure that have a chance level, under the title of the set."""
    scores = (score for score in each.measure.evaluate(given, ctx) if score.chance is not None)
    return [replace(score, name=f"{split_name(score.name)[0]}{variant}/{each.title}") for score in scores]


def describe_set(each: JudgedSet) -> str:
    """Return which judgments of a set count, and how many people gave them."""
    judges = each.measure.judgments
    num = len(judges.people) if isinstance(judges, HasPeople) else 0
    people = f"{num:,} {'person' if num == 1 else 'people'}" if num else "people not named"
    has_files = not are_without_files(each.measure.used()[0])
    return f"{each.title}: {each.rows}, {people}{'' if has_files else ', no images, so no trivial models'}"


def _encode(
    model: Any,
    each: JudgedSet,
    layers: Sequence[str],
    request: Request,
    ctx: RunContext,
    encoded: dict[str, Mapping[str, Tensor]],
) -> Iterator[tuple[str, str]]:
    """Yield the name and the key of each image of a set, after adding new ones to `encoded`."""
    stimuli, used = each.measure.used()
    images = each.measure.images(stimuli, model.image_size, ctx.num_workers, fit=model.fit)
    keys = {}
    for index in used.tolist():
        keys[index] = _key(stimuli.images[index], f"{each.title} {stimuli.ids[index]} ", stimuli.background)
    new = used[[keys[index] not in encoded for index in used.tolist()]]
    for start in range(0, len(new), BATCH_SIZE):
        batch = new[start : start + BATCH_SIZE]
        rows = encode_layers(model, images[batch].to(ctx.device), layers, request.pooling)
        for row, index in enumerate(batch.tolist()):
            encoded[keys[index]] = {layer: rows[layer][row] for layer in layers}
    for index, key in keys.items():
        yield stimuli.ids[index], key


def _key(source: ImageSource, name: str, background: object) -> str:
    """Return a key that equal images of several sets share: path and background; else the set and name."""
    return f"{source.absolute() if isinstance(source, Path) else name} {background}"


def describe_input(model: Any) -> str:
    """Return the size and preprocessing of a model's images in words."""
    mean, std = (
        ", ".join(map("{:.3g}".format, values.tolist())) for values in (model.image.mean, model.image.std)
    )
    crop = f" {model.fit.crop:.3g}" if model.fit.crop < 1 else ""
    return f"{model.image_size} x {model.image_size} pixels, {model.fit.mode}{crop}, mean {mean}, std {std}"
