"""MLPs whose first layer starts with a mean (`mimetic-mlp`), without data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from perceptinit.configs import PositiveFloat
from perceptinit.errors import InitializerError
from perceptinit.initializers.report import reporting
from perceptinit.types import InitReport, RunContext

# of a block's MLP, the first layer: timm and transformers, open_clip, torchvision
FIRST_LAYERS = ("mlp.fc1", "mlp.c_fc", "mlp.0")


class MimeticMLP:
    """Adds a constant to the weights of the first layer of every MLP: trained networks have a mean there.

    Use it after `mimetic` in `[[init]]`, whose effect it adds to. Layer norm removes the mean of its input,
    so the outputs of a network with layer norm stay the same at first; the mean acts on how it trains.

    Source: Trockman and Kolter 2026, Mimetic Initialization of MLPs (arXiv 2602.07156): a non-zero mean.
    Its size there could not be read; the default here is ours.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        mean: PositiveFloat = 0.25
        """What is added, in standard deviations of the layer's weights."""

    def __init__(self, config: Config) -> None:
        self.config = config

    @torch.no_grad()
    def initialize(self, model: Any, ctx: RunContext) -> InitReport:
        """Shift the weights in place; InitializerError for a model without MLPs of a known layout."""
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
