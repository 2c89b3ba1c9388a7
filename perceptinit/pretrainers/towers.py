"""Forward and backward pass of a tower: in micro-batches, replicated (DDP) or sharded (FSDP2)."""

# b rows on this rank, m rows of a micro-batch, D embedding
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from perceptinit.compute import distributed

# maps the first row of a micro-batch to a context with its precision and seed
Around = Callable[[int], AbstractContextManager[Any]]


class _Encode(nn.Module):
    """Module around `encode` with the parameters of the tower, for DDP."""

    def __init__(self, tower: nn.Module, encode: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.tower = tower
        self._encode = encode

    def forward(self, inputs: Tensor) -> Tensor:
        return self._encode(inputs)


class Tower:
    """Forward pass of a tower, and backward pass from the gradients of the features.

    With micro-batches, the forward pass saves the graph of one micro-batch at most, and the backward pass
    recomputes the others. Only the activations of one micro-batch are in memory.

    Args:
        tower: Module that owns the parameters.
        encode: Maps inputs (b, ...) to features (b, D).
        micro_batch: Rows of a micro-batch; 0 for all rows.
        backend: Backend of torch.compile for `encode`; empty for none.
        is_sharded: Whether the tower is sharded with FSDP2.
    """

    def __init__(
        self,
        tower: nn.Module,
        encode: Callable[[Tensor], Tensor],
        *,
        micro_batch: int = 0,
        backend: str = "",
        is_sharded: bool = False,
    ) -> None:
        self.is_trained = any(p.requires_grad for p in tower.parameters())
        self.is_compiled = bool(backend)
        self._tower = tower
        self._micro_batch = micro_batch
        self._is_sharded = is_sharded
        self._encode = torch.compile(encode, backend=backend) if backend else encode
        self._replica = self._encode
        if self.is_trained and not is_sharded and distributed.world_size() > 1:
            self._replica = _replicate(tower, self._encode)
        self._kept: Tensor | None = None
        self._inputs = torch.empty(0)

    def features(self, inputs: Tensor, around: Around, keeps_graph: bool = True) -> Tensor:
        """Return the features (b, D) as a leaf tensor, whose gradient is the argument of `backward`.

        Args:
            inputs: Inputs of the tower, (b, ...).
            around: Context of a micro-batch.
            keeps_graph: Whether the micro-batch that is computed last keeps its graph. A tower without
                micro-batches always keeps it.
        """
        self._tower.train(self.is_trained)
        self._inputs = inputs
        rows = self._micro_batches()
        is_kept = self.is_trained and (keeps_graph or len(rows) == 1)
        parts = []
        for part in reversed(rows):  # the first is computed last, and its backward pass is the first
            has_graph = is_kept and part is rows[0]
            with torch.set_grad_enabled(has_graph), around(part.start), self._exchanging(len(rows) == 1):
                parts.append((self._replica if has_graph else self._encode)(inputs[part]))
        self._kept = parts[-1] if is_kept else None
        features = parts[0] if len(parts) == 1 else torch.cat(parts[::-1])
        return features.detach().requires_grad_(self.is_trained)

    def backward(self, gradients: Tensor, around: Around) -> None:
        """Accumulate the gradients of the parameters, summed over ranks.

        Args:
            gradients: Gradients of the loss of the whole batch with respect to the features, (b, D).
            around: Context of a micro-batch, the same as for `features`.
        """
        gradients = gradients * distributed.world_size()  # DDP and FSDP average gradients
        rows = self._micro_batches()
        for part in rows:
            features = self._kept
            self._kept = None  # its activations are freed before those of the next micro-batch are computed
            with self._exchanging(part is rows[-1]):
                if features is None:
                    with around(part.start):
                        features = self._replica(self._inputs[part])
                features.backward(gradients[part])
        self._inputs = torch.empty(0)

    def _micro_batches(self) -> list[slice]:
        num_rows = len(self._inputs)
        size = self._micro_batch or num_rows
        return [slice(i, min(i + size, num_rows)) for i in range(0, num_rows, size)]

    def _exchanging(self, wanted: bool) -> AbstractContextManager[Any]:
        """Return the context of a backward pass, which exchanges gradients only if `wanted`."""
        tower: Any = self._tower
        if self._is_sharded:
            tower.set_requires_gradient_sync(wanted)
        if not wanted and isinstance(self._replica, DistributedDataParallel):
            return self._replica.no_sync()
        return nullcontext()


def _replicate(tower: nn.Module, encode: Callable[[Tensor], Tensor]) -> DistributedDataParallel:
    # newer releases of torch rename the argument, and older releases reject the new name
    warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
    has_batch_norm = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in tower.modules())
    # otherwise DDP changes its buckets after one step, and a resumed run sums gradients in another order
    return DistributedDataParallel(
        _Encode(tower, encode), find_unused_parameters=True, broadcast_buffers=has_batch_norm
    )
