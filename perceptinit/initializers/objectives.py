"""Objectives of stage 1, the loss of each judgment given the embeddings of a batch, and common settings."""

# N judgments, B batch, U distinct images of a batch, D embedding
import math
import os
from dataclasses import dataclass, replace
from typing import Annotated, Literal, Self, TypeAlias

import numpy as np
import torch
from torch import Tensor

from perceptinit.compute.devices import to_device
from perceptinit.configs import NEUTRAL, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Share
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
from perceptinit.initializers.weights import Trainable
from perceptinit.judgments.forms.odd_one_out import ODD_OF_PAIR, OddOneOut
from perceptinit.types import Split, Triplets

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
        """Return the loss and the margin violation (0 or 1) of each judgment, shape (B,) each.

        Args:
            embeddings: Shape (U, D).
            places: Row indices into `embeddings` of each judgment's three images, int64 (3, B).
            rows: Indices of the judgments, int64 (B,).
        """
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
        """Return loss and margin violation of each judgment, shape (B,) each; see `TripletObjective`."""
        c = self._loss
        shares = to_device(self._pair_shares[rows], embeddings.device)
        distances = pair_distances(embeddings, places, c.distance)
        chosen = shares.argmax(dim=1, keepdim=True)
        nearest_other = distances.scatter(1, chosen, torch.inf).amin(dim=1)
        lead = nearest_other - distances.gather(1, chosen).squeeze(1)
        return odd_one_out(distances, shares, c.temperature), (lead < c.margin).float().detach()


JudgmentObjective: TypeAlias = TripletObjective | OddOneOutObjective


def _weights(weighting: Weighting, p_second: Tensor, num_votes: np.ndarray) -> Tensor:
    if weighting == "votes":
        return vote_weights(torch.from_numpy(num_votes))
    if weighting == "agreement":
        return agreement_weights(p_second)
    return torch.ones(len(p_second))


