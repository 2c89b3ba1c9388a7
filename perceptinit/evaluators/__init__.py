"""Built-in evaluators."""

from perceptinit.hookspecs import hookimpl
from perceptinit.registry import Component, built_in

_EVALUATORS = {
    "two-afc": ("two_afc:TwoAFC", "agreement with human similarity judgments, and embedding spread"),
    "odd-one-out": ("odd_one_out:OddOneOutScore", "agreement with human odd-one-out choices"),
    "zero-shot": ("zero_shot:ZeroShot", "zero-shot classification with class names and prompt templates"),
    "classification": (
        "labelled:ClassificationAccuracy",
        "top-1 accuracy of the classifier trained by pretrainer supervised",
    ),
    "retrieval": ("retrieval:Retrieval", "image and text recall@k, with several captions per image"),
    "rsa": ("rsa:RSA", "rank correlation with human dissimilarity matrices, with a noise ceiling"),
    "knn": ("labelled:KNN", "k-nearest-neighbor accuracy of the image embeddings"),
    "keep-weights": (
        "keep_weights:KeepWeights",
        "saves the weights for a later `perceptinit eval`, without scores",
    ),
}


@hookimpl
def perceptinit_evaluators() -> list[Component]:
    return built_in(_EVALUATORS, __name__)
