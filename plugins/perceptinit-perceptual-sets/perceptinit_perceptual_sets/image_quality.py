"""Image-quality data sets: ratings of distorted images relative to their references."""

# K rated images
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np

from perceptinit.companion import (
    DerivedAnswers,
    RatedPairs,
    TripletDraw,
    VoteRule,
    list_some,
    problems_of,
    read_table,
    split_names,
)
from perceptinit.plugin import (
    NEUTRAL,
    Conventions,
    DataCard,
    DataError,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    Share,
    Split,
    Stimuli,
    Triplets,
)

IMAGE_ENDINGS = (".bmp", ".png", ".jpg", ".jpeg")


@dataclass(frozen=True, slots=True)
class Rating:
    """A rating from a label file. place: file and line, for error messages."""

    reference: str
    image: str
    value: float
    place: str


class ImageQualitySet(DerivedAnswers, ABC):
    """Base class of image-quality sets; subclasses define `read_labels`. Image names are case-insensitive."""

    name: ClassVar[str]
    card: ClassVar[DataCard]
    rule: ClassVar[VoteRule]

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        root: Annotated[Path, NEUTRAL]
        """Folder of label files and images, which may be in subfolders."""
        pairs_per_reference: PositiveInt = 500
        """Maximum number of triplets per reference, sampled without replacement."""
        val_share: Share = 0.1
        """Share of the references in `val`."""
        test_share: Share = 0.2
        """Share of the references in `test`."""
        seed: NonNegativeInt = 0
        """Random seed of splits and pairs, which are the same for all runs."""
        min_gap: NonNegativeFloat = 0.5
        """Minimum score difference for a triplet (TID2013 states a standard deviation of about 0.13)."""

    def __init__(self, config: Any) -> None:
        self.config = config

    @abstractmethod
    def read_labels(self) -> Iterator[Rating]:
        """Yield all ratings, where higher is closer to the reference; DataError for an invalid line."""

    def preflight(self) -> Iterator[str]:
        """Yield the first problem with the labels or images."""
        return problems_of(self.load, "train")

    def load(self, split: Split) -> Triplets:
        """Return the triplets of a split; DataError for missing or invalid files, or an empty split."""
        c, (rated, splits) = self.config, self._rated
        rated = rated.select(splits == split)
        if not len(rated):
            raise DataError(f"root = \"{c.root}\": {self.name} has no references in split '{split}'")
        return rated.triplets(TripletDraw(self.name, c.pairs_per_reference, c.min_gap, c.seed), self.rule)

    @cached_property
    def _rated(self) -> tuple[RatedPairs, np.ndarray]:
        """All ratings and the split of each, (K,)."""
        c, ratings, files = self.config, list(self.read_labels()), self._files
        place_of: dict[str, str] = {}
        for rating in ratings:
            before = place_of.setdefault(rating.image.lower(), rating.place)
            if before != rating.place:
                raise DataError(f"{rating.place}: {rating.image} already has a rating ({before}). Remove one")
        names = sorted({name.lower() for r in ratings for name in (r.reference, r.image)})
        missing = [name for name in names if name not in files]
        if missing:
            raise DataError(
                f'root = "{c.root}": {len(missing):,} of {len(names):,} images are missing: '
                f"{list_some(missing)}. Source: {self.card.source_url}"
            )
        index = {name: i for i, name in enumerate(names)}
        reference = [r.reference.lower() for r in ratings]
        rated = RatedPairs(
            Stimuli(tuple(names), [files[name] for name in names]),
            np.array([index[name] for name in reference], dtype=np.int64),
            np.array([index[r.image.lower()] for r in ratings], dtype=np.int64),
            np.array([r.value for r in ratings]),
            np.ones(len(ratings), dtype=np.int64),
        )
        return rated, split_names(reference, c, self.name)

    @cached_property
    def _files(self) -> dict[str, Path]:
        """Image paths by lower-case name, because releases differ in case and folders."""
        files: dict[str, Path] = {}
        for folder, subfolders, names in os.walk(self.config.root):
            subfolders[:] = sorted(f for f in subfolders if f != "__MACOSX")
            for name in sorted(names):
                if name.lower().endswith(IMAGE_ENDINGS) and not name.startswith("._"):
                    path = Path(folder) / name
                    other = files.setdefault(name.lower(), path)
                    if other != path:
                        raise DataError(f"{path}: an image of this name is also at {other}. Remove one")
        return files

    def _find_label_file(self, name: str) -> Path:
        """Return the only file with this name under the root."""
        root = self.config.root
        found = sorted(root.rglob(name)) if root.is_dir() else []
        if len(found) != 1:
            what = "no file called" if not found else f"expected one file, found {len(found)} called"
            raise DataError(f'root = "{root}": {what} {name}. Source: {self.card.source_url}')
        return found[0]


def read_scores(path: Path, names: str, to_reference: Callable[[str], str]) -> Iterator[Rating]:
    """Yield the ratings in a text file without a header.

    Args:
        path: The file.
        names: Names of its columns: "score,image" or "image,score".
        to_reference: Returns the reference of an image; ValueError for an invalid name.

    Raises:
        DataError: For an invalid name or score.
    """
    columns = read_table(path, names)
    references = columns.coded("image", to_reference).texts()
    places = (f"{path}, row {row}" for row in columns.rows)
    yield from map(
        Rating, references, columns.texts("image"), columns.numbers("score", low=-np.inf).tolist(), places
    )


