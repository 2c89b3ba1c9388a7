"""Attention that starts as a convolution, without data (`impulse`)."""

from __future__ import annotations

# N patches on a square grid, D width of a token, d of a head
import math
from dataclasses import dataclass
from functools import cache, partial
from typing import Annotated, Any

import torch
from annotated_types import Gt, Lt
from torch import Tensor
from torch.nn import functional as F

from perceptinit.configs import NonNegativeFloat, PositiveFloat
from perceptinit.errors import InitializerError
from perceptinit.initializers.attention import find_attention, find_positions
from perceptinit.initializers.mimetic import factors, set_value_and_out
from perceptinit.initializers.report import reporting
from perceptinit.seeding import torch_generator
from perceptinit.types import InitReport, RunContext

OFFSETS = tuple((row, column) for row in (-1, 0, 1) for column in (-1, 0, 1))
LARGEST_SCALE = 2.0**10  # of logits


class Impulse:
    """Sets each attention head to attend from every patch to one neighbor, as a 3 x 3 convolution does.

    The heads of a layer get the nine offsets of a 3 x 3 window, the patch itself included, in random order.
    P (N, D) are the layer-normed position embeddings of the tower, random and scaled up to compete with patch
    content. The logits P Wq Wk' P' approximate the matrix (N, N) that shifts the grid by the offset, at the
    rank of a head. They are scaled until a given share of attention is on the neighbor. Values and their
    projection are set as in `mimetic`.

    Source: Zheng et al. 2025, Structured Initialization for Vision Transformers (arXiv 2505.19985), which
    scales queries and keys by a constant; here the scale follows from the share. Here: 7.7 points [7.0, 8.4]
    on CIFAR-10 after one epoch (docs/results/structure.md).
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        share: Annotated[float, Gt(0), Lt(1)] = 0.5
        """Mean attention on the neighbor, computed from position embeddings alone, in (0, 1)."""
        position_std: PositiveFloat = 0.36
        """Standard deviation of the scaled position embeddings. Published: 18 times timm's 0.02."""
        vo_noise: NonNegativeFloat = 0.4
        """a of Wv Wproj = a Z - b I, as in `mimetic`."""
        vo_identity: NonNegativeFloat = 0.4
        """b of Wv Wproj = a Z - b I, as in `mimetic`."""

    def __init__(self, config: Config) -> None:
        self.config = config

    @torch.no_grad()
    def initialize(self, model: Any, ctx: RunContext) -> InitReport:
        """Set attention matrices and position embeddings in place.

        Raises:
            InitializerError: If the model has no attention or learned position embeddings, or no scale of
                the logits reaches the share.
        """
        layers, positions = find_attention(model, "impulse"), find_positions(model, "impulse")
        with reporting("impulse", model) as report:
            positions.mul_(self.config.position_std / positions.std())
            solve = cache(partial(solve_neighbour, positions, layers[0].head_dim, self.config.share))
            for layer in layers:
                generator = torch_generator(ctx.seed, ctx.stage, "impulse", layer.name)
                order = torch.randperm(len(OFFSETS), generator=generator).tolist()
                for head in range(layer.num_heads):
                    query, key = solve(OFFSETS[order[head % len(OFFSETS)]])
                    layer.head(layer.query, head).copy_(query.T)
                    layer.head(layer.key, head).copy_(key.T)
                set_value_and_out(layer, self.config.vo_noise, self.config.vo_identity, generator)
        return report.result


def solve_neighbour(
    positions: Tensor, head_dim: int, share: float, offset: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Return the query and key matrices Wq and Wk that attend to a neighbor, float32 (D, d) each.

    Args:
        positions: Position embeddings of the patches, (N, D).
        head_dim: Width d of a head.
        share: Mean attention on the neighbor, in (0, 1).
        offset: Rows and columns from a patch to its neighbor.

    Raises:
        InitializerError: If no scale of the logits reaches the share.
    """
    patches = positions.detach().cpu().double()
    points = F.layer_norm(patches, patches.shape[1:])
    inverse = torch.linalg.pinv(points)
    target = shift_matrix(math.isqrt(len(points)), offset)
    left, right = factors(inverse @ target @ inverse.T, head_dim)
    missing = head_dim - left.shape[1]  # a head wider than a token is padded with 0
    left, right = F.pad(left, (0, missing)), F.pad(right, (0, 0, 0, missing))
    logits = points @ left @ right @ points.T / head_dim**0.5
    root = _scale_for_share(logits, target, share) ** 0.5
    return (root * left).float(), (root * right.T).float()


def shift_matrix(side: int, offset: tuple[int, int]) -> Tensor:
    """Return the matrix that shifts a square grid of patches, float64 (N, N) of 0 and 1.

    Args:
        side: Patches in a row; N = side * side.
        offset: Rows and columns from each patch to its neighbor; outside of the grid the row is 0.
    """
    grid = torch.arange(side * side).reshape(side, side)
    shifted = torch.full((side + 2, side + 2), -1)
    shifted[1:-1, 1:-1] = grid
    row, column = 1 + offset[0], 1 + offset[1]
    neighbour = shifted[row : row + side, column : column + side].flatten()
    target = torch.zeros(side * side, side * side, dtype=torch.float64)
    inside = neighbour >= 0
    target[inside, neighbour[inside]] = 1
    return target


def _scale_for_share(logits: Tensor, target: Tensor, share: float) -> float:
    """Return the factor of the logits (N, N) at which the mean attention on the targets is `share`."""
    inside = target.sum(1) > 0

    def attend(scale: float) -> float:
        attention = (scale * logits).softmax(-1)
        return float((attention * target).sum(1)[inside].mean())

    high = 1.0
    while attend(high) < share:
        high *= 2
        if high > LARGEST_SCALE:
            raise InitializerError(
                f"initializer 'impulse': attention on the neighbor stays below share = {share:g}: the heads "
                "are too narrow for the grid, or the positions too similar. Lower share, or use 'mimetic'"
            )
    low = 0.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if attend(middle) >= share else (middle, high)
    return high
