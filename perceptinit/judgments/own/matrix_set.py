"""Judgments from (dis)similarity matrices: the base class, and your own matrices (`rdm`)."""

# S subjects, M images, K images of a split
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np

from perceptinit.configs import NEUTRAL, NonNegativeFloat, NonNegativeInt, PositiveInt, Share
from perceptinit.errors import DataError, EmptySplitError, list_some, problems_of
from perceptinit.files.tables import TABLE_SUFFIXES, read_table
from perceptinit.images.background import colour_of
from perceptinit.judgments.forms.drawing import TripletDraw
from perceptinit.judgments.forms.rdm import Dissimilarities, MatrixKind, triplets_from_dissimilarities
from perceptinit.judgments.forms.splits import Conventions, SplitConfig, split_names
from perceptinit.judgments.image_files import (
    describe_missing,
    file_name,
    missing_files,
    normal_name,
    require_images,
    stimuli_in,
)
from perceptinit.judgments.own.own_table import own_card
from perceptinit.judgments.own.pair_table import PairMatrices, find_value, read_pairs
from perceptinit.judgments.own.rdm_files import read_matrices, read_names
from perceptinit.types import DataCard, MeasuredSplit, Split, Stimuli, Triplets


class MatrixSet(ABC):
    """Base class of judgments from matrices of M images, one matrix per subject.

    A subclass defines `matrices`, `source` and `card`. Splits are by image: a triplet and its three images
    are in the same split.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(SplitConfig):
        images: Annotated[Path, NEUTRAL]
        """Folder of the images, or "none" for names without images, which suffice for embeddings in a file.
        """
        per_anchor: PositiveInt = 100
        """Maximum number of triplets per anchor."""
        min_gap: NonNegativeFloat = 0.5
        """Minimum difference between the candidates' dissimilarities, in standard deviations of all cells."""
        split_by: Literal["image"] | None = None
        """Unit of splits; matrices support images only."""
        test_share: Share = 0.2
        """Share of the images in `test`."""

    def __init__(self, config: Any) -> None:
        self.config = config

    @property
    @abstractmethod
    def source(self) -> Path:
        """The file or folder, for messages."""

    @property
    @abstractmethod
    def card(self) -> DataCard:
        """The data card."""

    @abstractmethod
    def matrices(self) -> tuple[np.ndarray, Sequence[str]]:
        """Return the matrices (S, M, M) and the files of the M images; DataError for an invalid file."""

    @property
    def kind(self) -> MatrixKind:
        """Whether a larger value means more similar ("similarity") or less similar ("dissimilarity")."""
        return "dissimilarity"

    @property
    def names_source(self) -> Path:
        """The file that names the images, for messages."""
        return self.source

    @property
    def name(self) -> str:
        return self.source.stem

    def preflight(self) -> Iterator[str]:
        """Yield the first problem of the matrices, the names or the images."""
        # consumers of a split check that it has triplets
        return problems_of(lambda: (self._stimuli, self._dissimilarities))

    def load(self, split: Split) -> Triplets:
        """Return the triplets of a split; DataError for an invalid file or too few images."""
        members = self._members(split)  # first, so that invalid names are reported before invalid cells
        return self.draw(self._stimuli, self._dissimilarities, members)

    def draw(self, stimuli: Stimuli, dissimilarities: Dissimilarities, members: Sequence[int]) -> Triplets:
        """Return triplets of the images at `members`. A subclass can override how they are sampled."""
        c = self.config
        draw = TripletDraw(self.name, c.per_anchor, c.min_gap, c.seed)
        return triplets_from_dissimilarities(dissimilarities, stimuli, members, draw)

    def load_dissimilarities(self, split: MeasuredSplit) -> tuple[Stimuli, np.ndarray, np.ndarray]:
        """Return the stimuli, the image indices of a split, int64 (K,), and dissimilarities (S, K, K)."""
        chosen = np.asarray(self._members(split), dtype=np.int64)
        return self._stimuli, chosen, self._dissimilarities.values[:, chosen][:, :, chosen]

    def noise_ceiling(self, split: Split) -> tuple[float, float] | None:
        """Return the noise ceiling of 2AFC on a split; see `Dissimilarities.noise_ceiling`."""
        members = self._members(split)
        return self._dissimilarities.noise_ceiling(lambda g: self.draw(self._stimuli, g, members))

    def load_people(self, split: Split) -> dict[str, Triplets]:
        """Return the choices of each subject on the triplets of a split; empty for a single matrix."""
        own = self._dissimilarities.of_each(self.load(split))
        if len(own) < 2:
            return {}
        return {name: t for name, t in zip(self.people, own, strict=True) if len(t)}

    @property
    def people(self) -> Sequence[str]:
        """Names of the subjects, in the order of their matrices."""
        return [f"subject {number}" for number in range(len(self._dissimilarities.values))]

    @cached_property
    def _read(self) -> tuple[np.ndarray, Sequence[str]]:
        return self.matrices()

    @cached_property
    def _dissimilarities(self) -> Dissimilarities:
        values, _ = self._read
        num_inverted = sum(map(_is_diagonal_largest, values)) if self.kind == "dissimilarity" else 0
        if num_inverted:
            which = f"{num_inverted:,} of {len(values):,} matrices" if len(values) > 1 else "the matrix"
            raise DataError(
                f'{self.source}: kind = "dissimilarity", but the diagonal of {which} is the maximum, as in '
                'similarities. Set kind = "similarity", or the cells of the diagonal to nan'
            )
        return Dissimilarities.build(values, self.kind, str(self.source))

    @cached_property
    def _stimuli(self) -> Stimuli:
        matrices, names = self._read
        source = self.names_source
        folder = self.config.images
        if len(names) != matrices.shape[-1]:
            raise DataError(f"{source}: {len(names)} names for a matrix of {matrices.shape[-1]} images")
        for row, name in enumerate(names, start=1):
            try:
                normal_name(name)
            except ValueError as error:
                raise DataError(f"{source}: name {row}: {error}") from error
        require_images(folder)
        if missing := missing_files(folder, names):
            row = list(names).index(missing[0])
            raise DataError(
                f"{source}: name {row + 1}, '{missing[0]}': {describe_missing(folder, missing[0], missing)}"
            )
        return stimuli_in(folder, names, colour_of(self.config.background))

    def _members(self, split: MeasuredSplit) -> list[int]:
        """Return the image indices of a split; DataError for fewer than three, EmptySplitError for none."""
        ids = self._stimuli.ids
        if split == "all":
            return list(range(len(ids)))
        members = np.flatnonzero(split_names(ids, self.config, "rdm") == split).tolist()
        if len(members) < 3:
            remedy = "Lower val_share or test_share" if split == "train" else f"Raise {split}_share"
            raise (DataError if members else EmptySplitError)(
                f"{self.name}: {len(members)} of {len(ids)} images are in split '{split}', but a triplet "
                f"requires three. {remedy}"
            )
        return members


