"""Depthwise filters with a covariance like that of trained filters, without data (`covariance`)."""

# K pixels of a filter, k * k; C channels
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from perceptinit.configs import NonNegativeFloat, PositiveFloat
from perceptinit.errors import InitializerError
from perceptinit.initializers.weights import reporting
from perceptinit.seeding import torch_generator
from perceptinit.types import InitReport, RunContext


@dataclass(eq=False)
class Covariance:
    """Sample the filters of depthwise convolutions (ConvNeXt, ConvMixer) with a smooth covariance.

    Filters are Gaussian with mean 0. The covariance of the pixels at offsets p and q from the center is the
    symmetric part of M (C - S / 2), where C = Z(p - q), S = Z(q), the mask M = Z(p), and Z(p) = exp(-|p|^2 /
    (2 s)). The variance s(d) = start + speed d + acceleration d^2 / 2 grows with the depth d, which is 0 at
    the first depthwise layer and 1 at the last. Other weights do not change. Control: `shuffle = true`
    permutes the pixels of each layer, which keeps the spectrum.

    Source: after Trockman, Willmott and Kolter 2023, arXiv 2210.03651. The formula is from works that cite
    the paper, because its full text and code were not accessible. Our choices: the defaults of s(d), its
    unit, the scale of the filters, and clipping negative eigenvalues to 0. The published effect (over 1 point
    on CIFAR-10) may therefore not hold here.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        start: PositiveFloat = 0.1
        """Variance s of the first depthwise layer, in square pixels."""
        speed: NonNegativeFloat = 0.4
        """Linear coefficient of s in the depth."""
        acceleration: NonNegativeFloat = 3.0
        """Quadratic coefficient of s: in the last layer, s = start + speed + acceleration / 2."""
        shuffle: bool = False
        """Control: permute the pixels of all filters in a layer by one random permutation."""

    config: Config

    @torch.no_grad()
    def initialize(self, model: Any, ctx: RunContext) -> InitReport:
        """Sample the depthwise filters in place.

        Raises:
            InitializerError: If the model has no depthwise convolution.
        """
        c = self.config
        layers = find_depthwise(model)
        with reporting("covariance", model) as report:
            for number, (name, layer) in enumerate(layers.items()):
                depth = number / max(len(layers) - 1, 1)
                variance = c.start + c.speed * depth + c.acceleration * depth**2 / 2
                height, width = layer.weight.shape[2:]
                root = square_root(filter_covariance(height, width, variance))
                generator = torch_generator(ctx.seed, ctx.stage, "covariance", name)
                filters = torch.randn(len(layer.weight), len(root), generator=generator).double() @ root
                if c.shuffle:
                    filters = filters[:, torch.randperm(len(root), generator=generator)]
                layer.weight.copy_(filters.reshape(layer.weight.shape))
            report.metrics["layers"] = len(layers)
        return report.result


def find_depthwise(model: nn.Module) -> dict[str, nn.Conv2d]:
    """Return the depthwise convolutions larger than 1 x 1 by name, in the order of the model.

    Raises:
        InitializerError: If the model has none.
    """
    layers = {name: m for name, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    found = {n: m for n, m in layers.items() if m.groups == m.in_channels > 1 and m.weight[0].numel() > 1}
    if not found:
        others = ", ".join(list(layers)[:3]) or "none"
        raise InitializerError(
            f"initializer 'covariance': {type(model).__name__} has no depthwise convolution. Use a ConvNeXt "
            f"or ConvMixer of timm (convolutions found: {others})"
        )
    return found


def filter_covariance(height: int, width: int, variance: float) -> Tensor:
    """Return the covariance of a filter's pixels, float64 (K, K) with K = height * width, in row-major order.

    Args:
        height: Rows of the filter.
        width: Columns of the filter.
        variance: s of Z(p) = exp(-|p|^2 / (2 s)), in square pixels.
    """
    grid = torch.meshgrid(torch.arange(height) - height // 2, torch.arange(width) - width // 2, indexing="ij")
    places = torch.stack(grid, dim=-1).reshape(-1, 2).double()
    mask = torch.exp(-places.square().sum(1) / (2 * variance))
    near = torch.exp(-torch.cdist(places, places).square() / (2 * variance))
    half = mask[:, None] * (near - mask / 2)
    return (half + half.T) / 2


def square_root(matrix: Tensor) -> Tensor:
    """Return the symmetric square root of a symmetric matrix (K, K), with negative eigenvalues set to 0."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T
