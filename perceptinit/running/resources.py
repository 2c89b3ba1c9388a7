"""The resources of a recipe before it starts: steps, GPU memory, time, decoding cores and disk."""

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks

from perceptinit.components.building import Spec
from perceptinit.compute.devices import choose_device, usable_cores
from perceptinit.compute.optim import Precision, autocast
from perceptinit.errors import count
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
from perceptinit.results.measures import readable_seconds
from perceptinit.running.readiness import find_needs

HEADINGS = ("stage", "steps", "images", "memory")
OF_GPU = ("micro_batch for 24, 40, 80 GB", "hours")  # headings where GPUs matter
CARDS_GB = (24, 40, 80)
# rough sustained rates in FLOP/s: bf16 on one H100 at 40 % of its peak, and fp32 on one CPU core
RATE = 400e12
CORE_RATE = 80e9
LONG_SECONDS = 3600  # of training on this CPU, after which other devices matter
MOST_SECONDS = 100 * 3600  # longer times are in days
TRACED_ROWS = 1024  # a number at which copies of weights hardly count


def resource_table(recipe: Recipe) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return headings, and a row for each distinct stage of one run, with GPU figures where they matter."""
    headings = (*HEADINGS, *OF_GPU) if needs_gpu(recipe) else HEADINGS
    return headings, [row[: len(headings)] for row in _resource_rows(recipe)]


def _resource_rows(recipe: Recipe) -> list[tuple[str, ...]]:
    row_bytes = cache(partial(_row_bytes, recipe))
    cost = model_cost(recipe)
    found: dict[str, tuple[str, ...]] = {}
    for arm in recipe.arms:
        for name, spec in list_stages(recipe, arm):
            title = f"{name} {spec.name}" if name == "pretrain" else f"{arm.name}: {name} {spec.name}"
            key = str(spec.table())
            found[key] = found.get(key) or (title, *_row(spec, cost, row_bytes))
    return list(found.values())


def _find_flops(recipe: Recipe) -> tuple[float, bool]:
    """Return the FLOPs of training all runs, and whether they are known for each stage."""
    cost = model_cost(recipe)
    plans = [stage_plan(spec) for arm in recipe.arms for _, spec in list_stages(recipe, arm)]
    flops = sum((p.num_images or 0) * cost.image_flops + p.num_texts * cost.text_flops for p in plans)
    return TRAINING_FACTOR * flops * len(recipe.seeds), all(plan.steps is not None for plan in plans)


def needs_gpu(recipe: Recipe) -> bool:
    """Return whether figures of GPUs matter: this machine has one, or training takes long on its cores."""
    flops, is_complete = _find_flops(recipe)
    is_long = flops / (CORE_RATE * usable_cores()) > LONG_SECONDS
    return choose_device("auto") == "cuda" or is_long or (not is_complete and recipe.pretrain is not None)


def cost_lines(recipe: Recipe) -> Iterator[str]:
    """Yield the time of training all runs on the device of this machine, and on others where they matter."""
    flops, is_complete = _find_flops(recipe)
    if not flops:
        yield "training time: unknown until the data is available" if not is_complete else "no training"
        return
    known = "" if is_complete else " (known stages only)"
    num_cores = usable_cores()
    has_gpu = choose_device("auto") == "cuda"
    if not has_gpu:
        cores = (
            f"{count(num_cores, 'CPU core')} at {CORE_RATE / 1e9:g} GFLOP/s{' each' if num_cores > 1 else ''}"
        )
        seconds = flops / (CORE_RATE * num_cores)
        time = readable_seconds(seconds) if seconds < MOST_SECONDS else f"{seconds / 86400:,.0f} days"
        yield f"training time{known}: about {time} on {cores}, without data and evaluation"
    if not needs_gpu(recipe):
        return
    found = f", for {torch.cuda.get_device_name()} only as a guide" if has_gpu else ""
    yield f"training time{known}: {readable_seconds(flops / RATE)} on one H100 at 400 TFLOP/s{found}"
    cost = model_cost(recipe)
    per_pair = TRAINING_FACTOR * (cost.image_flops + cost.text_flops)
    if recipe.pretrain:
        unit = "pair at full context" if cost.num_text_parameters else "image"
        yield f"training cost{known}: {flops / 1e15:.3g} PFLOP; {per_pair / 1e9:.3g} GFLOP per {unit}"
        cores = f"{RATE * DECODE_SECONDS / per_pair:,.1f} CPU cores decode JPEGs of 59 KB as fast"
        yield f"memory and hours: one run on one H100 at 40 % of its peak in bf16. {cores}"


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
    """Yield the disk and power of a recipe."""
    cost = model_cost(recipe)
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
