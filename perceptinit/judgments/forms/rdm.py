"""Triplets from dissimilarity matrices: which of two images is closer to a third?"""

from __future__ import annotations

# S subjects, M images, N triplets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from perceptinit.errors import DataError
from perceptinit.judgments.forms.drawing import TripletDraw, Votes, draw_triplets
from perceptinit.judgments.scoring import agreement
from perceptinit.types import MeasuredSplit, Stimuli, Triplets

MatrixKind = Literal["similarity", "dissimilarity"]

# the mean matrix is treated as constant if its standard deviation (1 if all agree) is below this
CANCELLED = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Dissimilarities:
    """Dissimilarities of M images for S subjects; a group matrix counts as one subject.

    Args:
        values: float64 (S, M, M), symmetric, any unit; NaN for missing cells and on the diagonal.
    """

    values: np.ndarray

    @classmethod
    def build(cls, matrices: np.ndarray, kind: MatrixKind, source: str) -> Dissimilarities:
        """Return validated dissimilarities.

        Args:
            matrices: (M, M) or (S, M, M).
            kind: The meaning of larger values; similarities are negated.
            source: The name of the matrices in messages.

        Raises:
            DataError: If a matrix is not symmetric, has an infinite cell, or has only one value.
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
        """Return the mean over subjects, (M, M), of matrices standardized to mean 0 and variance 1.

        Standardization removes differences in range between matrices and preserves the order of cells.

        Raises:
            DataError: If the matrices cancel each other out.
        """
        mean = self.mean()
        if not np.nanstd(mean) > CANCELLED:
            raise DataError(f"{source}: the matrices cancel each other out, so there is no order to learn")
        return mean

    def mean(self) -> np.ndarray:
        """Return the same mean as `group_mean`, without its check."""
        axes = (1, 2)
        scaled = self.values - np.nanmean(self.values, axis=axes, keepdims=True)
        scaled /= np.nanstd(self.values, axis=axes, keepdims=True)
        total = np.nansum(scaled, axis=0)
        count = (~np.isnan(scaled)).sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(count > 0, total / count, np.nan)

    def votes(self, anchor: np.ndarray | int, first: np.ndarray, second: np.ndarray) -> Votes:
        """Return the share of subjects for whom `second` is closer, and the number of votes, (N,).

        Subjects with a missing cell have no vote. Equal cells count half for each candidate. The share is NaN
        if there are no votes.
        """
        lead = self.values[:, anchor, first] - self.values[:, anchor, second]  # NaN if a cell is missing
        num_votes = (~np.isnan(lead)).sum(axis=0)
        with np.errstate(invalid="ignore"):
            return np.nansum((1 + np.sign(lead)) / 2, axis=0) / num_votes, num_votes

    def of_each(self, triplets: Triplets) -> list[Triplets]:
        """Return each subject's choices, without the triplets for which the subject lacks a cell."""
        found = []
        for own in self.values:
            share, is_known = Dissimilarities(own[None]).votes(*triplets.roles)
            p_second = np.where(is_known, share, 0.0).astype(np.float32)
            alone = replace(triplets, p_second=p_second, num_votes=is_known.astype(np.int32))
            found.append(alone.select(is_known > 0))
        return found

    def noise_ceiling(self, draw: Callable[[Dissimilarities], Triplets]) -> tuple[float, float] | None:
        """Return how well the group predicts a subject's choices, without and with that subject.

        Args:
            draw: Samples triplets from a group's dissimilarities. For the lower bound, the group excludes
                the subject. Otherwise, triplets on which the subject agrees with the group would be more
                likely to be sampled.

        Returns:
            Bounds on a perfect model's score for individual subjects' choices. None for fewer than two
            subjects, or if no group of other subjects yields triplets.

        Source: the noise ceiling of Nili et al. (2014), with 2AFC instead of correlation.
        """
        if len(self.values) < 2:
            return None
        triplets = draw(self)
        lower = []
        for subject, own in enumerate(self.values):
            others = Dissimilarities(np.delete(self.values, subject, axis=0))
            with suppress(DataError):  # the others do not distinguish images
                lower.append(_agree(own, others, draw(others)))
        if np.isnan(lower).all():
            return None
        highest = float(np.nanmean([_agree(own, self, triplets) for own in self.values]))
        # the triplets of the lower bound may be easier
        return min(float(np.nanmean(lower)), highest), highest


