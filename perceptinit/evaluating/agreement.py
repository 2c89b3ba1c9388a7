"""Measure models on sets of human judgments, with one decode and one forward pass an image."""

# B batch, D embedding
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from perceptinit.components.building import Spec, preflight, read_spec
from perceptinit.configs import plain_value
from perceptinit.errors import PerceptInitError, Problem, RecipeError, UsageError
from perceptinit.evaluating.layers import OUTPUT, Pooling, choose_layers, encode_layers
from perceptinit.evaluating.models import EvalModel
from perceptinit.evaluators.judged import GivenEmbeddings
from perceptinit.files.reading import file_sha256
from perceptinit.images.stimuli import StimulusImages
from perceptinit.judgments.forms.odd_one_out import HasOddOneOut
from perceptinit.judgments.forms.rdm import HasDissimilarities
from perceptinit.judgments.sources import as_table
from perceptinit.protocols import HasPeople
from perceptinit.recipe.tables import apply_overrides
from perceptinit.registry import Registry
from perceptinit.types import Colour, Event, Fit, FitMode, ImageSource, RunContext, Score, Stimuli

BATCH_SIZE = 64
OWN_KEYS = ("path", "images", "names")  # of judgments on this machine
WHOLE = "all judgments"
HELD_OUT = "judgments held out from stage 1 of {}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How models are measured on judgments; see `perceptinit eval --help`."""

    images: str = ""
    split: str = ""
    fit: FitMode | None = None
    layers: tuple[str, ...] = ()
    pooling: Pooling | None = None
    baseline: str = ""


@dataclass(frozen=True, slots=True)
class JudgedSet:
    """A set of judgments.

    title: Heading. typed: What the user typed. measure: Evaluator. rows: Which judgments count, in words.
    """

    title: str
    typed: str
    measure: Any
    rows: str

    @property
    def num_people(self) -> int | None:
        """Return the number of people who judged; None if the source does not name them."""
        judgments = self.measure.judgments
        return len(judgments.people) or None if isinstance(judgments, HasPeople) else None


@dataclass(frozen=True, slots=True)
class Subject:
    """A model, or a layer of it, with its scores by set.

    layer: Name of the layer, `output` for the model's own embedding. input: Size and preprocessing of the
    images, in words. embeddings: By set, in the order of the sets.
    """

    title: str
    layer: str
    input: str
    embeddings: Sequence[GivenEmbeddings]
    scores: dict[str, Score] = field(default_factory=dict)


def read_sets(
    typed: Sequence[str], options: Options, models: Sequence[EvalModel], registry: Registry
) -> list[JudgedSet]:
    """Return the sets of `--on NAME[,KEY=VALUE...]`, whose titles are unique.

    All judgments of a file count, unless a model was trained on it or `options.split` is set.

    Raises:
        RecipeError: If a set is invalid; lists all problems by what the user typed.
    """
    sets: list[JudgedSet] = []
    problems: list[Problem] = []
    for text in typed:
        name, *keys = text.split(",")
        table = as_table(name, registry)
        problems += [Problem(text, problem.message) for problem in apply_overrides(table, keys)]
        rows = _choose_rows(table, options, models, registry)
        spec, wrong = _read_evaluator(table, options, registry, text)
        if spec is None:
            problems += wrong
            continue
        measure = spec.build()
        problems += [Problem(text, lack) for part in (measure.judgments, measure) for lack in preflight(part)]
        title = Path(name).stem
        sets.append(JudgedSet(text if title in [s.title for s in sets] else title, text, measure, rows))
    if problems:
        raise RecipeError(problems, "--on")
    return sets


def _choose_rows(
    table: dict[str, Any], options: Options, models: Sequence[EvalModel], registry: Registry
) -> str:
    """Add the keys that choose the judgments of a set to its table, and return the choice in words."""
    fields = registry.get("judgments", table["use"]).load().Config.__dataclass_fields__  # type: ignore[attr-defined]
    if options.images and "images" in fields:
        table.setdefault("images", options.images)
    if options.split:
        return f"split {options.split}"
    if "path" not in table:
        return "split test"
    trained = {m.title: old for m in models for old in m.judgments if _is_same(old, table)}
    if not trained:
        table["whole"] = True
        return WHOLE
    first, *others = [{k: v for k, v in old.items() if k not in OWN_KEYS} for old in trained.values()]
    if any(other != first for other in others):
        raise UsageError(f"{table['path']}: {', '.join(trained)} hold out different judgments. Set --split")
    table |= first | table
    return HELD_OUT.format(" and ".join(trained))


def _is_same(old: Mapping[str, Any], table: Mapping[str, Any]) -> bool:
    """Return whether two tables name the same file: by content, or by name if one is on another machine."""
    if "path" not in old:
        return False
    before = Path(old["path"])
    now = Path(table["path"])
    if before.is_file() and now.is_file():
        return file_sha256(before) == file_sha256(now)
    return before.name == now.name


