"""Image-text data for pretraining."""

from __future__ import annotations

from perceptinit.hookspecs import hookimpl
from perceptinit.registry import Component


@hookimpl
def perceptinit_pairs() -> list[Component]:
    return [
        Component(
            name="webdataset",
            target="perceptinit.pairs.webdataset_pairs:WebdatasetPairs",
            summary="tar shards of images and captions, the format of YFCC15M, CC3M/12M and DataComp",
        ),
        Component(
            name="parquet",
            target="perceptinit.pairs.parquet_pairs:ParquetPairs",
            summary="Parquet tables with image bytes and captions or token ids",
        ),
        Component(
            name="csv",
            target="perceptinit.pairs.csv_pairs:CsvPairs",
            summary="a CSV file of image paths and captions",
        ),
        Component(
            name="labelled-images",
            target="perceptinit.test_sets.labelled_images:LabelledImages",
            summary="class folders, or a labeled set in clip-benchmark's layout, with class names as texts",
        ),
        Component(
            name="fractals",
            target="perceptinit.pairs.fractals:Fractals",
            summary="rendered fractals, one class each, for `supervised` (Nakamura et al. 2024)",
        ),
        Component(
            name="synthetic",
            target="perceptinit.pairs.synthetic:SyntheticPairs",
            summary="images and captions rendered on the fly (a simulation)",
        ),
    ]
