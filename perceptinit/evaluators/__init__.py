"""Built-in evaluators."""

from __future__ import annotations

from perceptinit.hookspecs import hookimpl
from perceptinit.registry import Component, built_in

_EVALUATORS = {
    "two-afc": (
        "evaluators.two_afc:TwoAFC",
        "agreement with human similarity judgments, and embedding spread",
    ),
    "odd-one-out": ("evaluators.odd_one_out:OddOneOutScore", "agreement with human odd-one-out choices"),
    "zero-shot": (
        "evaluators.zero_shot:ZeroShot",
        "zero-shot classification with class names and prompt templates",
    ),
    "classification": (
        "evaluators.classification:ClassificationAccuracy",
        "top-1 accuracy of the classifier trained by pretrainer supervised",
    ),
    "retrieval": (
        "evaluators.retrieval:Retrieval",
        "image and text recall@k, with several captions per image",
    ),
    "rsa": ("evaluators.rsa:RSA", "rank correlation with human dissimilarity matrices, with a noise ceiling"),
    "knn": ("evaluators.labelled:KNN", "k-nearest-neighbor accuracy of the image embeddings"),
    "keep-weights": (
        "evaluators.keep_weights:KeepWeights",
        "saves the weights for a later `perceptinit eval`, without scores",
    ),
}


@hookimpl
def perceptinit_evaluators() -> list[Component]:
    return built_in(_EVALUATORS)
