"""A non-zero mean in the first layer of each MLP, without data (`mimetic-mlp`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from perceptinit.configs import PositiveFloat
from perceptinit.errors import InitializerError
from perceptinit.initializers.report import reporting
from perceptinit.types import InitReport, RunContext

# the first layer of a block's MLP in timm and transformers, open_clip, torchvision
FIRST_LAYERS = ("mlp.fc1", "mlp.c_fc", "mlp.0")


class MimeticMLP:
    """Adds a constant to the weights of the first layer of every MLP, which have a mean in trained networks.

    Use it after `mimetic` in `[[init]]`. Layer norm removes the mean of its input, so the outputs of a
    network with layer norm do not change at first; the mean affects training.

    Source: Trockman and Kolter 2026, Mimetic Initialization of MLPs (arXiv 2602.07156). The paper reports a
    gain smaller than that of `mimetic`, in addition to it. The size of its mean could not be read; the
    default is ours. No effect was found at three sizes and lengths here (docs/results/mimetic-mlp.md).
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
                f"initializer 'mimetic-mlp': no MLP in {type(model).__name__} (looked for a linear layer "
                f"{', '.join(FIRST_LAYERS)}). Use it with a vision transformer"
            )
        with reporting("mimetic-mlp", model) as report:
            for weight in weights:
                weight.add_(self.config.mean * weight.std())
        return report.result
