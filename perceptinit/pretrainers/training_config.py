"""The keys that all pretrainers share: length, optimiser, precision, memory, images, loading."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, Self

from perceptinit.compute.optim import Precision
from perceptinit.configs import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Share
from perceptinit.images.background import colour_of
from perceptinit.images.decoding import Decode, Interpolation
from perceptinit.pairs.augment import Crop
from perceptinit.pretrainers.non_finite import OnNonFinite


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """How a model is trained on images, with or without texts; defaults are CLIP's unless stated."""

    epochs: PositiveInt = 32
    """Passes over the pairs (CLIP and the PI paper: 32)."""
    samples_per_epoch: NonNegativeInt = 0
    """Pairs in an epoch, drawn with replacement; 0: every pair once, in a new order each time."""
    steps: PositiveInt | None = None
    """Optimiser steps of the whole run, in the place of `epochs`; the last epoch may be a part of one."""
    batch_size: PositiveInt = 1024
    """Pairs in a step, over all processes, which share them evenly."""
    micro_batch: NonNegativeInt = 0
    """Pairs that a process sends through a tower at a time; 0 for all of its own. Less memory for a
    second forward pass; loss and gradients stay those of the whole batch (Gao et al. 2021)."""
    lr: PositiveFloat = 5e-4
    """Largest learning rate, reached at the end of the warm-up (CLIP ViT-B/32: 5e-4)."""
    min_lr: NonNegativeFloat = 0.0
    """Learning rate of the last step."""
    warmup_steps: NonNegativeInt = 2000
    """Steps in which the rate rises linearly; fewer than the run has (CLIP: 2000)."""
    warmup_lr: PositiveFloat | None = None
    """Learning rate of the first warm-up step; lr / warmup_steps unless given (DeCLIP: 1e-4, SLIP: 1e-6)."""
    betas: tuple[float, float] = (0.9, 0.98)
    """AdamW's decay of the two moments (CLIP with a ViT)."""
    eps: PositiveFloat = 1e-6
    """AdamW's epsilon (CLIP with a ViT: 1e-6; PI paper: 1e-8)."""
    weight_decay: NonNegativeFloat = 0.1
    """AdamW's decay of matrices and kernels (PI paper: 0.1; CLIP and open_clip: 0.2)."""
    clip_norm: NonNegativeFloat = 0.0
    """Gradients are scaled down to this norm over all parameters; 0 leaves them (PI paper: 3)."""
    precision: Precision = "fp32"
    """"fp32"; "tf32" for products of fp32 matrices on NVIDIA GPUs; or autocast to "bf16" or "fp16"
    (with loss scaling). The loss is always in fp32."""
    compile: str = ""
    """Backend of torch.compile for both towers, block by block, such as "inductor"; empty: not compiled."""
    grad_checkpointing: bool = False
    """Compute each block again in the backward pass: memory of a block, for a third more time."""
    patch_dropout: Share = 0.0
    """Share of the patches of an image that its ViT does not see in training (FLIP: 0.5)."""
    fused: bool = True
    """AdamW in one kernel, several times faster; false: the loop over parameters."""
    layer_decay: Share = 1.0
    """Factor on the learning rate from each block of the image tower to the one before it; 1: none."""
    ema_decay: Share = 0.0
    """Weights are averaged with this decay per step; the average is evaluated and handed on. 0: off."""
    on_non_finite: OnNonFinite = "stop"
    """At a loss or gradient that is not finite: "stop", or "skip" the step, at most 9 in a row.
    The keys of its samples are written to the run's folder."""
    sharding: Literal["none", "fsdp"] = "none"
    """Over processes, "none" keeps a copy of the model in each (DDP), "fsdp" cuts weights, gradients
    and AdamW's moments into pieces (FSDP2), for models that do not fit otherwise."""
    crop: Crop = "random"
    """"random" boxes of the image; its "center" square; or that square, "padded" with an eighth of its
    side in black on each side and cut to its size at a random place (4 of 32 pixels, as CIFAR recipes do)."""
    crop_scale: tuple[float, float] = (0.9, 1.0)
    """Share of the area that a random box covers, smallest and largest (open_clip: 0.9 to 1;
    PI paper: 0.2 to 1)."""
    crop_ratio: tuple[float, float] = (0.75, 1.3333)
    """Width / height of a random box, smallest and largest (torchvision)."""
    flip: bool = False
    """Mirror half of the images (open_clip does not, for captions may say left and right)."""
    jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """Strength of random brightness, contrast, saturation, hue in 80 % of the images
    (MoCo v2 and PI paper: 0.4, 0.4, 0.4, 0.1)."""
    grey_share: Share = 0.0
    """Share of images that lose their colour (MoCo v2 and PI paper: 0.2)."""
    blur_share: Share = 0.0
    """Share of images that are blurred, sigma 0.1 to 2 pixels (MoCo v2 and PI paper: 0.5)."""
    decode: Decode = "quality"
    """"quality": the pixels of PIL's bicubic resize. "fast": JPEGs of which a box has sides of 3 times
    the model's image size (6, 12 times) are decoded at 1/2 (1/4, 1/8) of their size; order and
    boxes stay, up to a pixel (3, 7) at the sides; other files are decoded as in "quality"."""
    interpolation: Interpolation | None = None
    """How boxes are resized, with antialiasing: "bicubic" unless given (open_clip), or "bilinear"
    (torchvision's default, so SLIP and DeCLIP)."""
    background: str | None = None
    """Colour behind the transparent parts of images, a CSS name or `#rrggbb`; white unless given."""
    max_bad_share: Share = 0.01
    """Share of the pairs that may be unreadable before the run stops; each is replaced and told."""
    shuffle_blocks: NonNegativeInt = 64
    """Shards that are shuffled into each other at a time; 0 shuffles everything at once."""
    num_workers: NonNegativeInt | None = None
    """Threads that decode images; by default what the run has. Does not change the batches."""

    def __post_init__(self) -> None:
        for name, (low, high), most in (
            ("crop_scale", self.crop_scale, 1.0),
            ("crop_ratio", self.crop_ratio, math.inf),
        ):
            if not 0 < low <= high <= most:
                raise ValueError(f"{name} = [{low:g}, {high:g}] must rise, above 0, up to {most:g}")
        colour_of(self.background)
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas = {list(self.betas)} must be in [0, 1)")
        if min(self.jitter) < 0 or self.jitter[3] > 0.5:
            raise ValueError(f"jitter = {list(self.jitter)}: none below 0, hue up to 0.5")
        if self.min_lr > self.lr:
            raise ValueError(f"min_lr = {self.min_lr:g} is above lr = {self.lr:g}")
        if self.warmup_lr is not None and self.warmup_lr > self.lr:
            raise ValueError(f"warmup_lr = {self.warmup_lr:g} is above lr = {self.lr:g}")
        for name in ("patch_dropout", "ema_decay"):
            if getattr(self, name) == 1:
                raise ValueError(f"{name} = 1 would leave nothing; it is below 1")
        if self.layer_decay == 0:
            raise ValueError("layer_decay = 0 would train nothing before the last block")
        if self.precision == "fp16" and self.sharding == "fsdp":
            raise ValueError('precision = "fp16" scales the loss, which fsdp cannot: use "bf16"')

    def smoke(self) -> Self:
        """Return a copy of two epochs with small batches."""
        return replace(
            self,
            epochs=2,
            steps=None,
            batch_size=32,
            warmup_steps=1,
            samples_per_epoch=0,
            compile="",
        )
