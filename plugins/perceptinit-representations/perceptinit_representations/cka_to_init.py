"""Similarity to the representation before pretraining (`cka-to-init`)."""

# N images, D embedding
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from perceptinit.companion import exchange, is_first, load_strict, load_weights, measure_images
from perceptinit.plugin import (
    DataError,
    DualEncoder,
    JudgedMeasure,
    Judgments,
    PositiveInt,
    RunContext,
    Score,
    Stimuli,
    UsageError,
    generator,
)
from perceptinit_representations.metrics import unbiased_cka


class CkaToInit(JudgedMeasure):
    """Linear CKA between the current embeddings of judged images and those before pretraining.

    Reports `cka/<set>` (unbiased): 1 before pretraining, 0 for unrelated representations. The reference is
    `weights/init.safetensors` in the run's folder, which is written after `[[init]]`. The standard error is a
    jackknife estimate over groups of images. With `two-afc` and `rsa`, it shows how much of stage 1 remains.

    Source: Kornblith et al. 2019.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(JudgedMeasure.EncodingConfig):
        max_images: PositiveInt = 1000
        """Maximum number of images, at least 4. Larger sets are reduced to a random subset, the same for all
        models."""

    config: Config

    def __init__(self, config: Config, judgments: Judgments) -> None:
        super().__init__(config, judgments)
        self._first: tuple[Path, int, np.ndarray] | None = None

    def read(self) -> tuple[Stimuli, np.ndarray]:
        """Return the stimuli and the indices of the selected images; DataError for fewer than 4 images."""
        triplets = self.judgments.load(self.config.split)
        used = np.unique([triplets.anchor, triplets.first, triplets.second])
        order = generator(0, "cka-to-init", "images", self.judgments.name).permutation(used)
        used = np.sort(order[: self.config.max_images])
        if len(used) < 4:
            raise DataError(f"cka-to-init needs 4 images, but '{self.judgments.name}' has {len(used)}")
        return triplets.stimuli, used

    def evaluate(self, model: DualEncoder, ctx: RunContext) -> Iterator[Score]:
        """Yield the score.

        Raises:
            UsageError: If the run's initial weights are missing.
            DataError: If an image cannot be read, or there are fewer than 4 images.
        """
        stimuli, used = self.data
        now = self._gram(model, ctx, stimuli, used)
        own: tuple[float, float | None] | None = None
        if is_first():  # rank 0, which has the run's folder
            first = self._first_gram(model, ctx, stimuli, used)

            def statistic(rows: np.ndarray) -> float:
                chosen = np.ix_(rows, rows)
                return unbiased_cka(first[chosen], now[chosen])

            own = measure_images(statistic, len(used), self.set_name)
        value, stderr = exchange(own)[0]
        yield Score(
            name=f"cka/{self.set_name}",
            value=value,
            num_examples=len(used),
            stderr=stderr,
            chance=0.0,
            extra={"precision": self.config.precision},
        )

    def _first_gram(
        self, model: DualEncoder, ctx: RunContext, stimuli: Stimuli, used: np.ndarray
    ) -> np.ndarray:
        """Return the Gram matrix of the initial embeddings, cached until the weights file changes."""
        path = (ctx.folder or Path()) / "weights" / "init.safetensors"
        if ctx.folder is None or not path.is_file():
            raise UsageError(f"cka-to-init: {path} not found. This evaluator supports only models from runs")
        stamp = path.stat().st_mtime_ns
        if self._first is None or self._first[:2] != (path, stamp):
            tower: Any = deepcopy(model.image)
            load_strict(tower, load_weights(path), str(path))
            gram = self._gram(tower.eval(), ctx, stimuli, used)
            self._first = path, stamp, gram
        return self._first[2]

    def _gram(self, model: Any, ctx: RunContext, stimuli: Stimuli, used: np.ndarray) -> np.ndarray:
        z = self.embed(model, ctx, stimuli, used)
        return z @ z.T
