"""The work of a recipe and its rough cost, computed without data and without allocating weights."""

# B batch, T tokens
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from perceptinit.components.building import Spec, build_model, find_model_parts
from perceptinit.errors import Problem, RecipeError, count, message_of
from perceptinit.protocols import HasPlan
from perceptinit.recipe.recipe import Arm, Recipe
from perceptinit.types import StagePlan

# a backward pass costs twice a forward pass
TRAINING_FACTOR = 3
# weight, gradient and AdamW's two moments, 4 bytes each
BYTES_PER_PARAMETER = 16
# share of a GPU's memory that a run can use; CUDA's context, libraries and fragmentation take the rest
USABLE_SHARE = 0.85
# decoding and cropping a JPEG of 59 KB to 224 pixels on one core (docs/performance.md)
DECODE_SECONDS = 0.84e-3


@dataclass(frozen=True, slots=True)
class ModelCost:
    """Parameters of each tower, and FLOPs of one forward pass per image and per text."""

    num_image_parameters: int
    num_text_parameters: int
    image_flops: float
    text_flops: float

    @property
    def num_parameters(self) -> int:
        return self.num_image_parameters + self.num_text_parameters


@lru_cache(maxsize=8)
def model_cost(recipe: Recipe) -> ModelCost:
    """Count parameters and FLOPs of a recipe's model on torch's meta device, which allocates no memory.

    The counts of a text tower that pretraining does not use are 0.

    Raises:
        RecipeError: If the model cannot be built.
    """
    try:
        with torch.device("meta"):
            model = build_model(recipe.backbone)
        model.to("meta").eval()
        images = torch.empty(1, 3, model.image_size, model.image_size, device="meta")
        tokens = torch.zeros(1, model.context_length, dtype=torch.long, device="meta")
        of_images = _tower_cost(model.image, model.encode_image, images)
        of_texts = 0, 0.0
        if "text" in find_model_parts(recipe.pretrain):
            of_texts = _tower_cost(model.text, model.encode_text, tokens)
    except Exception as error:  # the library of the backbone may raise anything
        message = f"the model cannot be built: {message_of(error) or type(error).__name__}"
        raise RecipeError([Problem(recipe.backbone.where, message)], recipe.source) from error
    return ModelCost(of_images[0], of_texts[0], of_images[1], of_texts[1])


def _tower_cost(tower: Any, encode: Any, inputs: torch.Tensor) -> tuple[int, float]:
    """Return the number of parameters of a tower and the FLOPs of encoding the inputs."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        encode(inputs)
    return sum(p.numel() for p in tower.parameters()), float(counter.get_total_flops())


def work_lines(recipe: Recipe) -> Iterator[str]:
    """Yield the arms, stages and evaluations with their work, as lines of text."""
    arms = count(len(recipe.arms), "arm")
    seeds = count(len(recipe.seeds), "seed")
    runs = count(len(recipe.arms) * len(recipe.seeds), "run")
    yield f"{recipe.name}: {recipe.summary}".rstrip(": ")
    yield f"{arms} x {seeds} = {runs}; baseline '{recipe.baseline}'"
    cost = model_cost(recipe)
    texts = "no text tower"
    if cost.num_text_parameters:
        millions = cost.num_text_parameters / 1e6
        texts = f"text tower {millions:.1f} M, {cost.text_flops / 1e9:.2f} GFLOP (full context)"
    yield (
        f"{recipe.backbone.name}: image tower {cost.num_image_parameters / 1e6:.1f} M parameters, "
        f"{cost.image_flops / 1e9:.2f} GFLOP{f'; {texts}' if recipe.pretrain else ''}"
    )
    for arm in recipe.arms:
        yield f"arm {arm.name}{': ' + arm.summary if arm.summary else ''}"
        yield f"  {recipe.difference(arm)}"
        stages = list_stages(recipe, arm)
        for name, spec in stages:
            yield f"  {name} {spec.name}: {_describe_stage(stage_work(spec))}"
        if not stages:
            yield "  no stages, only evaluation"
    for slot in recipe.evals:
        every = slot.every if isinstance(slot.every, str) else f"{slot.every} steps"
        yield f"eval {slot.spec.name} every {every}{_describe_measurement(stage_work(slot.spec), cost)}"


def list_stages(recipe: Recipe, arm: Arm) -> list[tuple[str, Spec]]:
    """Return the name and spec of each stage of an arm, in order."""
    return [
        *((f"init.{i}", spec) for i, spec in enumerate(arm.init)),
        *([("pretrain", recipe.pretrain)] if recipe.pretrain else []),
        *((f"posthoc.{i}", spec) for i, spec in enumerate(arm.posthoc)),
    ]


def stage_work(spec: Spec) -> StagePlan:
    """Return the work of a stage: unknown if data is missing, 0 steps if the component predicts none."""
    try:
        component = spec.build()
        return component.plan() if isinstance(component, HasPlan) else StagePlan(steps=0)
    except Exception as error:  # `find_obstacles` also reports this error
        return StagePlan(note=f"unknown until this is fixed: {error}")


def _describe_stage(work: StagePlan) -> str:
    if work.steps is None:
        return work.note or "steps unknown until the data is available"
    steps = count(work.steps, "step") if work.steps else "no training"
    images = count(work.num_images, "image") if work.num_images else ""
    return ", ".join(filter(None, [steps, images, work.note]))


def _describe_measurement(work: StagePlan, cost: ModelCost) -> str:
    """Return the cost of one evaluation; empty if the evaluator does not predict it."""
    if not work.num_images:
        return ""
    petaflops = work.num_images * cost.image_flops / 1e15
    return f": {count(work.num_images, 'image')}, {work.note}; {petaflops:.3g} PFLOP each time"
