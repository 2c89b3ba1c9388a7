"""Image-text data for pretraining."""

from perceptinit.hookspecs import hookimpl
from perceptinit.registry import Component, built_in

_PAIRS = {
    "webdataset": (
        "pairs.webdataset_pairs:WebdatasetPairs",
        "tar shards of images and captions, the format of YFCC15M, CC3M/12M and DataComp",
    ),
    "webdataset-stream": (
        "pairs.webdataset_stream:WebdatasetStreamPairs",
        "tar shards that can only be streamed (`pipe:`), with weaker guarantees",
    ),
    "parquet": (
        "pairs.parquet_pairs:ParquetPairs",
        "Parquet tables with image bytes and captions or token ids",
    ),
    "csv": ("pairs.csv_pairs:CsvPairs", "a CSV file of image paths and captions"),
    "labelled-images": (
        "test_sets.labelled_images:LabelledImages",
        "class folders, or a labeled set in clip-benchmark's layout, with class names as texts",
    ),
    "fractals": (
        "pairs.fractals:Fractals",
        "rendered fractals, one class each, for `supervised` (Nakamura et al. 2024)",
    ),
    "synthetic": ("pairs.synthetic:SyntheticPairs", "images and captions rendered on the fly (a simulation)"),
}


@hookimpl
def perceptinit_pairs() -> list[Component]:
    return built_in(_PAIRS)
