"""Built-in evaluators."""

from __future__ import annotations

from collections.abc import Iterable

from perceptinit.hookspecs import hookimpl
from perceptinit.registry import Component


@hookimpl
def perceptinit_evaluators() -> Iterable[Component]:
    return [
        Component(
            name="two-afc",
            target="perceptinit.evaluators.two_afc:TwoAFC",
            summary="agreement with human similarity judgments, and embedding spread",
        ),
        Component(
            name="odd-one-out",
            target="perceptinit.evaluators.odd_one_out:OddOneOutScore",
            summary="agreement with human odd-one-out choices",
        ),
        Component(
            name="zero-shot",
            target="perceptinit.evaluators.zero_shot:ZeroShot",
            summary="zero-shot classification with class names and prompt templates",
        ),
        Component(
            name="classification",
            target="perceptinit.evaluators.classification:ClassificationAccuracy",
            summary="top-1 accuracy of the classifier trained by pretrainer supervised",
        ),
        Component(
            name="retrieval",
            target="perceptinit.evaluators.retrieval:Retrieval",
            summary="image and text recall@k, with several captions per image",
        ),
        Component(
            name="rsa",
            target="perceptinit.evaluators.rsa:RSA",
            summary="rank correlation with human dissimilarity matrices, with a noise ceiling",
        ),
        Component(
            name="knn",
            target="perceptinit.evaluators.labelled:KNN",
            summary="k-nearest-neighbor accuracy of the image embeddings",
        ),
        Component(
            name="keep-weights",
            target="perceptinit.evaluators.keep_weights:KeepWeights",
            summary="saves the weights for a later `perceptinit eval`, without scores",
        ),
    ]
