"""The control that asks whether any similarity would do: the same triplets, answered by pixels."""

from __future__ import annotations

# N training judgments, M distinct images of a chunk, S height and width
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from perceptinit.configs import PositiveInt
from perceptinit.judgments.controls.wrapper import Wrapper
from perceptinit.types import DataCard, Triplets

if TYPE_CHECKING:  # they import torch, which a list of data sets does not need
    import torch

    from perceptinit.images.stimuli import StimulusImages

CHUNK = 4096  # triplets whose pixels are held at once


class PixelTriplets(Wrapper):
    """Other judgments whose training answers are those of pixels: the candidate with the nearer pixels wins.

    Images, triplets and their number stay as they were; who answers is not a person but the cosine
    distance of the colours of all pixels, of the images squashed to a small square. So the triplets
    teach a similarity of the same form that knows nothing of people. Each has one vote.

    `val` and `test` are left true. Every training image is read when `train` is loaded.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        size: PositiveInt = 32
        """Height and width that images are compared at, pixels."""

    config: Config
    about = "training answers by pixels (control)"

    @property
    def card(self) -> DataCard:
        return replace(super().card, by_people=False)

    def change(self, triplets: Triplets) -> Triplets:
        """Return the triplets as pixels answer them; DataError for a broken image."""
        return answer_by_pixels(triplets, self.config.size)


def answer_by_pixels(triplets: Triplets, size: int) -> Triplets:
    """Return the triplets with one vote each, for the candidate whose pixels are nearer; 0.5 for a tie."""
    from perceptinit.images.stimuli import StimulusImages

    images = StimulusImages(triplets.stimuli, size)
    starts = range(0, len(triplets), CHUNK)
    chunks = [np.arange(i, min(i + CHUNK, len(triplets))) for i in starts]
    leads = [_lead_of_second(triplets.select(rows), images) for rows in chunks]
    p_second = np.float32(0.5) + np.float32(0.5) * np.sign(np.concatenate(leads)).astype(np.float32)
    return replace(triplets, p_second=p_second, num_votes=np.ones(len(triplets), dtype=np.int32))


def _lead_of_second(triplets: Triplets, images: StimulusImages) -> np.ndarray:
    """Return how much nearer the second candidate's pixels are than the first one's, shape (N,)."""
    from perceptinit.judgments.scoring import cosine_distances
    from perceptinit.judgments.two_afc import embed

    roles = np.stack([triplets.anchor, triplets.first, triplets.second])
    used, index = np.unique(roles, return_inverse=True)
    anchor, first, second = index.reshape(roles.shape)
    pixels = embed(_flatten, images, used)
    return cosine_distances(pixels, anchor, first) - cosine_distances(pixels, anchor, second)


def _flatten(images: torch.Tensor) -> torch.Tensor:
    return images.flatten(1)
