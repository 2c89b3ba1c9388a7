"""What an initializer changed, taken by comparing the weights before and after.

with reporting("my-init", model) as report:
    ...                                  # change the model in place
    report.metrics["2afc_val_after"] = 0.81
return report.result
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from perceptinit.errors import InitializerError
from perceptinit.files.checkpoints import weights_sha256
from perceptinit.initializers.trainable import block_of
from perceptinit.types import InitReport

FROZEN_OR_UNUSED = "is the model frozen, or does 'encode' not use it?"


class Reporter:
    """Watches a model: `metrics` is filled in the block, `result` is there after it.

    before: all weights and buffers by name, as they were, on the CPU.
    """

    def __init__(self, name: str, model: nn.Module) -> None:
        self.name = name
        self.metrics: dict[str, float] = {}
        self._model = model
        self.before = {k: v.detach().cpu().clone() for k, v in model.state_dict().items()}
        self._start = time.perf_counter()
        self._result: InitReport | None = None

    @property
    def result(self) -> InitReport:
        if self._result is None:
            raise RuntimeError("the report is complete only after the `with` block")
        return self._result

    def state(self) -> dict[str, Any]:
        """Return what `resume` needs in another process."""
        return {"before": self.before, "seconds": time.perf_counter() - self._start}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on with a report that was begun on the untouched weights."""
        self.before = dict(state["before"])
        self._start = time.perf_counter() - state["seconds"]

    def finish(self, hint: str) -> None:
        """Complete the report; InitializerError when nothing changed or a weight is not finite."""
        after = {k: v.detach().cpu() for k, v in self._model.state_dict().items()}
        broken = [k for k, v in after.items() if v.is_floating_point() and not v.isfinite().all()]
        if broken:
            raise InitializerError(
                f"initializer '{self.name}' left {len(broken)} tensors that are not finite, first {broken[0]}"
            )
        changed = tuple(k for k, v in after.items() if not torch.equal(v, self.before[k]))
        # buffers alone, such as running means, are no initialization
        if not any(name in changed for name, _ in self._model.named_parameters()):
            raise nothing_changed(self.name, self._model, hint)
        self._result = InitReport(
            name=self.name,
            changed=changed,
            sha256_before=weights_sha256(self.before),
            sha256_after=weights_sha256(after),
            metrics=self.metrics,
            seconds=time.perf_counter() - self._start,
        )


@contextmanager
def reporting(name: str, model: nn.Module, hint: str = FROZEN_OR_UNUSED) -> Iterator[Reporter]:
    """Watch what the block does to the weights of `model`.

    hint: the question to ask when nothing changed.

    Raises InitializerError after the block when no parameter differs from before, or when a value
    is not finite.
    """
    reporter = Reporter(name, model)
    yield reporter
    reporter.finish(hint)


def nothing_changed(name: str, model: nn.Module, hint: str = FROZEN_OR_UNUSED) -> InitializerError:
    """Return the error of an initializer without effect."""
    count = sum(1 for _ in model.parameters())
    return InitializerError(f"initializer '{name}' changed 0 of {count} parameters; {hint}")


def weight_changes(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> dict[str, float]:
    """Return three numbers for each block with matrices that changed, as `number/block`.

    weight_change: norm of the difference over the norm before. norm_ratio: norm after over before.
    spectrum_change: norm of the difference of the singular values, largest first, over the norm
    before; at most weight_change, and 0 when the weights were only rotated. Norms are Frobenius
    norms over the weight matrices and kernels of a block. Computed on the device of `before`.
    """
    after = {name: after[name].detach().to(weight.device) for name, weight in before.items()}
    blocks: dict[str, list[str]] = {}
    for name, weight in before.items():
        is_matrix = weight.is_floating_point() and weight.ndim >= 2
        if is_matrix and not torch.equal(weight, after[name]):
            block = block_of(name) or name.rpartition(".")[0] or name
            blocks.setdefault(block, []).append(name)
    numbers: dict[str, float] = {}
    for block, names in blocks.items():
        old, new = ([weights[n].double() for n in names] for weights in (before, after))
        norm = _norm(old)
        if not norm:
            continue
        differences = [b - a for a, b in zip(old, new, strict=True)]
        spectra = [spectrum(b) - spectrum(a) for a, b in zip(old, new, strict=True)]
        numbers[f"weight_change/{block}"] = _norm(differences) / norm
        numbers[f"norm_ratio/{block}"] = _norm(new) / norm
        numbers[f"spectrum_change/{block}"] = _norm(spectra) / norm
    return numbers


def spectrum(weight: Tensor) -> Tensor:
    """Return the singular values of a weight as a matrix, kernels flattened, largest first."""
    return torch.linalg.svdvals(as_matrix(weight))


def as_matrix(weight: Tensor) -> Tensor:
    """Return a weight of two or more dimensions as (m, n): leading dimensions of 1 dropped, the rest flat.

    A kernel (out, in, h, w) becomes (out, in * h * w), position embeddings (1, tokens, width)
    become (tokens, width).
    """
    while weight.ndim > 2 and weight.shape[0] == 1:
        weight = weight[0]
    return weight.flatten(1)


def _norm(tensors: list[Tensor]) -> float:
    return float(sum(float(t.square().sum()) for t in tensors)) ** 0.5
