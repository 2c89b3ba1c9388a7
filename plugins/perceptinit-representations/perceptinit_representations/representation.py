"""Descriptive statistics of image embeddings of labeled test sets (`representation`)."""

# N images, D embedding
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from perceptinit.companion import LabeledMeasure, measure_images
from perceptinit.plugin import PositiveInt, RunContext, Score, SetConfig, generator
from perceptinit_representations.metrics import alignment, effective_rank, uniformity


class Representation(LabeledMeasure):
    """Descriptive statistics of the image embeddings.

    Reports `effective_rank/<set>` (RankMe, Garrido et al. 2023), `alignment/<set>`, the mean squared distance
    between images of the same class, and `uniformity/<set>` on the unit sphere (Wang and Isola 2020; lower is
    better for both). Standard errors are jackknife estimates over groups of images.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(SetConfig):
        max_images: PositiveInt = 2000
        """Maximum number of images. Larger sets are reduced to a random subset, the same for all models."""

    def scores(
        self, model: Any, sets: Sequence[Any], features: Sequence[np.ndarray], ctx: RunContext
    ) -> list[Score]:
        """Return the three statistics."""
        labelled = sets[0]
        count = len(labelled.labels)
        order = generator(0, "representation", "images", labelled.name).permutation(count)
        chosen = np.sort(order[: self.config.max_images])
        x, labels = features[0][chosen], labelled.labels[chosen]
        gram = x @ x.T
        statistics: dict[str, tuple[Callable[[np.ndarray], float], bool]] = {
            "effective_rank": (lambda rows: effective_rank(x[rows]), True),
            "alignment": (lambda rows: alignment(x[rows], labels[rows]), False),
            "uniformity": (lambda rows: uniformity(gram[np.ix_(rows, rows)]), False),
        }
        found = []
        for name, (statistic, higher) in statistics.items():
            value, stderr = measure_images(statistic, len(x), labelled.name)
            score = Score(
                name=f"{name}/{labelled.name}",
                value=value,
                higher_is_better=higher,
                num_examples=len(x),
                stderr=stderr,
                extra=self.facts(labelled),
            )
            found.append(score)
        return found
