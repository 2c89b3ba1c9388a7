"""Statistics of image embeddings (`representation`), and their change in pretraining (`cka-to-init`)."""

# N images, D embedding
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from perceptinit.companion import (
    LabeledMeasure,
    exchange,
    is_first,
    load_strict,
    load_weights,
    measure_images,
)
from perceptinit.plugin import (
    DataError,
    DualEncoder,
    JudgedMeasure,
    Judgments,
    PositiveInt,
    RunContext,
    Score,
    SetConfig,
    Stimuli,
    UsageError,
    generator,
)


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
        order = generator(0, "representation", "images", labelled.name).permutation(len(labelled.labels))
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
            found.append(
                Score(
                    name=f"{name}/{labelled.name}",
                    value=value,
                    higher_is_better=higher,
                    num_examples=len(x),
                    stderr=stderr,
                    extra=self.facts(labelled),
                )
            )
        return found


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
            self._first = path, stamp, self._gram(tower.eval(), ctx, stimuli, used)
        return self._first[2]

    def _gram(self, model: Any, ctx: RunContext, stimuli: Stimuli, used: np.ndarray) -> np.ndarray:
        z = self.embed(model, ctx, stimuli, used)
        return z @ z.T


def effective_rank(features: np.ndarray) -> float:
    """Return the effective rank of embeddings (N, D): exp of the entropy of their singular values.

    The value is between 1 (collinear embeddings) and min(N, D). The embeddings are not centered.
    Source: Roy and Vetterli (2007); RankMe (Garrido et al. 2023).
    """
    x = features.astype(np.float64)
    gram = x.T @ x if x.shape[0] >= x.shape[1] else x @ x.T
    singular = np.sqrt(np.clip(np.linalg.eigvalsh(gram), 0, None))
    p = singular / singular.sum()
    p = p[p > 0]
    return float(np.exp(-(p * np.log(p)).sum()))


def alignment(features: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean squared distance over same-class pairs of unit vectors (N, D); NaN without pairs.

    Source: Wang and Isola (2020), with images of the same class as positive pairs.
    """
    total, pairs = 0.0, 0.0
    for label in np.unique(labels):
        own = features[labels == label].astype(np.float64)
        count = len(own)
        # sum over pairs of |a - b|^2 = n * sum |a|^2 - |sum a|^2
        total += count * np.square(own).sum() - np.square(own.sum(axis=0)).sum()
        pairs += count * (count - 1) / 2
    return float(total / pairs) if pairs else float("nan")


def uniformity(gram: np.ndarray) -> float:
    """Return the log mean of exp(-2 distance^2) over pairs; lower is more uniform, 0 is collapsed.

    gram: cosines of unit vectors (N, N). Source: Wang and Isola (2020), t = 2.
    """
    above = gram[np.triu_indices(len(gram), 1)].astype(np.float64)
    return float(np.log(np.exp(-4 * (1 - above)).mean()))


def unbiased_cka(gram_x: np.ndarray, gram_y: np.ndarray) -> float:
    """Return the unbiased linear CKA of two representations of N images, NaN if one is constant.

    The value is 1 for representations equal up to rotation and scale, and about 0 for unrelated ones.
    gram_x, gram_y: Gram matrices (N, N), with N at least 4.
    Source: Kornblith et al. (2019); unbiased HSIC of Song et al. (2012), as in Nguyen et al. (2021).
    """
    cross, own_x, own_y = _hsic(gram_x, gram_y), _hsic(gram_x, gram_x), _hsic(gram_y, gram_y)
    # constant up to rounding
    if own_x <= 1e-9 * np.square(gram_x).mean() or own_y <= 1e-9 * np.square(gram_y).mean():
        return float("nan")
    return float(cross / np.sqrt(own_x * own_y))


def _hsic(gram_x: np.ndarray, gram_y: np.ndarray) -> float:
    n = len(gram_x)
    k, m = gram_x.astype(np.float64).copy(), gram_y.astype(np.float64).copy()
    np.fill_diagonal(k, 0)
    np.fill_diagonal(m, 0)
    trace = (k * m).sum()
    sums = k.sum() * m.sum() / ((n - 1) * (n - 2))
    rows = 2 * (k.sum(axis=0) @ m.sum(axis=0)) / (n - 2)
    return float((trace + sums - rows) / (n * (n - 3)))
