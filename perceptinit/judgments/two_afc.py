"""Two-alternative forced choice (2AFC): how often does a model agree with people?

The `two-afc` evaluator and the initializers that report 2AFC share this code. The arithmetic is in `scoring`.
"""

# N judgments, M images, B batch, D embedding, S image size
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch.nn.functional import normalize

from perceptinit.errors import TrainingError
from perceptinit.judgments.scoring import (
    CHUNK,
    COLLAPSED_SPREAD,
    Distance,
    Weighting,
    agreement,
    cosine_distances,
    embedding_spread,
    held_out_error,
    two_afc_accuracy,
)
from perceptinit.types import Triplets


class ImageArray(Protocol):
    """Pixels of M stimuli: a uint8 tensor (M, 3, S, S), or an object that loads them when indexed."""

    def __getitem__(self, indices: np.ndarray) -> torch.Tensor:
        """Return uint8 (B, 3, S, S) for B indices into the stimuli."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoAFCResult:
    """2AFC score of a model on judgments, and the spread of its embeddings.

    Args:
        accuracy: Share of human votes that agree with the model, in [0, 1]; chance is 0.5.
        stderr: Standard error of the accuracy, see `held_out_error`; None for few units.
        spread: Mean cosine distance between two different images, in [0, 2].
        num_judgments: Number of judgments.
        num_ties: Number of judgments with two equal distances.
        num_anchors: Number of distinct anchors.
        num_images: Number of distinct images in any role.
        num_units: Number of held-out units; None in checkpoints of earlier versions.
    """

    accuracy: float
    stderr: float | None
    spread: float
    num_judgments: int
    num_ties: int
    num_anchors: int
    num_images: int
    num_units: int | None = None

    @property
    def is_collapsed(self) -> bool:
        """Whether the embeddings of all images are nearly the same."""
        return self.spread < COLLAPSED_SPREAD


def measure(
    encode: Callable[[torch.Tensor], torch.Tensor],
    triplets: Triplets,
    images: ImageArray,
    *,
    device: str | torch.device = "cpu",
    batch_size: int = 256,
    weighting: Weighting = "votes",
) -> TwoAFCResult:
    """Return the 2AFC score of a model by cosine distance; each image is embedded once.

    Args:
        encode: Maps uint8 (B, 3, S, S) on `device` to embeddings (B, D); must be in eval mode.
        triplets: The judgments.
        images: Pixels of `triplets.stimuli`, in the same order.
        device: Device of the batches.
        batch_size: Images per batch.
        weighting: Whether votes or judgments have equal weight; see `two_afc_accuracy`.

    Raises:
        TrainingError: If embeddings are not finite.
    """
    embedded = embed_judged(encode, triplets, images, device=device, batch_size=batch_size)
    return score(embedded, triplets, weighting)


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """Embeddings of the images in a set of judgments.

    used: indices into the stimuli, sorted, int64 (M,). z: embeddings that `prepare_rows` returned for the
    distance, float64 (M, D).
    """

    used: np.ndarray
    z: np.ndarray
    distance: Distance = "cosine"

    def select(self, used: np.ndarray) -> "Embedded":
        """Return the embeddings of some of the images, whose sorted indices are `used`."""
        return Embedded(used, self.z[np.searchsorted(self.used, used)], self.distance)

    def unit_rows(self) -> np.ndarray:
        """Return the embeddings at unit length, float64 (M, D)."""
        has_length = self.distance in ("euclidean", "dot")
        return prepare_rows(torch.from_numpy(self.z)) if has_length else self.z

    def distances(self, triplets: Triplets) -> tuple[np.ndarray, np.ndarray]:
        """Return the distances of both candidates to the anchor, (N,) each; see `ordered_distances`."""
        anchor, *candidates = np.searchsorted(self.used, triplets.roles)
        first, second = (ordered_distances(self.z, anchor, each, self.distance) for each in candidates)
        return first, second


def embed_judged(
    encode: Callable[[torch.Tensor], torch.Tensor],
    triplets: Triplets,
    images: ImageArray,
    *,
    device: str | torch.device = "cpu",
    batch_size: int = 256,
) -> Embedded:
    """Return the embeddings of all images of the triplets, each embedded once; see `measure`."""
    used = np.unique(triplets.roles)
    return Embedded(used, embed(encode, images, used, device=device, batch_size=batch_size))


def score(
    embedded: Embedded,
    triplets: Triplets,
    weighting: Weighting = "votes",
    distances: tuple[np.ndarray, np.ndarray] | None = None,
) -> TwoAFCResult:
    """Return the 2AFC score of embeddings; see `measure`. distances: Those of the triplets, if known."""
    t = triplets
    d_first, d_second = distances or embedded.distances(t)
    weights = t.num_votes if weighting == "votes" else None
    values = agreement(d_first, d_second, t.p_second)
    error = held_out_error(values, t.unit, t.anchor, t.group, t.roles, weights)
    return TwoAFCResult(
        accuracy=two_afc_accuracy(d_first, d_second, t.p_second, weights),
        stderr=error.stderr,
        spread=embedding_spread(embedded.unit_rows()),
        num_judgments=len(t),
        num_ties=int((d_first == d_second).sum()),
        num_anchors=len(np.unique(t.anchor)),
        num_images=len(embedded.used),
        num_units=error.num_units,
    )


@torch.no_grad()
def embed(
    encode: Callable[[torch.Tensor], torch.Tensor],
    images: ImageArray,
    indices: np.ndarray,
    *,
    device: str | torch.device = "cpu",
    batch_size: int = 256,
    distance: Distance = "cosine",
) -> np.ndarray:
    """Return embeddings of images, prepared for a distance, float64 (M, D).

    Args:
        encode: See `measure`.
        images: Pixels of all stimuli.
        indices: The M images to embed.
        device: Device of the batches.
        batch_size: Images per batch.
        distance: See `prepare_rows`.

    Raises:
        TrainingError: If an embedding is not finite.
    """
    starts = range(0, len(indices), batch_size)
    batches = [encode(images[indices[i : i + batch_size]].to(device)).float().cpu() for i in starts]
    return prepare_rows(torch.cat(batches), distance)


def prepare_rows(embeddings: torch.Tensor, distance: Distance = "cosine") -> np.ndarray:
    """Return embeddings (M, D) for `ordered_distances`, float64.

    They have unit length for "cosine", and mean 0 and unit length for "pearson". Zero vectors are unchanged.

    Raises:
        TrainingError: If an embedding is not finite.
    """
    z = embeddings.double()
    if distance == "pearson":
        z = z - z.mean(dim=1, keepdim=True)
    bad = int((~torch.isfinite(z)).any(dim=1).sum())
    if bad:
        raise TrainingError(
            f"{bad} of {len(z)} image embeddings are not finite: the weights are invalid. "
            "Lower the learning rate or clip gradients"
        )
    return z.numpy() if distance in ("euclidean", "dot") else normalize(z, dim=1).numpy()


def ordered_distances(rows: np.ndarray, a: np.ndarray, b: np.ndarray, distance: Distance) -> np.ndarray:
    """Return numbers in the order of the distances between rows `a` and `b`, shape (N,).

    They are half the squared distance, and for "dot" the negative inner product.

    Args:
        rows: Embeddings that `prepare_rows` returned for the distance, (M, D).
        a: Row of one image of each pair, (N,).
        b: Row of the other, (N,).
        distance: The distance.
    """
    if distance == "dot":
        parts = (slice(i, i + CHUNK) for i in range(0, len(a), CHUNK))
        return -np.concatenate([np.einsum("nd,nd->n", rows[a[part]], rows[b[part]]) for part in parts])
    return cosine_distances(rows, a, b)
