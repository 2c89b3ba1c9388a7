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

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

sys.path.insert(0, str(Path(__file__).parent))
import train_sets as made

from perceptinit.backbones.open_clip_backbone import OpenClip
from perceptinit.pretrainers.clip import Clip
from perceptinit.results.record import processor_name
from perceptinit.types import Pair, RunContext, StepResult

PRECISIONS = ("fp32", "bf16")
BASE: dict[str, Any] = {"batch": 64, "words": 0, "image": 64, "model": "small"}
# words: 0 for captions of many lengths as web images have them, else so many in each
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


class MadePairs:
    """One random image with captions."""

    block_sizes = (1 << 20,)
    num_pairs = 1 << 20

    def __init__(self, image_size: int, num_words: int) -> None:
        rng = np.random.default_rng(0)
        self._image = rng.integers(0, 256, (image_size, image_size, 3), dtype=np.uint8)
        self._captions = [
            " ".join(rng.choice(made.WORDS, num_words)) if num_words else made.caption(rng)
            for _ in range(2048)
        ]

    def pair(self, index: int) -> Pair:
        return Pair(str(index), self._image, self._captions[index % len(self._captions)])


def model_table(name: str, image_size: int) -> dict[str, Any]:
    """Return open_clip's configuration of a model of `train_sets`, or of a model with another width."""
    if name in made.MODELS:
        table = deepcopy(made.MODELS[name])
    else:
        width = int(name.split()[1])
        table = {**deepcopy(made.SMALL), "embed_dim": width}
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


def measure(setting: dict[str, Any], rounds: int) -> dict[str, float]:
    """Return samples per second, GFLOP per sample, and the peak memory of the process in MiB."""
    with running(setting) as steps:
        spent = [seconds(lambda: next(steps)) for _ in range(rounds)]
        memory = peak_mebibytes()
        gflop = flops_of(steps) / 1e9 / setting["batch"]
    return {
        "rate": setting["batch"] / statistics.median(spent),
        "gflop": gflop,
        "memory": memory,
    }


def measure_peak(setting: dict[str, Any], rounds: int) -> dict[str, float]:
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


def peak_mebibytes() -> float:
    """Return the largest resident memory of this process so far."""
    status = Path("/proc/self/status").read_text()
    line = next(row for row in status.splitlines() if row.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def in_process(setting: dict[str, Any], rounds: int) -> dict[str, float]:
    """Measure a setting in a new process."""
    command = [sys.executable, __file__, "--setting", json.dumps(setting), "--rounds", str(rounds)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def grow(axis: str, rounds: int) -> dict[str, list[dict[str, float]]]:
    """Measure and print one axis; return the measurements by precision."""
    results: dict[str, list[dict[str, float]]] = {precision: [] for precision in PRECISIONS}
    for value in GROWTH[axis]:
        setting = {**BASE, axis: value}
        line = f"  {axis} {value}".ljust(20)
        for precision, rows in results.items():
            row = in_process({**setting, "precision": precision}, rounds)
            rows.append(row)
            line += (
                f"{precision} {row['rate']:7.1f} samples/s {row['rate'] * row['gflop']:6.0f} GFLOP/s "
                f"{row['memory']:6.0f} MiB   "
            )
        print(f"{line}({results['fp32'][-1]['gflop']:.2f} GFLOP a sample)", flush=True)
    return results


def print_peak(rounds: int) -> None:
    """Measure and print the share of the GEMM peak that ViT-B/32's step reaches."""
    for precision in PRECISIONS:
        setting = {**BASE, "batch": made.BATCHES["vit-b-32"], "image": 0, "model": "vit-b-32"}
        row = in_process({**setting, "precision": precision, "peak": True}, rounds)
        print(
            f"  vit-b-32 {precision}, batch {setting['batch']}: step {row['step']:.0f} GFLOP/s "
            f"({row['gflop']:.1f} GFLOP a sample), {GEMM_SIDE}^3 GEMM {row['gemm']:.0f} GFLOP/s: "
            f"{row['step'] / row['gemm']:.0%}",
            flush=True,
        )


def plot(results: dict[str, dict[str, list[dict[str, float]]]], path: Path) -> None:
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=[*GROWTH, "peak"], default=[*GROWTH, "peak"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--plot", type=Path, help="file to draw into, such as step_cost.svg")
    parser.add_argument("--setting", type=json.loads, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.setting:
        work = measure_peak if asked.setting.pop("peak", False) else measure
        print(json.dumps(work(asked.setting, asked.rounds)))
        return
    print(
        f"{torch.get_num_threads()} thread(s), medians of {asked.rounds} steps; torch {torch.__version__}, "
        f"{processor_name()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    results = {axis: grow(axis, asked.rounds) for axis in GROWTH if axis in asked.only}
    if "peak" in asked.only:
        print_peak(asked.rounds)
    if asked.plot and results:
        plot(results, asked.plot)


if __name__ == "__main__":
    main()
