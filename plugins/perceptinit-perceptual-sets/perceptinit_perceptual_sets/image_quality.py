"""Image-quality data sets: one reader of ratings, and what each published set says differently."""

from __future__ import annotations

# K rated images
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from perceptinit.plugin import (
    Conventions,
    DataCard,
    DataError,
    DerivedAnswers,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    RatedImages,
    Share,
    Split,
    Stimuli,
    TripletDraw,
    Triplets,
    VoteRule,
    assign_splits,
    list_some,
    read_table,
    triplets_from_ratings,
)
from perceptinit_perceptual_sets.label_files import (
    Rating,
    check_rated_once,
    finite_number,
    numbered_lines,
    one_file,
)

IMAGE_ENDINGS = (".bmp", ".png", ".jpg", ".jpeg")


@dataclass(frozen=True, slots=True, kw_only=True)
class PairOptions:
    """Keys that the image-quality sets share; which ratings differ enough is a matter of each."""

    root: Path
    """Folder with the label file or files and the images, in any subfolders."""
    pairs_per_reference: PositiveInt = 500
    """Most triplets of one reference, drawn without replacement."""
    val_share: Share = 0.1
    """Share of the references that become `val`."""
    test_share: Share = 0.2
    """Share of the references that become `test`."""
    seed: NonNegativeInt = 0
    """Names the draws of splits and pairs. Not the run's seed: all runs share them."""


class ImageQualitySet(DerivedAnswers):
    """Base of the sets: reads labels, finds images by name whatever the case, and draws triplets."""

    name: ClassVar[str]
    card: ClassVar[DataCard]
    rule: ClassVar[VoteRule]
    config: Any

    def read_labels(self) -> list[Rating]:
        """Return all ratings, a higher value meaning closer to the reference."""
        raise NotImplementedError

    def preflight(self) -> Iterator[str]:
        """Yield what is missing or wrong: labels, images."""
        try:
            self.load("train")
        except DataError as error:
            yield str(error)

    def load(self, split: Split) -> Triplets:
        """Return the triplets of a split; DataError for absent or wrong files, or an empty split."""
        rated, splits = self._rated
        rated = rated.select(splits == split)
        c = self.config
        if not len(rated.reference):
            raise DataError(f"root = \"{c.root}\": {self.name} has no references in split '{split}'")
        draw = TripletDraw(self.name, c.pairs_per_reference, c.min_gap, c.seed)
        return triplets_from_ratings(rated, self.rule, draw)

    @cached_property
    def _rated(self) -> tuple[RatedImages, np.ndarray]:
        c = self.config
        ratings = self.read_labels()
        files = self._files
        names = sorted({name.lower() for r in ratings for name in (r.reference, r.image)})
        missing = [name for name in names if name not in files]
        if missing:
            raise DataError(
                f'root = "{c.root}": {len(missing):,} of {len(names):,} images are missing: '
                f"{list_some(missing)}. Source: {self.card.source_url}"
            )
        place = {name: i for i, name in enumerate(names)}
        reference = [r.reference.lower() for r in ratings]
        rated = RatedImages(
            Stimuli(tuple(names), [files[name] for name in names]),
            np.array([place[name] for name in reference]),
            np.array([place[r.image.lower()] for r in ratings]),
            np.array([r.value for r in ratings]),
            np.ones(len(ratings), dtype=np.int64),
        )
        shares = {"val_share": c.val_share, "test_share": c.test_share}
        splits = assign_splits(reference, c.seed, "judgments", self.name, "split", **shares)
        return rated, splits

    @cached_property
    def _files(self) -> dict[str, Path]:
        """All images under the root by name in lower case: releases differ in case and in folders."""
        files: dict[str, Path] = {}
        for folder, subfolders, names in os.walk(self.config.root):
            subfolders[:] = sorted(f for f in subfolders if f != "__MACOSX")
            for name in sorted(names):
                if name.lower().endswith(IMAGE_ENDINGS) and not name.startswith("._"):
                    path = Path(folder) / name
                    other = files.setdefault(name.lower(), path)
                    if other != path:
                        raise DataError(f"{path}: an image of this name is also at {other}; keep one")
        return files

    def _label_file(self, name: str) -> Path:
        return one_file(self.config.root, name, self.card.source_url)


