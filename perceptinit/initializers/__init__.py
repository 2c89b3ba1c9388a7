"""Initializers: ways to set the weights of an image tower before (or after) pretraining."""

from __future__ import annotations

from perceptinit.hookspecs import hookimpl
from perceptinit.registry import Component


@hookimpl
def perceptinit_initializers() -> list[Component]:
    return [
        Component(
            name="random",
            target="perceptinit.initializers.random:Random",
            summary="fresh weights under the run's seed",
        ),
        Component(
            name="imagenet",
            target="perceptinit.initializers.imagenet:ImageNet",
            summary="timm's ImageNet weights of the same architecture, from a file or downloaded",
        ),
        Component(
            name="checkpoint",
            target="perceptinit.initializers.checkpoint:Checkpoint",
            summary="weights from a safetensors file, strictly, with an explicit key map",
        ),
        Component(
            name="triplet-hinge",
            target="perceptinit.initializers.triplet:TripletHinge",
            summary="perceptual initialization: hinge loss on human similarity judgments",
        ),
        Component(
            name="triplet",
            target="perceptinit.initializers.triplet:Triplet",
            summary="human similarity judgments by another loss: logistic, odd-one-out, info-nce, hinge",
        ),
        Component(
            name="mimetic",
            target="perceptinit.initializers.mimetic:Mimetic",
            summary="attention near the identity, as in trained networks; no data (Trockman and Kolter 2023)",
        ),
        Component(
            name="mimetic-mlp",
            target="perceptinit.initializers.mimetic_mlp:MimeticMLP",
            summary="a mean that is not 0 in the first layer of each MLP; no data (Trockman and Kolter 2026)",
        ),
        Component(
            name="impulse",
            target="perceptinit.initializers.impulse:Impulse",
            summary="attention heads that look at one neighbour, as convolutions; no data (Zheng 2025)",
        ),
        Component(
            name="weight-selection",
            target="perceptinit.initializers.weight_selection:WeightSelection",
            summary="evenly spaced elements of a larger timm model's weights (Xu et al. 2024)",
        ),
        Component(
            name="interpolate",
            target="perceptinit.initializers.interpolate:Interpolate",
            summary="part of the way from the weights that are there to a file's, or to fresh ones",
        ),
        Component(
            name="norm-matched",
            target="perceptinit.initializers.norm_matched:NormMatched",
            summary="the directions of the weights that are there, with the norms of fresh ones",
        ),
        Component(
            name="lsuv",
            target="perceptinit.initializers.lsuv:Lsuv",
            summary="orthonormal weights, scaled on images to outputs of unit variance (LSUV)",
        ),
        Component(
            name="statistics-matched",
            target="perceptinit.initializers.statistics_matched:StatisticsMatched",
            summary="control: each tensor redrawn with its own spectrum or values, after a stage 1",
        ),
    ]
