"""Judgments from brain regions: their base class, and `brain-rdms/regions`, the layout of NOD."""

# S subjects, R regions, M images, P = M (M - 1) / 2 pairs
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np

from perceptinit.companion import TripletDraw, draw_triplets, read_names, read_npy, square
from perceptinit.plugin import (
    NEUTRAL,
    Conventions,
    DataCard,
    DataError,
    Dissimilarities,
    MatrixSet,
    PositiveInt,
    Share,
    Stimuli,
    Triplets,
    unknown,
)

BETWEEN_GROUPS = 0.5  # smallest difference of the group numbers 0 and 1 in `near_and_far`
ENDING = "_roi_rdm_vector.npy"
GROUPS = {
    "early": ("V1", "V2", "V3"),
    "mid": ("V4", "V8", "LO1", "LO2", "LO3"),
    "late": ("PIT", "VVC", "FFC", "VMV1", "VMV2", "VMV3"),
}


class BrainSet(MatrixSet):
    """Base class of judgments from brain RDMs; a subclass defines `matrices` and `source`."""

    conventions: ClassVar[Conventions] = Conventions(
        index_base="by name, in the order of the file",
        sides="randomized by seed",
        direction="larger values: less similar",
        ties="equal cells count half for each candidate; differences below min_gap give no triplet",
        winner_first="no",
    )

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(MatrixSet.Config):
        regions: tuple[str, ...] = ()
        """Names of the regions to standardize and average. Default: all."""
        subjects: tuple[str, ...] = ()
        """Names of the subjects to read. Default: all."""
        image: str = "{name}"
        """Pattern of image files relative to `images`, such as "{name}.jpg"; {name} is the image name."""
        per_anchor: PositiveInt = 50
        """Maximum number of triplets per anchor; the published NOD triplets have 50."""
        near: Share | None = None
        """Share of the images, nearest to the anchor in the group mean, that one candidate is sampled from;
        the other is from the share `far` of the farthest, and `min_gap` is not used. Published NOD triplets:
        near 0.03, far 0.05. Default: any two candidates that differ by `min_gap`."""
        far: Share | None = None
        """Share of the farthest images; see `near`."""

        def __post_init__(self) -> None:
            MatrixSet.Config.__post_init__(self)
            if (self.near is None) != (self.far is None):
                raise ValueError("near and far are used together: set both or neither")
            if (
                self.near is not None
                and self.far is not None
                and not (self.near > 0 and self.far > 0 and self.near + self.far <= 1 + 1e-9)
            ):
                raise ValueError(
                    f"near = {self.near:g}, far = {self.far:g}: both > 0, and at most 1 together"
                )

    @property
    def name(self) -> str:
        return "-".join([self.source.stem, *self.config.regions])

    @property
    def card(self) -> DataCard:
        return DataCard(
            title=f"Brain dissimilarities of {self.source.name}: {', '.join(self.config.regions)}",
            source_url=self.source.as_posix(),
            license="not stated",
            citation="not stated",
        )

    def draw(self, stimuli: Stimuli, dissimilarities: Dissimilarities, members: Sequence[int]) -> Triplets:
        """Return triplets of the images at `members`, with near and far candidates if the shares are set."""
        c = self.config
        if c.near is None or c.far is None:
            return super().draw(stimuli, dissimilarities, members)
        group = dissimilarities.group_mean(self.name)
        is_member = np.isin(np.arange(len(stimuli)), members)

        def groups_of(anchor: int) -> np.ndarray:
            return near_and_far(np.where(is_member, group[anchor], np.nan), c.near, c.far)

        draw = TripletDraw(self.name, c.per_anchor, BETWEEN_GROUPS, c.seed)
        try:
            return draw_triplets(stimuli, members, groups_of, dissimilarities.votes, draw, members)
        except DataError as error:
            raise DataError(
                f"judgments {self.name}: no image has a near and a far candidate at different distances "
                f"(near = {c.near:g}, far = {c.far:g}). Check the matrices, or use more images"
            ) from error

    def files(self, names: Sequence[str]) -> list[str]:
        """Return the image files of these names, relative to `images`."""
        return [self.config.image.format(name=name) for name in names]


