"""What a pretraining would need on GPUs, found on a machine without one: memory, arithmetic, traffic, hours.

Activations are traced with torch's FakeTensorMode and MemTracker, which go through the model's own code, forward
and backward, without memory or arithmetic; the rest follows from the recipe.
"""

from __future__ import annotations

# P parameters, B batch, W processes, b = B / W rows of a process, m rows of a micro-batch, D embedding, S image size
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from perceptinit.components.building import Spec, parts_left_by
from perceptinit.errors import UsageError
from perceptinit.recipe.plan import ModelCost, model_cost, stage_plan
from perceptinit.recipe.recipe import Recipe
from perceptinit.running.peak_bytes import Traced, Tracer

GB = 1e9
# dense products of an H100 SXM by precision, FLOP/s (data sheet); fp32 without tensor cores
PEAK = {"fp32": 67e12, "tf32": 494e12, "bf16": 989e12, "fp16": 989e12}
SHARE_OF_PEAK = 0.4
# a JPEG of 59 KB to a crop of 224 pixels on one core (docs/performance.md)
DECODE_SECONDS = 0.84e-3
# of the 1,600 kernels of a ViT-B/32 step, at 7 us; an estimate
LAUNCH_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Figure:
    """A line of the table. how: "traced", "computed" from the recipe, or "measured" on some machine."""

    name: str
    how: str
    value: str


