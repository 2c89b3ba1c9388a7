"""GPU memory of a training stage, without a GPU: for `perceptinit validate` and `perceptinit estimate`.

Activation memory is traced through the forward and backward pass with torch's FakeTensorMode and MemTracker,
without allocating tensors. Captions count as packed into shared rows, as in training, if the recipe's pairs
are on this machine.
"""

# B batch, W processes, b = B / W rows per process, m rows per micro-batch, D embedding, S image size
import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker, _MemRefType

from perceptinit.components.building import Spec, find_model_parts
from perceptinit.compute.optim import Precision, autocast
from perceptinit.errors import PerceptInitError
from perceptinit.recipe.cost import BYTES_PER_PARAMETER, USABLE_SHARE, ModelCost, model_cost
from perceptinit.recipe.recipe import Recipe
from perceptinit.types import StagePlan

GB = 1e9
ON_GPU: Precision = "bf16"  # what precision = "auto" selects
# two sizes separate per-row from fixed memory; large enough that weight gradients are not the peak
TRACED_ROWS = (64, 128)
# number of captions that are packed to estimate the tokens of a text
NUM_CAPTIONS = 512
# judgments of a step of stage 1 with batch_size = "auto", at most
MAX_JUDGMENTS = 4096
# embeddings of three images, two products, and their gradients
TENSORS_PER_JUDGMENT = 10


@dataclass(frozen=True, slots=True)
class Traced:
    """Peak memory of a tower's forward and backward pass: bytes per row, and fixed bytes (weight copies)."""

    per_row: float
    fixed: float


class Tracer:
    """A recipe's model on the CPU with fake weights and inputs (torch's FakeTensorMode)."""

    def __init__(self, recipe: Recipe, precision: Precision) -> None:
        self.precision = precision
        with torch.device("meta"):
            self.model: Any = recipe.backbone.build().build()
        self._mode = FakeTensorMode()
        with self._mode:
            self.model._apply(lambda tensor: torch.empty(tensor.shape, dtype=tensor.dtype))

    @cached_property
    def image(self) -> Traced:
        """The image tower."""
        size = self.model.image_size
        return self._trace(self.model.encode_image, (3, size, size), torch.uint8)

    @cached_property
    def text(self) -> Traced:
        """The text tower at the full context length; shorter texts need less memory."""
        return self._trace(self.model.encode_text, (self.model.context_length,), torch.int64)

    def packed_share(self, pairs: Any) -> float:
        """Return the tokens of packed captions relative to full contexts; 1 without captions."""
        if not pairs or getattr(pairs, "runs_commands", False) or not hasattr(self.model.text, "pack"):
            return 1.0
        try:
            last = pairs.num_pairs - 1
            indices = np.unique(np.linspace(0, last, min(last + 1, NUM_CAPTIONS), dtype=np.int64))
            captions = [pairs.pair(int(index)).text for index in indices]
        except PerceptInitError:
            return 1.0
        if not all(isinstance(caption, str) for caption in captions):  # token ids, with their padding
            return 1.0
        packed = self.model.text.pack(self.model.tokenize(captions))
        num_tokens = packed.rows.text.size if packed.rows else packed.tokens.numel()
        return float(num_tokens / (len(captions) * self.model.context_length))

    def _trace(self, encode: Any, shape: tuple[int, ...], dtype: torch.dtype) -> Traced:
        few, many = TRACED_ROWS
        first = self._peak_bytes(encode, (few, *shape), dtype)
        second = self._peak_bytes(encode, (many, *shape), dtype)
        per_row = (second - first) / (many - few)
        return Traced(per_row, max(0.0, first - few * per_row))

    def _peak_bytes(self, encode: Any, shape: tuple[int, ...], dtype: torch.dtype) -> int:
        """Return the peak memory in bytes, excluding weights and their gradients."""
        tracker = MemTracker()
        tracker.track_external(self.model)
        with self._mode:
            inputs = torch.zeros(shape, dtype=dtype)
            with tracker:
                with autocast("cpu", self.precision):
                    features = encode(inputs)
                features.sum().backward()
            self.model.zero_grad(set_to_none=True)
        (peak,) = tracker.get_tracker_snapshot("peak").values()
        return int(peak[_MemRefType.ACT] + peak[_MemRefType.TEMP])


