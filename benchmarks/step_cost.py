"""Cost of a CLIP step by amount of work, and its share of the machine's GEMM peak. CPU, Linux only.

    python benchmarks/step_cost.py --plot step_cost.svg
    python benchmarks/step_cost.py --only peak --rounds 5        # ViT-B/32, batch 32

From a small ViT (width 192, 64 px, batch 64), the command increases one of batch, caption length, image size and
model at a time, in fp32 and bf16. It measures samples per CPU second, floating-point operations of a step
(FlopCounterMode, two per multiply-add, without skipped padding) and peak memory. Each setting runs in its own
process. Images are created before, so no loader is measured.

`peak` alternates steps of ViT-B/32 with products of square matrices in the same precision, in one process. It prints
the medians of GFLOP per CPU second (per second of wall time with more than one thread) and their ratio.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import bench
import numpy as np
import torch
import train_sets
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from perceptinit.backbones.open_clip_backbone import OpenClip
from perceptinit.pretrainers.clip import Clip
from perceptinit.types import Pair, RunContext, StepResult

PRECISIONS = ("fp32", "bf16")
BASE: dict[str, Any] = {"batch": 64, "words": 0, "image": 64, "model": "small"}
# words: of each caption; 0 for the many lengths of captions of web images
GROWTH: dict[str, tuple[Any, ...]] = {
    "batch": (16, 32, 64, 128, 256),
    "words": (5, 10, 20, 40, 75),
    "image": (32, 64, 96, 128),
    "model": ("width 64", "width 128", "small", "width 384"),
}
AXES = {
    "batch": "pairs in a step",
    "words": "words of each caption",
    "image": "height and width of the images, pixels",
    "model": "width of both towers",
}
GEMM_SIDE = 2048
# the CPU's fused attention, which FlopCounterMode does not know by itself
FUSED_ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: (
        lambda *shapes, **_: sdpa_flop_count(*shapes[:3])
    ),
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: (
        lambda *shapes, **_: sdpa_backward_flop_count(*shapes[:4])
    ),
}
WARM_UP = 2

Row = dict[str, float]


class MadePairs:
    """One random image with captions."""

    block_sizes = (1 << 20,)
    num_pairs = 1 << 20

    def __init__(self, image_size: int, num_words: int) -> None:
        rng = np.random.default_rng(0)
        self._image = rng.integers(0, 256, (image_size, image_size, 3), dtype=np.uint8)
        self._captions = [
            " ".join(rng.choice(train_sets.WORDS, num_words)) if num_words else train_sets.caption(rng)
            for _ in range(2048)
        ]

    def pair(self, index: int) -> Pair:
        return Pair(str(index), self._image, self._captions[index % len(self._captions)])


def model_table(name: str, image_size: int) -> dict[str, Any]:
    """Return open_clip's configuration of a model of `train_sets`, or of a model with another width."""
    if name in train_sets.MODELS:
        table = deepcopy(train_sets.MODELS[name])
    else:
        width = int(name.split()[1])
        table = {**deepcopy(train_sets.SMALL), "embed_dim": width}
        table["vision_cfg"] |= {"width": width}
        table["text_cfg"] |= {"width": width, "heads": width // 64}
    if image_size:
        table["vision_cfg"]["image_size"] = image_size
    return table


@contextmanager
def running(setting: dict[str, Any]) -> Iterator[Iterator[StepResult]]:
    """Yield the steps of a training run after warm-up."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "model.json"
        table = model_table(setting["model"], setting["image"])
        config.write_text(json.dumps({"model_cfg": table}))
        torch.manual_seed(0)
        model = OpenClip(OpenClip.Config(model=str(config))).build()
    clip = Clip(
        Clip.Config(
            batch_size=setting["batch"],
            precision=setting["precision"],
            crop="center",
            warmup_steps=1,
            num_workers=0,
        ),
        MadePairs(model.image_size, setting["words"]),
    )
    with closing(clip.steps(model, RunContext(stage="pretrain", device="cpu"))) as steps:
        for _ in range(WARM_UP):
            next(steps)
        yield steps


def flops_of(steps: Iterator[StepResult]) -> int:
    """Return floating-point operations that the next step executes, forward and backward."""
    with FlopCounterMode(display=False, custom_mapping=FUSED_ATTENTION) as counter:
        next(steps)
    return counter.get_total_flops()


def seconds(work: Callable[[], Any]) -> float:
    """Return CPU seconds, or wall seconds with several threads."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    begin = clock()
    work()
    return clock() - begin


def measure(setting: dict[str, Any], rounds: int) -> Row:
    """Return samples per second, GFLOP per sample, and the peak memory of the process in MiB."""
    with running(setting) as steps:
        spent = [seconds(lambda: next(steps)) for _ in range(rounds)]
        memory = bench.memory_bytes() / 2**20
        gflop = flops_of(steps) / 1e9 / setting["batch"]
    return {
        "rate": setting["batch"] / statistics.median(spent),
        "gflop": gflop,
        "memory": memory,
    }


def measure_peak(setting: dict[str, Any], rounds: int) -> Row:
    """Return GFLOP per second of steps and of matrix products, in alternation."""
    dtype = torch.bfloat16 if setting["precision"] == "bf16" else torch.float32
    a, b = (torch.randn(GEMM_SIDE, GEMM_SIDE).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    repeats = 4 if dtype == torch.float32 else 16

    def multiply() -> None:
        for _ in range(repeats):
            torch.mm(a, b, out=out)

    step_rates, gemm_rates = [], []
    with running(setting) as steps:
        multiply()
        for _ in range(rounds):
            gemm_rates.append(repeats * 2 * GEMM_SIDE**3 / 1e9 / seconds(multiply))
            step_rates.append(1 / seconds(lambda: next(steps)))
        gflop = flops_of(steps) / 1e9
    step, gemm = statistics.median(step_rates) * gflop, statistics.median(gemm_rates)
    return {"step": step, "gemm": gemm, "gflop": gflop / setting["batch"]}


def grow(
    axis: str, base: dict[str, Any], values: Sequence[Any], precisions: Sequence[str], rounds: int
) -> dict[str, list[Row]]:
    """Measure and print one axis; return the measurements by precision."""
    results: dict[str, list[Row]] = {precision: [] for precision in precisions}
    for value in values:
        cells = []
        for precision, rows in results.items():
            setting = {**base, axis: value, "precision": precision}
            row = bench.in_new_process(measure, setting, rounds)
            rows.append(row)
            cells.append(
                f"{precision} {row['rate']:7.1f} samples/s {row['rate'] * row['gflop']:6.0f} GFLOP/s "
                f"{row['memory']:6.0f} MiB"
            )
        name = f"{axis} {value}"
        print(
            f"  {name:17} {'   '.join(cells)}   ({row['gflop']:.2f} GFLOP a sample)",
            flush=True,
        )
    return results


def print_peak(model: str, batch_size: int, precisions: Sequence[str], rounds: int) -> None:
    """Measure and print the share of the GEMM peak that the step of a model reaches."""
    for precision in precisions:
        setting = {**BASE, "batch": batch_size, "image": 0, "model": model, "precision": precision}
        row = bench.in_new_process(measure_peak, setting, rounds)
        print(
            f"  {model} {precision}, batch {batch_size}: step {row['step']:.0f} GFLOP/s "
            f"({row['gflop']:.1f} GFLOP a sample), {GEMM_SIDE}^3 GEMM {row['gemm']:.0f} GFLOP/s: "
            f"{row['step'] / row['gemm']:.0%}",
            flush=True,
        )


def plot(results: dict[str, dict[str, list[Row]]], path: Path) -> None:
    """Draw samples per second and memory over each axis, in the format of the file's suffix."""
    from perceptinit.reports.figures import MARKERS, STYLES, require_matplotlib

    require_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * len(results), 5), layout="constrained")
    grid = figure.subplots(2, len(results), squeeze=False)
    for column, (axis, by_precision) in enumerate(results.items()):
        places = [int(str(v).split()[-1]) if v != "small" else 192 for v in GROWTH[axis]]
        for index, (precision, rows) in enumerate(by_precision.items()):
            for line, (name, what) in enumerate((("rate", "samples / s"), ("memory", "MiB"))):
                panel = grid[line][column]
                values = [row[name] for row in rows]
                panel.plot(places, values, STYLES[index], marker=MARKERS[index], label=precision)
                panel.set(xscale="log", yscale="log", ylabel=what if column == 0 else "")
                panel.set_xticks(places, [str(place) for place in places])
                panel.minorticks_off()
                panel.grid(alpha=0.3)
        grid[1][column].set_xlabel(AXES[axis])
    grid[0][0].legend(frameon=False)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    options = bench.parse(
        __doc__,
        only={"nargs": "+", "choices": [*GROWTH, "peak"], "default": [*GROWTH, "peak"]},
        precisions={"nargs": "+", "choices": PRECISIONS, "default": PRECISIONS},
        rounds=5,
        plot={"type": Path, "help": "file to draw into, such as step_cost.svg"},
        model={"choices": sorted(train_sets.MODELS), "default": "vit-b-32", "help": "of the peak"},
        batch_size={"default": 0, "help": "of the peak; 0: that of the comparison with open_clip"},
        tiny={
            "only": ["words", "peak"],
            "precisions": ["fp32"],
            "rounds": 1,
            "model": "small",
            "batch_size": 4,
        },
    )
    print(f"medians of {options.rounds} steps; {bench.about('torch')}", flush=True)
    base = {**BASE, "batch": 4} if options.tiny else BASE
    results = {
        axis: grow(axis, base, values[: 1 if options.tiny else None], options.precisions, options.rounds)
        for axis, values in GROWTH.items()
        if axis in options.only
    }
    if "peak" in options.only:
        batch_size = options.batch_size or train_sets.BATCHES[options.model]
        print_peak(options.model, batch_size, options.precisions, options.rounds)
    if options.plot and results:
        plot(results, options.plot)


if __name__ == "__main__":
    main()
