"""Exponential moving average of weights: what is evaluated and handed on instead of the last ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from perceptinit.pretrainers.sharding import like, whole


class WeightAverage:
    """Keeps `average = decay * average + (1 - decay) * weights` after each step, from the first weights on.

    Costs 4 bytes a parameter. Source: Polyak and Juditsky 1992; with decay as in Tarvainen and
    Valpola 2017.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], decay: float) -> None:
        self._parameters = list[Tensor](parameters)
        self._weight = 1 - decay
        self._average = [p.detach().clone() for p in self._parameters]

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights of this step into the average."""
        pairs = list(zip(self._average, self._parameters, strict=True))
        for is_cut in (True, False):  # a kernel takes one sort of tensor
            part = [pair for pair in pairs if isinstance(pair[0], DTensor) == is_cut]
            if part:
                averages, weights = ([pair[i] for pair in part] for i in (0, 1))
                torch._foreach_lerp_(averages, weights, self._weight)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange average and weights; a second time, all is as before."""
        for average, parameter in zip(self._average, self._parameters, strict=True):
            kept = parameter.clone()
            parameter.copy_(average)
            average.copy_(kept)

    def state(self) -> list[Tensor]:
        """Return the averages, whole."""
        return [whole(average) for average in self._average]

    def load(self, state: Sequence[Any]) -> None:
        """Continue from `state`."""
        for average, saved in zip(self._average, state, strict=True):
            average.copy_(like(saved, average))
