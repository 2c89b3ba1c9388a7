"""Average precision on judgments of just noticeable differences (`jnd`)."""

# N pairs, M images
from collections.abc import Iterator, Sequence

import numpy as np

from perceptinit.companion import HasSamePairs, ImageSource, SamePairs, cosine_distances
from perceptinit.plugin import DualEncoder, JudgedMeasure, RunContext, Score, UsageError


class Jnd(JudgedMeasure):
    """Average precision of predicting "same" for image pairs with a small cosine distance.

    Reports `jnd_ap/<set>`, the measure of Zhang et al. (2018). Chance is the share of "same" answers, which
    is also the score of constant embeddings. The score name includes any split other than `test`. Supported
    judgments are `bapps` and `same-different`.
    """

    def evaluate(self, model: DualEncoder, ctx: RunContext) -> Iterator[Score]:
        """Yield the score; DataError for unreadable images or a split without pairs."""
        pairs = self.data
        used, places = np.unique(np.stack([pairs.first, pairs.second]), return_inverse=True)
        first, second = places.reshape(2, -1)
        z = self.embed(model, ctx, pairs.stimuli, used)
        yield Score(
            name=f"jnd_ap/{self.set_name}",
            value=same_average_precision(cosine_distances(z, first, second), pairs.p_same),
            num_examples=len(pairs),
            chance=pairs.base_rate,
        )

    def evaluated_images(self) -> Iterator[tuple[str, Sequence[ImageSource]]]:
        """Yield the name of the set and the images of its pairs."""
        pairs = self.data
        used = np.unique([pairs.first, pairs.second])
        yield self.set_name, [pairs.stimuli.images[index] for index in used]

    def read(self) -> SamePairs:
        """Return the image pairs of the split; UsageError for judgments without such pairs."""
        if not isinstance(self.judgments, HasSamePairs):
            raise UsageError(
                f"judgments '{self.judgments.name}' have no same-or-different answers. Use 'bapps' or "
                "'same-different'"
            )
        return self.judgments.load_same_pairs(self.config.split)


def same_average_precision(distances: np.ndarray, p_same: np.ndarray) -> float:
    """Return the average precision of predicting "same" for the closest pairs, in [0, 1].

    Precision is interpolated as the maximum at this or a higher recall. Pairs with equal distances
    share one threshold, so constant embeddings score the base rate.

    Args:
        distances: Distances of the pairs, (N,), any unit.
        p_same: Share of people who said "same", (N,).

    Raises:
        ValueError: If no answer is "same", or a distance is not finite.

    Source: JND score of Zhang et al. (2018), with the average precision of VOC. The rule for ties is new.
    """
    d, p = np.asarray(distances, np.float64), np.asarray(p_same, np.float64)
    if not np.isfinite(d).all():
        raise ValueError("a distance is not finite")
    if not p.sum() > 0:
        raise ValueError('no answer is "same"')
    levels, place = np.unique(d, return_inverse=True)
    same = np.cumsum(np.bincount(place, p, minlength=len(levels)))
    taken = np.cumsum(np.bincount(place, minlength=len(levels)))
    precision = np.maximum.accumulate((same / taken)[::-1])[::-1]
    recall = same / same[-1]
    return float((np.diff(recall, prepend=0.0) * precision).sum())
