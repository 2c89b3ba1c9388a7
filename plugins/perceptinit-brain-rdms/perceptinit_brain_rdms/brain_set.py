"""Base class of judgments from brain regions: one matrix per subject, averaged over regions."""

from __future__ import annotations

# S subjects, R regions, M images
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from perceptinit.plugin import (
    Conventions,
    DataCard,
    DataError,
    Dissimilarities,
    MatrixSet,
    PositiveInt,
    unknown,
)


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

    @property
    def name(self) -> str:
        return "-".join([self.source.stem, *self.config.regions])

    @property
    def card(self) -> DataCard:
        regions = ", ".join(self.config.regions)
        return DataCard(
            title=f"Brain dissimilarities of {self.source.name}: {regions}",
            source_url=self.source.as_posix(),
            licence="not stated",
            citation="not stated",
        )

    def files(self, names: Sequence[str]) -> list[str]:
        """Return the image files of these names, relative to `images`."""
        return [self.config.image.format(name=name) for name in names]


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
