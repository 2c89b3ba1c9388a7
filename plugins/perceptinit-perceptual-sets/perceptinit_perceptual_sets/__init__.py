"""Published data sets of human judgments, and an evaluator of just noticeable differences (JND)."""

from collections.abc import Iterable

from perceptinit.plugin import Component, hookimpl

HERE = "perceptinit_perceptual_sets"


@hookimpl
def perceptinit_judgments() -> Iterable[Component]:
    return [
        Component(
            name="things",
            target=f"{HERE}.things:Things",
            summary="THINGS: 4.7 million odd-one-out choices about 1,854 objects (Hebart et al. 2020)",
        ),
        Component(
            name="bapps",
            target=f"{HERE}.bapps:Bapps",
            summary="BAPPS: 2AFC and JND judgments of distorted patches (Zhang et al. 2018)",
        ),
        Component(
            name="tid2013",
            target=f"{HERE}.image_quality:Tid2013",
            summary="TID2013: mean opinion scores of 3,000 distorted images",
        ),
        Component(
            name="kadid10k",
            target=f"{HERE}.image_quality:Kadid10k",
            summary="KADID-10k: degradation scores of 10,125 distorted images",
        ),
        Component(
            name="pipal",
            target=f"{HERE}.image_quality:Pipal",
            summary="PIPAL: Elo ratings of 23,200 distorted and restored images",
        ),
    ]


@hookimpl
def perceptinit_evaluators() -> Iterable[Component]:
    return [
        Component(
            name="jnd",
            target=f"{HERE}.jnd:Jnd",
            summary="average precision on same-or-different judgments (just noticeable differences)",
        ),
        Component(
            name="shape-bias",
            target=f"{HERE}.shape_bias:ShapeBias",
            summary="shape bias, and errors shared with people, on 16 classes (Geirhos et al. 2019, 2020)",
        ),
    ]
