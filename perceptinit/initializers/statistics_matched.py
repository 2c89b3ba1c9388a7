"""The control that asks whether stage 1 is more than good scales (`statistics-matched`)."""

from __future__ import annotations

# m n rows and columns of a weight as a matrix
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from perceptinit.initializers.report import as_matrix, reporting
from perceptinit.initializers.trainable import num_fused_parts
from perceptinit.seeding import torch_generator
from perceptinit.types import InitReport, RunContext


class StatisticsMatched:
    """Keeps each tensor's statistics and draws everything else anew: put it after a stage 1 in `[[init]]`.

    The tower then has the scales that stage 1 arrived at, and none of its structure. If it does as
    well as stage 1, what people said did not matter. Fused projections to queries, keys and values
    count as three tensors. Buffers stay.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        keep: Literal["spectrum", "values", "moments"] = "spectrum"
        """Of matrices and kernels: the singular values, with random directions; the values, dealt at
        random; or mean and standard deviation, of a normal. Vectors keep values or moments."""

    def __init__(self, config: Config) -> None:
        self.config = config

    @torch.no_grad()
    def initialize(self, model: Any, ctx: RunContext) -> InitReport:
        """Redraw all parameters in place, each by its own name and the run's seed."""
        redraw = REDRAWS[self.config.keep]
        with reporting("statistics-matched", model) as report:
            for name, parameter in model.named_parameters():
                generator = torch_generator(ctx.seed, ctx.stage, "statistics-matched", name)
                parts = parameter.detach().cpu().chunk(num_fused_parts(name))
                parameter.copy_(torch.cat([redraw(part, generator) for part in parts]))
        return report.result


def same_values(weight: Tensor, generator: torch.Generator) -> Tensor:
    """Return the weight's values in random places."""
    order = torch.randperm(weight.numel(), generator=generator)
    return weight.flatten()[order].reshape(weight.shape)


def same_moments(weight: Tensor, generator: torch.Generator) -> Tensor:
    """Return normal values that have exactly the weight's mean and standard deviation."""
    if weight.numel() < 2:
        return weight.clone()
    drawn = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
    drawn = (drawn - drawn.mean()) / drawn.std(correction=0)
    return weight.mean() + weight.std(correction=0) * drawn


def same_spectrum(weight: Tensor, generator: torch.Generator) -> Tensor:
    """Return a matrix or kernel with the weight's singular values and random singular vectors.

    Its Frobenius norm is the same; a vector's values are dealt at random instead.
    """
    if weight.ndim < 2:
        return same_values(weight, generator)
    values = torch.linalg.svdvals(as_matrix(weight))
    rows, columns = as_matrix(weight).shape
    left = _random_directions(rows, len(values), generator)
    right = _random_directions(columns, len(values), generator)
    return ((left * values) @ right.T).reshape(weight.shape).to(weight.dtype)


def _random_directions(length: int, count: int, generator: torch.Generator) -> Tensor:
    """Return `count` orthonormal columns of that length, uniform over all such sets, (length, count)."""
    q, r = torch.linalg.qr(torch.randn(length, count, generator=generator))
    return q * torch.sign(r.diagonal())  # without it, QR's own signs would not be uniform


REDRAWS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "spectrum": same_spectrum,
    "values": same_values,
    "moments": same_moments,
}
