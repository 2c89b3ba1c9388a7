"""Bundled judgments: published data sets, your own tables and matrices, and controls."""

from perceptinit.hookspecs import hookimpl
from perceptinit.registry import Component, built_in

_JUDGMENTS = {
    "nights": (
        "published.nights:Nights",
        "NIGHTS: about 20,000 triplets of generated images (Fu et al. 2023)",
    ),
    "materials": (
        "published.materials:Materials",
        "appearance of 100 materials: 25,801 triplets, 104,692 votes (Lagunas et al. 2019)",
    ),
    "table": ("own.table:Table", "your own judgments: a CSV or Parquet file and a folder of images"),
    "odd-one-out": (
        "own.choices:OddOneOutTable",
        "your own odd-one-out choices: a table of three images per row and the odd one",
    ),
    "multi-select": (
        "own.choices:MultiSelect",
        "your own rank-m-of-n choices: which of n images are most like a query",
    ),
    "ratings": (
        "own.rating_table:Ratings",
        "your own ratings of images against a reference, or mean opinion scores",
    ),
    "same-different": (
        "own.choices:SameDifferent",
        "your own same-or-different answers (just noticeable differences)",
    ),
    "rdm": ("own.matrix_set:RdmSet", "your own matrix of similarities or dissimilarities (.npy, .mat, .csv)"),
    "cifar10h": (
        "published.cifar10h:Cifar10H",
        "CIFAR-10H: 511,000 human labels of CIFAR-10 test images (Peterson et al. 2019)",
    ),
    "synthetic": (
        "controls.synthetic:SyntheticJudgments",
        "simulated observers judging rendered shapes (no human data)",
    ),
    "shuffled-votes": (
        "controls.wrappers:ShuffledVotes",
        "control: other judgments with shuffled training votes",
    ),
    "pixel-triplets": (
        "controls.wrappers:PixelTriplets",
        "control: other judgments with training answers computed from pixels",
    ),
    "class-triplets": (
        "controls.synthetic:ClassTriplets",
        "control: triplets from class labels of your images, without human data",
    ),
    "subset": ("controls.wrappers:Subset", "a random subset of other judgments' training split"),
}


@hookimpl
def perceptinit_judgments() -> list[Component]:
    return built_in(_JUDGMENTS, __name__)
