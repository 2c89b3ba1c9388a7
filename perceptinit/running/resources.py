"""The resources of a recipe before it starts: steps, GPU memory, time, decoding cores and disk."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from typing import Any

import torch

from perceptinit.components.building import Spec
from perceptinit.compute.optim import Precision
from perceptinit.recipe.plan import (
    DECODE_SECONDS,
    RATES,
    TRAINING_FACTOR,
    ModelCost,
    list_stages,
    model_cost,
    stage_plan,
)
from perceptinit.recipe.recipe import Recipe
from perceptinit.running.memory import GB, ON_GPU, StageMemory, Traced, Tracer
from perceptinit.running.readiness import find_needs
from perceptinit.types import StagePlan

HEADINGS = ("stage", "steps", "images", "memory", "micro_batch for 24, 40, 80 GB", "hours")
CARDS_GB = (24, 40, 80)
RATE = 400e12  # FLOP/s
HOUR_ON_CPU = 3600 * min(RATES.values())  # FLOP


def resource_rows(recipe: Recipe, has_gpu: bool | None = None) -> list[tuple[str, ...]]:
    """Return the columns `HEADINGS` of each distinct stage, for one GPU.

    Memory is empty without a GPU, for stages that take at most an hour on a CPU.

    Args:
        recipe: The recipe.
        has_gpu: Whether stages run on a GPU; None if this machine has one.
    """
    is_on_gpu = torch.cuda.is_available() if has_gpu is None else has_gpu
    cost = model_cost(recipe)
    tracer = cache(partial(Tracer, recipe))
    trace = cache(lambda precision, tower: getattr(tracer(precision), tower)())
    found: dict[str, tuple[str, ...]] = {}
    for arm in recipe.arms:
        for name, spec in list_stages(recipe, arm):
            title = f"{name} {spec.name}" if name == "pretrain" else f"{arm.name}: {name} {spec.name}"
            key = str(spec.table())
            if key not in found:
                plan = stage_plan(spec)
                flops = (plan.num_images or 0) * cost.image_flops + plan.num_texts * cost.text_flops
                is_shown = plan.steps and (is_on_gpu or TRAINING_FACTOR * flops > HOUR_ON_CPU)
                memory = _trace_memory(recipe, spec, plan, cost, tracer, trace) if is_shown else None
                found[key] = (title, *_row(spec, plan, flops, memory))
    return list(found.values())


def _trace_memory(
    recipe: Recipe,
    spec: Spec,
    plan: StagePlan,
    cost: ModelCost,
    tracer: Callable[[Precision], Tracer],
    trace: Callable[[Precision, str], Traced],
) -> StageMemory:
    precision: Any = getattr(spec.config, "precision", "fp32")
    if precision == "auto":
        precision = ON_GPU
    is_pretraining = spec is recipe.pretrain
    has_batch = is_pretraining and plan.num_texts
    own = tracer(precision)
    return StageMemory(
        recipe,
        1,
        max(CARDS_GB),
        cost,
        trace(precision, "image"),
        trace(precision, "text") if plan.num_texts else Traced(0, 0),
        own.model,
        own.packed_share(getattr(spec.build(), "pairs", None)) if plan.num_texts else 1.0,
        None if is_pretraining else spec,
        0 if has_batch else math.ceil((plan.num_images or 0) / (plan.steps or 1)),
    )


def _row(spec: Spec, plan: StagePlan, flops: float, memory: StageMemory | None) -> tuple[str, ...]:
    if not plan.steps or not plan.num_images:
        return ("0" if plan.steps == 0 else "unknown", "", "", "", "")
    limits = ""
    if memory and hasattr(spec.config, "micro_batch"):
        limits = ", ".join(_limit(replace(memory, memory_gb=card)) for card in CARDS_GB)
    num_passes = TRAINING_FACTOR + bool(getattr(spec.config, "micro_batch", None))
    return (
        f"{plan.steps:,}",
        f"{plan.num_images:,}",
        f"{memory.total_bytes(memory.micro_batch) / GB:.1f} GB" if memory else "",
        limits,
        f"{num_passes * flops / RATE / 3600:.1f}",
    )


def _limit(memory: StageMemory) -> str:
    most = memory.largest_micro_batch()
    return {None: "none", memory.rows: "not needed"}.get(most, f"{most:,}")


def resource_lines(recipe: Recipe) -> Iterator[str]:
    """Yield the assumptions of the table, and the decoding cores, disk and power of a recipe."""
    cost = model_cost(recipe)
    cores = RATE * DECODE_SECONDS / (TRAINING_FACTOR * (cost.image_flops + cost.text_flops))
    decoding = f". {cores:,.1f} CPU cores decode JPEGs of 59 KB as fast" if recipe.pretrain else ""
    yield f"memory and hours: one run on one H100 at 400 TFLOP/s, 40 % of its peak in bf16{decoding}"
    weights = len(recipe.arms) * len(recipe.seeds) * 4 * (cost.num_parameters + cost.num_image_parameters)
    state = recipe.checkpoint.keep * 12 * cost.num_parameters
    needs = find_needs(recipe)
    sizes: dict[str, int] = {}
    for need in needs:
        sizes[need.kind] = sizes.get(need.kind, 0) + (need.num_bytes or 0)
    data = "".join(f"{kind} {size / 1e9:,.0f} GB, " for kind, size in sizes.items() if size)
    num_unknown = sum(need.num_bytes is None for need in needs)
    unknown = f"unknown size for {num_unknown}, " if num_unknown else ""
    yield f"disk: {data}{unknown}checkpoints {state / 1e9:.1f} GB, weights {weights / 1e9:.1f} GB in all"
    if recipe.verdict.noise is None:
        yield "power: unknown. Set [verdict] noise, the standard deviation over seeds in points, to see it"
