"""Estimate the memory, FLOPs, traffic and duration of GPU pretraining without a GPU.

Memory is that of `perceptinit validate`: activations are traced without allocating tensors. Other figures are
computed from the recipe.
"""

# B batch, W processes, b = B / W rows per process
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from perceptinit.companion import (
    DECODE_SECONDS,
    USABLE_SHARE,
    Recipe,
    StageMemory,
    Tracer,
    find_model_parts,
    stage_work,
)
from perceptinit.plugin import UsageError

GB = 1e9
# dense matrix throughput of an H100 SXM by precision, FLOP/s (data sheet); fp32 without tensor cores
PEAK = {"fp32": 67e12, "tf32": 494e12, "bf16": 989e12, "fp16": 989e12}
SHARE_OF_PEAK = 0.4
# estimate for the 1,600 kernels of a ViT-B/32 step, at 7 us each
LAUNCH_SECONDS = 0.01


class DryRun(StageMemory):
    """Cost estimate of a recipe's pretraining on `world` GPUs with `memory_gb` GB each."""

    @property
    def executed_flops(self) -> float:
        """FLOPs per pair, including recomputation to save memory."""
        num_passes = 3 + bool(self.micro_batch) + self.config.grad_checkpointing
        return num_passes * (self.cost.image_flops + self.cost.text_flops * self.text_share)

    @property
    def rate(self) -> float:
        """Pairs per second over all GPUs."""
        return self.world * PEAK[self.tracer.precision] * SHARE_OF_PEAK / self.executed_flops

    def traffic(self) -> dict[str, float]:
        """Return the bytes that each GPU sends per step, by collective."""
        if self.world == 1:
            return {}
        others = (self.world - 1) / self.world
        num = self.cost.num_parameters
        features = others * 4 * self.config.batch_size * self.tracer.model.embed_dim
        named = {"all-gather of texts": features, "reduce-scatter of text gradients": features}
        if not self.is_sharded:
            return {"all-reduce of gradients": 2 * others * 4 * num, **named}
        micro = self.micro_batch
        passes = 3 * -(-self.rows // micro) if micro else 2
        width = 2 if self.tracer.precision == "bf16" else 4
        return {
            "all-gather of weights": passes * others * width * num,
            "reduce-scatter of gradients": others * 4 * num,
            **named,
        }

    def figures(self) -> dict[str, tuple[str, str]]:
        """Return the rows of the table: source and value by name.

        The source is "traced", "computed" from the recipe, or "measured" on another machine.
        """
        micro = self.micro_batch
        counted = 3 * (self.cost.image_flops + self.cost.text_flops)
        cores = self.rate / self.world * DECODE_SECONDS
        num_images = self.work.num_images
        hours = "data absent" if num_images is None else f"{num_images / self.rate / 3600:.3g}"
        return {
            "pairs per step and GPU": ("computed", f"{self.rows:,}"),
            "weights, gradients, AdamW": ("computed", _gb(self.state_bytes(micro))),
            "images and features of the batch": ("computed", _gb(self.batch_bytes)),
            "loss": ("computed", _gb(self.loss_bytes)),
            "activations": ("traced", _gb(self.activation_bytes(micro))),
            "total memory": ("traced", _gb(self.total_bytes(micro))),
            f"largest micro_batch in {USABLE_SHARE:.0%} of {self.memory_gb:g} GB": ("traced", self.fitting),
            "tokens per text": ("computed", self._tokens()),
            "model FLOPs per pair": ("traced", f"{counted / 1e9:.1f} GFLOP"),
            "executed FLOPs per pair": ("traced", f"{self.executed_flops / 1e9:.1f} GFLOP"),
            **{name: ("computed", _gb(num_bytes)) for name, num_bytes in self.traffic().items()},
            f"pairs/s at {SHARE_OF_PEAK:.0%} of peak": ("computed", f"{self.rate:,.0f}"),
            "decoding cores per GPU": ("measured", f"{cores:.1f}"),
            "time per million pairs": ("computed", f"{1e6 / self.rate:,.1f} s"),
            "total hours": ("computed", hours),
        }

    def _tokens(self) -> str:
        length = self.tracer.model.context_length
        if self.text_share == 1:
            return f"{length} (full context)"
        return f"{self.text_share * length:.1f} of {length} (packed)"

    @property
    def gpus(self) -> str:
        """Number of GPUs, as text."""
        return f"{self.world} GPU{'s' if self.world > 1 else ''}"

    def warnings(self) -> Iterator[str]:
        """Yield a warning if memory is scarce, and one if the estimated time is too low."""
        total = self.total_bytes(self.micro_batch)
        if total > self.usable_bytes:
            most = self.largest_micro_batch()
            advice = f"Set micro_batch = {most} or less" if most else "Try grad_checkpointing"
            size = f"micro_batch = {self.micro_batch}" if self.micro_batch else "no micro_batch"
            yield (
                f"{self.gpus}: {_gb(total)} with {size} (traced without grad_checkpointing) is more than "
                f"{USABLE_SHARE:.0%} of {self.memory_gb:g} GB. {advice}"
            )
        seconds = self.config.batch_size / self.rate
        if seconds < LAUNCH_SECONDS:
            yield (
                f"{self.gpus}: a step takes {seconds * 1e3:.2g} ms to compute, but kernel launches take "
                f"about {LAUNCH_SECONDS * 1e3:.0f} ms. Expect slower steps, which need fewer decoding cores"
            )


def table(runs: Sequence[DryRun]) -> list[str]:
    """Return the lines of a Markdown table with one column per number of GPUs."""
    columns = [run.figures() for run in runs]
    names = dict.fromkeys(name for column in reversed(columns) for name in column)
    rows = [["", "", *(run.gpus for run in runs)], ["---"] * (2 + len(runs))]
    for name in names:
        how = next(column[name][0] for column in columns if name in column)
        cells = [column[name][1] if name in column else "-" for column in columns]
        rows.append([name, how, *cells])
    return [f"| {' | '.join(row)} |" for row in rows]


def dry_runs(recipe: Recipe, worlds: Sequence[int], memory_gb: float) -> list[DryRun]:
    """Return the cost estimate of a recipe's pretraining for each number of GPUs.

    Raises:
        UsageError: If the pretraining lacks the keys of `clip` or a text tower, if the batch size is not
            divisible by a number of GPUs, or if weights, optimizer and batch alone exceed the memory.
    """
    spec = recipe.pretrain
    if spec is None or not hasattr(spec.config, "micro_batch") or "text" not in find_model_parts(spec):
        raise UsageError(
            f"{recipe.name}: the estimate requires the pretraining of an image and a text tower with the "
            "keys of `clip`. Choose another recipe"
        )
    for world in worlds:
        if spec.config.batch_size % world:
            reason = f"batch_size = {spec.config.batch_size} is not divisible by {world} GPUs"
            raise UsageError(f"{reason}. Choose a multiple, or another --world")
    first = DryRun.of(recipe, spec, stage_work(spec), partial(Tracer, recipe), worlds[0], memory_gb)
    runs = [replace(first, world=world) for world in worlds]
    for run in runs:
        least = run.state_bytes(run.micro_batch) + run.batch_bytes
        if least > memory_gb * GB:
            raise UsageError(
                f"{recipe.name} does not fit into {memory_gb:g} GB on {run.gpus}: weights, gradients, AdamW "
                f'and the batch alone take {_gb(least)}. Use more GPUs, sharding = "fsdp" or a smaller batch'
            )
    return runs


def _gb(num_bytes: float) -> str:
    if num_bytes < 1e6:
        return f"{num_bytes / 1e3:.0f} kB"
    return f"{num_bytes / GB:.2f} GB" if num_bytes >= 0.1 * GB else f"{num_bytes / 1e6:.0f} MB"
