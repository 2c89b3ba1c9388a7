"""Built-in initializers, which set the weights of an image tower before or after pretraining."""

from __future__ import annotations

from perceptinit.hookspecs import hookimpl
from perceptinit.registry import Component, built_in

_INITIALIZERS = {
    "random": (
        "initializers.random:Random",
        "random initialization of the architecture, with the seed of the run",
    ),
    "imagenet": (
        "initializers.imagenet:ImageNet",
        "timm's ImageNet weights for the architecture, from a file or a download",
    ),
    "timm-weights": (
        "initializers.imagenet:AnyTimmWeights",
        "any published weights of timm for the architecture, by tag (MAE, DINO, CLIP, ...)",
    ),
    "timm-scheme": (
        "initializers.timm_scheme:TimmScheme",
        "control: reinitialization by one of timm's random schemes (jax, moco, reset)",
    ),
    "checkpoint": (
        "initializers.checkpoint:Checkpoint",
        "weights from a safetensors file, loaded strictly, with an optional key map",
    ),
    "triplet-hinge": (
        "initializers.triplet:TripletHinge",
        "perceptual initialization: hinge loss on human similarity judgments (Hu et al. 2025)",
    ),
    "triplet": (
        "initializers.triplet:Triplet",
        "stage 1 with a choice of loss: logistic, odd-one-out, info-nce, hinge",
    ),
    "pretrain": (
        "initializers.pretrain:Pretrain",
        "another pretraining as stage 1; only the image tower is kept",
    ),
    "distil": (
        "initializers.pretrain:Distil",
        "distillation from a run, a timm or open_clip model, or random weights (control)",
    ),
    "procedural": (
        "initializers.procedural:Procedural",
        "masked prediction in a formal language, without images (Shinnick et al. 2026)",
    ),
    "mimetic": (
        "initializers.mimetic:Mimetic",
        "attention products near the identity; no data (Trockman and Kolter 2023)",
    ),
    "mimetic-mlp": (
        "initializers.mimetic_mlp:MimeticMLP",
        "non-zero mean weight in the first layer of MLPs; no data (Trockman and Kolter 2026)",
    ),
    "impulse": (
        "initializers.impulse:Impulse",
        "attention heads that imitate a convolution; no data (Zheng et al. 2025)",
    ),
    "covariance": (
        "initializers.covariance:Covariance",
        "depthwise filters with a smooth covariance; no data (after Trockman et al. 2023)",
    ),
    "interpolate": (
        "initializers.interpolate:Interpolate",
        "interpolation between the current weights and a file or a random initialization",
    ),
    "norm-matched": (
        "initializers.norm_matched:NormMatched",
        "control after stage 1: each matrix scaled to its norm at initialization",
    ),
    "statistics-matched": (
        "initializers.statistics_matched:StatisticsMatched",
        "control after stage 1: each tensor randomized, preserving spectrum, values or moments",
    ),
}


@hookimpl
def perceptinit_initializers() -> list[Component]:
    return built_in(_INITIALIZERS)
