"""Weights without data, like those of trained networks (`mimetic`, `mimetic-mlp`) or of convolutions."""

# N patches on a square grid, D width of a token, d of a head, r rank
import math
from dataclasses import dataclass
from functools import cache, partial
from typing import Annotated, Any, Literal

import torch
from annotated_types import Gt, Lt
from torch import Tensor, nn
from torch.nn import functional as F

from perceptinit.configs import NonNegativeFloat, PositiveFloat
from perceptinit.errors import InitializerError
from perceptinit.initializers.attention import Attention, find_attention, find_positions, sinusoidal
from perceptinit.initializers.weights import reporting
from perceptinit.seeding import torch_generator
from perceptinit.types import InitReport, RunContext

# first layer of an MLP in timm and transformers, open_clip, torchvision
FIRST_LAYERS = ("mlp.fc1", "mlp.c_fc", "mlp.0")
OFFSETS = tuple((row, column) for row in (-1, 0, 1) for column in (-1, 0, 1))
LARGEST_SCALE = 2.0**10  # of logits


@dataclass(eq=False)
class Mimetic:
    """Set products of attention matrices close to the identity, as in pretrained vision transformers.

    For tokens x, queries are x Wq and keys x Wk. In each head, Wq Wk' is the best approximation of a Z + b I
    at the rank of the head. In each layer, Wv Wproj approximates a Z - b I. Z (D, D) has independent Gaussian
    entries with variance 1 / D. The factors are from a singular value decomposition, whose singular values
    are split evenly. Other weights do not change. The method needs no data, so it is a control for the effect
    of structure.

    Source: Trockman and Kolter 2023, Mimetic Initialization of Self-Attention Layers. Published effect: more
    than 5 points on CIFAR-10 and 4 on ImageNet. Measured here: 5.2 points [3.6, 6.8] on CIFAR-10 after one
    epoch (docs/results/structure.md).
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        qk_noise: NonNegativeFloat = 0.7
        """a of Wq Wk' = a Z + b I."""
        qk_identity: NonNegativeFloat = 0.7
        """b of Wq Wk' = a Z + b I."""
        vo_noise: NonNegativeFloat = 0.4
        """a of Wv Wproj = a Z - b I."""
        vo_identity: NonNegativeFloat = 0.4
        """b of Wv Wproj = a Z - b I."""
        positions: Literal["sinusoidal", "keep"] = "sinusoidal"
        """Position embeddings of the patches: "sinusoidal", as in the paper, or "keep"."""

    config: Config

    @torch.no_grad()
    def initialize(self, model: Any, ctx: RunContext) -> InitReport:
        """Set attention matrices and position embeddings in place.

        Raises:
            InitializerError: If the model has no supported attention layers or no position embeddings.
        """
        with reporting("mimetic", model) as report:
            for layer in find_attention(model, "mimetic"):
                self._set(layer, torch_generator(ctx.seed, ctx.stage, "mimetic", layer.name))
            if self.config.positions == "sinusoidal":
                positions = find_positions(model, "mimetic")
                num_patches, width = positions.shape
                positions.copy_(sinusoidal(math.isqrt(num_patches), width))
        return report.result

    def _set(self, layer: Attention, generator: torch.Generator) -> None:
        c = self.config
        width = layer.query.shape[1]
        for head in range(layer.num_heads):
            target = _near_identity(width, c.qk_noise, c.qk_identity, generator)
            left, right = factors(target, layer.head_dim)
            layer.head(layer.query, head).copy_(left.T)
            layer.head(layer.key, head).copy_(right)
        set_value_and_out(layer, c.vo_noise, c.vo_identity, generator)


def set_value_and_out(layer: Attention, noise: float, identity: float, generator: torch.Generator) -> None:
    """Set Wv and Wproj so that Wv Wproj approximates noise * Z - identity * I."""
    target = _near_identity(layer.query.shape[1], noise, -identity, generator)
    left, right = factors(target, len(layer.value))
    layer.value.copy_(left.T)
    layer.out.copy_(right.T)


def _near_identity(width: int, noise: float, identity: float, generator: torch.Generator) -> Tensor:
    """Return noise * Z + identity * I, float32 (D, D); Z has Gaussian entries with variance 1 / D."""
    z = torch.randn(width, width, generator=generator) / width**0.5
    return noise * z + identity * torch.eye(width)


def factors(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Return the factors (D, r) and (r, D) of the best rank-r approximation of a matrix (D, D)."""
    u, s, vh = torch.linalg.svd(matrix)
    root = s[:rank].sqrt()
    return u[:, :rank] * root, root[:, None] * vh[:rank]


@dataclass(eq=False)
class MimeticMLP:
    """Add a constant to the weights of the first layer of every MLP; in trained networks their mean is not 0.

    Use it after `mimetic` in `[[init]]`. The input of an MLP after layer norm has mean 0, so the constant
    does not change the initial outputs, only training.

    Source: Trockman and Kolter 2026, Mimetic Initialization of MLPs (arXiv 2602.07156). The paper reports a
    smaller gain in addition to that of `mimetic`. Its constant was not accessible; the default is ours.
    Measured here: no effect at three model sizes and training lengths (docs/results/mimetic-mlp.md).
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        mean: PositiveFloat = 0.25
        """Constant to add, in standard deviations of the layer's weights."""

    config: Config

    @torch.no_grad()
    def initialize(self, model: Any, ctx: RunContext) -> InitReport:
        """Shift the weights in place.

        Raises:
            InitializerError: If the model has no MLP of a known layout.
        """
        ends = tuple(f".{name}" for name in FIRST_LAYERS)
        linear = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear)}
        weights = [layer.weight for name, layer in linear.items() if f".{name}".endswith(ends)]
        if not weights:
            raise InitializerError(
                f"initializer 'mimetic-mlp': {type(model).__name__} has no MLP with a linear layer named "
                f"{', '.join(FIRST_LAYERS)}. Use a vision transformer"
            )
        with reporting("mimetic-mlp", model) as report:
            for weight in weights:
                weight.add_(self.config.mean * weight.std())
        return report.result


