"""Judgments `acme/piles`: images that people sorted into piles, as triplets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from perceptinit.plugin import (
    DataCard,
    DataError,
    NonNegativeInt,
    PositiveInt,
    Share,
    Split,
    Stimuli,
    Triplets,
    assign_splits,
    generator,
)

from acme_piles.reading import Sorting, read_sorting
from acme_piles.votes import questions, votes


class Piles:
    """Free sorting as triplets: a person votes for the candidate in the anchor's pile.

    Columns `subject`, `image` and `pile`. Splits are by image, so held-out images are not in the training
    judgments.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        path: Path
        """The table, CSV."""
        images: Path
        """Folder of the images."""
        per_anchor: PositiveInt = 60
        """Random questions for each anchor."""
        val_share: Share = 0.25
        """Share of the images that become `val`."""
        test_share: Share = 0.25
        """Share of the images that become `test`."""
        seed: NonNegativeInt = 0
        """Seed of splits and questions, shared by all runs."""

    def __init__(self, config: Config) -> None:
        self.config = config

    @property
    def name(self) -> str:
        return self.config.path.stem

    @property
    def card(self) -> DataCard:
        return DataCard(
            title=f"Piles of {self.config.path.name}",
            source_url=self.config.path.as_posix(),
            license="not stated",
            citation="not stated",
        )

    def preflight(self) -> Iterator[str]:
        """Yield the problems of the table before a run starts."""
        try:
            self.load("train")
        except DataError as error:
            yield str(error)

    def load(self, split: Split) -> Triplets:
        """Return the triplets of a split.

        Raises:
            DataError: If a row is invalid, or no question has an answer.
        """
        c, names = self.config, self._sorting.images
        splits = assign_splits(names, c.seed, "acme-piles", val_share=c.val_share, test_share=c.test_share)
        rng = generator(c.seed, "acme-piles", split)
        rows = questions(np.flatnonzero(splits == split), c.per_anchor, rng)
        first, second = votes(self._sorting.piles, *rows.T)
        num_votes = first + second
        answered = num_votes > 0
        if not answered.any():
            raise DataError(f"{c.path}: no answers in split '{split}'")
        return Triplets.build(
            Stimuli(names, [c.images / name for name in names]),
            *rows[answered].T,
            p_second=second[answered] / num_votes[answered],
            num_votes=num_votes[answered],
        )

    @cached_property
    def _sorting(self) -> Sorting:
        return read_sorting(self.config.path, self.config.images)
