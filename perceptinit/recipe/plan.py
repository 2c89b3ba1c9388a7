"""The plan of a recipe and its rough cost, computed without data and without allocating weights."""

# B batch, T tokens
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from perceptinit.components.building import Spec, build_model, find_model_parts
from perceptinit.errors import Problem, RecipeError, message_of
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
# rough sustained rates for estimating hours: fp32 on one CPU core, bf16 on one H100 at 40 % of its peak
RATES = {"2 CPU cores at 80 GFLOP/s each": 160e9, "one H100 at 400 TFLOP/s": 400e12}


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


def plan_lines(recipe: Recipe) -> Iterator[str]:
    """Yield the plan as lines of text."""
    runs = len(recipe.arms) * len(recipe.seeds)
    yield f"{recipe.name}: {recipe.summary}".rstrip(": ")
    yield f"{len(recipe.arms)} arms x {len(recipe.seeds)} seeds = {runs} runs; baseline '{recipe.baseline}'"
    cost = model_cost(recipe)
    millions = cost.num_text_parameters / 1e6
    texts = "no text tower"
    if millions:
        texts = f"text tower {millions:.1f} M, {cost.text_flops / 1e9:.2f} GFLOP (full context)"
    yield (
        f"{recipe.backbone.name}: image tower {cost.num_image_parameters / 1e6:.1f} M parameters, "
        f"{cost.image_flops / 1e9:.2f} GFLOP; {texts}"
    )
    total = 0.0
    is_complete = True
    for arm in recipe.arms:
        yield f"arm {arm.name}{': ' + arm.summary if arm.summary else ''}"
        yield f"  {recipe.difference(arm)}"
        stages = list_stages(recipe, arm)
        for name, spec in stages:
            plan = stage_plan(spec)
            flops = (plan.num_images or 0) * cost.image_flops + plan.num_texts * cost.text_flops
            total += TRAINING_FACTOR * flops * len(recipe.seeds)
            is_complete &= plan.steps is not None
            on, rate = next(iter(RATES.items()))
            time = f"; {_describe_time(TRAINING_FACTOR * flops, rate)} on {on}" if flops else ""
            yield f"  {name} {spec.name}: {_describe_stage(plan)}{time}"
        if not stages:
            yield "  no stages, only evaluation"
    for slot in recipe.evals:
        every = slot.every if isinstance(slot.every, str) else f"{slot.every} steps"
        yield f"eval {slot.spec.name} every {every}{_describe_measurement(stage_plan(slot.spec), cost)}"
    per_pair = TRAINING_FACTOR * (cost.image_flops + cost.text_flops) / 1e9
    unit = "per pair at full context" if cost.num_text_parameters else "per image"
    yield f"a training step costs {per_pair:.3g} GFLOP {unit}"
    if not total:
        yield "training cost: unknown until the data is available"
        return
    yield f"training cost{'' if is_complete else ' (known stages only)'}: {total / 1e15:.3g} PFLOP"
    for name, rate in RATES.items():
        yield f"  {_describe_time(total, rate)} on {name}"


def list_stages(recipe: Recipe, arm: Arm) -> list[tuple[str, Spec]]:
    """Return the name and spec of each stage of an arm, in order."""
    return [
        *((f"init.{i}", spec) for i, spec in enumerate(arm.init)),
        *([("pretrain", recipe.pretrain)] if recipe.pretrain else []),
        *((f"posthoc.{i}", spec) for i, spec in enumerate(arm.posthoc)),
    ]


def stage_plan(spec: Spec) -> StagePlan:
    """Return the plan of a stage: unknown if data is missing, 0 steps if the component has no plan."""
    try:
        component = spec.build()
        return component.plan() if isinstance(component, HasPlan) else StagePlan(steps=0)
    except Exception as error:  # `find_obstacles` also reports this error
        return StagePlan(note=f"unknown until this is fixed: {error}")


def _describe_stage(plan: StagePlan) -> str:
    if plan.steps is None:
        return plan.note or "steps unknown until the data is available"
    steps = f"{plan.steps:,} steps" if plan.steps else "no training"
    images = f"{plan.num_images:,} images" if plan.num_images else ""
    return ", ".join(filter(None, [steps, images, plan.note]))


def _describe_measurement(plan: StagePlan, cost: ModelCost) -> str:
    """Return the cost of one evaluation; empty if the evaluator has no plan."""
    if not plan.num_images:
        return ""
    petaflops = plan.num_images * cost.image_flops / 1e15
    return f": {plan.num_images:,} images, {plan.note}; {petaflops:.3g} PFLOP each time"


def _describe_time(flops: float, rate: float) -> str:
    seconds = flops / rate
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 3600 else f"{seconds / 3600:,.1f} h"
