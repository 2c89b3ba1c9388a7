"""Your own matrix (`rdm`): similarities or dissimilarities of images, of one group or of several subjects."""

from __future__ import annotations

# S subjects, M images
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from perceptinit.configs import NonNegativeInt
from perceptinit.errors import DataError
from perceptinit.judgments.forms.conventions import Conventions
from perceptinit.judgments.forms.rdm import MatrixKind
from perceptinit.judgments.image_files import file_name
from perceptinit.judgments.own.matrix_set import MatrixSet
from perceptinit.judgments.own.own_table import own_card
from perceptinit.judgments.own.rdm_files import read_matrices, read_names
from perceptinit.types import DataCard


class RdmSet(MatrixSet):
    """A matrix of similarities or dissimilarities of M images, made into triplets.

    `.npy` and `.mat` files hold (M, M), (subjects, M, M), or upper triangles row by row; `.csv` is
    one square table, with or without names in the first row or column. With several subjects each subject
    has one vote. Splits are by image: all three images of a triplet are in its split. Triplets are drawn without
    replacement from candidates whose mean dissimilarities differ by `min_gap`.
    """

    conventions: ClassVar[Conventions] = Conventions(
        index_base="by name, in the order of the names file",
        sides="drawn, by seed",
        direction="stated in the recipe: kind",
        ties="equal cells count half for each side; cells nearer than min_gap make no triplet",
        winner_first="no",
    )

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(MatrixSet.Config):
        path: Path
        """The matrix: .npy, .mat or .csv."""
        kind: MatrixKind
        """Whether a larger cell means more alike ("similarity") or less ("dissimilarity"). No default."""
        names: Path | None = None
        """Text file of image names, one per line in the order of the matrix; not needed if a .csv has them."""
        key: str | None = None
        """Variable of a .mat file with several, or field of a struct ("data.rdm")."""
        image: str | None = None
        """File name pattern: "{}.jpg", or "{:03d}.jpg" for whole numbers. Default: names are file names."""
        subjects: tuple[NonNegativeInt, ...] = ()
        """Use only these subjects, counted from 0. Default: all."""

    config: Config

    @property
    def source(self) -> Path:
        return self.config.path

    @property
    def kind(self) -> MatrixKind:
        return self.config.kind

    @property
    def names_source(self) -> Path:
        return self.config.names or self.config.path

    @property
    def card(self) -> DataCard:
        return own_card(f"{self.kind.capitalize()} matrix of {self.source.name}", self.source)

    @property
    def people(self) -> Sequence[str]:
        """Subjects by their numbers in the file."""
        subjects = self.config.subjects
        return [f"subject {number}" for number in subjects] if subjects else super().people

    def read_file(self) -> tuple[np.ndarray, Sequence[str] | None]:
        """Return all matrices (S, M, M) of the file, and the image names that it contains, if any."""
        return read_matrices(self.config.path, self.config.key)

    def matrices(self) -> tuple[np.ndarray, Sequence[str]]:
        """Return the chosen subjects' matrices (S, M, M) and the names of the images."""
        c = self.config
        matrices, own_names = self.read_file()
        names = read_names(c.names) if c.names else own_names
        if names is None:
            raise DataError(
                f"{c.path}: contains no image names; set names to a text file with one name per line"
            )
        try:
            files = [file_name(name, c.image) for name in names]
        except ValueError as error:
            raise DataError(f"{self.names_source}: {error}") from error
        strange = sorted(set(c.subjects) - set(range(len(matrices))))
        if strange:
            raise DataError(f"{c.path}: no subject {strange[0]}; there are {len(matrices)}, counted from 0")
        return matrices[list(c.subjects)] if c.subjects else matrices, files
