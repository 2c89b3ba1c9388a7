"""What a recipe would do and roughly cost, computed without data and without allocating weights."""

from __future__ import annotations

# B batch, T tokens
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from perceptinit.components.building import Spec, parts_left_by
from perceptinit.errors import Problem, RecipeError
from perceptinit.protocols import HasPlan
from perceptinit.recipe.recipe import Arm, Recipe
from perceptinit.types import StagePlan

# a backward pass costs twice a forward pass
TRAINING_FACTOR = 3
# weight, gradient and AdamW's two moments, 4 bytes each
BYTES_PER_PARAMETER = 16
# rough sustained rates for the estimate of hours: fp32 on one CPU core, bf16 on one H100 at 40 %
RATES = {"2 CPU cores at 80 GFLOP/s each": 160e9, "one H100 at 400 TFLOP/s": 400e12}


@dataclass(frozen=True, slots=True)
class ModelCost:
    """Size of a model and floating-point operations of one forward pass per image and per text."""

    num_image_parameters: int
    num_text_parameters: int
    image_flops: float
    text_flops: float


def model_cost(recipe: Recipe) -> ModelCost:
    """Count parameters and FLOPs of a recipe's model on torch's meta device: no memory, no arithmetic.

    Those of a text tower that its pretraining leaves out are 0.
    """
    with torch.device("meta"):
        model = recipe.backbone.build().build()
    model.to("meta").eval()
    images = torch.empty(1, 3, model.image_size, model.image_size, device="meta")
    tokens = torch.zeros(1, model.context_length, dtype=torch.long, device="meta")
    of_images = _tower_cost(model.image, model.encode_image, images)
    of_texts = 0, 0.0
    if "text" in parts_left_by(recipe.pretrain):
        of_texts = _tower_cost(model.text, model.encode_text, tokens)
    return ModelCost(of_images[0], of_texts[0], of_images[1], of_texts[1])


def _cost(recipe: Recipe) -> ModelCost:
    """Return the cost of a recipe's model; RecipeError when it cannot be built, whatever its library raises."""
    try:
        return model_cost(recipe)
    except Exception as error:
        message = f"the model cannot be built: {str(error) or type(error).__name__}"
        raise RecipeError([Problem(recipe.backbone.where, message)], recipe.source) from error


def _tower_cost(tower: Any, encode: Any, inputs: torch.Tensor) -> tuple[int, float]:
    """Return the parameters of a tower and the FLOPs of encoding the inputs."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        encode(inputs)
    return sum(p.numel() for p in tower.parameters()), float(counter.get_total_flops())


def plan_lines(recipe: Recipe) -> Iterator[str]:
    """Yield the plan as lines of text."""
    runs = len(recipe.arms) * len(recipe.seeds)
    yield f"{recipe.name}: {recipe.summary}".rstrip(": ")
    yield f"{len(recipe.arms)} arms x {len(recipe.seeds)} seeds = {runs} runs; baseline '{recipe.baseline}'"
    cost = _cost(recipe)
    num_parameters = cost.num_image_parameters + cost.num_text_parameters
    texts = (
        f"text tower {cost.num_text_parameters / 1e6:.1f} M, {cost.text_flops / 1e9:.2f} GFLOP (full context)"
    )
    yield (
        f"{recipe.backbone.name}: image tower {cost.num_image_parameters / 1e6:.1f} M parameters, "
        f"{cost.image_flops / 1e9:.2f} GFLOP; {texts if cost.num_text_parameters else 'no text tower'}"
    )
    yield f"memory for weights, gradients and AdamW: {num_parameters * BYTES_PER_PARAMETER / 2**30:.2f} GiB, plus activations"
    total = 0.0
    is_complete = True
    for arm in recipe.arms:
        flops, lines, complete = _arm(recipe, arm, cost)
        total += flops * len(recipe.seeds)
        is_complete &= complete
        yield f"arm {arm.name}{': ' + arm.summary if arm.summary else ''}"
        yield f"  {recipe.difference(arm)}"
        yield from lines
    for slot in recipe.evals:
        every = slot.every if isinstance(slot.every, str) else f"{slot.every} steps"
        yield f"eval {slot.spec.name} every {every}{_measurement(stage_plan(slot.spec), cost)}"
    per_pair = TRAINING_FACTOR * (cost.image_flops + cost.text_flops) / 1e9
    unit = "a pair at full context" if cost.num_text_parameters else "an image"
    yield f"a training step costs {per_pair:.3g} GFLOP {unit}"
    if not total:
        yield "training cost in all: unknown until the data is there"
        return
    yield f"training cost{'' if is_complete else ' (known stages only)'}: {total / 1e15:.3g} PFLOP"
    for name, rate in RATES.items():
        yield f"  {_hours(total / rate)} on {name}"


def _arm(recipe: Recipe, arm: Arm, cost: ModelCost) -> tuple[float, list[str], bool]:
    stages = [
        *((f"init.{i}", spec) for i, spec in enumerate(arm.init)),
        *([("pretrain", recipe.pretrain)] if recipe.pretrain else []),
        *((f"posthoc.{i}", spec) for i, spec in enumerate(arm.posthoc)),
    ]
    total, lines, complete = 0.0, [], True
    for name, spec in stages:
        plan = stage_plan(spec)
        images = plan.num_images or 0
        total += TRAINING_FACTOR * (images * cost.image_flops + plan.num_texts * cost.text_flops)
        complete &= plan.steps is not None
        lines.append(f"  {name} {spec.name}: {_stage(plan)}")
    return total, lines or ["  nothing before evaluation"], complete


def stage_plan(spec: Spec) -> StagePlan:
    """Return what a stage will do; unknown where its data is absent or it does not say."""
    try:
        component = spec.build()
        return component.plan() if isinstance(component, HasPlan) else StagePlan(steps=0)
    except Exception as error:  # absent data is reported as an obstacle, with its place
        return StagePlan(note=f"unknown until this is solved: {error}")


def _stage(plan: StagePlan) -> str:
    if plan.steps is None:
        return plan.note or "steps unknown until the data is there"
    parts = [f"{plan.steps:,} steps"] if plan.steps else ["no training"]
    if plan.num_images:
        parts.append(f"{plan.num_images:,} images")
    return ", ".join([*parts, *([plan.note] if plan.note else [])])


def _measurement(plan: StagePlan, cost: ModelCost) -> str:
    """Return what one measurement takes, empty where the evaluator does not say."""
    if not plan.num_images:
        return ""
    petaflops = plan.num_images * cost.image_flops / 1e15
    return f": {plan.num_images:,} images, {plan.note}; {petaflops:.3g} PFLOP each time"


def _hours(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 3600:.1f} h"
