"""Keys of stage 1 that do not depend on the loss."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from typing import Literal, Self

from perceptinit.configs import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Share
from perceptinit.initializers.objectives import Weighting
from perceptinit.initializers.trainable import Trainable
from perceptinit.types import Split


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """Keys that all losses of stage 1 share.

    The defaults are those of the published stage 1 on NIGHTS (Hu et al. 2025, PI). The batch size is for
    one device; the paper trained with 128 judgments on each of 6.
    """

    margin: PositiveFloat = 0.05
    """Distance by which the chosen image must be nearer for a hinge loss of 0 (cosine distance: 0 to 2);
    `margin_violations` counts by it for every loss. Source: DreamSim, PI. A margin far below the distances
    of the untrained tower rewards drawing all images together (docs/controls.md)."""
    epochs: PositiveInt = 32
    """Passes over the judgments. Source: PI."""
    batch_size: PositiveInt = 128
    """Judgments per optimizer step; each distinct image among them is encoded once."""
    optimizer: str | None = None
    """AdamW by default; or an optimizer of timm by name, such as "nadamuon"; or "package.module:Class"."""
    lr: PositiveFloat = 5e-4
    """Peak learning rate. Source: PI."""
    betas: tuple[Share, Share] = (0.9, 0.98)
    """Decay rates of AdamW's two moments. Source: PI."""
    eps: PositiveFloat = 1e-8
    """AdamW's epsilon. Source: PI."""
    weight_decay: NonNegativeFloat = 0.1
    """AdamW's weight decay of matrices and kernels; gains and biases are exempt. Source: PI."""
    warmup_steps: NonNegativeInt | None = None
    """Optimizer steps of linear warm-up; None for a tenth of the run. Published: 150 of about 670."""
    min_lr: NonNegativeFloat = 0.0
    """Learning rate of the last step, at the end of the half cosine. Source: PI."""
    clip_norm: NonNegativeFloat = 3.0
    """Largest norm of the gradient; larger gradients are scaled down. 0 disables clipping. Source: PI."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Precision of the tower; distances are always fp32. Published: bf16, which is faster on a GPU."""
    train: Trainable = "all"
    """Parameters to train: "all", or "qkv", the query, key and value projections (PI's post-hoc control)."""
    last_blocks: NonNegativeInt = 0
    """Number of last blocks to train, with what the tower defines after them; 0 for all blocks."""
    weighting: Weighting = "judgments"
    """Weight of a judgment in the loss: 1 ("judgments", PI), its number of votes ("votes"), or |2p - 1| for
    a share p of votes ("agreement")."""
    crop_scale: tuple[Share, Share] = (1.0, 1.0)
    """Range of the share of the area that random crops keep, one crop for all images of a step; (1, 1)
    disables cropping."""
    flip: bool = False
    """Mirror all images of a step with probability 0.5."""
    eval_split: Split = "val"
    """Split on which 2AFC and embedding spread are measured; "train" where it is the only one."""
    eval_every: NonNegativeInt = 8
    """Epochs between two measurements; 0 measures before and after only."""
    patience: PositiveInt | None = None
    """Stop after this number of consecutive measurements without a higher 2AFC on `eval_split`, and keep the
    best weights; None trains all epochs and keeps the last weights. The learning-rate schedule is
    unchanged."""
    image_store: str = "auto"
    """Folder of decoded images, which all arms, seeds and runs share. "auto" is the user's cache folder, used
    from 256 MiB of pixels. "off" disables it. Other values are paths."""
    cache_gib: NonNegativeFloat = 4.0
    """Memory for decoded images that are not in the store, in GiB; images beyond it are decoded at each
    use."""

    def __post_init__(self) -> None:
        is_path = "/" in self.image_store or os.sep in self.image_store  # else a misspelled word
        if self.image_store not in ("auto", "off") and not is_path:
            raise ValueError(
                f"image_store = '{self.image_store}': expected 'auto', 'off' or the path of a folder, "
                "with a slash, such as './images'"
            )
        if self.patience and not self.eval_every:
            raise ValueError("patience counts measurements, and eval_every = 0 makes none: set it to 1")
        if self.patience and self.eval_split == "train":
            raise ValueError('patience needs judgments that are not trained on: set eval_split to "val"')
        low, high = self.crop_scale
        if not 0 < low <= high:
            raise ValueError(f"crop_scale = [{low}, {high}]: expected shares, the smaller first")

    def num_steps(self, num_judgments: int) -> int:
        """Return the optimizer steps of the whole run."""
        return self.epochs * math.ceil(num_judgments / self.batch_size)

    def num_warmup_steps(self, total_steps: int) -> int:
        """Return the optimizer steps of the warm-up."""
        return total_steps // 10 if self.warmup_steps is None else self.warmup_steps

    def smoke(self) -> Self:
        """Return a copy with two epochs of small batches."""
        return replace(self, epochs=2, batch_size=16, warmup_steps=None, precision="fp32", eval_every=1)