@runtime_checkable
class HasDissimilarities(Protocol):
    """Judgments with dissimilarity matrices."""

    def load_dissimilarities(self, split: MeasuredSplit) -> tuple[Stimuli, np.ndarray, np.ndarray]:
        """Return the stimuli, the image indices of a split, int64 (K,), and dissimilarities (S, K, K).

        Raises:
            DataError: If a file is invalid.
        """


def triplets_from_dissimilarities(
    dissimilarities: Dissimilarities, stimuli: Stimuli, members: Sequence[int], draw: TripletDraw
) -> Triplets:
    """Sample triplets from dissimilarities; each subject, or group matrix, has one vote.

    Args:
        dissimilarities: Dissimilarities of all M images.
        stimuli: The M images.
        members: Indices of the images to use, so that splits share none.
        draw: Sampling settings; `min_gap` is in standard deviations of the group dissimilarities.

    Raises:
        DataError: If no two candidates differ enough.
    """
    group = dissimilarities.group_mean(draw.source)
    scaled = group / float(np.nanstd(group))
    return draw_triplets(stimuli, members, scaled.__getitem__, dissimilarities.votes, draw, members)


def square(vectors: np.ndarray, source: str) -> np.ndarray:
    """Return symmetric matrices (..., M, M) from upper triangles, (..., M (M - 1) / 2), row by row.

    The order is that of numpy's `triu_indices(M, 1)`, scipy's `squareform`, rsatoolbox and R's `dist`.

    Raises:
        DataError: If the length is not M (M - 1) / 2 for any M.
    """
    from scipy.spatial.distance import squareform

    try:
        return np.apply_along_axis(squareform, -1, np.asarray(vectors, dtype=np.float64))
    except ValueError as error:
        shape = " x ".join(map(str, np.shape(vectors)))
        raise DataError(
            f"{source}: {shape} cells are neither a square matrix nor rows with upper triangles of one. Save "
            "a square matrix, or its upper triangle row by row"
        ) from error


def _agree(own: np.ndarray, group: Dissimilarities, triplets: Triplets) -> float:
    """Return how often a group's mean predicts the choices of one subject; NaN without choices."""
    mean = group.mean()
    a, f, s = triplets.roles
    cells = np.stack([own[a, f], own[a, s], mean[a, f], mean[a, s]])
    own_first, own_second, first, second = cells[:, ~np.isnan(cells).any(axis=0)]
    if not len(first):
        return float("nan")
    return float(agreement(first, second, (1 + np.sign(own_first - own_second)) / 2).mean())


def _check_matrix(matrix: np.ndarray, source: str) -> None:
    infinite = np.argwhere(np.isinf(matrix)).tolist()
    if infinite:
        i, j = infinite[0]
        raise DataError(f"{source}: the cell of images {i} and {j} (counted from 0) is infinite")
    known = matrix[~np.isnan(matrix)]
    scale = np.abs(known).max(initial=0.0)
    is_equal = np.isclose(matrix, matrix.T, rtol=0, atol=1e-6 * scale, equal_nan=True)
    different = np.argwhere(~is_equal).tolist()
    if different:
        i, j = different[0]
        raise DataError(
            f"{source}: not symmetric: cells ({i}, {j}) and ({j}, {i}), counted from 0, are {matrix[i, j]:g} "
            f"and {matrix[j, i]:g}. If the asymmetry is intended, average the two directions first. "
            "Missing cells are nan in both"
        )
    if not len(known) or known.min() == known.max():
        raise DataError(f"{source}: all non-missing cells are equal, so there is no order to learn")