def near_and_far(distances: np.ndarray, near: float, far: float) -> np.ndarray:
    """Return 0 for the nearest images, 1 for the farthest, and NaN for the others, (M,).

    Args:
        distances: Distances to the anchor, (M,), any unit; NaN for images that are not candidates.
        near: Share of the candidates in the near group, rounded, at least one image.
        far: Share of the candidates in the far group, likewise. Both groups are empty if they would overlap
            or contain equal distances.

    Source: cheesepuff90/Brain_Initialization, src/nod_triplet.py (shares 0.03 and 0.05).
    """
    groups = np.full(len(distances), np.nan)
    order = np.argsort(distances, kind="stable")[: np.count_nonzero(~np.isnan(distances))]  # NaN is last
    num_near = max(1, round(near * len(order)))
    num_far = max(1, round(far * len(order)))
    num_far = min(num_far, len(order) - num_near)  # both may be rounded up
    nearest, farthest = order[:num_near], order[len(order) - num_far :]
    if num_far > 0 and distances[nearest[-1]] < distances[farthest[0]]:
        groups[nearest], groups[farthest] = 0, 1
    return groups


def mean_of_regions(matrices: Sequence[np.ndarray], source: str) -> np.ndarray:
    """Standardize the region matrices of one subject and return their mean, (M, M)."""
    if len(matrices) == 1:
        return matrices[0]
    return Dissimilarities.build(np.stack(matrices), "dissimilarity", source).group_mean(source)


def choose(wanted: Sequence[str], known: Sequence[str], what: str, source: str) -> list[str]:
    """Return the selected names without duplicates, by default all; DataError for an unknown name."""
    for name in wanted:
        if name not in known:
            raise DataError(f"{source}: {unknown(f'no {what} called', name, sorted(set(known)))}")
    return list(dict.fromkeys(wanted or known))


class Regions(BrainSet):
    """Brain RDMs in the layout of the Natural Object Dataset (NOD): `sub-XX/<region>_roi_rdm_vector.npy`.

    Each vector is an upper triangle, row by row. `filenames.txt`, in each subject's folder or in `root`,
    lists the images in order and must be the same for all subjects. Regions are names or the groups early
    (V1 V2 V3), mid (V4 V8 LO1 LO2 LO3) and late (PIT VVC FFC VMV1 VMV2 VMV3).
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(BrainSet.Config):
        root: Annotated[Path, NEUTRAL]
        """Folder with one subfolder per subject."""
        regions: tuple[str, ...]
        """Regions or groups of regions, standardized and averaged within each subject."""
        subjects: tuple[str, ...] = ()
        """Subject folders, such as "sub-01". Default: all."""

    config: Config

    @property
    def source(self) -> Path:
        return self.config.root

    def matrices(self) -> tuple[np.ndarray, list[str]]:
        """Return one matrix per subject, (S, M, M), and the M image files; DataError for an invalid file."""
        root = self.source
        if not root.is_dir():
            raise DataError(f'root = "{root}": no such folder')
        there = sorted(path.name for path in root.iterdir() if any(path.glob(f"*{ENDING}")))
        if not there:
            raise DataError(f'root = "{root}": no subject folder contains files <region>{ENDING}')
        subjects = choose(self.config.subjects, there, "subject", str(root))
        names = list(map(self._names, subjects))
        for subject, own in zip(subjects, names, strict=True):
            if own != names[0]:
                raise DataError(
                    f"{root / subject}: filenames.txt differs from that of {subjects[0]}. All subjects need "
                    "the same images in the same order"
                )
        matrices = [self._subject(subject, len(names[0])) for subject in subjects]
        return np.stack(matrices), self.files(names[0])

    def _names(self, subject: str) -> list[str]:
        own = self.source / subject / "filenames.txt"
        return read_names(own if own.is_file() else self.source / "filenames.txt")

    def _subject(self, subject: str, num_images: int) -> np.ndarray:
        folder = self.source / subject
        there = sorted(path.name.removesuffix(ENDING) for path in folder.glob(f"*{ENDING}"))
        wanted = [region for name in self.config.regions for region in GROUPS.get(name, (name,))]
        regions = choose(wanted, there, "region", str(folder))
        matrices = [self._matrix(folder / f"{region}{ENDING}", num_images) for region in regions]
        return mean_of_regions(matrices, str(folder))

    def _matrix(self, path: Path, num_images: int) -> np.ndarray:
        vector = read_npy(path)
        expected = num_images * (num_images - 1) // 2
        if vector.shape != (expected,):
            raise DataError(f"{path}: shape {vector.shape}, but {num_images} images have {expected:,} pairs")
        return square(vector, str(path))
