"""From dissimilarity matrices to triplets: which of two images is nearer to a third, and for how many subjects?"""

from __future__ import annotations

# S subjects, M images, N triplets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from perceptinit.errors import DataError
from perceptinit.judgments.forms.drawing import TripletDraw, draw_triplets
from perceptinit.judgments.scoring import agreement
from perceptinit.types import MeasuredSplit, Stimuli, Triplets

MatrixKind = Literal["similarity", "dissimilarity"]

# deviation of a mean of scaled matrices (1 where all agree) that is rounding only
CANCELLED = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Dissimilarities:
    """Dissimilarities of M images for S subjects (one matrix of a group is one subject).

    values: float64 (S, M, M), symmetric, any unit; NaN where a subject gave none, and on the diagonal.
    """

    values: np.ndarray

    @classmethod
    def build(cls, matrices: np.ndarray, kind: MatrixKind, source: str) -> Dissimilarities:
        """Return checked matrices: (M, M) or (S, M, M); similarities are turned.

        Raises DataError, naming the cell, for a matrix that is not symmetric or has an infinite cell,
        and for one without two different values.
        """
        values = np.array(matrices, dtype=np.float64)
        values = values[None] if values.ndim == 2 else values
        if values.ndim != 3 or values.shape[1] != values.shape[2]:
            raise DataError(f"{source}: expected square matrices, got shape {np.shape(matrices)}")
        for subject, matrix in enumerate(values):
            np.fill_diagonal(matrix, np.nan)
            _check_matrix(matrix, f"{source}, matrix {subject}")
        return cls(values if kind == "dissimilarity" else -values)

    def group_mean(self, source: str) -> np.ndarray:
        """Return the mean over subjects, (M, M), of matrices scaled to a mean of 0 and a deviation of 1.

        Scaled, since subjects and regions use different spans; the order within each is kept.

        Raises DataError when the matrices cancel each other out.
        """
        mean = self.mean()
        if not np.nanstd(mean) > CANCELLED:
            raise DataError(f"{source}: the matrices cancel each other out; there is no order to learn")
        return mean

    def mean(self) -> np.ndarray:
        """Return what `group_mean` does, also where the matrices cancel each other out."""
        flat = self.values.reshape(len(self.values), -1)
        mean, deviation = np.nanmean(flat, axis=1), np.nanstd(flat, axis=1)
        scaled = (self.values - mean[:, None, None]) / deviation[:, None, None]
        total, count = np.nansum(scaled, axis=0), (~np.isnan(scaled)).sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(count > 0, total / count, np.nan)

    def votes(
        self, anchor: np.ndarray | int, first: np.ndarray, second: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the share of subjects for whom `second` is nearer, and how many have both cells, (N,).

        Equal cells count half for each side. Pairs that no subject has get a share of NaN.
        """
        lead = self.values[:, anchor, first] - self.values[:, anchor, second]  # NaN without a cell
        num_votes = (~np.isnan(lead)).sum(axis=0)
        with np.errstate(invalid="ignore"):
            return np.nansum((1 + np.sign(lead)) / 2, axis=0) / num_votes, num_votes

    def of_each(self, triplets: Triplets) -> list[Triplets]:
        """Return the choices of each subject on triplets, without those where a cell is missing."""
        a, f, s = triplets.anchor, triplets.first, triplets.second
        found = []
        for own in self.values:
            share, is_known = Dissimilarities(own[None]).votes(a, f, s)
            rows = is_known > 0
            p_second = np.where(rows, share, 0.0).astype(np.float32)
            alone = replace(triplets, p_second=p_second, num_votes=is_known.astype(np.int32))
            found.append(alone.select(rows))
        return found

    def noise_ceiling(self, draw: Callable[[Dissimilarities], Triplets]) -> tuple[float, float] | None:
        """Return how well the group predicts a subject's choices: (without that subject, with it).

        draw: chooses the triplets from what a group says. Without a subject, the others choose them: a
        subject's own answers would leave the triplets on which that subject sides with the group.
        A model that knew what people share would score between the two, on single subjects' choices.
        None for fewer than two subjects, and where the others of none have triplets.
        Source: the noise ceiling of Nili et al. (2014), with 2AFC in place of correlation.
        """
        if len(self.values) < 2:
            return None
        triplets = draw(self)
        upper = [_agreement_with(own, self, triplets) for own in self.values]
        lower = []
        for subject, own in enumerate(self.values):
            others = Dissimilarities(np.delete(self.values, subject, axis=0))
            try:
                lower.append(_agreement_with(own, others, draw(others)))
            except DataError:  # the others tell no images apart
                lower.append(float("nan"))
        if np.isnan(lower).all():
            return None
        highest = float(np.nanmean(upper))
        # the others' triplets are others: with few, they may be easier ones
        return min(float(np.nanmean(lower)), highest), highest


@runtime_checkable
class HasDissimilarities(Protocol):
    """Judgments that come as dissimilarity matrices, and can be had that way."""

    def load_dissimilarities(self, split: MeasuredSplit) -> tuple[Stimuli, np.ndarray, np.ndarray]:
        """Return the stimuli, the images of a split or "all", int64 (K,), and their dissimilarities (S, K, K).

        Raises DataError when a file is wrong.
        """
        ...


def triplets_from_dissimilarities(
    dissimilarities: Dissimilarities,
    stimuli: Stimuli,
    members: Sequence[int],
    draw: TripletDraw,
) -> Triplets:
    """Return triplets of the images at `members`; no other image occurs, so splits share none.

    The draw's `min_gap` is that of two group dissimilarities, in standard deviations of all of them. A vote is
    a subject; a group matrix has one.

    Raises DataError when no two candidates are far enough apart.
    """
    group = dissimilarities.group_mean(draw.source)
    deviation = float(np.nanstd(group))
    return draw_triplets(
        stimuli,
        members,
        lambda anchor: group[anchor] / deviation,
        dissimilarities.votes,
        draw,
        members,
    )


def square(vectors: np.ndarray, source: str) -> np.ndarray:
    """Return matrices (..., M, M) of vectors (..., M (M - 1) / 2): the upper triangle, row by row.

    The order of numpy's `triu_indices(M, 1)`, scipy's `squareform`, rsatoolbox and R's `dist`.

    Raises DataError when the length is that of no triangle.
    """
    from scipy.spatial.distance import squareform

    try:
        return np.apply_along_axis(squareform, -1, np.asarray(vectors, dtype=np.float64))
    except ValueError as error:
        length = np.shape(vectors)[-1]
        raise DataError(f"{source}: {length} cells are no upper triangle of a square matrix") from error


def _agreement_with(own: np.ndarray, group: Dissimilarities, triplets: Triplets) -> float:
    """Return how often a group's mean makes the choices of one subject; NaN without any."""
    mean = group.mean()
    a, f, s = triplets.anchor, triplets.first, triplets.second
    cells = np.stack([own[a, f], own[a, s], mean[a, f], mean[a, s]])
    own_first, own_second, first, second = cells[:, ~np.isnan(cells).any(axis=0)]
    if not len(first):
        return float("nan")
    choice = (1 + np.sign(own_first - own_second)) / 2
    return float(agreement(first, second, choice).mean())


def _check_matrix(matrix: np.ndarray, source: str) -> None:
    infinite = np.argwhere(np.isinf(matrix))
    if len(infinite):
        raise DataError(f"{source}: the cell of images {_cell(infinite[0])} is infinite")
    scale = np.nanmax(np.abs(matrix)) if not np.isnan(matrix).all() else 0.0
    is_equal = np.isclose(matrix, matrix.T, rtol=0, atol=1e-6 * scale, equal_nan=True)
    different = np.argwhere(~is_equal)
    if len(different):
        i, j = different[0]
        raise DataError(
            f"{source}: not symmetric: images {_cell((i, j))} have {matrix[i, j]:g} one way and "
            f"{matrix[j, i]:g} the other. Average the two directions first, if that is what you mean"
        )
    known = matrix[~np.isnan(matrix)]
    if not len(known) or known.min() == known.max():
        raise DataError(f"{source}: all known cells are equal; there is no order to learn")


def _cell(cell: Sequence[int] | np.ndarray) -> str:
    return f"{int(cell[0])} and {int(cell[1])} (from 0)"
