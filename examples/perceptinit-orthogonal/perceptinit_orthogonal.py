"""Orthogonal initialization, an example of a plug-in with one initializer."""

from dataclasses import dataclass

from perceptinit.plugin import Component, hookimpl


@hookimpl
def perceptinit_initializers():
    return [
        Component(
            name="example/orthogonal",
            target=Orthogonal,
            summary="orthogonal weight matrices (Saxe et al. 2014)",
        )
    ]


class Orthogonal:
    """Set every weight matrix of the image tower to a random orthogonal matrix."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        gain: float = 1.0
        """Singular value of every weight matrix."""

    def __init__(self, config):
        self.config = config

    def initialize(self, model, ctx):
        import torch
        from torch.nn.init import orthogonal_

        from perceptinit.plugin import reporting, torch_generator

        with reporting("example/orthogonal", model) as report:
            generator = torch_generator(ctx.seed, ctx.stage)
            for weight in model.parameters():
                if weight.ndim == 2:  # sampled on the CPU, so equal on every device
                    drawn = orthogonal_(torch.empty(weight.shape), self.config.gain, generator)
                    weight.data.copy_(drawn)
        return report.result
