"""How far stage 1 moved each block of a network: norms and spectra, for the record of a run."""

from __future__ import annotations

# m n rows and columns of a weight as a matrix
from collections.abc import Mapping

import torch
from torch import Tensor

from perceptinit.initializers.trainable import block_of


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
        if _is_matrix(weight) and not torch.equal(weight, after[name]):
            blocks.setdefault(block_of(name) or _module_of(name), []).append(name)
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


def _module_of(name: str) -> str:
    return name.rpartition(".")[0] or name


def _is_matrix(weight: Tensor) -> bool:
    return weight.is_floating_point() and weight.ndim >= 2


def _norm(tensors: list[Tensor]) -> float:
    return float(sum(float(t.square().sum()) for t in tensors)) ** 0.5
