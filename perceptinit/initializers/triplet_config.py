"""Configuration of stage 1 that does not depend on the loss."""

import math
import os
from dataclasses import dataclass, replace
from typing import Literal, Self

from perceptinit.configs import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Share
from perceptinit.initializers.objectives import Weighting
from perceptinit.initializers.weights import Trainable
from perceptinit.types import Split


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
    batch_size: PositiveInt = 128
    """Judgments per optimizer step. Each distinct image in a batch is encoded once."""
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
    precision: Literal["fp32", "bf16"] = "fp32"
    """Precision of the tower; distances are always fp32. Published: bf16, which is faster on GPUs."""
    train: Trainable = "all"
    """Parameters to train: "all", or "qkv" for the attention projections (PI's post-hoc control)."""
    last_blocks: NonNegativeInt = 0
    """Number of last blocks to train, with all later parameters; 0 for the whole tower."""
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
    image_store: str = "auto"
    """Folder for decoded images, which all arms, seeds and runs share. "auto" uses the user's cache folder
    for sets of at least 256 MiB of pixels. "off" disables the store. Other values are paths."""
    cache_gib: NonNegativeFloat = 4.0
    """Memory for decoded images that are not in the store, in GiB; the rest are decoded at each use."""

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

    def num_steps(self, num_judgments: int) -> int:
        """Return the total number of optimizer steps."""
        return self.epochs * math.ceil(num_judgments / self.batch_size)

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
