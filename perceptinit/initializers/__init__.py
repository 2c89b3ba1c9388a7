"""Built-in initializers, which set the weights of an image tower before or after pretraining."""

from perceptinit.hookspecs import hookimpl
from perceptinit.registry import Component, built_in

_INITIALIZERS = {
    "random": ("random:Random", "random initialization of the architecture, with the seed of the run"),
    "imagenet": (
        "imagenet:ImageNet",
        "timm's ImageNet weights for the architecture, from a file or a download",
    ),
    "timm-weights": (
        "imagenet:AnyTimmWeights",
        "any published weights of timm for the architecture, by tag (MAE, DINO, CLIP, ...)",
    ),
    "timm-scheme": (
        "random:TimmScheme",
        "control: reinitialization by one of timm's random schemes (jax, moco, reset)",
    ),
    "checkpoint": (
        "checkpoint:Checkpoint",
        "weights from a safetensors file, loaded strictly, with an optional key map",
    ),
    "triplet-hinge": (
        "triplet_hinge:TripletHinge",
        "perceptual initialization: hinge loss on human similarity judgments (Hu et al. 2025)",
    ),
    "triplet": ("triplet:Triplet", "stage 1 with a choice of loss: logistic, odd-one-out, info-nce, hinge"),
    "linear": (
        "linear:Linear",
        "a linear map of the embeddings, fitted on judgments (after Muttenthaler et al. 2023)",
    ),
    "pretrain": ("pretrain:Pretrain", "another pretraining as stage 1; only the image tower is kept"),
    "distil": (
        "pretrain:Distil",
        "distillation from a run, a timm or open_clip model, or random weights (control)",
    ),
    "procedural": (
        "procedural:Procedural",
        "masked prediction in a formal language, without images (Shinnick et al. 2026)",
    ),
    "mimetic": (
        "mimetic:Mimetic",
        "attention products near the identity; no data (Trockman and Kolter 2023)",
    ),
    "mimetic-mlp": (
        "mimetic:MimeticMLP",
        "non-zero mean weight in the first layer of MLPs; no data (Trockman and Kolter 2026)",
    ),
    "impulse": ("mimetic:Impulse", "attention heads that imitate a convolution; no data (Zheng et al. 2025)"),
    "covariance": (
        "covariance:Covariance",
        "depthwise filters with a smooth covariance; no data (after Trockman et al. 2023)",
    ),
    "lsuv": (
        "lsuv:Lsuv",
        "orthonormal weights, scaled to unit output variance on images (Mishkin and Matas 2016)",
    ),
    "weight-selection": (
        "weight_selection:WeightSelection",
        "evenly spaced weights of a larger timm model (Xu et al. 2024)",
    ),
    "interpolate": (
        "checkpoint:Interpolate",
        "interpolation between the current weights and a file or a random initialization",
    ),
    "norm-matched": (
        "random:NormMatched",
        "control after stage 1: each matrix scaled to its norm at initialization",
    ),
    "statistics-matched": (
        "random:StatisticsMatched",
        "control after stage 1: each tensor randomized, preserving spectrum, values or moments",
    ),
}


@hookimpl
def perceptinit_initializers() -> list[Component]:
    return built_in(_INITIALIZERS, __name__)
