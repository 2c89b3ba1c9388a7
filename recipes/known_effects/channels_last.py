"""Backbone `known-effects/channels-last`: the backbone `timm` with images in torch's channels_last memory format.

On a CPU, EfficientNet-Lite0 takes two thirds of the time in this format. Recipes list this file in `plugins`.
"""

from typing import Any

import torch
from torch import Tensor, nn

from perceptinit.backbones.timm_backbone import Timm
from perceptinit.plugin import Component, DualTower, hookimpl


@hookimpl
def perceptinit_backbones() -> list[Component]:
    return [
        Component(
            name="known-effects/channels-last",
            target=f"{__name__}:ChannelsLast",
            summary="timm vision models that get images in the channels_last memory format",
        )
    ]


class ChannelsLast(Timm):
    """`timm`, where images reach the vision model in the channels_last memory format."""

    def build(self) -> DualTower:
        """Return a new model, initialized from torch's global generator."""
        model = super().build()
        model.image.trunk.register_forward_pre_hook(to_channels_last)
        return model


def to_channels_last(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Tensor]:
    """Return the images of a forward pass with the channels of a pixel next to each other in memory."""
    return (inputs[0].contiguous(memory_format=torch.channels_last),)
