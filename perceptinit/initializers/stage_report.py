"""Gains and losses of stage 1: 2AFC on unseen and on known images, and on a second set of judgments."""

# N judgments, M stimuli
import math
from collections.abc import Mapping

import numpy as np

from perceptinit.judgments.baselines import two_afc_baselines
from perceptinit.judgments.scoring import (
    MIN_UNITS,
    binomial_stderr,
    jackknife_stderrs,
    leave_out_units,
    t_quantile,
)
from perceptinit.judgments.two_afc import TwoAFCResult
from perceptinit.types import Stimuli, Triplets

CONFIDENCE = 0.95


def find_unseen(triplets: Triplets, stimuli: Stimuli, used: np.ndarray) -> np.ndarray:
    """Return whether none of a judgment's images is in training, by name, bool (N,).

    Args:
        triplets: The N judgments.
        stimuli: Stimuli of the training judgments.
        used: Indices of the images in training, any shape.
    """
    trained = {stimuli.ids[index] for index in np.unique(used).tolist()}
    is_known = np.array([name in trained for name in triplets.stimuli.ids])
    return ~is_known[triplets.roles].any(axis=0)


def score_metrics(split: str, before: TwoAFCResult, after: TwoAFCResult) -> dict[str, float]:
    """Return the metrics of a split: 2AFC and spread before and after training, its error and counts."""
    name = f"2afc_{split}"
    found = {
        f"{name}_before": before.accuracy,
        f"{name}_after": after.accuracy,
        "spread_before": before.spread,
        "spread_after": after.spread,
        f"{name}_stderr": after.stderr,
        f"{name}_judgments": after.num_judgments,
        f"{name}_units": after.num_units,
    }
    return {key: value for key, value in found.items() if value is not None}


def gains_by_training(
    before: np.ndarray, after: np.ndarray, triplets: Triplets, unseen: np.ndarray, num_workers: int
) -> dict[str, float]:
    """Return the gains on judgments without and with training images, and the best trivial model.

    Args:
        before: See `gain_metrics`.
        after: See `gain_metrics`.
        triplets: The N judgments.
        unseen: The result of `find_unseen`.
        num_workers: Number of image decoding threads.
    """
    metrics: dict[str, float] = {}
    for name, chosen in (("unseen", unseen), ("known", ~unseen)):
        if chosen.any():
            metrics |= gain_metrics(name, before[chosen], after[chosen], triplets.select(chosen))
    return metrics | _best_trivial(triplets, unseen if unseen.any() else ~unseen, num_workers)


def gain_metrics(name: str, before: np.ndarray, after: np.ndarray, triplets: Triplets) -> dict[str, float]:
    """Return the metrics of a set of judgments: 2AFC before and after, the error of the gain, and counts.

    Args:
        name: Prefix of the metrics.
        before: Share of votes that agree with the model before training, shape (N,).
        after: The same after training.
        triplets: The N judgments.
    """
    votes = triplets.num_votes
    metrics = {
        f"{name}_2afc_before": float(np.average(before, weights=votes)),
        f"{name}_2afc_after": float(np.average(after, weights=votes)),
        f"{name}_2afc_judgments": len(triplets),
        f"{name}_2afc_units": min(len(np.unique(role)) for role in triplets.roles),
    }
    stderr = stderr_over_images(after - before, triplets)
    return metrics if stderr is None else metrics | {f"{name}_2afc_gain_stderr": stderr}


def stderr_over_images(differences: np.ndarray, triplets: Triplets) -> float | None:
    """Return the standard error of a mean difference over images, as in `perceptinit eval --on`.

    It is that of other images, and never below that of independent judgments. None for few images.
    """
    if min(len(np.unique(role)) for role in triplets.roles) < MIN_UNITS:
        return None

    def leave_out(groups: np.ndarray) -> np.ndarray | None:
        errors = jackknife_stderrs(differences[None], groups, triplets.num_votes)
        return None if errors is None else errors**2

    places = np.unique(triplets.roles, return_inverse=True)[1].reshape(triplets.roles.shape)
    found = leave_out_units(leave_out, places.T)
    return None if found is None else max(math.sqrt(found[0][0]), binomial_stderr(differences))


def find_loss(
    metrics: Mapping[str, float], advice: str = "Lower lr or epochs, or train fewer layers with last_blocks"
) -> str:
    """Return a sentence if 2AFC on `also_on` fell by more than its error; empty if not, or for few images."""
    loss = metrics["also_on_2afc_before"] - metrics["also_on_2afc_after"]
    stderr = metrics.get("also_on_2afc_gain_stderr", math.inf)
    half = t_quantile(CONFIDENCE, max(metrics["also_on_2afc_units"] - 1, 1)) * stderr
    if loss <= half:
        return ""
    return (
        f"also_on: stage 1 lowered 2AFC by {loss:.3f}, more than its 95 % interval of ±{half:.3f}. {advice}"
    )


def _best_trivial(triplets: Triplets, chosen: np.ndarray, num_workers: int) -> dict[str, float]:
    """Return the 2AFC of the best trivial model on the chosen judgments, as `trivial_2afc/NAME`."""
    scores = {
        baseline.name: float(np.average(baseline.values[chosen], weights=triplets.num_votes[chosen]))
        for baseline in two_afc_baselines(triplets, num_workers=num_workers)
        if baseline.values is not None
    }
    best = max(scores, key=lambda name: scores[name])
    return {f"trivial_2afc/{best}": scores[best]}
