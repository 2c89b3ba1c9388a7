"""The initializers `lsuv` and `weight-selection` for perceptinit."""

from __future__ import annotations

from collections.abc import Iterable

from perceptinit.plugin import Component, hookimpl


@hookimpl
def perceptinit_initializers() -> Iterable[Component]:
    return [
        Component(
            name="lsuv",
            target="perceptinit_initializers.lsuv:Lsuv",
            summary="orthonormal weights, scaled to unit output variance on images (Mishkin and Matas 2016)",
        ),
        Component(
            name="weight-selection",
            target="perceptinit_initializers.weight_selection:WeightSelection",
            summary="evenly spaced weights of a larger timm model (Xu et al. 2024)",
        ),
    ]
