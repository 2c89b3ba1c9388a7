"""Judgments of material appearance (Lagunas et al. 2019): which of two materials looks more like a third?"""

# N judgments: columns reference, candidate, candidate
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np

from perceptinit.configs import NEUTRAL, NonNegativeInt, Share
from perceptinit.errors import DataError, problems_of, reading
from perceptinit.files.downloads import Download
from perceptinit.files.reading import file_names, read_json
from perceptinit.judgments.forms.splits import Conventions, assign_splits
from perceptinit.seeding import generator
from perceptinit.types import DataCard, Split, Stimuli, Triplets, raise_first

IMAGES = "havran1_ennis_298x298_LDR"
NUM_IMAGES = 100
COMMIT = "373804054a59f7015534050030cb2d3f680ffa7b"
SOURCE = "perceptinit data download materials"
SHA256 = {
    "test": "8705e1d38f9762da6a66ab4b26fb691aacdea706692ebfe2ef206262de979def",
    "train": "eafd46b57a8220d7b650961dd119faabf30424620828eb37a7d00b0390085214",
}


@dataclass(eq=False)
class Materials:
    """25,801 triplets with 104,692 votes on renderings of one object in 100 measured materials.

    The folder contains `answers_processed_train.json`, `answers_processed_test.json` and the images in
    `havran1_ennis_298x298_LDR/`. Image indices follow the alphabetical order of names.

    `test` is the published split. `val` is a share of the published training queries; a query is a set of
    three images, each of which may be the reference. The published split is by judgment, so all 100 images
    occur in every split and scores do not measure generalization to unseen materials. 261 of the test triples
    also occur in the published training file, with another reference.

    The files list the majority's choice first, so sides are randomized by `side_seed`.

    2AFC on the test split, with equal weight for each vote: human ceiling 0.838, cosine distance of 32x32
    pixels 0.651, Euclidean distance of mean color (images resized to 1x1) 0.605.
    """

    name = "materials"
    conventions: ClassVar[Conventions] = Conventions(
        index_base="0, in the alphabetical order of image names",
        sides="randomized by side_seed",
        direction="agreement: votes for the candidate in the same column",
        ties="retained",
        winner_first="yes, removed by randomizing sides",
    )
    card: ClassVar[DataCard] = DataCard(
        title="Similarity of material appearance: 104,692 votes on 25,801 triplets of 100 materials",
        source_url="https://github.com/mlagunas/material-appearance-similarity",
        license="GPL-2.0",
        citation="Lagunas, Malpica, Serrano, Garces, Gutierrez and Masia (2019). A Similarity Measure "
        "for Material Appearance. ACM Transactions on Graphics 38 (4), SIGGRAPH",
        num_judgments=25_801,
        ceiling=0.838,
        sha256={f"answers_processed_{part}.json": sha256 for part, sha256 in SHA256.items()},
        size_bytes=11_000_000,
        checked="published files: 2AFC of 32x32 pixels (cosine) 0.651 on test, human ceiling 0.838",
    )
    downloads: ClassVar[tuple[Download, ...]] = (
        Download(
            urls=(f"https://github.com/mlagunas/material-appearance-similarity/archive/{COMMIT}.zip",),
            path="material-appearance-similarity.zip",
            unpack=True,
            root=f"material-appearance-similarity-{COMMIT}/data",
        ),
    )

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        root: Annotated[Path, NEUTRAL]
        """The folder that contains the two answer files and the image folder."""
        val_share: Share = 0.1
        """Share of the published training queries in `val`, below 1."""
        split_seed: NonNegativeInt = 0
        """Seed of the split `val`. Independent of the run's seed: all runs share it."""
        side_seed: NonNegativeInt = 0
        """Seed of the order of candidates."""

        def __post_init__(self) -> None:
            if self.val_share >= 1:
                raise ValueError("val_share = 1 leaves no training data. Use a value below 1")

    config: Config

    def preflight(self) -> Iterator[str]:
        """Yield problems with the answer files and the images."""
        checks = (lambda: self._stimuli, lambda: self._read("train"), lambda: self._read("test"))
        return iter(dict.fromkeys(problem for check in checks for problem in problems_of(check)))

    def load(self, split: Split) -> Triplets:
        """Return the judgments of a split; DataError for a missing or invalid file, or an empty split."""
        c = self.config
        triplets = self._read("test" if split == "test" else "train")
        if split == "test":
            return triplets
        groups = triplets.group.tolist()
        splits = assign_splits(groups, c.split_seed, "judgments", "materials", val_share=c.val_share)
        if not (splits == split).any():
            raise DataError(f"materials: no judgments in split '{split}' with val_share = {c.val_share}")
        return triplets.select(splits == split)

    @cached_property
    def _stimuli(self) -> Stimuli:
        """All images, shared by all splits, so that pixels are decoded once."""
        root = self.config.root
        folder = root / IMAGES
        names = [name for name in file_names(folder) if name.endswith(".jpg")]
        # image indices refer to this list, so a missing or additional file would shift them
        if len(names) != NUM_IMAGES:
            raise DataError(
                f'root = "{root}": {len(names)} .jpg images in {IMAGES}, expected {NUM_IMAGES}. '
                f"Download them with: {SOURCE}"
            )
        return Stimuli(tuple(names), [folder / name for name in names])

    def _read(self, part: str) -> Triplets:
        """Return the judgments of a published file, with randomly assigned sides."""
        root = self.config.root
        path = root / f"answers_processed_{part}.json"
        if not path.is_file():
            raise DataError(f'root = "{root}": {path.name} not found. Download it with: {SOURCE}')
        content = read_json(path, dict, "the published answers")
        with reading(f"{path}: not the published answers", ValueError, KeyError, TypeError, OverflowError):
            answers = _to_table(content, "answers", 3)
            votes = _to_table(content, "agreement", 2)
        if len(answers) != len(votes):
            raise DataError(f"{path}: {len(answers)} answers, but {len(votes)} rows of agreement")
        num_votes = votes.sum(axis=1)
        row = f"{path}: zero-based answer"
        raise_first(((answers < 0) | (answers >= NUM_IMAGES)).any(axis=1), "not the index of an image", row)
        raise_first((votes < 0).any(axis=1), "negative votes", row)
        raise_first(num_votes == 0, "no votes", row)
        rng = generator(self.config.side_seed, "judgments", "materials", part, "sides")
        is_swapped = rng.random(len(answers)) < 0.5
        first, second = np.where(is_swapped, answers.T[[2, 1]], answers.T[[1, 2]])
        p_second = np.where(is_swapped, votes[:, 0], votes[:, 1]) / num_votes
        query = np.sort(answers, axis=1) @ np.array([NUM_IMAGES**2, NUM_IMAGES, 1])
        return Triplets.build(self._stimuli, answers[:, 0], first, second, p_second, num_votes, query)


def _to_table(content: Any, key: str, width: int) -> np.ndarray:
    table = np.array(content[key])
    if table.ndim != 2 or table.shape[1] != width or table.dtype.kind != "i":
        raise ValueError(f"'{key}' is not an (N, {width}) table of integers")
    return table