class Tid2013(ImageQualitySet):
    """TID2013: 25 references x 24 distortions x 5 levels, mean opinion scores of 0 to 9.

    The folder holds `mos_with_names.txt` (`5.51429 I01_01_1.bmp`; the first three characters name the
    reference) and the images. Splits are by reference, drawn here: the source has none.
    """

    name = "tid2013"
    rule = "gap"
    conventions: ClassVar[Conventions] = Conventions(
        sides="drawn, by seed",
        direction="higher is better (MOS 0-9)",
        ties="scores nearer than min_gap make no triplet",
        winner_first="no",
    )
    card: ClassVar[DataCard] = DataCard(
        title="TID2013: 3,000 distorted images of 25 references with mean opinion scores",
        source_url="https://www.ponomarenko.info/tid2013.htm",
        licence="not stated",
        citation="Ponomarenko et al. (2015). Image database TID2013: Peculiarities, results and "
        "perspectives. Signal Processing: Image Communication 30",
        num_judgments=524_340,
        size_bytes=1_780_000_000,
        checked="format and counts (3,000 scores, 0.242 to 7.214); no score of a model",
    )

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(PairOptions):
        min_gap: NonNegativeFloat = 0.5
        """Smallest difference of two scores that makes a triplet; the published deviation is near 0.13."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def read_labels(self) -> list[Rating]:
        """Return the ratings of `mos_with_names.txt`; DataError names a wrong line."""
        path = self._label_file("mos_with_names.txt")
        ratings = []
        for place, line in numbered_lines(path):
            cells = line.split()
            if len(cells) != 2 or cells[1].count("_") != 2:
                raise DataError(f"{place}: expected a score and a name such as I01_01_1.bmp, got {line!r}")
            reference = f"{cells[1][:3]}{Path(cells[1]).suffix}"
            ratings.append(Rating(reference, cells[1], finite_number(cells[0], place), place))
        return check_rated_once(path, ratings)


class Kadid10k(ImageQualitySet):
    """KADID-10k: 81 references x 25 distortions x 5 levels, degradation scores of 1 to 5.

    The folder holds `dmos.csv` (`dist_img,ref_img,dmos,var`) and the images. The file says "dmos", yet
    a higher score is a better image. Splits are by reference, drawn here.
    """

    name = "kadid10k"
    rule = "gap"
    conventions: ClassVar[Conventions] = Conventions(
        sides="drawn, by seed",
        direction="higher is better (1-5), although the column is called dmos",
        ties="scores nearer than min_gap make no triplet",
        winner_first="no",
    )
    card: ClassVar[DataCard] = DataCard(
        title="KADID-10k: 10,125 distorted images of 81 references with degradation scores",
        source_url="https://database.mmsp-kn.de/kadid-10k-database.html",
        licence="not stated",
        citation="Lin, Hosu and Saupe (2019). KADID-10k: A Large-scale Artificially Distorted IQA "
        "Database. QoMEX",
        num_judgments=303_750,
        checked="format and counts (10,125 scores of 1 to 5); no score of a model",
    )

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(PairOptions):
        min_gap: NonNegativeFloat = 0.5
        """Smallest difference of two scores that makes a triplet."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def read_labels(self) -> list[Rating]:
        """Return the ratings of `dmos.csv`; DataError names a wrong row."""
        path = self._label_file("dmos.csv")
        columns = read_table(path)
        columns.require(["dist_img", "ref_img", "dmos"])
        cells = zip(
            columns.texts("ref_img"),
            columns.texts("dist_img"),
            columns.numbers("dmos").tolist(),
            [f"{path}, row {row}" for row in columns.rows],
            strict=True,
        )
        return check_rated_once(path, [Rating(*row) for row in cells])


class Pipal(ImageQualitySet):
    """PIPAL: 200 references, 23,200 distorted and restored images, rated in Elo points.

    The folder holds the label files of the training part (`A0001.txt` to `A0200.txt`, lines such as
    `A0001_00_00.bmp,1520.0648`) and the images. Two images of one reference get the share of votes
    that the Elo model expects, 1 / (1 + 10^((a - b) / 400)). Splits are by reference, drawn here.
    """

    name = "pipal"
    rule = "elo"
    conventions: ClassVar[Conventions] = Conventions(
        sides="drawn, by seed",
        direction="higher is better (Elo points)",
        ties="shares near one half stay, as soft votes; equal points make no triplet",
        winner_first="no",
    )
    card: ClassVar[DataCard] = DataCard(
        title="PIPAL: 23,200 distorted and restored images of 200 references in Elo points",
        source_url="https://www.jasongt.com/projectpages/pipal.html",
        licence="not stated",
        citation="Gu, Cai, Chen, Ye, Ren and Dong (2020). PIPAL: a Large-Scale Image Quality Assessment "
        "Dataset for Perceptual Image Restoration. ECCV",
        num_judgments=1_130_000,
        checked="format and the Elo equation of the source; no score of a model",
    )

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(PairOptions):
        min_gap: NonNegativeFloat = 0.0
        """Smallest difference of two images that makes a triplet, Elo points."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def read_labels(self) -> list[Rating]:
        """Return the ratings of all label files; DataError names a wrong line."""
        root = self.config.root
        paths = sorted(path for path in root.rglob("A[0-9][0-9][0-9][0-9].txt"))
        if not paths:
            raise DataError(
                f'root = "{root}": no label files A0001.txt ... there. Source: {self.card.source_url}'
            )
        ratings = []
        for path in paths:
            for place, line in numbered_lines(path):
                name, _, value = line.partition(",")
                reference = name.partition("_")[0]
                if reference != path.stem:
                    raise DataError(f"{place}: expected an image of {path.stem}, got {line!r}")
                ratings.append(Rating(f"{reference}.bmp", name, finite_number(value, place), place))
        return check_rated_once(paths[0].parent, ratings)
