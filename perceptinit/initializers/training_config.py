"""How stage 1 trains, whatever the loss."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, Self

from perceptinit.configs import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Share
from perceptinit.initializers.objectives import Weighting
from perceptinit.initializers.stage_images import is_path
from perceptinit.initializers.trainable import Trainable
from perceptinit.types import Split


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """How stage 1 trains, whatever the loss. Defaults are those of the published NIGHTS stage 1 where
    it had any effect; batch size is for one device (published: 128 on each of 6).
    """

    margin: PositiveFloat = 0.05
    """Lead (cosine distance: 0..2) from which on a hinge costs nothing, and by which
    `margin_violations` are counted, whatever the loss. Source: DreamSim, PI. Far below the distances of a
    fresh tower it rewards drawing all images together (docs/controls.md)."""
    epochs: PositiveInt = 32
    """Passes over the judgments. Source: PI."""
    batch_size: PositiveInt = 128
    """Judgments in an optimiser step; each distinct image among them is encoded once."""
    lr: PositiveFloat = 5e-4
    """Peak learning rate of AdamW. Source: PI."""
    betas: tuple[Share, Share] = (0.9, 0.98)
    """Decay of AdamW's two moments. Source: PI."""
    eps: PositiveFloat = 1e-8
    """AdamW's epsilon. Source: PI."""
    weight_decay: NonNegativeFloat = 0.1
    """AdamW's decay of matrices and kernels; gains and biases are exempt. Source: PI."""
    warmup_steps: NonNegativeInt | None = None
    """Optimiser steps of linear warm-up; None is a tenth of the run. Published: 150 of about 670."""
    min_lr: NonNegativeFloat = 0.0
    """Learning rate of the last step, where the half cosine ends. Source: PI."""
    clip_norm: NonNegativeFloat = 3.0
    """Largest norm of the gradient, above which it is scaled down; 0 never clips. Source: PI."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Arithmetic of the tower; distances are fp32. Published: bf16, which pays on a GPU."""
    train: Trainable = "all"
    """Which parameters: "all", or "qkv", attention's queries, keys and values (published post-hoc control)."""
    last_blocks: NonNegativeInt = 0
    """Train only these many last blocks and what the tower defines after them; 0 trains all blocks."""
    weighting: Weighting = "judgments"
    """What counts alike: every judgment (PI), every vote ("votes"), or by how decided people were,
    |2p - 1| ("agreement")."""
    crop_scale: tuple[Share, Share] = (1.0, 1.0)
    """Shares of an image's area that random crops keep, one crop for all images of a step; (1, 1): none."""
    flip: bool = False
    """Mirror all images of a step, or none, by the toss of a coin."""
    eval_split: Split = "val"
    """Split that 2AFC and spread are measured on; "train" when there is no other."""
    eval_every: NonNegativeInt = 8
    """Epochs between two measurements; 0 measures before and after only."""
    patience: PositiveInt | None = None
    """Stop after this many measurements in a row without a higher 2AFC on `eval_split`, and keep the best
    weights; None trains all epochs and keeps the last. The schedule of lr is that of all epochs."""
    image_store: str = "auto"
    """Where decoded images are kept on disk, so that all arms, seeds and runs decode them once: "auto" is
    the user's cache folder, from 256 MiB of pixels on; "off" is nowhere; or the path of a folder."""
    cache_gib: NonNegativeFloat = 4.0
    """Memory for decoded images that are not in the store, GiB; what does not fit is decoded at each use."""

    def __post_init__(self) -> None:
        if self.image_store not in ("auto", "off") and not is_path(self.image_store):
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
        """Return the optimiser steps of the whole run."""
        return self.epochs * math.ceil(num_judgments / self.batch_size)

    def num_warmup_steps(self, total_steps: int) -> int:
        """Return the steps of the warm-up."""
        return total_steps // 10 if self.warmup_steps is None else self.warmup_steps

    def smoke(self) -> Self:
        """Return a copy of two epochs in small batches."""
        return replace(self, epochs=2, batch_size=16, warmup_steps=None, precision="fp32", eval_every=1)