class Tid2013(ImageQualitySet):
    """TID2013: 25 references x 24 distortions x 5 levels, with mean opinion scores from 0 to 9.

    The folder contains the images and `mos_with_names.txt`, with lines such as `5.51429 I01_01_1.bmp`. The
    first three characters of a name are the reference. Splits are random, by reference, because the source
    has none.
    """

    name = "tid2013"
    rule = "gap"
    conventions: ClassVar[Conventions] = Conventions(
        sides="randomized by seed",
        direction="higher is better (MOS 0-9)",
        ties="score differences below min_gap give no triplet",
        winner_first="no",
    )
    card: ClassVar[DataCard] = DataCard(
        title="TID2013: 3,000 distorted images of 25 references with mean opinion scores",
        source_url="https://www.ponomarenko.info/tid2013.htm",
        license="not stated",
        citation="Ponomarenko et al. (2015). Image database TID2013: Peculiarities, results and "
        "perspectives. Signal Processing: Image Communication 30",
        num_judgments=524_340,
        size_bytes=1_780_000_000,
        checked="format and counts (3,000 scores, 0.242 to 7.214); no model score reproduced",
    )

    def read_labels(self) -> Iterator[Rating]:
        """Yield the ratings in `mos_with_names.txt`; DataError for an invalid line."""
        yield from read_scores(self._find_label_file("mos_with_names.txt"), "score,image", find_reference)


def find_reference(image: str) -> str:
    """Return the reference of an image of TID2013; ValueError for an invalid name."""
    if image.count("_") != 2:
        raise ValueError(f"is '{image}', not a name such as I01_01_1.bmp")
    return f"{image[:3]}{Path(image).suffix}"


class Kadid10k(ImageQualitySet):
    """KADID-10k: 81 references x 25 distortions x 5 levels, with degradation scores from 1 to 5.

    The folder contains the images and `dmos.csv` (`dist_img,ref_img,dmos,var`). Despite the name "dmos", a
    higher score means a better image. Splits are random, by reference.
    """

    name = "kadid10k"
    rule = "gap"
    conventions: ClassVar[Conventions] = Conventions(
        sides="randomized by seed",
        direction="higher is better (1-5), although the column is called dmos",
        ties="score differences below min_gap give no triplet",
        winner_first="no",
    )
    card: ClassVar[DataCard] = DataCard(
        title="KADID-10k: 10,125 distorted images of 81 references with degradation scores",
        source_url="https://database.mmsp-kn.de/kadid-10k-database.html",
        license="not stated",
        citation="Lin, Hosu and Saupe (2019). KADID-10k: A Large-scale Artificially Distorted IQA "
        "Database. QoMEX",
        num_judgments=303_750,
        checked="format and counts (10,125 scores of 1 to 5); no model score reproduced",
    )

    def read_labels(self) -> Iterator[Rating]:
        """Yield the ratings in `dmos.csv`; DataError for an invalid row."""
        path = self._find_label_file("dmos.csv")
        columns = read_table(path)
        columns.require(["dist_img", "ref_img", "dmos"])
        names = columns.texts("ref_img"), columns.texts("dist_img")
        places = (f"{path}, row {row}" for row in columns.rows)
        yield from map(Rating, *names, columns.numbers("dmos").tolist(), places)


class Pipal(ImageQualitySet):
    """PIPAL: 23,200 distorted and restored images of 200 references, with Elo ratings.

    The folder contains the images and the label files of the training part (`A0001.txt` to `A0200.txt`), with
    lines such as `A0001_00_00.bmp,1520.0648`. For two images of one reference with ratings a
    and b, the share of votes for the second is 1 / (1 + 10^((a - b) / 400)). Splits are random, by reference.
    """

    name = "pipal"
    rule = "elo"
    conventions: ClassVar[Conventions] = Conventions(
        sides="randomized by seed",
        direction="higher is better (Elo ratings)",
        ties="shares near one half are soft votes; equal ratings give no triplet",
        winner_first="no",
    )
    card: ClassVar[DataCard] = DataCard(
        title="PIPAL: 23,200 distorted and restored images of 200 references with Elo ratings",
        source_url="https://www.jasongt.com/projectpages/pipal.html",
        license="not stated",
        citation="Gu, Cai, Chen, Ye, Ren and Dong (2020). PIPAL: a Large-Scale Image Quality Assessment "
        "Dataset for Perceptual Image Restoration. ECCV",
        num_judgments=1_130_000,
        checked="format and Elo equation of the source; no model score reproduced",
    )

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(ImageQualitySet.Config):
        min_gap: NonNegativeFloat = 0.0
        """Minimum difference between Elo ratings for a triplet."""

    def read_labels(self) -> Iterator[Rating]:
        """Yield the ratings in all label files; DataError for an invalid line."""
        root = self.config.root
        paths = sorted(root.rglob("A[0-9][0-9][0-9][0-9].txt"))
        if not paths:
            raise DataError(f'root = "{root}": no label files A0001.txt, ... Source: {self.card.source_url}')
        for path in paths:
            for rating in read_scores(path, "image,score", lambda image: f"{image.partition('_')[0]}.bmp"):
                if rating.reference != f"{path.stem}.bmp":
                    raise DataError(f"{rating.place}: expected an image of {path.stem}, got {rating.image!r}")
                yield rating
