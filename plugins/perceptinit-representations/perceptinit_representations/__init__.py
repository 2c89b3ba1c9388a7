"""Evaluators of image representations, and example sections of the report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from perceptinit.plugin import Component, hookimpl

if TYPE_CHECKING:
    from perceptinit.plugin import Section, ShownRun

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
            name="linear-probe",
            target=f"{HERE}.linear_probe:LinearProbe",
            summary="accuracy of a linear classifier on the frozen image embeddings",
        ),
        Component(
            name="cka-to-init",
            target=f"{HERE}.representation:CkaToInit",
            summary="similarity to the representation before pretraining (linear CKA)",
        ),
    ]


@hookimpl
def perceptinit_report(runs: Sequence[ShownRun]) -> Iterable[Section]:
    from perceptinit_representations.sections import make_sections

    return make_sections(runs)