@dataclass(frozen=True)
class DryRun:
    """A recipe's pretraining over `world` GPUs with `memory_gb` each."""

    recipe: Recipe
    world: int
    memory_gb: float
    cost: ModelCost
    image: Traced
    text: Traced
    embed_dim: int
    image_size: int

    @property
    def config(self) -> Any:
        return cast(Spec, self.recipe.pretrain).config

    @property
    def rows(self) -> int:
        """Pairs of a step on each GPU."""
        return int(self.config.batch_size) // self.world

    def state_bytes(self, micro_batch: int) -> float:
        """Weights, gradients, AdamW's moments, and the average of weights."""
        c, p = self.config, self.num_parameters
        per = 16 + (4 if c.ema_decay else 0)
        if not self.is_sharded:
            return p * per
        # until the last micro-batch, gradients of a tower are whole in each process
        largest = max(self.cost.num_image_parameters, self.cost.num_text_parameters)
        return p * (per / self.world + 4) + (4 * largest if micro_batch else 0)

    @property
    def num_parameters(self) -> int:
        return self.cost.num_image_parameters + self.cost.num_text_parameters

    @property
    def is_sharded(self) -> bool:
        return self.config.sharding == "fsdp" and self.world > 1

    @property
    def batch_bytes(self) -> float:
        """Images of this step in uint8 and of the next one, which is copied meanwhile; features and their gradients."""
        pixels = 3 * self.image_size**2
        return self.rows * (2 * pixels + 4 * 4 * self.embed_dim)

    @property
    def loss_bytes(self) -> float:
        """Three tensors of a chunk of logits, and the texts of all processes with their gradients."""
        batch = self.config.batch_size
        return 3 * 4 * min(self.rows * batch, 1 << 26) + 2 * 4 * batch * self.embed_dim

    def activation_bytes(self, micro_batch: int) -> float:
        """What passes hold when `micro_batch` rows go through a tower at a time; 0: all, of both towers at once."""
        if not micro_batch or micro_batch >= self.rows:
            both = self.image.per_row + self.text.per_row
            return self.rows * both + self.image.fixed + self.text.fixed
        return max(tower.fixed + micro_batch * tower.per_row for tower in (self.image, self.text))

    def total_bytes(self, micro_batch: int) -> float:
        state = self.state_bytes(micro_batch)
        return state + self.batch_bytes + self.loss_bytes + self.activation_bytes(micro_batch)

    @property
    def least_bytes(self) -> float:
        """Weights, optimiser and batch alone."""
        return self.state_bytes(self.micro_batch) + self.batch_bytes

    def largest_micro_batch(self) -> int | None:
        """Return the most rows at a time that fit, b where all do; None where not even one does."""
        if self.total_bytes(0) <= self.memory_gb * GB:
            return self.rows
        fitting = [m for m in range(1, self.rows) if self.total_bytes(m) <= self.memory_gb * GB]
        return max(fitting, default=None)

    @property
    def executed_flops(self) -> float:
        """With what is computed twice to save memory."""
        c = self.config
        num_passes = 3 + bool(c.micro_batch and c.micro_batch < self.rows) + c.grad_checkpointing
        return num_passes * (self.cost.image_flops + self.cost.text_flops)

    @property
    def rate(self) -> float:
        """Pairs a second of all GPUs."""
        return self.world * PEAK[self.config.precision] * SHARE_OF_PEAK / self.executed_flops

    def traffic(self) -> dict[str, float]:
        """Return bytes that each GPU sends in a step, by collective."""
        if self.world == 1:
            return {}
        others = (self.world - 1) / self.world
        c, p = self.config, self.num_parameters
        features = others * 4 * c.batch_size * self.embed_dim
        named = {"all-gather of texts": features, "reduce-scatter of their gradients": features}
        if not self.is_sharded:
            return {"all-reduce of gradients": 2 * others * 4 * p, **named}
        micro = c.micro_batch or self.rows
        passes = -(-self.rows // micro) * (3 if micro < self.rows else 2)
        width = 2 if c.precision == "bf16" else 4
        return {
            "all-gather of weights": passes * others * width * p,
            "reduce-scatter of gradients": others * 4 * p,
            **named,
        }

    @property
    def micro_batch(self) -> int:
        """Rows at a time as the recipe has it; 0 for all of a GPU's."""
        micro = int(self.config.micro_batch)
        return micro if micro < self.rows else 0

    def figures(self) -> Iterator[Figure]:
        """Yield the lines of the table."""
        yield Figure("pairs of a step on each GPU", "computed", f"{self.rows:,}")
        yield Figure("weights, gradients, AdamW", "computed", _gb(self.state_bytes(self.micro_batch)))
        yield Figure("images and features of the batch", "computed", _gb(self.batch_bytes))
        yield Figure("loss", "computed", _gb(self.loss_bytes))
        yield Figure("activations", "traced", _gb(self.activation_bytes(self.micro_batch)))
        yield Figure("memory in all", "traced", _gb(self.total_bytes(self.micro_batch)))
        most = self.largest_micro_batch()
        found = {None: "none", self.rows: "not needed"}.get(most, f"{most:,}")
        yield Figure(f"largest micro_batch in {self.memory_gb:g} GB", "traced", found)
        counted = 3 * (self.cost.image_flops + self.cost.text_flops)
        yield Figure("counted for a pair", "traced", f"{counted / 1e9:.1f} GFLOP")
        yield Figure("executed for a pair", "traced", f"{self.executed_flops / 1e9:.1f} GFLOP")
        for name, num_bytes in self.traffic().items():
            yield Figure(name, "computed", _gb(num_bytes))
        yield Figure(f"pairs/s at {SHARE_OF_PEAK:.0%} of peak", "computed", f"{self.rate:,.0f}")
        cores = self.rate / self.world * DECODE_SECONDS
        yield Figure("cores that decode, for each GPU", "measured", f"{cores:.1f}")
        yield Figure("time for a million pairs", "computed", f"{1e6 / self.rate:,.1f} s")
        num_images = stage_plan(cast(Spec, self.recipe.pretrain)).num_images
        hours = "data absent" if num_images is None else f"{num_images / self.rate / 3600:.3g}"
        yield Figure("hours in all", "computed", hours)

    @property
    def gpus(self) -> str:
        """Their number, in words."""
        return f"{self.world} GPU{'s' if self.world > 1 else ''}"

    def warnings(self) -> Iterator[str]:
        """Yield that activations do not fit, with what would, and that times are too good to be true."""
        total = self.total_bytes(self.micro_batch)
        if total > self.memory_gb * GB:
            most = self.largest_micro_batch()
            advice = f"micro_batch = {most} or less would" if most else "grad_checkpointing may help"
            yield (
                f"{self.gpus}: {_gb(total)} do not fit into {self.memory_gb:g} GB ({advice}, "
                "as traced without grad_checkpointing)"
            )
        seconds = self.config.batch_size / self.rate
        if seconds < LAUNCH_SECONDS:
            yield (
                f"{self.gpus}: a step computes for {seconds * 1e3:.2g} ms, less than launching its kernels takes (some "
                f"{LAUNCH_SECONDS * 1e3:.0f} ms): it will be slower than said, and need fewer cores"
            )


def table(runs: Sequence[DryRun]) -> list[str]:
    """Return the lines of a Markdown table with a column for each number of GPUs."""
    columns = [{figure.name: figure for figure in run.figures()} for run in runs]
    names = dict.fromkeys(name for column in reversed(columns) for name in column)
    rows = [["", "", *(run.gpus for run in runs)], ["---"] * (2 + len(runs))]
    for name in names:
        how = next(column[name].how for column in columns if name in column)
        cells = [column[name].value if name in column else "-" for column in columns]
        rows.append([name, how, *cells])
    return [f"| {' | '.join(row)} |" for row in rows]


def dry_runs(recipe: Recipe, worlds: Sequence[int], memory_gb: float) -> list[DryRun]:
    """Return the pretraining of a recipe for each number of GPUs.

    Raises UsageError for a recipe without a pretraining that has `clip`'s keys, a number of GPUs that cannot
    share the batch, and weights, optimiser and batch that exceed the memory by themselves.
    """
    config: Any = recipe.pretrain.config if recipe.pretrain else None
    if not hasattr(config, "micro_batch"):
        raise UsageError(
            f"{recipe.name}: --device cuda works out a pretraining with the keys of `clip`; this recipe has none"
        )
    if "text" not in parts_left_by(recipe.pretrain):
        raise UsageError(
            f"{recipe.name}: --device cuda works out the pretraining of two towers; this one has no text tower"
        )
    for world in worlds:
        if world > config.batch_size or config.batch_size % world:
            raise UsageError(
                f"batch_size = {config.batch_size} cannot be shared by {world} GPUs: choose a "
                "multiple, or another --world"
            )
    tracer = Tracer(recipe, config.precision)
    image, text, cost = tracer.image(), tracer.text(), model_cost(recipe)
    sizes = tracer.model.embed_dim, tracer.model.image_size
    runs = [DryRun(recipe, world, memory_gb, cost, image, text, *sizes) for world in worlds]
    for run in runs:
        if run.least_bytes > memory_gb * GB:
            raise UsageError(
                f"{recipe.name} does not fit into {memory_gb:g} GB on {run.gpus}: weights, gradients, AdamW and "
                f'the batch alone take {_gb(run.least_bytes)}. More GPUs, sharding = "fsdp" or a smaller '
                "batch_size need less"
            )
    return runs


def _gb(num_bytes: float) -> str:
    if num_bytes < 1e6:
        return f"{num_bytes / 1e3:.0f} kB"
    return f"{num_bytes / GB:.2f} GB" if num_bytes >= 0.1 * GB else f"{num_bytes / 1e6:.0f} MB"