@dataclass(frozen=True)
class StageMemory:
    """Memory of a stage on each of `world` GPUs with `memory_gb` GB.

    Attributes:
        spec: Initializer or pretrainer.
        is_pretraining: Whether the stage is the pretraining of the recipe.
        work: Images and steps of the stage.
        cost: Parameters and FLOPs of the model.
        tracer: The model with fake weights.
        text: Memory of the text tower; 0 if the stage has no texts.
        text_share: Tokens of packed captions relative to full contexts.
        world: Number of GPUs.
        memory_gb: Memory of a GPU in GB (1e9 bytes).
    """

    spec: Spec
    is_pretraining: bool
    work: StagePlan
    cost: ModelCost
    tracer: Tracer
    text: Traced
    text_share: float
    world: int
    memory_gb: float

    @classmethod
    def of(
        cls,
        recipe: Recipe,
        spec: Spec,
        work: StagePlan,
        tracer_of: Callable[[Precision], Tracer],
        world: int = 1,
        memory_gb: float = 80.0,
    ) -> Self:
        """Trace a stage of a recipe. `tracer_of` returns the recipe's tracer for a precision."""
        precision: Any = getattr(spec.config, "precision", "fp32")
        tracer = tracer_of(ON_GPU if precision == "auto" else precision)
        is_pretraining = spec is recipe.pretrain
        # the work is unknown if data is missing
        has_texts = work.num_texts or (is_pretraining and "text" in find_model_parts(spec))
        text = tracer.text if has_texts else Traced(0, 0)
        share = tracer.packed_share(getattr(spec.build(), "pairs", None)) if has_texts else 1.0
        cost = model_cost(recipe)
        return cls(spec, is_pretraining, work, cost, tracer, text, share, world, memory_gb)

    @property
    def config(self) -> Any:
        return self.spec.config

    @property
    def rows(self) -> int:
        """Pairs or images per step on each GPU."""
        planned = math.ceil((self.work.num_images or 0) / (self.work.steps or 1))
        return (planned or int(self.config.batch_size)) // self.world

    @property
    def micro_batch(self) -> int:
        """Rows per micro-batch in the recipe; 0 if a GPU processes all its rows at once."""
        micro = getattr(self.config, "micro_batch", None) or 0
        return micro if micro < self.rows else 0

    @property
    def is_sharded(self) -> bool:
        return self.world > 1 and self.config.sharding == "fsdp"

    def state_bytes(self, micro_batch: int) -> float:
        """Return the bytes of weights, gradients, AdamW moments and the weight average."""
        num = self.cost.num_parameters if self.text.per_row else self.cost.num_image_parameters
        per = BYTES_PER_PARAMETER + (4 if getattr(self.config, "ema_decay", 0) else 0)
        if not self.is_sharded:
            return num * per
        # until the last micro-batch, each process stores the unsharded gradients of a tower
        largest = max(self.cost.num_image_parameters, self.cost.num_text_parameters)
        return num * (per / self.world + 4) + (4 * largest if micro_batch else 0)

    @property
    def batch_bytes(self) -> float:
        """Bytes of the uint8 images of this and the next step, and of features with their gradients."""
        model = self.tracer.model
        return self.rows * (2 * 3 * model.image_size**2 + 4 * 4 * model.embed_dim)

    @property
    def loss_bytes(self) -> float:
        """Bytes of the loss of stage 1, or of three chunks of logits and gathered features with gradients."""
        batch = getattr(self.config, "batch_size", self.rows)
        embed_dim = self.tracer.model.embed_dim
        if self.is_pretraining:
            return 3 * 4 * min(self.rows * batch, 1 << 26) + 2 * 4 * batch * embed_dim
        return 4 * TENSORS_PER_JUDGMENT * embed_dim * (batch if isinstance(batch, int) else MAX_JUDGMENTS)

    def activation_bytes(self, micro_batch: int) -> float:
        """Return the peak bytes for `micro_batch` rows of one tower, or for all rows of both towers if 0."""
        image = self.tracer.image
        text = self.text
        per_text = text.per_row * self.text_share
        if not micro_batch or micro_batch >= self.rows:
            return self.rows * (image.per_row + per_text) + image.fixed + text.fixed
        return max(image.fixed + micro_batch * image.per_row, text.fixed + micro_batch * per_text)

    def total_bytes(self, micro_batch: int) -> float:
        """Return the bytes of state, batch, loss and activations."""
        state = self.state_bytes(micro_batch)
        return state + self.batch_bytes + self.loss_bytes + self.activation_bytes(micro_batch)

    def largest_micro_batch(self) -> int | None:
        """Return the largest micro-batch that fits: `rows` if all rows fit, None if not even one fits."""
        if self.total_bytes(0) <= self.usable_bytes:
            return self.rows
        num_fitting = bisect_right(range(1, self.rows), self.usable_bytes, key=self.total_bytes)
        return num_fitting or None

    @property
    def fitting(self) -> str:
        """The largest micro-batch that fits, as text."""
        most = self.largest_micro_batch()
        if most is None:
            return "none"
        return "not needed" if most == self.rows else f"{most:,}"

    @property
    def usable_bytes(self) -> float:
        """Bytes of a GPU's memory that a run can use."""
        return USABLE_SHARE * self.memory_gb * GB
