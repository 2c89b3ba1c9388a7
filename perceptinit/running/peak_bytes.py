"""What a model's passes hold at their peak, traced without memory or arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker, _MemRefType

from perceptinit.compute.optim import Precision, autocast
from perceptinit.recipe.recipe import Recipe

# two numbers of rows tell what grows with them from what does not; so many that weights' gradients make no peak
TRACED_ROWS = (64, 128)


@dataclass(frozen=True, slots=True)
class Traced:
    """The most that a tower's two passes hold at a time: bytes by row, and besides (copies of weights)."""

    per_row: float
    fixed: float


class Tracer:
    """A recipe's model on the CPU, of weights and inputs without values (torch's FakeTensorMode)."""

    def __init__(self, recipe: Recipe, precision: Precision) -> None:
        self._precision = precision
        with torch.device("meta"):
            self.model: Any = recipe.backbone.build().build()
        self._mode = FakeTensorMode()
        with self._mode:
            self.model._apply(lambda tensor: torch.empty(tensor.shape, dtype=tensor.dtype))

    def image(self) -> Traced:
        size = self.model.image_size
        return self._trace(self.model.encode_image, (3, size, size), torch.uint8)

    def text(self) -> Traced:
        """With full contexts: what shorter texts keep depends on their lengths."""
        return self._trace(self.model.encode_text, (self.model.context_length,), torch.int64)

    def _trace(self, encode: Any, shape: tuple[int, ...], dtype: torch.dtype) -> Traced:
        few, many = TRACED_ROWS
        first, second = (self._peak_bytes(encode, (n, *shape), dtype) for n in (few, many))
        per_row = (second - first) / (many - few)
        return Traced(per_row, max(0.0, first - few * per_row))

    def _peak_bytes(self, encode: Any, shape: tuple[int, ...], dtype: torch.dtype) -> int:
        """Return the most bytes that are held at a time, weights and their gradients left out."""
        tracker = MemTracker()
        tracker.track_external(self.model)
        with self._mode:
            inputs = torch.zeros(shape, dtype=dtype)
            with tracker:
                with autocast("cpu", self._precision):
                    features = encode(inputs)
                features.sum().backward()
            self.model.zero_grad(set_to_none=True)
        (peak,) = tracker.get_tracker_snapshot("peak").values()
        return int(peak[_MemRefType.ACT] + peak[_MemRefType.TEMP])
