"""Layer-sequential unit-variance initialization (`lsuv`)."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from perceptinit.components.building import preflight
from perceptinit.configs import PositiveFloat, PositiveInt
from perceptinit.errors import InitializerError, problems_of
from perceptinit.images.stimuli import StimulusImages
from perceptinit.initializers.weights import only_training, reporting
from perceptinit.protocols import Judgments
from perceptinit.seeding import torch_generator
from perceptinit.types import Fit, InitReport, RunContext

Layer = nn.Linear | nn.Conv2d


@dataclass(eq=False)
class Lsuv:
    """Scale each linear and convolutional layer to a given standard deviation of its outputs on images.

    Layers are scaled in forward order, so each layer receives inputs from scaled layers. The images are from
    the training judgments and the votes are ignored, so `lsuv` is a control without human judgments. Weights
    outside such layers, as in torch.nn.MultiheadAttention, are not scaled.

    Source: LSUV (Mishkin and Matas 2016), here in one pass, because a layer without bias is linear. Published
    effect: in very deep networks, test accuracy equal to or better than with standard initializations.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        std: PositiveFloat = 1.0
        """Standard deviation of each layer's outputs. Source: LSUV."""
        orthogonal: bool = True
        """Start from random orthonormal weights and zero biases, as in LSUV. If false, scale the current
        weights and biases."""
        num_images: PositiveInt = 256
        """Maximum number of images in the batch."""

    config: Config
    judgments: Judgments

    def preflight(self) -> Iterator[str]:
        """Yield problems with the training judgments."""
        if not preflight(self.judgments):
            yield from problems_of(self.judgments.load, "train")

    def initialize(self, model: Any, ctx: RunContext) -> InitReport:
        """Scale the layers in place.

        Raises:
            InitializerError: If the outputs of a layer are constant or not finite.
        """
        triplets = self.judgments.load("train")
        chosen = np.sort(ctx.rng("images").permutation(triplets.used)[: self.config.num_images])
        squares = StimulusImages(
            triplets.stimuli, model.image_size, fit=Fit.of(model), num_workers=ctx.num_workers
        )
        images = squares[chosen].to(ctx.device)
        scaled: set[str] = set()
        with (
            reporting("lsuv", model) as report,
            only_training(model, []),
            torch.no_grad(),
            ExitStack() as hooks,
        ):
            layers = {n: m for n, m in model.named_modules() if isinstance(m, Layer)}
            if self.config.orthogonal:
                for name, layer in layers.items():
                    weight = torch.empty(layer.weight.shape)
                    generator = torch_generator(ctx.seed, ctx.stage, "lsuv", name)
                    layer.weight.copy_(nn.init.orthogonal_(weight, generator=generator))
                    if layer.bias is not None:
                        layer.bias.zero_()
            model.eval()  # batch norm keeps its statistics: those of one batch fit no other images
            for name, layer in layers.items():
                hook = partial(self._scale_layer, name, scaled)
                hooks.callback(layer.register_forward_hook(hook).remove)
            model.encode_image(images)
            report.metrics.update(layers=len(layers), layers_scaled=len(scaled), images=len(images))
        return report.result

    def _scale_layer(
        self, name: str, scaled: set[str], layer: Layer, inputs: tuple[Tensor, ...], output: Tensor
    ) -> Tensor:
        if name in scaled:  # a layer that is used twice keeps its first scale
            return output
        spread = float(output.std())
        if not spread > 0:
            raise InitializerError(
                f"initializer 'lsuv': the outputs of {name} over {len(inputs[0])} inputs have "
                f"standard deviation {spread:g}, expected a positive number. Is its weight 0 or not finite?"
            )
        factor = self.config.std / spread
        scaled.add(name)
        layer.weight.mul_(factor)
        if layer.bias is not None:
            layer.bias.mul_(factor)
        return output * factor
