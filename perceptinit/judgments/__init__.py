"""Human-perception data sets that come with perceptinit, and wrappers that change their training votes."""

from __future__ import annotations

from collections.abc import Iterable

from perceptinit import Component, hookimpl

HERE = "perceptinit.judgments"


@hookimpl
def perceptinit_judgments() -> Iterable[Component]:
    return [
        Component(
            name="nights",
            target=f"{HERE}.nights:Nights",
            summary="NIGHTS: about 20,000 triplets of generated images (Fu et al. 2023)",
        ),
        Component(
            name="materials",
            target=f"{HERE}.materials:Materials",
            summary="appearance of 100 materials: 25,801 triplets, 104,692 votes (Lagunas et al. 2019)",
        ),
        Component(
            name="table",
            target=f"{HERE}.table:Table",
            summary="your own judgments: a CSV or Parquet file and a folder of images",
        ),
        Component(
            name="synthetic",
            target=f"{HERE}.synthetic:SyntheticJudgments",
            summary="simulated observers judging rendered shapes (no human data)",
        ),
        Component(
            name="shuffled-votes",
            target=f"{HERE}.shuffled_votes:ShuffledVotes",
            summary="control: other judgments with their training votes dealt at random",
        ),
        Component(
            name="subset",
            target=f"{HERE}.subset:Subset",
            summary="a share of other judgments' training split, nested over shares",
        ),
    ]
