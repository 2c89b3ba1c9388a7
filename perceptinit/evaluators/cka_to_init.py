"""How much of the first representation is left (`cka-to-init`): washout over pretraining."""

from __future__ import annotations

# N images, D embedding
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from perceptinit.compute import distributed
from perceptinit.configs import PositiveInt
from perceptinit.errors import DataError, UsageError
from perceptinit.evaluators.judged import JudgedMeasure
from perceptinit.evaluators.metrics import measure_images, unbiased_cka
from perceptinit.files.checkpoints import load_strict, load_weights
from perceptinit.protocols import DualEncoder, Judgments
from perceptinit.seeding import generator
from perceptinit.types import RunContext, Score, Stimuli


class CkaToInit(JudgedMeasure):
    """Is the image tower's view of the judged images still that of the start of pretraining?

    Gives `cka/<set>`, the linear CKA (unbiased; Kornblith et al. 2019) between the embeddings now and
    those of `weights/init.safetensors` in the run's folder, which a run writes after its `[[init]]`:
    1 at 0 samples seen, 0 when nothing is left. Its standard error comes from leaving out groups of
    images. Beside `two-afc` and `rsa` it shows over samples seen how much of stage 1 survives.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(JudgedMeasure.EncodingConfig):
        max_images: PositiveInt = 1000
        """Images that are used, drawn at random from larger sets, the same for every model; at least 4."""

    config: Config

    def __init__(self, config: Config, judgments: Judgments) -> None:
        super().__init__(config, judgments)
        self._first: tuple[Path, int, np.ndarray] | None = None

    def read(self) -> tuple[Stimuli, np.ndarray]:
        """Return the stimuli and which of them are used; DataError for fewer than 4."""
        triplets = self.judgments.load(self.config.split)
        used = np.unique([triplets.anchor, triplets.first, triplets.second])
        order = generator(0, "cka-to-init", "images", self.judgments.name).permutation(used)
        used = np.sort(order[: self.config.max_images])
        if len(used) < 4:
            raise DataError(f"cka-to-init: {len(used)} images in '{self.judgments.name}', 4 are needed")
        return triplets.stimuli, used

    def evaluate(self, model: DualEncoder, ctx: RunContext) -> Iterator[Score]:
        """Yield the score.

        Raises UsageError without a run's first weights, DataError for images that cannot be read and
        for fewer than 4 of them.
        """
        stimuli, used = self.data
        now = self._gram(model, ctx, stimuli, used)
        own: tuple[float, float | None] | None = None
        if distributed.rank() == 0:  # the process that has the run's folder
            first = self._first_gram(model, ctx, stimuli, used)

            def statistic(rows: np.ndarray) -> float:
                chosen = np.ix_(rows, rows)
                return unbiased_cka(first[chosen], now[chosen])

            own = measure_images(statistic, len(used), self.set_name)
        value, stderr = distributed.exchange(own)[0]
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
        """Return the inner products of the first embeddings, kept while the run's file is the same."""
        path = (ctx.folder or Path()) / "weights" / "init.safetensors"
        if ctx.folder is None or not path.is_file():
            raise UsageError(f"cka-to-init: no first weights ({path}); it measures the runs of recipes only")
        stamp = path.stat().st_mtime_ns
        if self._first is None or self._first[:2] != (path, stamp):
            tower: Any = deepcopy(model.image)
            load_strict(tower, load_weights(path), str(path))
            gram = self._gram(tower.eval(), ctx, stimuli, used)
            self._first = path, stamp, gram
        return self._first[2]

    def _gram(self, model: Any, ctx: RunContext, stimuli: Stimuli, used: np.ndarray) -> np.ndarray:
        z = self.embed(model.encode_image, model.image_size, ctx, stimuli, used)
        return z @ z.T
