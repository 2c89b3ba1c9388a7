"""The resources of a recipe before it starts: steps, GPU memory, time, decoding cores and disk."""

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial

import torch

from perceptinit.components.building import Spec
from perceptinit.compute.devices import choose_device, usable_cores
from perceptinit.errors import UsageError, count
from perceptinit.recipe.cost import (
    DECODE_SECONDS,
    TRAINING_FACTOR,
    USABLE_SHARE,
    ModelCost,
    list_stages,
    model_cost,
    stage_work,
)
from perceptinit.recipe.recipe import EvalSlot, Recipe
from perceptinit.results.measures import readable_seconds
from perceptinit.running.memory import GB, StageMemory, Tracer
from perceptinit.running.readiness import find_needs
from perceptinit.types import StagePlan

HEADINGS = ("stage", "steps", "images")
OF_GPU = ("memory", "micro_batch for 24, 40, 80 GB", "hours")  # headings where GPUs matter
CARDS_GB = (24, 40, 80)
# rough sustained rates in FLOP/s: bf16 on one H100 at 40 % of its peak, and fp32 on one CPU core
RATE = 400e12
CORE_RATE = 80e9
LONG_SECONDS = 3600  # of training on this CPU, after which other devices matter
CONTEXT_BYTES = 0.6e9  # of a process on a GPU, besides tensors
MOST_SECONDS = 100 * 3600  # longer times are in days


