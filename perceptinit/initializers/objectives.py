"""Objectives of stage 1: the loss of each judgment, given the embeddings of a batch."""

# N judgments, B batch, U distinct images of a batch, D embedding
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from perceptinit.compute.devices import to_device
from perceptinit.errors import InitializerError
from perceptinit.initializers.triplet_loss import (
    Distance,
    agreement_weights,
    distances_to_all,
    hinge,
    info_nce,
    lead_of_chosen,
    logistic,
    odd_one_out,
    pair_distances,
    rivals,
    triplet_distances,
    vote_weights,
)
from perceptinit.judgments.forms.odd_one_out import ODD_OF_PAIR, OddOneOut
from perceptinit.types import Stimuli, Triplets

LossName = Literal["hinge", "logistic", "odd-one-out", "info-nce"]
Weighting = Literal["judgments", "votes", "agreement"]
DEFAULT_TEMPERATURE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A loss and its settings, as in the keys of initializer `triplet`."""

    name: LossName
    margin: float
    temperature: float = DEFAULT_TEMPERATURE
    distance: Distance = "cosine"

    @property
    def uses_ties(self) -> bool:
        """Whether judgments without a majority contribute to the loss."""
        return self.name in ("logistic", "odd-one-out")


class JudgmentObjective(Protocol):
    """Training judgments and their loss.

    Attributes:
        num_ties_dropped: Number of dropped judgments without a majority.
        stimuli: The judged images.
        columns: Indices into the stimuli, int64 (N, 3).
        weights: Weights of the judgments, shape (N,), mean 1.
    """

    num_ties_dropped: int
    stimuli: Stimuli
    columns: np.ndarray
    weights: Tensor

    def losses(self, embeddings: Tensor, places: Tensor, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return the loss and the margin violation (0 or 1) of each judgment, shape (B,) each.

        Args:
            embeddings: Shape (U, D).
            places: Row indices into `embeddings` of each judgment's three images, int64 (3, B).
            rows: Indices of the judgments, int64 (B,).
        """
        ...


class TripletObjective:
    """Judgments with an anchor; they violate the margin unless the chosen image is nearer by that distance.

    Raises:
        InitializerError: If all judgments are ties and the loss or the weighting ignores ties.
    """

    def __init__(self, triplets: Triplets, loss: Loss, weighting: Weighting) -> None:
        is_tie = triplets.p_second == 0.5
        if is_tie.all() and (not loss.uses_ties or weighting == "agreement"):
            raise InitializerError(
                f"all {len(triplets)} training judgments are ties (p_second = 0.5). Use judgments with "
                "a majority"
            )
        self.num_ties_dropped = 0 if loss.uses_ties else int(is_tie.sum())
        triplets = triplets if loss.uses_ties else triplets.select(~is_tie)
        self.stimuli = triplets.stimuli
        self._loss = loss
        self.columns = np.stack([triplets.anchor, triplets.first, triplets.second], axis=1)
        self._p_second = torch.from_numpy(triplets.p_second)
        self.weights = _weights(weighting, self._p_second, triplets.num_votes)

    def losses(self, embeddings: Tensor, places: Tensor, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return loss and margin violation of each judgment, shape (B,) each; see `JudgmentObjective`."""
        c = self._loss
        p_second = to_device(self._p_second[rows], embeddings.device)
        anchor, first, second = places
        d_first, d_second = triplet_distances(embeddings, anchor, first, second, c.distance)
        lead = lead_of_chosen(d_first, d_second, p_second)
        violations = ((lead < c.margin) & (p_second != 0.5)).float().detach()
        if c.name == "hinge":
            return hinge(d_first, d_second, p_second, c.margin), violations
        if c.name == "logistic":
            return logistic(d_first, d_second, p_second, c.temperature), violations
        chosen = torch.where(p_second > 0.5, second, first)
        rejected = torch.where(p_second > 0.5, first, second)
        is_rival = rivals(anchor, chosen, rejected, len(embeddings))
        distances = distances_to_all(embeddings, anchor, c.distance)
        return info_nce(distances, chosen, is_rival, c.temperature), violations


class OddOneOutObjective:
    """Odd-one-out judgments, which have no anchor.

    A judgment violates the margin unless the pair that most people chose as similar is nearer than both other
    pairs by the margin.
    """

    num_ties_dropped = 0

    def __init__(self, judgments: OddOneOut, loss: Loss, weighting: Weighting) -> None:
        self.stimuli = judgments.stimuli
        self.columns = judgments.images
        self._loss = loss
        votes = judgments.votes[:, ODD_OF_PAIR].astype(np.float32)
        num_votes = votes.sum(axis=1)
        self._pair_shares = torch.from_numpy(votes / num_votes[:, None])
        self.weights = _weights(weighting, self._pair_shares[:, 0], num_votes)

    def losses(self, embeddings: Tensor, places: Tensor, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return loss and margin violation of each judgment, shape (B,) each; see `JudgmentObjective`."""
        c = self._loss
        shares = to_device(self._pair_shares[rows], embeddings.device)
        distances = pair_distances(embeddings, places, c.distance)
        chosen = shares.argmax(dim=1, keepdim=True)
        nearest_other = distances.scatter(1, chosen, torch.inf).amin(dim=1)
        lead = nearest_other - distances.gather(1, chosen).squeeze(1)
        return odd_one_out(distances, shares, c.temperature), (lead < c.margin).float().detach()


def _weights(weighting: Weighting, p_second: Tensor, num_votes: np.ndarray) -> Tensor:
    if weighting == "votes":
        return vote_weights(torch.from_numpy(num_votes))
    if weighting == "agreement":
        return agreement_weights(p_second)
    return torch.ones(len(p_second))
