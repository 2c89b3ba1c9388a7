"""Built-in initializers, which set the weights of an image tower before or after pretraining."""

from __future__ import annotations

from perceptinit.hookspecs import hookimpl
from perceptinit.registry import Component


@hookimpl
def perceptinit_initializers() -> list[Component]:
    return [
        Component(
            name="random",
            target="perceptinit.initializers.random:Random",
            summary="random initialization of the architecture, with the seed of the run",
        ),
        Component(
            name="imagenet",
            target="perceptinit.initializers.imagenet:ImageNet",
            summary="timm's ImageNet weights for the architecture, from a file or a download",
        ),
        Component(
            name="timm-weights",
            target="perceptinit.initializers.imagenet:AnyTimmWeights",
            summary="any published weights of timm for the architecture, by tag (MAE, DINO, CLIP, ...)",
        ),
        Component(
            name="timm-scheme",
            target="perceptinit.initializers.timm_scheme:TimmScheme",
            summary="control: reinitialization by one of timm's random schemes (jax, moco, reset)",
        ),
        Component(
            name="checkpoint",
            target="perceptinit.initializers.checkpoint:Checkpoint",
            summary="weights from a safetensors file, loaded strictly, with an optional key map",
        ),
        Component(
            name="triplet-hinge",
            target="perceptinit.initializers.triplet:TripletHinge",
            summary="perceptual initialization: hinge loss on human similarity judgments (Hu et al. 2025)",
        ),
        Component(
            name="triplet",
            target="perceptinit.initializers.triplet:Triplet",
            summary="stage 1 with a choice of loss: logistic, odd-one-out, info-nce, hinge",
        ),
        Component(
            name="pretrain",
            target="perceptinit.initializers.pretrain:Pretrain",
            summary="another pretraining as stage 1; only the image tower is kept",
        ),
        Component(
            name="distil",
            target="perceptinit.initializers.pretrain:Distil",
            summary="distillation from a run, a timm or open_clip model, or random weights (control)",
        ),
        Component(
            name="procedural",
            target="perceptinit.initializers.procedural:Procedural",
            summary="masked prediction in a formal language, without images (Shinnick et al. 2026)",
        ),
        Component(
            name="mimetic",
            target="perceptinit.initializers.mimetic:Mimetic",
            summary="attention products near the identity; no data (Trockman and Kolter 2023)",
        ),
        Component(
            name="mimetic-mlp",
            target="perceptinit.initializers.mimetic_mlp:MimeticMLP",
            summary="non-zero mean weight in the first layer of MLPs; no data (Trockman and Kolter 2026)",
        ),
        Component(
            name="impulse",
            target="perceptinit.initializers.impulse:Impulse",
            summary="attention heads that imitate a convolution; no data (Zheng et al. 2025)",
        ),
        Component(
            name="covariance",
            target="perceptinit.initializers.covariance:Covariance",
            summary="depthwise filters with a smooth covariance; no data (after Trockman et al. 2023)",
        ),
        Component(
            name="interpolate",
            target="perceptinit.initializers.interpolate:Interpolate",
            summary="interpolation between the current weights and a file or a random initialization",
        ),
        Component(
            name="norm-matched",
            target="perceptinit.initializers.norm_matched:NormMatched",
            summary="control after stage 1: each matrix scaled to its norm at initialization",
        ),
        Component(
            name="statistics-matched",
            target="perceptinit.initializers.statistics_matched:StatisticsMatched",
            summary="control after stage 1: each tensor randomized, preserving spectrum, values or moments",
        ),
    ]