def _read_evaluator(
    table: dict[str, Any], options: Options, registry: Registry, where: str
) -> tuple[Spec | None, list[Problem]]:
    cls = registry.get("judgments", table["use"]).load()
    use = "two-afc"
    if isinstance(cls, HasDissimilarities):
        use = "rsa"
    elif isinstance(cls, HasOddOneOut):
        use = "odd-one-out"
    whole = {"use": use, "split": options.split or "test", "judgments": plain_value(table)}
    return read_spec(registry, "evaluator", whole, where)


class SharedImages:
    """The images of all sets, each decoded once for an image size and fit."""

    def __init__(self, sets: Sequence[JudgedSet], num_workers: int) -> None:
        self.num_workers = num_workers
        self.names: list[list[str]] = []  # of each set
        self.keys: list[list[tuple[Colour, str]]] = []
        self._sources: dict[Colour, dict[str, ImageSource]] = {}
        self._decoded: tuple[tuple[int, Fit], list[StimulusImages]] | None = None
        for number, each in enumerate(sets):
            stimuli, used = each.measure.used()
            self.names.append([stimuli.ids[index] for index in used])
            self.keys.append([self._add(number, stimuli, index) for index in used])

    def _add(self, number: int, stimuli: Stimuli, index: int) -> tuple[Colour, str]:
        source = stimuli.images[index]
        key = str(source.absolute()) if isinstance(source, Path) else f"{number}: {stimuli.ids[index]}"
        self._sources.setdefault(stimuli.background, {})[key] = source
        return stimuli.background, key

    def batches(self, size: int, fit: Fit) -> Iterator[torch.Tensor]:
        """Yield uint8 images (B, 3, S, S), in the order of `place`."""
        if self._decoded is None or self._decoded[0] != (size, fit):
            stimuli = [Stimuli(tuple(s), list(s.values()), background=b) for b, s in self._sources.items()]
            every = [StimulusImages(s, size, fit=fit, num_workers=self.num_workers) for s in stimuli]
            self._decoded = (size, fit), every
        for images in self._decoded[1]:
            rows = np.arange(len(images.stimuli))
            for start in range(0, len(rows), BATCH_SIZE):
                yield images[rows[start : start + BATCH_SIZE]]

    def split(self, source: str, embeddings: torch.Tensor) -> list[GivenEmbeddings]:
        """Return the embeddings of each set, given those of all images."""
        keys = [(background, key) for background, s in self._sources.items() for key in s]
        place = {key: row for row, key in enumerate(keys)}
        rows = [[place[key] for key in of_set] for of_set in self.keys]
        return [GivenEmbeddings(source, n, embeddings[r]) for n, r in zip(self.names, rows, strict=True)]


def measure_models(
    models: Sequence[EvalModel],
    sets: Sequence[JudgedSet],
    options: Options,
    *,
    device: str,
    num_workers: int,
    tell: Callable[[str], None],
) -> list[Subject]:
    """Return a subject for each layer of each model. An error in one model does not stop the others."""
    images = SharedImages(sets, num_workers)
    subjects = []
    for model in models:
        try:
            for subject in _embed(model, images, options, device):
                _score(subject, sets, num_workers, tell)
                subjects.append(subject)
        except PerceptInitError as error:
            tell(f"{model.title} has no score: {error}")
    return subjects


def _embed(model: EvalModel, images: SharedImages, options: Options, device: str) -> Iterator[Subject]:
    """Yield the layers of a model with their embeddings of all images."""
    built = model.build()
    if isinstance(built, GivenEmbeddings):
        yield Subject(model.title, OUTPUT, "embeddings from a file", [built] * len(images.names))
        return
    built.to(device)
    if options.fit:
        built.image.fit_mode = options.fit
    layers = choose_layers(built, options.layers or [OUTPUT])
    batches = [
        encode_layers(built, batch.to(device), layers, options.pooling)
        for batch in images.batches(built.image_size, built.fit)
    ]
    for layer in layers:
        embeddings = torch.cat([batch[layer] for batch in batches])
        title = model.title if layer == OUTPUT else f"{model.title} {layer}"
        yield Subject(title, layer, _describe_input(built), images.split(title, embeddings))


def _describe_input(model: Any) -> str:
    """Return the size and preprocessing of a model's images in words."""
    numbers = [
        ", ".join(f"{value:.3g}" for value in values.tolist())
        for values in (model.image.mean, model.image.std)
    ]
    size = model.image_size
    return f"{size} x {size} pixels, {model.fit.mode}, mean {numbers[0]}, std {numbers[1]}"


def _score(
    subject: Subject, sets: Sequence[JudgedSet], num_workers: int, tell: Callable[[str], None]
) -> None:
    """Add the score of each set to a subject."""

    def send(event: Event) -> None:
        tell(f"{subject.title}: {event.message}")

    for each, given in zip(sets, subject.embeddings, strict=True):
        ctx = RunContext(num_workers=num_workers, send=send)
        subject.scores[each.title] = next(iter(each.measure.evaluate(given, ctx)))
