"""A non-zero mean weight in the first layer of each MLP, without data (`mimetic-mlp`)."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from perceptinit.configs import PositiveFloat
from perceptinit.errors import InitializerError
from perceptinit.initializers.weights import reporting
from perceptinit.types import InitReport, RunContext

# first layer of an MLP in timm and transformers, open_clip, torchvision
FIRST_LAYERS = ("mlp.fc1", "mlp.c_fc", "mlp.0")


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

    def __init__(self, config: Config) -> None:
        self.config = config

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
