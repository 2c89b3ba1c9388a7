"""Settings of stage 1 that fit the number of distinct images of its batches."""

# N judgments
import math
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

import numpy as np

from perceptinit.judgments.forms.named_triplets import sort_distinct
from perceptinit.seeding import generator

DEFAULT_BATCH_SIZE = 128
MAX_BATCH_SIZE = 4096
IMAGES_PER_STEP = 3 * DEFAULT_BATCH_SIZE  # of the default batch, if its judgments share no image
# steps of a stage that encodes all images in each step
LEARNED_STEPS = 24
RANDOM_STEPS = 150
NUM_EVALUATIONS = 8
PATIENCE = NUM_EVALUATIONS // 2  # so that no run stops in its first half
MANY_IMAGES = 50_000  # minutes of CPU time for a small network


def choose_batch_size(columns: np.ndarray) -> int:
    """Return the batch size for "auto": as many judgments as a step with `IMAGES_PER_STEP` images allows.

    The batches of an epoch have equal sizes, except for rounding.

    Args:
        columns: Image indices of the judgments, int64 (N, 3).
    """
    count = len(columns)
    shares = np.unique(columns, return_counts=True)[1] / count
    sizes = range(DEFAULT_BATCH_SIZE, MAX_BATCH_SIZE + 1)
    # increases with the size, and so does the expected number of distinct images of a random batch
    fitting = bisect_right(
        sizes, IMAGES_PER_STEP, key=lambda size: math.ceil((1 - (1 - shares) ** size).sum())
    )
    largest = sizes[max(fitting - 1, 0)]
    return math.ceil(count / math.ceil(count / largest))


def suggest_settings(
    columns: np.ndarray,
    was_learned: bool,
    is_partly_frozen: bool,
    given: Mapping[str, Any],
    epochs: int,
) -> dict[str, Any]:
    """Return settings of stage 1 for learned or random weights, without those in `given`.

    If a step encodes all images, the number of epochs gives a fixed number of steps; else it is the default.
    The best of about `NUM_EVALUATIONS` evaluations is kept.

    Args:
        columns: Image indices of the judgments, int64 (N, 3).
        was_learned: Whether the weights were learned; see `are_learned`.
        is_partly_frozen: Whether the tower has frozen parameters. The frozen part encodes each image once,
            unless images are flipped.
        given: Settings of the caller, by key.
        epochs: Number of epochs, given or by default.
    """
    settings: dict[str, Any] = {}
    if was_learned and not is_partly_frozen and not given.get("last_blocks"):
        settings["flip"] = True
    is_free = not {"epochs", "batch_size"} & given.keys()
    size: Any = "auto" if is_free else given.get("batch_size", DEFAULT_BATCH_SIZE)
    num_batches = math.ceil(len(columns) / (choose_batch_size(columns) if size == "auto" else size))
    if is_free:
        if len(np.unique(columns)) <= IMAGES_PER_STEP:
            epochs = math.ceil((LEARNED_STEPS if was_learned else RANDOM_STEPS) / num_batches)
        settings |= {"batch_size": size, "epochs": epochs}
    loss = _suggest_loss(was_learned, epochs * num_batches >= RANDOM_STEPS, given)
    settings = {"lr": 3e-4 if was_learned else 1e-3, **loss, **settings}
    if not {"eval_every", "eval_split", "patience"} & given.keys():
        settings |= {"eval_every": math.ceil(epochs / NUM_EVALUATIONS), "patience": PATIENCE}
    return {key: value for key, value in settings.items() if key not in given}


def _suggest_loss(was_learned: bool, is_long: bool, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the loss and its settings. A given margin implies the hinge loss, a temperature the logistic.

    Random weights take the hinge loss for a short stage: the first steps of the logistic loss contract their
    embeddings, which later steps expand.
    """
    is_logistic = "temperature" in given or ((was_learned or is_long) and "margin" not in given)
    loss = given.get("loss", "logistic" if is_logistic else "hinge")
    if loss == "hinge":
        return {"loss": loss, "margin": 0.1 if was_learned else 0.3, "weighting": "agreement"}
    if loss == "logistic":
        weights = {"weighting": "votes"} if was_learned else {"temperature": 0.3, "weighting": "agreement"}
        return {"loss": loss, **weights}
    return {"loss": loss}


def num_distinct(columns: np.ndarray, batch_size: int) -> int:
    """Return the number of images encoded in an epoch: distinct images per batch, summed.

    Args:
        columns: Image indices of the judgments, in the order of the epoch, int64 (N, 3).
        batch_size: Judgments in a batch.
    """
    batch = np.arange(len(columns)) // batch_size
    return len(sort_distinct(batch[:, None] * (columns.max(initial=0) + 1) + columns))


def num_encoded(columns: np.ndarray, batch_size: int, epochs: int) -> int:
    """Return the number of images that a stage encodes, for one random order of the judgments (N, 3)."""
    order = generator(0, "plan").permutation(len(columns))
    return epochs * num_distinct(columns[order], batch_size)


def describe_waste(columns: np.ndarray, batch_size: int, epochs: int) -> str:
    """Return a sentence if most steps encode almost all images and larger batches save many; else empty."""
    auto = choose_batch_size(columns)
    now = num_encoded(columns, batch_size, epochs)
    then = num_encoded(columns, auto, epochs)
    per_step = now / epochs / math.ceil(len(columns) / batch_size)
    count = len(np.unique(columns))
    if per_step <= 0.9 * count or now - then < MANY_IMAGES:
        return ""
    return (
        f"each step encodes {per_step:.0f} of the {count} judged images, {now:,} in all. "
        f'batch_size = "auto" ({auto}) encodes {then:,} in as many epochs'
    )
