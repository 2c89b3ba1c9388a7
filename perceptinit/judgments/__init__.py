"""Human-perception data sets that come with perceptinit, and wrappers that change their training votes."""

from __future__ import annotations

from collections.abc import Iterable

from perceptinit.hookspecs import hookimpl
from perceptinit.registry import Component

HERE = "perceptinit.judgments"


@hookimpl
def perceptinit_judgments() -> Iterable[Component]:
    return [
        Component(
            name="nights",
            target=f"{HERE}.published.nights:Nights",
            summary="NIGHTS: about 20,000 triplets of generated images (Fu et al. 2023)",
        ),
        Component(
            name="materials",
            target=f"{HERE}.published.materials:Materials",
            summary="appearance of 100 materials: 25,801 triplets, 104,692 votes (Lagunas et al. 2019)",
        ),
        Component(
            name="table",
            target=f"{HERE}.own.table:Table",
            summary="your own judgments: a CSV or Parquet file and a folder of images",
        ),
        Component(
            name="odd-one-out",
            target=f"{HERE}.own.odd_one_out_table:OddOneOutTable",
            summary="your own odd-one-out choices: a table of three images and which is odd",
        ),
        Component(
            name="multi-select",
            target=f"{HERE}.own.multi_select:MultiSelect",
            summary="your own rank-m-of-n choices: which of n images are most like a query",
        ),
        Component(
            name="ratings",
            target=f"{HERE}.own.rating_table:Ratings",
            summary="your own ratings of images against a reference, or mean opinion scores",
        ),
        Component(
            name="same-different",
            target=f"{HERE}.own.same_different:SameDifferent",
            summary="your own same-or-different answers (just noticeable differences)",
        ),
        Component(
            name="rdm",
            target=f"{HERE}.own.rdm_set:RdmSet",
            summary="your own matrix of similarities or dissimilarities (.npy, .mat, .csv)",
        ),
        Component(
            name="cifar10h",
            target=f"{HERE}.published.cifar10h:Cifar10H",
            summary="CIFAR-10H: 511,000 human labels of CIFAR-10 test photographs (Peterson et al. 2019)",
        ),
        Component(
            name="synthetic",
            target=f"{HERE}.controls.synthetic:SyntheticJudgments",
            summary="simulated observers judging rendered shapes (no human data)",
        ),
        Component(
            name="shuffled-votes",
            target=f"{HERE}.controls.wrappers:ShuffledVotes",
            summary="control: other judgments with their training votes dealt at random",
        ),
        Component(
            name="pixel-triplets",
            target=f"{HERE}.controls.wrappers:PixelTriplets",
            summary="control: other judgments with their training answers given by pixels",
        ),
        Component(
            name="class-triplets",
            target=f"{HERE}.controls.class_triplets:ClassTriplets",
            summary="control: triplets from class labels of your own images, no people",
        ),
        Component(
            name="subset",
            target=f"{HERE}.controls.wrappers:Subset",
            summary="a share of other judgments' training split, nested over shares",
        ),
    ]