@dataclass(eq=False)
class Impulse:
    """Make each attention head attend from every patch to one neighbor, like a 3 x 3 convolution.

    The nine offsets of a 3 x 3 window, including 0, are assigned to the heads of a layer in random order. P
    (N, D) are the tower's position embeddings after layer norm, scaled up to compete with patch content. The
    logits P Wq Wk' P' are the best approximation, at the rank of a head, of the matrix (N, N) that shifts the
    grid by the offset. They are scaled so that a given share of the attention is on the neighbor. Values and
    their projection are initialized as in `mimetic`.

    Source: Zheng et al. 2025, Structured Initialization for Vision Transformers (arXiv 2505.19985), which
    scales queries and keys by a constant; here `share` determines the scale. Measured here: 7.7 points [7.0,
    8.4] on CIFAR-10 after one epoch (docs/results/structure.md).
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        share: Annotated[float, Gt(0), Lt(1)] = 0.5
        """Mean attention weight of the neighbor, computed from position embeddings alone, in (0, 1)."""
        position_std: PositiveFloat = 0.36
        """Standard deviation of the scaled position embeddings. Published: 18 times timm's 0.02."""
        vo_noise: NonNegativeFloat = 0.4
        """a of Wv Wproj = a Z - b I, as in `mimetic`."""
        vo_identity: NonNegativeFloat = 0.4
        """b of Wv Wproj = a Z - b I, as in `mimetic`."""

    config: Config

    @torch.no_grad()
    def initialize(self, model: Any, ctx: RunContext) -> InitReport:
        """Set the attention matrices and scale the position embeddings in place.

        Raises:
            InitializerError: If the model has no supported attention or no learned position embeddings, or if
                no scale of the logits reaches the share.
        """
        layers = find_attention(model, "impulse")
        positions = find_positions(model, "impulse")
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
    """Return the query and key matrices of a head that attends to a neighbor, float32 (D, d) each.

    Args:
        positions: Position embeddings of the patches, (N, D).
        head_dim: Width d of a head.
        share: Mean attention weight of the neighbor, in (0, 1).
        offset: Rows and columns from a patch to its neighbor.

    Raises:
        InitializerError: If no scale of the logits reaches the share.
    """
    patches = positions.detach().cpu().double()
    points = F.layer_norm(patches, patches.shape[1:])
    inverse = torch.linalg.pinv(points)
    target = shift_matrix(math.isqrt(len(points)), offset)
    left, right = factors(inverse @ target @ inverse.T, head_dim)
    missing = head_dim - left.shape[1]  # a head wider than a token is zero-padded
    left = F.pad(left, (0, missing))
    right = F.pad(right, (0, 0, 0, missing))
    logits = points @ left @ right @ points.T / head_dim**0.5
    root = _scale_for_share(logits, target, share) ** 0.5
    return (root * left).float(), (root * right.T).float()


def shift_matrix(side: int, offset: tuple[int, int]) -> Tensor:
    """Return the 0/1 matrix that shifts a square grid of patches, float64 (N, N).

    Args:
        side: Patches in a row; N = side * side.
        offset: Rows and columns from each patch to its neighbor. If the neighbor is outside the grid, the row
            is 0.
    """
    grid = torch.arange(side * side).reshape(side, side)
    shifted = torch.full((side + 2, side + 2), -1)
    shifted[1:-1, 1:-1] = grid
    row = 1 + offset[0]
    column = 1 + offset[1]
    neighbour = shifted[row : row + side, column : column + side].flatten()
    target = torch.zeros(side * side, side * side, dtype=torch.float64)
    inside = neighbour >= 0
    target[inside, neighbour[inside]] = 1
    return target


def _scale_for_share(logits: Tensor, target: Tensor, share: float) -> float:
    """Return the factor of the logits (N, N) for which the mean attention on the targets is `share`."""
    inside = target.sum(1) > 0

    def attend(scale: float) -> float:
        attention = (scale * logits).softmax(-1)
        return float((attention * target).sum(1)[inside].mean())

    high = 1.0
    while attend(high) < share:
        high *= 2
        if high > LARGEST_SCALE:
            raise InitializerError(
                f"initializer 'impulse': attention on the neighbor stays below share = {share:g}. The heads "
                "are too narrow for the grid, or the positions too similar: lower share or use 'mimetic'"
            )
    low = 0.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if attend(middle) >= share else (middle, high)
    return high
