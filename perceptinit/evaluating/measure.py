"""Run evaluators on models, on several models at once if the evaluator supports it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from perceptinit.components.building import PART_TITLES, Spec, find_needed_part
from perceptinit.compute.split_encoding import SplitEncoder
from perceptinit.errors import PerceptInitError, TrainingError
from perceptinit.evaluating.models import EvalModel
from perceptinit.evaluators.features import ALONE, HasEvaluateMany, Joint
from perceptinit.evaluators.set_measure import SetMeasure
from perceptinit.types import RunContext, Score

# height and width of images that `_fit_in_memory` assumes, pixels
MAX_SIDE = 384


@dataclass(slots=True)
class Measured:
    """A model, or a layer of it, with its scores.

    layer: Name of the layer; empty for the model's own embedding. input: Size and preprocessing of images, in
    words.
    """

    model: EvalModel
    layer: str = ""
    input: str = ""
    scores: list[Score] = field(default_factory=list)

    @property
    def title(self) -> str:
        return f"{self.model.title} {self.layer}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Settings of a measurement.

    joint: Cache and processes.
    at_once: Maximum number of models in memory, for which each set is decoded once. If the decoded images of
        all sets fit in memory, only one model is.
    tell: Called with messages about errors and skipped measures, in the first process.
    problems: These messages.
    """

    device: str = "cpu"
    num_workers: int = 2
    at_once: int = 8
    joint: Joint = ALONE
    tell: Callable[[str], None]
    problems: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Report an error or a skipped measure once."""
        if text in self.problems:
            return
        self.problems.append(text)
        if not self.joint.rank:
            self.tell(text)

    def context(self, model: EvalModel, stage: str, prefix: str = "") -> RunContext:
        """Return the context of a model. prefix: Precedes the warnings of its measures."""
        run = model.run
        return RunContext(
            seed=run.seed if run else 0,
            arm=run.arm if run else "",
            stage=stage,
            device=self.device,
            folder=run.folder if run and not self.joint.rank else None,
            samples_seen=run.samples_seen if run else 0,
            num_workers=self.num_workers,
            send=lambda event: self.note(prefix + event.message) if event.kind == "warning" else None,
        )


def measure(
    models: Sequence[EvalModel], specs_of: Callable[[EvalModel], Sequence[Spec]], session: Session
) -> list[Measured]:
    """Return the scores of each model, in order.

    specs_of: Returns the evaluators of a model. Models with the same evaluators are measured together. An
    error in one set or model is reported and does not stop the others.
    """
    results = [Measured(model) for model in models]
    groups: dict[tuple[int, ...], list[Measured]] = {}
    for result in results:
        key = tuple(id(spec) for spec in specs_of(result.model))
        groups.setdefault(key, []).append(result)
    for group in groups.values():
        evaluators = [(spec, spec.build()) for spec in specs_of(group[0].model)]
        at_once = 1 if _fit_in_memory([evaluator for _, evaluator in evaluators]) else session.at_once
        for start in range(0, len(group), at_once):
            _measure_together(group[start : start + at_once], evaluators, session)
    return results


def _fit_in_memory(evaluators: Sequence[Any]) -> bool:
    """Return whether all decoded images are kept in memory between models, for the usual image sizes."""
    if not all(isinstance(evaluator, SetMeasure) for evaluator in evaluators):
        return False
    with suppress(PerceptInitError):  # reported when the set is measured
        num = sum(evaluator.num_images() for evaluator in evaluators)
        limits = (evaluator.config.cache_mib << 20 for evaluator in evaluators)
        return num * 3 * MAX_SIDE**2 <= min(limits, default=0)
    return False


def _measure_together(
    group: Sequence[Measured], evaluators: Sequence[tuple[Spec, Any]], session: Session
) -> None:
    built = list(_build(group, session))
    for index, (spec, evaluator) in enumerate(evaluators):
        chosen = [pair for pair in built if _can_measure(spec, pair[0].model, session)]
        if chosen:
            _evaluate(chosen, evaluator, f"eval.{index}", session)


def _build(group: Sequence[Measured], session: Session) -> Iterator[tuple[Measured, Any]]:
    for result in group:
        try:
            yield result, result.model.build().to(session.device)
        except PerceptInitError as error:
            session.note(f"{result.model.title} has no score: {error}")


def _can_measure(spec: Spec, model: EvalModel, session: Session) -> bool:
    needed = find_needed_part(spec)
    if needed is None or needed in model.parts:
        return spec.name != "keep-weights"
    session.note(f"{model.title}: {spec.name} skipped, because the model has no {PART_TITLES[needed]}")
    return False


@torch.no_grad()
def _evaluate(chosen: Sequence[tuple[Measured, Any]], evaluator: Any, stage: str, session: Session) -> None:
    if isinstance(evaluator, HasEvaluateMany):
        _evaluate_many(chosen, evaluator, stage, session)
        return
    for result, model in chosen:
        ctx = session.context(result.model, stage)
        shared = model if session.joint.num_ranks == 1 else SplitEncoder(model)
        try:
            result.scores += evaluator.evaluate(shared, ctx)
        except PerceptInitError as error:
            session.note(f"{result.model.title} has no score: {error}")


def _evaluate_many(
    chosen: Sequence[tuple[Measured, Any]], evaluator: Any, stage: str, session: Session
) -> None:
    ctx = session.context(chosen[0][0].model, stage)
    joint = replace(session.joint, on_error=lambda name, error: session.note(f"{name} has no score: {error}"))
    try:
        rows = evaluator.evaluate_many([model for _, model in chosen], ctx, joint)
    except TrainingError as error:  # find the broken model
        if len(chosen) == 1:
            session.note(f"{chosen[0][0].model.title} has no score: {error}")
            return
        for pair in chosen:
            _evaluate_many([pair], evaluator, stage, session)
        return
    for (result, _), scores in zip(chosen, rows, strict=True):
        result.scores += scores
