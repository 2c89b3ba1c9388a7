"""The resources of a recipe before it starts: steps, GPU memory, time, decoding cores and disk."""

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks

from perceptinit.components.building import Spec
from perceptinit.compute.optim import Precision, autocast
from perceptinit.recipe.plan import (
    BYTES_PER_PARAMETER,
    DECODE_SECONDS,
    TRAINING_FACTOR,
    USABLE_SHARE,
    ModelCost,
    list_stages,
    model_cost,
    stage_plan,
)
from perceptinit.recipe.recipe import Recipe
from perceptinit.running.readiness import find_needs

HEADINGS = ("stage", "steps", "images", "memory", "micro_batch for 24, 40, 80 GB", "hours")
CARDS_GB = (24, 40, 80)
RATE = 400e12  # FLOP/s
TRACED_ROWS = 1024  # a number at which copies of weights hardly count


def resource_rows(recipe: Recipe) -> list[tuple[str, ...]]:
    """Return the columns `HEADINGS` of each distinct stage, for one GPU."""
    row_bytes = cache(partial(_row_bytes, recipe))
    cost = model_cost(recipe)
    found: dict[str, tuple[str, ...]] = {}
    for arm in recipe.arms:
        for name, spec in list_stages(recipe, arm):
            title = f"{name} {spec.name}" if name == "pretrain" else f"{arm.name}: {name} {spec.name}"
            key = str(spec.table())
            found[key] = found.get(key) or (title, *_row(spec, cost, row_bytes))
    return list(found.values())


def _row(spec: Spec, cost: ModelCost, row_bytes: Callable[[Precision, str], float]) -> tuple[str, ...]:
    plan = stage_plan(spec)
    if not plan.steps or not plan.num_images:
        return ("0" if plan.steps == 0 else "unknown", "", "", "", "")
    towers = ("image", "text") if plan.num_texts else ("image",)
    each = [row_bytes(getattr(spec.config, "precision", "fp32"), tower) for tower in towers]
    state = (cost.num_parameters if plan.num_texts else cost.num_image_parameters) * BYTES_PER_PARAMETER
    num_rows = plan.num_images / plan.steps
    # a micro-batch passes through one tower at a time, and its forward pass is repeated
    micro_batch = getattr(spec.config, "micro_batch", None)
    needed = micro_batch * max(each) if micro_batch else num_rows * sum(each)
    fitting = [int((USABLE_SHARE * card * 1e9 - state) // max(each)) for card in CARDS_GB]
    limits = [f"{most:,}" if most < num_rows else "not needed" for most in fitting]
    flops = plan.num_images * cost.image_flops + plan.num_texts * cost.text_flops
    return (
        f"{plan.steps:,}",
        f"{plan.num_images:,}",
        f"{(state + needed) / 1e9:.1f} GB",
        ", ".join(limits) if micro_batch is not None else "",
        f"{(TRAINING_FACTOR + bool(micro_batch)) * flops / RATE / 3600:.1f}",
    )


def _row_bytes(recipe: Recipe, precision: Precision, tower: str) -> float:
    """Return the bytes that a tower keeps of an input for the backward pass, without allocating any."""
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage._cdata] = storage.nbytes()
        return tensor

    with torch.device("meta"):
        model: Any = recipe.backbone.build().build()
    side = model.image_size
    with FakeTensorMode(), saved_tensors_hooks(keep, lambda tensor: tensor), autocast("cpu", precision):
        model._apply(lambda tensor: torch.empty(tensor.shape, dtype=tensor.dtype))
        inputs = {
            "image": torch.zeros(TRACED_ROWS, 3, side, side, dtype=torch.uint8),
            "text": torch.zeros(TRACED_ROWS, model.context_length, dtype=torch.int64),
        }
        getattr(model, f"encode_{tower}")(inputs[tower])
    return sum(sizes.values()) / TRACED_ROWS


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