def resource_table(recipe: Recipe) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return headings, and a row for each distinct stage of one run, with GPU figures where they matter."""
    rows = resource_rows(recipe)
    if needs_gpu(recipe):
        return (*HEADINGS, *OF_GPU), [row[:-1] for row in rows]
    on = f"time on {count(usable_cores(), 'CPU core')}"
    return (*HEADINGS, on), [(*row[: len(HEADINGS)], row[-1]) for row in rows]


def resource_rows(recipe: Recipe, has_gpu: bool | None = None) -> list[tuple[str, ...]]:
    """Return the columns `HEADINGS` and `OF_GPU` of each distinct stage on one GPU, and the time on this CPU.

    Memory is empty without a GPU, for stages that take at most an hour on this CPU.

    Args:
        recipe: The recipe.
        has_gpu: Whether stages run on a GPU; None if this machine has one.
    """
    is_on_gpu = choose_device("auto") == "cuda" if has_gpu is None else has_gpu
    cost = model_cost(recipe)
    tracer_of = cache(partial(Tracer, recipe))
    found: dict[str, tuple[str, ...]] = {}
    for arm in recipe.arms:
        for name, spec in list_stages(recipe, arm):
            title = f"{name} {spec.name}" if name == "pretrain" else f"{arm.name}: {name} {spec.name}"
            key = str(spec.table())
            if key not in found:
                work = stage_work(spec)
                flops = (work.num_images or 0) * cost.image_flops + work.num_texts * cost.text_flops
                is_long = _cpu_seconds(TRAINING_FACTOR * flops) > LONG_SECONDS
                is_shown = work.steps and (is_on_gpu or is_long)
                memory = StageMemory.of(recipe, spec, work, tracer_of) if is_shown else None
                found[key] = (title, *_row(spec, work, flops, memory))
    evaluations = (_evaluation_row(recipe, slot, cost) for slot in recipe.evals)
    return [*found.values(), *filter(None, evaluations)]


def check_shared_gpus(recipe: Recipe, jobs: int) -> None:
    """Check that training of the runs that share a GPU fits its memory, if there are more runs than GPUs.

    Raises:
        UsageError: If they do not fit.
    """
    num_gpus = torch.cuda.device_count()
    num_shared = math.ceil(jobs / num_gpus)
    if num_shared == 1:
        return
    tracer_of = cache(partial(Tracer, recipe))
    specs = {str(spec.table()): spec for arm in recipe.arms for _, spec in list_stages(recipe, arm)}
    trained = [(spec, work) for spec in specs.values() if (work := stage_work(spec)).steps]
    stages = [StageMemory.of(recipe, spec, work, tracer_of) for spec, work in trained]
    each = CONTEXT_BYTES + max((stage.total_bytes(stage.micro_batch) for stage in stages), default=0)
    total = torch.cuda.get_device_properties(0).total_memory
    most = int(USABLE_SHARE * total / each)
    if num_shared > most:
        advice = f"Use --jobs {most * num_gpus}" if most else "Set a smaller micro_batch"
        raise UsageError(
            f"--jobs: {num_shared} runs on one GPU need about {num_shared} x {each / GB:.1f} GB, and it has "
            f"{total / GB:.1f} GB. {advice}"
        )


def _evaluation_row(recipe: Recipe, slot: EvalSlot, cost: ModelCost) -> tuple[str, ...] | None:
    """Return the row of all evaluations of a run; None if the number of images is unknown.

    Images are decoded once each time, on a GPU by the cores that pretraining needs for an equal rate.
    """
    num_images = stage_work(slot.spec).num_images
    steps = stage_work(recipe.pretrain).steps if recipe.pretrain else 0
    if not num_images or steps is None:
        return None
    num_times = slot.count_times(steps, getattr(recipe.pretrain and recipe.pretrain.config, "epochs", 1))
    total = num_times * num_images
    flops = total * cost.image_flops
    decoding = total * DECODE_SECONDS
    hours = max(flops / RATE, decoding / math.ceil(_decoding_cores(cost))) / 3600
    seconds = (flops / CORE_RATE + decoding) / usable_cores()
    title = f"eval {slot.spec.name}, {count(num_times, 'time')}"
    return (title, "", f"{total:,}", "", "", f"{hours:.1f}", _write_seconds(seconds))


def _decoding_cores(cost: ModelCost) -> float:
    """Return the cores that decode JPEGs of 59 KB as fast as one H100 pretrains."""
    return RATE * DECODE_SECONDS / (TRAINING_FACTOR * (cost.image_flops + cost.text_flops))


def _cpu_seconds(flops: float) -> float:
    """Return the seconds that the cores of this machine take."""
    return flops / (CORE_RATE * usable_cores())


def _write_seconds(seconds: float) -> str:
    return readable_seconds(seconds) if seconds < MOST_SECONDS else f"{seconds / 86400:,.0f} days"


def _find_flops(recipe: Recipe) -> tuple[float, bool]:
    """Return the FLOPs of training all runs, and whether they are known for each stage."""
    cost = model_cost(recipe)
    stages = [stage_work(spec) for arm in recipe.arms for _, spec in list_stages(recipe, arm)]
    flops = sum((w.num_images or 0) * cost.image_flops + w.num_texts * cost.text_flops for w in stages)
    return TRAINING_FACTOR * flops * len(recipe.seeds), all(work.steps is not None for work in stages)


def needs_gpu(recipe: Recipe) -> bool:
    """Return whether figures of GPUs matter: this machine has one, or training takes long on its cores."""
    flops, is_complete = _find_flops(recipe)
    is_long = _cpu_seconds(flops) > LONG_SECONDS
    return choose_device("auto") == "cuda" or is_long or (not is_complete and recipe.pretrain is not None)


def cost_lines(recipe: Recipe) -> Iterator[str]:
    """Yield the time of training all runs on the device of this machine, and on others where they matter."""
    flops, is_complete = _find_flops(recipe)
    if not flops:
        yield "training time: unknown until the data is available" if not is_complete else "no training"
        return
    known = "" if is_complete else " (known stages only)"
    has_gpu = choose_device("auto") == "cuda"
    if not has_gpu:
        num_cores = usable_cores()
        cores = (
            f"{count(num_cores, 'CPU core')} at {CORE_RATE / 1e9:g} GFLOP/s{' each' if num_cores > 1 else ''}"
        )
        time = _write_seconds(_cpu_seconds(flops))
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
        cores = f"{_decoding_cores(cost):,.1f} CPU cores decode JPEGs of 59 KB as fast"
        yield (
            "memory and hours: one run on one H100 at 40 % of its peak in bf16. "
            f"{cores}; this machine has {num_cores}"
        )


def _row(spec: Spec, work: StagePlan, flops: float, memory: StageMemory | None) -> tuple[str, ...]:
    if not work.steps or not work.num_images:
        return ("0" if work.steps == 0 else "unknown", "", "", "", "", "")
    limits = ""
    if memory and hasattr(spec.config, "micro_batch"):
        limits = ", ".join(replace(memory, memory_gb=card).fitting for card in CARDS_GB)
    num_passes = TRAINING_FACTOR + bool(getattr(spec.config, "micro_batch", None))
    return (
        f"{work.steps:,}",
        f"{work.num_images:,}",
        f"{memory.total_bytes(memory.micro_batch) / GB:.1f} GB" if memory else "",
        limits,
        f"{num_passes * flops / RATE / 3600:.1f}",
        _write_seconds(_cpu_seconds(num_passes * flops)),
    )


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
