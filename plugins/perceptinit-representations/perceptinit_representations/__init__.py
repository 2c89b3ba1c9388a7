"""Measures that describe representations of images without ranking models."""

from __future__ import annotations

from collections.abc import Iterable

from perceptinit.plugin import Component, hookimpl

HERE = "perceptinit_representations"


@hookimpl
def perceptinit_evaluators() -> Iterable[Component]:
    return [
        Component(
            name="representation",
            target=f"{HERE}.representation:Representation",
            summary="effective rank, alignment and uniformity of the image embeddings",
        ),
        Component(
            name="cka-to-init",
            target=f"{HERE}.cka_to_init:CkaToInit",
            summary="similarity to the representation before pretraining (linear CKA)",
        ),
    ]
