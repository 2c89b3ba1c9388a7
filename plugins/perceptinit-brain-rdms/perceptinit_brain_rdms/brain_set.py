"""What the two components share: from matrices per subject and region to triplets."""

from __future__ import annotations

# S subjects, R regions, M images
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from perceptinit.errors import DataError, UsageError
from perceptinit.judgments.forms.conventions import Conventions
from perceptinit.judgments.forms.rdm import Dissimilarities, triplets_from_dissimilarities
from perceptinit.judgments.own.rdm_set import image_stimuli, members_of
from perceptinit.registry import unknown
from perceptinit.types import DataCard, Split, Stimuli, Triplets


class BrainSet:
    """Base of the components; a subclass gives `matrices` and has a config with the shared keys."""

    conventions: ClassVar[Conventions] = Conventions(
        index_base="by name, in the order of the file",
        sides="drawn, by seed",
        direction="larger cells: less alike",
        ties="equal cells count half for each side; cells nearer than min_gap make no triplet",
        winner_first="no",
    )
    config: Any
    source: Path

    def matrices(self) -> tuple[np.ndarray, list[str]]:
        """Return one matrix per subject, (S, M, M), and the M image names; DataError for a wrong file."""
        raise NotImplementedError

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

    def preflight(self) -> Iterator[str]:
        """Yield the first thing that is wrong with the files or images."""
        try:
            self.load("train")
        except (DataError, UsageError) as error:
            yield str(error)

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

    def noise_ceiling(self, split: Split) -> tuple[float, float] | None:
        """Return the lower and upper noise ceiling of 2AFC on a split; None for a single subject."""
        return self._dissimilarities.noise_ceiling(self.load(split))

    @cached_property
    def _read(self) -> tuple[np.ndarray, list[str]]:
        return self.matrices()

    @cached_property
    def _dissimilarities(self) -> Dissimilarities:
        return Dissimilarities.build(self._read[0], "dissimilarity", str(self.source))

    @cached_property
    def _stimuli(self) -> Stimuli:
        matrices, names = self._read
        files = [self.config.image.format(name=name) for name in names]
        return image_stimuli(files, matrices.shape[-1], self.config.images, str(self.source))


def mean_of_regions(matrices: Sequence[np.ndarray], source: str) -> np.ndarray:
    """Return the mean of one subject's regions, (M, M), each scaled to a mean of 0 and a deviation of 1."""
    if len(matrices) == 1:
        return matrices[0]
    return Dissimilarities.build(np.stack(matrices), "dissimilarity", source).group_mean(source)


def chosen(wanted: Sequence[str], known: Sequence[str], what: str, source: str) -> list[str]:
    """Return the wanted names, or all known ones when none is wanted; DataError for one that is not there."""
    for name in wanted:
        if name not in known:
            raise DataError(f"{source}: {unknown(f'no {what} called', name, sorted(set(known)))}")
    return list(dict.fromkeys(wanted or known))
