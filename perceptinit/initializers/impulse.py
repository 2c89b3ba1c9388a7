"""Attention that starts as a convolution (`impulse`), without data."""

from __future__ import annotations

# N patches on a square grid, D width of a token, d of a head
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

import torch
from annotated_types import Gt, Lt
from torch import Tensor
from torch.nn import functional as F

from perceptinit.configs import NonNegativeFloat, PositiveFloat
from perceptinit.errors import InitializerError
from perceptinit.initializers.attention import Positions, find_attention, find_positions
from perceptinit.initializers.mimetic import factors, set_value_and_out
from perceptinit.initializers.report import reporting
from perceptinit.seeding import torch_generator
from perceptinit.types import InitReport, RunContext

OFFSETS = tuple((row, column) for row in (-1, 0, 1) for column in (-1, 0, 1))
LARGEST_SCALE = 2.0**10  # of logits that would be those of a whole shift at rank N


class Impulse:
    """Makes each head look at one neighbour: every patch attends to the patch one step away, or to itself.

    Heads get the nine offsets of a 3 x 3 window, dealt at random in every layer. With layer-normed
    position embeddings P, the logits P Wq Wk' P' are the best approximation, at the rank of a head, of
    the matrix that shifts the grid by the offset, scaled until a stated share of attention falls on the
    neighbour. P are the tower's own random positions, made larger, so that they count beside what the
    patches show. Values and their projection are as in `mimetic`.

    Source: Zheng et al. 2025, Structured Initialization for Vision Transformers; they scale queries
    and keys by a constant, here the scale follows from the share.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        share: Annotated[float, Gt(0), Lt(1)] = 0.5
        """Mean share of a patch's attention on the neighbour, by positions alone."""
        position_std: PositiveFloat = 0.36
        """Standard deviation that the position embeddings are scaled to. Published: 18 times timm's 0.02."""
        vo_noise: NonNegativeFloat = 0.4
        """a of Wv Wproj = a Z - b I, as in mimetic."""
        vo_identity: NonNegativeFloat = 0.4
        """b of Wv Wproj = a Z - b I, as in mimetic."""

    def __init__(self, config: Config) -> None:
        self.config = config

    @torch.no_grad()
    def initialize(self, model: Any, ctx: RunContext) -> InitReport:
        """Set attention and positions in place.

        Raises InitializerError for a model without attention or learned positions, or when the share
        cannot be reached: heads too narrow for the grid, or positions that are too much alike.
        """
        layers, positions = find_attention(model, "impulse"), find_positions(model, "impulse")
        with reporting("impulse", model) as report:
            positions.patches.mul_(self.config.position_std / positions.patches.std())
            logits = Logits(positions, layers[0].head_dim, self.config.share)
            for layer in layers:
                generator = torch_generator(ctx.seed, ctx.stage, "impulse", layer.name)
                order = torch.randperm(len(OFFSETS), generator=generator).tolist()
                for head in range(layer.num_heads):
                    query, key = logits.factors(OFFSETS[order[head % len(OFFSETS)]])
                    layer.head(layer.query, head).copy_(query.T)
                    layer.head(layer.key, head).copy_(key.T)
                set_value_and_out(layer, self.config.vo_noise, self.config.vo_identity, generator)
        return report.result


class Logits:
    """Finds queries and keys for an offset; the same in every layer, so each is computed once."""

    def __init__(self, positions: Positions, head_dim: int, share: float) -> None:
        self._side, self._head_dim, self._share = positions.side, head_dim, share
        patches = positions.patches.detach().cpu().double()
        self._points = F.layer_norm(patches, patches.shape[1:])
        self._inverse = torch.linalg.pinv(self._points)
        self.factors = cache(self._solve)

    def _solve(self, offset: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Return Wq and Wk, (D, d) each."""
        target = shift_matrix(self._side, offset)
        left, right = factors(self._inverse @ target @ self._inverse.T, self._head_dim)
        missing = self._head_dim - left.shape[1]  # a head wider than a token is padded with 0
        left, right = F.pad(left, (0, missing)), F.pad(right, (0, 0, 0, missing))
        logits = self._points @ left @ right @ self._points.T / self._head_dim**0.5
        root = scale_for_share(logits, target, self._share) ** 0.5
        return (root * left).float(), (root * right.T).float()


def shift_matrix(side: int, offset: tuple[int, int]) -> Tensor:
    """Return which patch lies at the offset (rows, columns) of each, float64 (N, N) of 0 and 1.

    Rows of patches whose neighbour lies outside the grid are 0.
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


def scale_for_share(logits: Tensor, target: Tensor, share: float) -> float:
    """Return the factor of the logits (N, N) at which the mean attention on the targets is `share`.

    Raises InitializerError when no factor reaches it.
    """
    inside = target.sum(1) > 0

    def attend(scale: float) -> float:
        attention = (scale * logits).softmax(-1)
        return float((attention * target).sum(1)[inside].mean())

    high = 1.0
    while attend(high) < share:
        high *= 2
        if high > LARGEST_SCALE:
            raise InitializerError(
                f"initializer 'impulse': attention on the neighbour stays below share = {share:g}: heads "
                "too narrow for the grid, or positions too much alike. Lower share, or use 'mimetic'"
            )
    low = 0.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if attend(middle) >= share else (middle, high)
    return high
