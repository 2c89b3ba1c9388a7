"""Just noticeable differences (`jnd`): are pairs that people call the same also near for the model?"""

from __future__ import annotations

# N pairs, M images
from collections.abc import Iterator
from functools import cached_property

import numpy as np

from perceptinit.evaluators.judged import JudgedMeasure
from perceptinit.judgments.forms.same_pairs import (
    SamePairs,
    load_same_pairs,
    same_average_precision,
)
from perceptinit.judgments.scoring import cosine_distances
from perceptinit.judgments.two_afc import embed
from perceptinit.protocols import DualEncoder
from perceptinit.types import RunContext, Score


class Jnd(JudgedMeasure):
    """Calls near pairs of images the same, by cosine distance, and compares with people.

    Gives `jnd_ap/<set>`, the average precision of Zhang et al. (2018). Chance is the share of all
    answers that say "same", which constant embeddings score. A split other than `test` is part of the
    name. Judgments: `bapps`, `same-different`.
    """

    def evaluate(self, model: DualEncoder, ctx: RunContext) -> Iterator[Score]:
        """Yield the score; DataError for images that cannot be read or a split without pairs."""
        pairs = self._pairs
        images = self.images(pairs.stimuli, model.image_size, ctx.num_workers)
        used, places = np.unique(np.stack([pairs.first, pairs.second]), return_inverse=True)
        first, second = places.reshape(2, -1)
        z = embed(
            model.encode_image, images, used, device=ctx.device, batch_size=self.config.batch_size
        )
        yield Score(
            name=f"jnd_ap/{self.set_name}",
            value=same_average_precision(cosine_distances(z, first, second), pairs.p_same),
            num_examples=len(pairs),
            chance=pairs.base_rate,
        )

    @cached_property
    def _pairs(self) -> SamePairs:
        return load_same_pairs(self.judgments, self.config.split)

    def read(self) -> SamePairs:
        """Return the pairs of the split."""
        return self._pairs