def _is_diagonal_largest(matrix: np.ndarray) -> bool:
    """Return whether no cell of a matrix (M, M) exceeds a cell of its diagonal, which has no NaN."""
    others = matrix[~np.eye(len(matrix), dtype=bool)]
    known = others[~np.isnan(others)]
    if not len(known) or known.min() == known.max():
        return False  # reported as a matrix without an order
    return bool(np.diagonal(matrix).min() >= known.max())


class RdmSet(MatrixSet):
    """Triplets from a similarity or dissimilarity matrix of M images, or from judgments of pairs.

    `.npy` and `.mat` files contain (M, M), (subjects, M, M), or upper triangles row by row. A `.csv` file
    contains one square table, with or without names in the first row or column. Each subject has one vote;
    `people` merges the sessions of a person. A table with the columns `image_1`, `image_2` and `rating`,
    `similarity`, `dissimilarity` or `distance` lists pairs: ratings of each `subject`, or the upper triangle
    of a matrix. If a person judged a pair several times, the mean counts. Splits are by image: a triplet and
    its three images are in the same split. Triplets are sampled without replacement from candidates whose
    mean dissimilarities differ by at least `min_gap`.
    """

    conventions: ClassVar[Conventions] = Conventions(
        index_base="by name, in the order of the names file",
        sides="randomized by seed",
        direction="set in the recipe: kind",
        ties="equal cells count half for each candidate; differences below min_gap form no triplet",
        winner_first="no",
    )

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(MatrixSet.Config):
        path: Annotated[Path, NEUTRAL]
        """The matrix file, .npy, .mat or .csv, or a table of pairs."""
        kind: MatrixKind
        """Whether a larger value means more similar ("similarity") or less ("dissimilarity"). No default."""
        names: Path | None = None
        """Text file of image names, one per line; not required if a .csv contains them."""
        key: str | None = None
        """Variable of a .mat file with several variables, or field of a struct ("data.rdm")."""
        image: str | None = None
        """File name pattern: "{}.jpg", or "{:03d}.jpg" for integers. Default: names are file names."""
        subjects: tuple[NonNegativeInt, ...] = ()
        """Use only these subjects, counted from 0. Default: all."""
        people: tuple[str, ...] | None = None
        """Name of the person for each matrix in the file. Matrices of one person, such as sessions, are
        standardized and averaged before ceilings are computed. Default: each matrix is a subject."""
        columns: str | None = None
        """Names of the columns of a table of pairs, as for `table`: "image_1,image_2,rating" without a
        header, or "image_1:first,image_2:second" to rename columns."""

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
        """Names of the people; by default "subject N", where N is the number of the matrix in the file."""
        subjects = self.config.subjects
        used = self._pairs[2] if self._pairs else {}
        people = self.config.people or [name for name in used if used[name]]
        if people:
            return list(dict.fromkeys(people[i] for i in subjects or range(len(people))))
        return [f"subject {number}" for number in subjects] if subjects else super().people

    @cached_property
    def _pairs(self) -> PairMatrices | None:
        """The matrices of a table of pairs; None for other files."""
        c = self.config
        if c.path.suffix not in TABLE_SUFFIXES:
            return None
        try:
            columns = read_table(c.path, c.columns)
        except DataError:  # the first row of a matrix may have equal cells
            if c.columns:
                raise
            return None
        value = find_value(columns.names)
        return read_pairs(columns, value) if value else None

    def warnings(self) -> Iterator[str]:
        """Yield a warning if people are skipped."""
        used = self._pairs[2] if self._pairs else {}
        if not all(used.values()):
            skipped = list_some([name for name in used if not used[name]])
            yield f"{self.config.path}: people who gave one value to all pairs are not used: {skipped}"

    def read_file(self) -> tuple[np.ndarray, Sequence[str] | None]:
        """Return all matrices (S, M, M) in the file, and the image names in it, if any."""
        if self._pairs:
            return self._pairs[:2]
        return read_matrices(self.config.path, self.config.key)

    def matrices(self) -> tuple[np.ndarray, Sequence[str]]:
        """Return the matrices (S, M, M) of the selected subjects and the file names of the images."""
        c = self.config
        matrices, own_names = self.read_file()
        if c.names and self._pairs:
            raise DataError(f'{c.path}: a table of pairs names its images. Remove names = "{c.names}"')
        names = read_names(c.names) if c.names else own_names
        if names is None:
            raise DataError(f"{c.path}: no image names. Set names to a text file with one name per line")
        try:
            files = [file_name(name, c.image) for name in names]
        except ValueError as error:
            raise DataError(f"{self.names_source}: {error}") from error
        strange = sorted(set(c.subjects) - set(range(len(matrices))))
        if strange:
            raise DataError(f"{c.path}: no subject {strange[0]}; there are {len(matrices)}, counted from 0")
        if c.people and len(c.people) != len(matrices):
            raise DataError(
                f"{c.path}: {len(c.people)} names in 'people' for {len(matrices)} matrices. List one for each"
            )
        chosen = list(c.subjects or range(len(matrices)))
        if not c.people:
            return matrices[chosen], files
        rows = {name: [i for i in chosen if c.people[i] == name] for name in self.people}
        means = (
            Dissimilarities.build(matrices[own], "dissimilarity", f"{c.path}, person '{name}'").group_mean(
                name
            )
            for name, own in rows.items()
        )
        return np.stack(list(means)), files

    def describe_people(self) -> Iterator[str]:
        """Yield a sentence on the number of people, if there are several matrices."""
        count = len(self.people)
        if self.config.people or (self._pairs and self._pairs[2]):
            yield f"the file contains matrices of {count} people; human ceilings compare people"
        elif count > 1:
            yield f"each of the {count} matrices counts as one person. If a person has several, set people"
