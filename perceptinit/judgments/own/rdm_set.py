"""Your own matrix (`rdm`): similarities or dissimilarities of images, of one group or of several subjects."""

from __future__ import annotations

# S subjects, M images
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from perceptinit.configs import NonNegativeFloat, NonNegativeInt, PositiveInt, Share
from perceptinit.errors import DataError
from perceptinit.judgments.forms.conventions import Conventions
from perceptinit.judgments.forms.rdm import (
    Dissimilarities,
    MatrixKind,
    triplets_from_dissimilarities,
)
from perceptinit.judgments.forms.splits import assign_splits
from perceptinit.judgments.own.own_table import OwnTable
from perceptinit.judgments.reading.image_files import missing_files, normal_name, similar_file, some
from perceptinit.judgments.reading.rdm_files import read_matrices, read_names
from perceptinit.types import Split, Stimuli, Triplets

RDM_CONVENTIONS = Conventions(
    index_base="by name, in the order of the names file",
    sides="drawn, by seed",
    direction="stated in the recipe: kind",
    ties="equal cells count half for each side; cells nearer than min_gap make no triplet",
    winner_first="no",
)


class RdmSet(OwnTable):
    """A matrix of similarities or dissimilarities of M images, made into triplets.

    `.npy` and `.mat` files hold (M, M), (subjects, M, M), or upper triangles row by row; `.csv` is
    one square table, with names in the first row or column or without. With several subjects a vote
    is a subject. Images, not rows, are dealt to splits, and all three images of a triplet are of its
    split. Triplets are drawn without replacement, only where the group tells the candidates apart.
    """

    conventions: ClassVar[Conventions] = RDM_CONVENTIONS

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(OwnTable.Config):
        path: Path
        """The matrix: .npy, .mat or .csv."""
        kind: MatrixKind
        """What a larger cell says: more alike ("similarity") or less ("dissimilarity"). No default."""
        images: Path
        """Folder of the images."""
        names: Path | None = None
        """Text file of image names, one a line in the order of the matrix; not needed when a .csv has them."""
        key: str | None = None
        """Variable of a .mat file that holds several."""
        subjects: tuple[NonNegativeInt, ...] = ()
        """Use these subjects only, counted from 0; all when empty."""
        per_anchor: PositiveInt = 100
        """Most triplets of one anchor."""
        min_gap: NonNegativeFloat = 0.5
        """Smallest difference of the two candidates' dissimilarities, in standard deviations of all."""
        val_share: Share = 0.1
        """Share of the images that become `val`."""
        test_share: Share = 0.2
        """Share of the images that become `test`."""

    config: Config

    @property
    def what(self) -> str:
        return f"{self.config.kind.capitalize()} matrix"

    def load(self, split: Split) -> Triplets:
        """Return the triplets of a split's images; DataError for a wrong file or too few images."""
        c = self.config
        members = members_of(self._stimuli, split, c.seed, c.val_share, c.test_share, self.name)
        return triplets_from_dissimilarities(
            self._dissimilarities,
            self._stimuli,
            members,
            per_anchor=c.per_anchor,
            min_gap=c.min_gap,
            seed=c.seed,
            source=self.name,
        )

    def load_dissimilarities(self, split: Split) -> tuple[Stimuli, np.ndarray, np.ndarray]:
        """Return the stimuli, the images of a split int64 (K,), and their dissimilarities (S, K, K)."""
        c = self.config
        members = members_of(self._stimuli, split, c.seed, c.val_share, c.test_share, self.name)
        chosen = np.asarray(members, dtype=np.int64)
        return self._stimuli, chosen, self._dissimilarities.values[:, chosen][:, :, chosen]

    def noise_ceiling(self, split: Split) -> tuple[float, float] | None:
        """Return the lower and upper noise ceiling of 2AFC on a split; None for a single matrix."""
        return self._dissimilarities.noise_ceiling(self.load(split))

    @cached_property
    def _matrices(self) -> tuple[np.ndarray, list[str] | None]:
        return read_matrices(self.config.path, self.config.key)

    @cached_property
    def _dissimilarities(self) -> Dissimilarities:
        c = self.config
        matrices = select_subjects(self._matrices[0], c.subjects, str(c.path))
        return Dissimilarities.build(matrices, c.kind, str(c.path))

    @cached_property
    def _stimuli(self) -> Stimuli:
        c = self.config
        matrices, own_names = self._matrices
        names = read_names(c.names) if c.names else own_names
        if names is None:
            raise DataError(
                f"{c.path}: says no image names; give a text file of names, one a line, as names"
            )
        return image_stimuli(names, matrices.shape[-1], c.images, str(c.names or c.path))


def select_subjects(matrices: np.ndarray, subjects: Sequence[int], source: str) -> np.ndarray:
    """Return the matrices of the subjects (all when none is named); DataError for one that is not there."""
    strange = sorted(set(subjects) - set(range(len(matrices))))
    if strange:
        raise DataError(
            f"{source}: no subject {strange[0]}; there are {len(matrices)}, counted from 0"
        )
    return matrices[list(subjects)] if subjects else matrices


def image_stimuli(names: Sequence[str], count: int, folder: Path, source: str) -> Stimuli:
    """Return the images of a matrix, in its order; DataError for a wrong number of names or absent files."""
    if len(names) != count:
        raise DataError(f"{source}: {len(names)} names for a matrix of {count} images")
    for row, name in enumerate(names, start=1):
        try:
            normal_name(name)
        except ValueError as error:
            raise DataError(f"{source}: name {row}: {error}") from error
    if not folder.is_dir():
        raise DataError(f'images = "{folder}": no such folder')
    missing = missing_files(folder, names)
    if missing:
        guess = similar_file(folder, missing[0])
        hint = f" Did you mean '{guess}'?" if guess else ""
        row = list(names).index(missing[0]) + 1
        raise DataError(
            f"{source}: name {row}, '{missing[0]}': no such image in {folder}.{hint} "
            f"({len(missing)} of {count} images are missing: {some(missing)})"
        )
    return Stimuli(tuple(names), [folder / name for name in names])


def members_of(
    stimuli: Stimuli, split: Split, seed: int, val_share: float, test_share: float, source: str
) -> list[int]:
    """Return the images of a split; DataError for fewer than the three that a triplet takes."""
    shares = {"val_share": val_share, "test_share": test_share}
    splits = assign_splits(stimuli.ids, seed, "judgments", "rdm", "split", **shares)
    members = np.flatnonzero(splits == split).tolist()
    if len(members) < 3:
        raise DataError(
            f"{source}: {len(members)} of {len(stimuli)} images are in split '{split}'; a triplet takes three. "
            "Raise val_share or test_share"
        )
    return members
