"""The best layer of a model, chosen on other images than those that it is scored on."""

# M stimuli, N judgments, D embedding
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from perceptinit.errors import DataError
from perceptinit.evaluators.judged import GivenEmbeddings, JudgedMeasure
from perceptinit.judgments.baselines import MAX_KEPT
from perceptinit.judgments.forms.odd_one_out import OddOneOut
from perceptinit.judgments.linear_map import halve
from perceptinit.seeding import generator
from perceptinit.types import RunContext, Triplets


def choose_best(
    measure: JudgedMeasure, title: str, layers: Mapping[str, GivenEmbeddings], ctx: RunContext
) -> tuple[JudgedMeasure, GivenEmbeddings, str]:
    """Return a measure and embeddings that score the best layer, and the choice in words.

    The images are divided into halves, the same for all models. Each half is scored with the layer that is
    best on the judgments within the other half. Judgments with images in both halves are not scored, and
    people are not named.

    Args:
        measure: Measure on all judgments.
        title: Name of the model.
        layers: Embeddings of all images of the judgments, by layer.
        ctx: Receives warnings.

    Raises:
        DataError: If a half contains no judgments.
    """
    is_in_half, parts, whole = _divide(measure)
    chosen = []
    for part in reversed(parts):
        scores = {name: next(iter(part.evaluate(rows, ctx))).value for name, rows in layers.items()}
        chosen.append(max(scores, key=scores.__getitem__))
    stimuli, used = measure.used()
    names = [stimuli.ids[index] for index in used.tolist()]
    best = [_rows(layers[layer], names, measure.distance) for layer in chosen]
    width = max(each.shape[1] for each in best)
    # zeros change no distance within a half
    first, second = (torch.nn.functional.pad(each, (0, width - each.shape[1])) for each in best)
    rows = torch.where(torch.from_numpy(is_in_half[used])[:, None], first, second)
    return (
        whole,
        GivenEmbeddings(title, names, rows),
        f"{chosen[0]} on a half of the images, {chosen[1]} on the other",
    )


@lru_cache(MAX_KEPT)
def _divide(measure: JudgedMeasure) -> tuple[np.ndarray, list[Any], JudgedMeasure]:
    """Return a half of the images, bool (M,), and measures within each half and within both.

    Models share them, and with them the scores of trivial models.
    """
    is_in_half = _halve(measure)
    halves = (is_in_half, ~is_in_half)
    parts = [measure.with_data(_within(measure.data, [half])) for half in halves]
    return is_in_half, parts, measure.with_data(_within(measure.data, halves))


def _rows(given: GivenEmbeddings, names: Sequence[str], distance: str) -> Tensor:
    place = {name: row for row, name in enumerate(given.names)}
    rows = given.embeddings[[place[name] for name in names]].double()
    return rows - rows.mean(dim=1, keepdim=True) if distance == "pearson" else rows


def _halve(measure: JudgedMeasure) -> np.ndarray:
    """Return a random half of the stimuli, bool (M,)."""
    rng = generator(0, "best layer")
    stimuli, used = measure.used()
    roles = _roles(measure.data)
    is_chosen = np.zeros(len(stimuli), dtype=bool)
    if roles is None:
        is_chosen[used] = rng.permutation(len(used)) < len(used) // 2
    else:
        is_chosen[used] = halve(np.searchsorted(used, roles), len(used), rng)
    return is_chosen


def _roles(data: Any) -> np.ndarray | None:
    """Return the images of each judgment, int64 (3, N); None for matrices."""
    if isinstance(data, Triplets):
        return data.roles
    return data.images.T if isinstance(data, OddOneOut) else None


def _within(data: Any, groups: Sequence[np.ndarray]) -> Any:
    """Return the judgments whose images are in one group; pairs of a matrix across groups are unknown."""
    roles = _roles(data)
    if roles is None:
        stimuli, used, subjects = data
        is_within = np.any([np.outer(group[used], group[used]) for group in groups], axis=0)
        return stimuli, used, np.where(is_within, subjects, np.nan)
    rows = np.flatnonzero(np.any([group[roles].all(axis=0) for group in groups], axis=0))
    if not rows.size:
        raise DataError("--layer best: no judgment is within a half of the images. Name a layer")
    return data.select(rows)
