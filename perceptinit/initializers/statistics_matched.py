"""A control for the scales of the weights after stage 1 (`statistics-matched`)."""

from __future__ import annotations

# m n rows and columns of a weight as a matrix
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from perceptinit.initializers.report import as_matrix, reporting, singular_values
from perceptinit.initializers.trainable import num_fused_parts
from perceptinit.seeding import torch_generator
from perceptinit.types import InitReport, RunContext


class StatisticsMatched:
    """Redraws each parameter with the statistics that it has now; follows a stage 1 in `[[init]]`.

    The tower keeps the scales that stage 1 found and loses the structure. If it performs as well as stage 1,
    the content of the judgments did not matter. Query, key and value projections that share a tensor are
    redrawn separately. Buffers stay.

    Source: this project. No effect is published.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        keep: Literal["spectrum", "values", "moments"] = "spectrum"
        """What matrices and kernels keep: "spectrum", singular values with random singular vectors; "values",
        the values in random order; "moments", mean and standard deviation of a normal distribution. Vectors
        keep values or moments."""

    def __init__(self, config: Config) -> None:
        self.config = config

    @torch.no_grad()
    def initialize(self, model: Any, ctx: RunContext) -> InitReport:
        """Redraw all parameters in place; each draw depends on the seed and the parameter's name alone."""
        redraw = REDRAWS[self.config.keep]
        with reporting("statistics-matched", model) as report:
            for name, parameter in model.named_parameters():
                generator = torch_generator(ctx.seed, ctx.stage, "statistics-matched", name)
                parts = parameter.detach().cpu().chunk(num_fused_parts(name))
                parameter.copy_(torch.cat([redraw(part, generator) for part in parts]))
        return report.result


def _keep_values(weight: Tensor, generator: torch.Generator) -> Tensor:
    order = torch.randperm(weight.numel(), generator=generator)
    return weight.flatten()[order].reshape(weight.shape)


def _keep_moments(weight: Tensor, generator: torch.Generator) -> Tensor:
    """Return normal values with exactly the mean and standard deviation of the weight."""
    if weight.numel() < 2:
        return weight.clone()
    drawn = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
    drawn = (drawn - drawn.mean()) / drawn.std(correction=0)
    return weight.mean() + weight.std(correction=0) * drawn


def _keep_spectrum(weight: Tensor, generator: torch.Generator) -> Tensor:
    """Return random singular vectors with the singular values of the weight; vectors are shuffled."""
    if weight.ndim < 2:
        return _keep_values(weight, generator)
    values = singular_values(weight)
    rows, columns = as_matrix(weight).shape
    left = _draw_orthonormal(rows, len(values), generator)
    right = _draw_orthonormal(columns, len(values), generator)
    return ((left * values) @ right.T).reshape(weight.shape).to(weight.dtype)


def _draw_orthonormal(length: int, count: int, generator: torch.Generator) -> Tensor:
    """Return uniformly distributed orthonormal columns, (length, count)."""
    q, r = torch.linalg.qr(torch.randn(length, count, generator=generator))
    return q * torch.sign(r.diagonal())  # the signs of QR alone are not uniform


REDRAWS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "spectrum": _keep_spectrum,
    "values": _keep_values,
    "moments": _keep_moments,
}
