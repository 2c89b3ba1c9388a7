"""Requirements of the paper's pretraining on 1, 8 and 64 GPUs, for docs/scaling.md.

    python benchmarks/scaling.py            writes between the marks on the page; equal on every machine

The figures are those of `perceptinit estimate pi_clip_yfcc`, and a test compares the page with them. Takes 10 seconds,
and needs perceptinit-estimate (`pip install ./plugins/perceptinit-estimate`).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from textwrap import fill

from perceptinit_estimate.dry_run import GB, PEAK, SHARE_OF_PEAK, DryRun, dry_runs, table

from perceptinit.recipe.cost import DECODE_SECONDS, stage_work
from perceptinit.recipe.reading import load_recipe
from perceptinit.recipe.recipe import Recipe

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "scaling.md"
RECIPE = ROOT / "recipes" / "pi_clip_yfcc.toml"
BEGIN = "<!-- written by benchmarks/scaling.py from here -->"
END = "<!-- to here -->"

WORLDS = (1, 8, 64)
MEMORY_GB = 80.0
LARGE_BATCH = 32768
# measured as DECODE_SECONDS, on photographs packed with a shorter side of 256 pixels
SMALL_DECODE_SECONDS = 0.53e-3
# between machines, a premise: bytes a second that a GPU sends
NODE_RATE = 45 * GB


def section() -> str:
    """Return the Markdown between the marks."""
    runs = dry_runs(_recipe(), WORLDS, MEMORY_GB)
    whole = _change(runs[0], "pretrain.micro_batch=0")
    large = _change(runs[-1], f"pretrain.batch_size={LARGE_BATCH}")
    command = " ".join(["perceptinit estimate pi_clip_yfcc", *_options(WORLDS)])
    warnings = [f"warning: {warning}" for run in runs for warning in run.warnings()]
    blocks = [
        "\n".join(["```console", command, "```"]),
        "\n".join(table(runs)),
        "\n".join(["```", *warnings, "```"]) if warnings else "",
        _origins(),
        _what_follows(runs[-1], runs[0], whole, large),
        _cost(runs[1]),
    ]
    return "\n\n".join(block for block in blocks if block)


def _recipe(*overrides: str) -> Recipe:
    return load_recipe(RECIPE, overrides)


def _change(run: DryRun, setting: str) -> DryRun:
    """Return the estimate for another setting of the pretraining, with the same traced model."""
    pretrain = _recipe(setting).pretrain
    assert pretrain is not None
    return replace(run, spec=pretrain, work=stage_work(pretrain))


def _options(worlds: tuple[int, ...]) -> list[str]:
    return [f"--world {world}" for world in worlds]


def _origins() -> str:
    peak = {name: f"{rate / 1e12:.0f}" for name, rate in PEAK.items()}
    return _wrapped(
        '"Traced" values come from torch\'s FakeTensorMode and MemTracker, which run the forward and backward pass without memory or '
        "arithmetic: the peak memory with fused attention, without CUDA's context and fragmentation. "
        f'"Computed" values follow from the recipe: {SHARE_OF_PEAK:.0%} of the data-sheet rate of an H100 SXM ({peak["bf16"]} TFLOP/s '
        f"dense bf16, {peak['tf32']} tf32, {peak['fp32']} fp32), 4 bytes for each weight, gradient and moment, 2 (W - 1) / W of them for an "
        f'all-reduce. "Measured" values use {DECODE_SECONDS * 1e3:.2f} ms for a JPEG of 59 KB on one core. `--memory` sets the memory of a '
        "GPU. A batch that the GPUs cannot share, or state that does not fit, is an error; more than 85 % of the memory is a warning with the "
        "largest `micro_batch` that needs less. Captions count as packed if the pairs are on this machine."
    )


def _what_follows(last: DryRun, micro: DryRun, whole: DryRun, large: DryRun) -> str:
    memory, hours = (
        [run.figures()[name][1] for run in (micro, whole)] for name in ("total memory", "total hours")
    )
    return _wrapped(
        f"One GPU needs `micro_batch`, and with it a second forward pass: {memory[0]} and {hours[0]} hours with "
        f"{micro.config.micro_batch:,}, instead of {memory[1]} and {hours[1]} hours. At {NODE_RATE / GB:.0f} GB/s between machines, the gradients of {last.world} GPUs take "
        f"{_exchange_ms(last):.0f} ms, while a step of {last.config.batch_size:,} pairs computes for {_step_ms(last):.0f} ms and one of "
        f"{LARGE_BATCH:,} (`--set pretrain.batch_size={LARGE_BATCH}`) for {_step_ms(large):.0f} ms. If there are fewer cores per GPU, pack "
        f"smaller images: a shorter side of 256 pixels (`perceptinit data pack --resize 256`) reduces decoding from "
        f"{DECODE_SECONDS * 1e3:.2f} to {SMALL_DECODE_SECONDS * 1e3:.2f} ms."
    )


def _cost(run: DryRun) -> str:
    recipe = _recipe()
    num_images = run.work.num_images
    assert num_images is not None
    gpu_hours = num_images / run.rate / 3600 * run.world
    num_runs = len(recipe.arms) * len(recipe.seeds)
    return _wrapped(
        f"The whole recipe is {num_runs} runs ({len(recipe.arms)} arms x {len(recipe.seeds)} seeds) of {gpu_hours:.1f} GPU-hours, "
        f"{num_runs * gpu_hours:.0f} in all at {SHARE_OF_PEAK:.0%} of peak and {2 * num_runs * gpu_hours:.0f} at half of that, for "
        "pretraining alone. Stage 1, evaluation and storage are not included."
    )


def _exchange_ms(run: DryRun) -> float:
    return run.traffic()["all-reduce of gradients"] / NODE_RATE * 1e3


def _step_ms(run: DryRun) -> float:
    return run.config.batch_size / run.rate * 1e3


def _wrapped(text: str) -> str:
    return fill(text, 130, break_long_words=False, break_on_hyphens=False)


def renewed(page: str) -> str:
    """Return the page with a new section; ValueError if a mark is missing."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{section()}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text()))