@dataclass(frozen=True, slots=True, kw_only=True)
class TripletConfig:
    """Configuration shared by all losses of stage 1.

    The defaults are the published settings for NIGHTS (Hu et al. 2025, PI). The batch size is the paper's for
    one device; the paper used 6 devices.
    """

    margin: PositiveFloat = 0.05
    """Margin of the hinge loss and of `margin_violations`: the distance by which the chosen image must be
    nearer (cosine distance: 0 to 2). Source: DreamSim, PI. A margin far below the initial distances rewards
    moving all images closer together (docs/controls.md)."""
    epochs: PositiveInt = 32
    """Number of passes over the judgments. Source: PI."""
    batch_size: PositiveInt | Literal["auto"] = 128
    """Judgments per optimizer step. Each distinct image in a batch is encoded once, so judgments that share
    images cost little. "auto" chooses up to 4,096, with about 384 images per step at most."""
    micro_batch: Annotated[PositiveInt | None, NEUTRAL] = None
    """Images that a process encodes at a time; None for all of a step. Saves memory at the cost of a second
    forward pass; loss and gradients are still those of the whole batch."""
    optimizer: str | None = None
    """None for AdamW, the name of a timm optimizer such as "nadamuon", or "package.module:Class"."""
    lr: PositiveFloat = 5e-4
    """Peak learning rate. Source: PI."""
    betas: tuple[Share, Share] = (0.9, 0.98)
    """Decay rates of AdamW's two moments. Source: PI."""
    eps: PositiveFloat = 1e-8
    """AdamW's epsilon. Source: PI."""
    weight_decay: NonNegativeFloat = 0.1
    """Weight decay of matrices and kernels; gains and biases are exempt. Source: PI."""
    no_decay: tuple[str, ...] | None = None
    """Parts of the names of further parameters without weight decay, such as "positional_embedding" (PI's
    code); None for gains, biases and scalars alone."""
    warmup_steps: NonNegativeInt | None = None
    """Steps of linear warm-up; None for a tenth of the run. Published: 150 of about 670."""
    min_lr: NonNegativeFloat = 0.0
    """Learning rate of the last step, at the end of the cosine decay. Source: PI."""
    clip_norm: NonNegativeFloat = 3.0
    """Maximum gradient norm; 0 disables clipping. Source: PI."""
    precision: Literal["fp32", "bf16", "auto"] = "fp32"
    """Precision of the tower; distances are always fp32. "auto" is bf16 on GPUs and CPUs with native bf16
    products, else fp32. Published: bf16."""
    train: Trainable = "all"
    """Parameters to train: "all", or "qkv" for the attention projections (PI's post-hoc control)."""
    last_blocks: NonNegativeInt = 0
    """Number of last blocks to train, with all later parameters; 0 for the whole tower. Earlier blocks encode
    each image once, unless images are augmented or these blocks contain dropout."""
    norm: Literal["auto", "train", "frozen"] | None = None
    """Layers with running statistics, such as batch norm: "frozen" keeps their statistics, "train" replaces
    them by those of the judged images, and "auto" keeps learned statistics (a mean other than 0 or a variance
    other than 1). Gains and biases are always trained. None for "auto"."""
    weighting: Weighting = "judgments"
    """Weight of a judgment in the loss: "judgments" for equal weights (PI), "votes" for its number of votes,
    or "agreement" for |2p - 1|, where p is the share of votes."""
    crop_scale: tuple[Share, Share] = (1.0, 1.0)
    """Range of the area of random crops, as a share of the image. All images in a step have the same crop;
    (1, 1) disables cropping."""
    flip: bool = False
    """Flip all images of a step horizontally with probability 0.5."""
    eval_split: Split = "val"
    """Split for evaluating 2AFC and embedding spread; "train" if the judgments have no other split."""
    eval_every: NonNegativeInt = 8
    """Epochs between evaluations; 0 evaluates only before and after training."""
    patience: PositiveInt | None = None
    """Stop after this number of consecutive evaluations without a new maximum of 2AFC on `eval_split`, and
    restore the best weights. None disables early stopping. The learning-rate schedule does not change."""
    allow_collapse: bool | None = None
    """Whether to continue if stage 1 collapses the embeddings, which otherwise is an error."""
    image_store: Annotated[str, NEUTRAL] = "auto"
    """Folder for decoded images, which all arms, seeds and runs share. "auto" uses the user's cache folder
    for sets of at least 256 MiB of pixels. "off" disables the store. Other values are paths."""
    cache_gib: Annotated[NonNegativeFloat, NEUTRAL] = 4.0
    """Memory for decoded images that are not in the store, in GiB; the rest are decoded at each use. Also the
    memory for the outputs of frozen blocks."""

    def __post_init__(self) -> None:
        is_path = "/" in self.image_store or os.sep in self.image_store  # if neither, a misspelled keyword
        if self.image_store not in ("auto", "off") and not is_path:
            raise ValueError(
                f"image_store = '{self.image_store}': expected 'auto', 'off' or a path with a slash, such as "
                "'./images'"
            )
        if self.patience and not self.eval_every:
            raise ValueError("patience needs evaluations during training: set eval_every to 1")
        if self.patience and self.eval_split == "train":
            raise ValueError('patience needs held-out judgments: set eval_split to "val"')
        low, high = self.crop_scale
        if not 0 < low <= high:
            raise ValueError(f"crop_scale = [{low}, {high}]: expected two positive shares in ascending order")

    @property
    def is_augmented(self) -> bool:
        """Whether images differ between steps."""
        return self.flip or self.crop_scale != (1.0, 1.0)

    @property
    def judgments_per_step(self) -> int:
        """Numeric batch size; the initializer replaces "auto"."""
        assert isinstance(self.batch_size, int)
        return self.batch_size

    def num_steps(self, num_judgments: int) -> int:
        """Return the total number of optimizer steps."""
        return self.epochs * math.ceil(num_judgments / self.judgments_per_step)

    def num_warmup_steps(self, total_steps: int) -> int:
        """Return the number of warm-up steps."""
        return total_steps // 10 if self.warmup_steps is None else self.warmup_steps

    def smoke(self) -> Self:
        """Return a copy with two epochs of small batches."""
        return replace(
            self,
            epochs=2,
            batch_size=16,
            warmup_steps=None,
            precision="fp32",
            eval_every=1,
            allow_collapse=True,
        )
