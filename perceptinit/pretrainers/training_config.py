"""Configuration of all pretrainers: length, optimizer, precision, memory, images and loading."""

import math
from dataclasses import dataclass, replace
from typing import Annotated, Literal, Self

from annotated_types import Ge, Gt, Le, Lt

from perceptinit.compute.optim import Precision
from perceptinit.configs import NEUTRAL, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Share
from perceptinit.images.background import colour_of
from perceptinit.images.decoding import Decode, Interpolation
from perceptinit.pairs.augment import Crop
from perceptinit.pairs.loader import DecodeIn
from perceptinit.pretrainers.non_finite import OnNonFinite

ShareBelowOne = Annotated[float, Ge(0), Lt(1)]
PositiveShare = Annotated[float, Gt(0), Le(1)]
Magnitude = Annotated[float, Ge(0), Le(10)]
HueShift = Annotated[float, Ge(0), Le(0.5)]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """Configuration of a pretrainer for images, with or without texts; by default that of CLIP."""

    epochs: PositiveInt = 32
    """Number of passes over the pairs (CLIP and the PI paper: 32)."""
    samples_per_epoch: NonNegativeInt = 0
    """Pairs per epoch, sampled with replacement; 0 uses every pair once, reshuffled in each epoch."""
    steps: PositiveInt | None = None
    """Number of optimizer steps, instead of `epochs`. The last epoch may be incomplete."""
    batch_size: PositiveInt = 1024
    """Pairs per step over all processes; a multiple of their number."""
    micro_batch: Annotated[NonNegativeInt, NEUTRAL] = 0
    """Pairs that a process encodes at a time; 0 for all. Saves memory at the cost of a second forward pass;
    loss and gradients are still those of the whole batch (Gao et al. 2021)."""
    optimizer: str | None = None
    """None for AdamW, the name of a timm optimizer such as "nadamuon", "muon", "lion" or "adopt", or
    "package.module:Class". Learning rates do not transfer between optimizers: tune each."""
    lr: PositiveFloat = 5e-4
    """Peak learning rate, at the end of the warm-up (CLIP ViT-B/32: 5e-4)."""
    min_lr: NonNegativeFloat = 0.0
    """Learning rate of the last step."""
    warmup_steps: NonNegativeInt = 2000
    """Steps of linear warm-up (CLIP: 2000); a tenth of a run without more steps."""
    warmup_lr: PositiveFloat | None = None
    """Learning rate of the first warm-up step; None for lr / warmup_steps (DeCLIP: 1e-4, SLIP: 1e-6)."""
    betas: tuple[ShareBelowOne, ShareBelowOne] = (0.9, 0.98)
    """Decay rates of AdamW's two moments (CLIP with a ViT)."""
    eps: PositiveFloat = 1e-6
    """AdamW's epsilon (CLIP with a ViT: 1e-6; PI paper: 1e-8)."""
    weight_decay: NonNegativeFloat = 0.1
    """Weight decay of matrices and kernels (PI paper: 0.1; CLIP and open_clip: 0.2)."""
    no_decay: tuple[str, ...] | None = None
    """Parts of the names of further parameters without weight decay, such as "positional_embedding" (PI's
    code); None for gains, biases and scalars alone."""
    clip_norm: NonNegativeFloat = 0.0
    """Maximum gradient norm over all parameters; 0 disables clipping (PI paper: 3)."""
    precision: Precision = "fp32"
    """"fp32", "tf32" (TF32 matrix products on NVIDIA GPUs), autocast to "bf16" or "fp16" (with loss scaling),
    or "auto": "bf16" on GPUs and CPUs with native bf16 products, else "fp32". The loss is always in fp32."""
    compile: Annotated[str, NEUTRAL] = ""
    """Backend of torch.compile for the blocks of all towers, such as "inductor"; empty for none."""
    grad_checkpointing: Annotated[bool, NEUTRAL] = False
    """Recompute each block in the backward pass, which saves memory but takes a third more time."""
    patch_dropout: ShareBelowOne = 0.0
    """Share of an image's patches that the ViT drops in training (FLIP: 0.5)."""
    fused: Annotated[bool, NEUTRAL] = True
    """Use AdamW's fused kernel, which is several times faster than a loop over parameters."""
    layer_decay: PositiveShare = 1.0
    """Layer-wise learning-rate decay: factor per block of the image tower, last to first; 1 disables it."""
    ema_decay: ShareBelowOne = 0.0
    """Decay of an exponential moving average of the weights, which is evaluated and saved; 0 disables it."""
    on_non_finite: Annotated[OnNonFinite, NEUTRAL] = "stop"
    """Action for a loss or gradient that is not finite: "stop", or "skip" for up to 9 consecutive steps. A
    file in the run's folder lists the keys of the samples."""
    sharding: Annotated[Literal["none", "fsdp"], NEUTRAL] = "none"
    """"none" replicates the model in each process (DDP). "fsdp" shards weights, gradients and AdamW's moments
    (FSDP2), for models that do not fit otherwise."""
    crop: Crop = "random"
    """Crops: "random", "center", or "padded", which pads the center square with black by an eighth of its
    side (4 of 32 pixels, as in CIFAR recipes) and crops it randomly."""
    crop_scale: tuple[float, float] = (0.9, 1.0)
    """Range of the area of random crops, as a share of the image (open_clip: 0.9, 1; PI paper: 0.2, 1)."""
    crop_ratio: tuple[float, float] = (0.75, 1.3333)
    """Range of width / height of random crops (torchvision)."""
    flip: bool = False
    """Flip images horizontally with probability 0.5 (open_clip: false, as captions may say left or right)."""
    jitter: tuple[NonNegativeFloat, NonNegativeFloat, NonNegativeFloat, HueShift] = (0.0, 0.0, 0.0, 0.0)
    """Strengths of random brightness, contrast, saturation and hue in 80 % of the images (MoCo v2 and PI
    paper: 0.4, 0.4, 0.4, 0.1)."""
    grey_share: Share = 0.0
    """Share of images converted to gray (MoCo v2 and PI paper: 0.2)."""
    blur_share: Share = 0.0
    """Share of blurred images, with sigma 0.1 to 2 pixels (MoCo v2 and PI paper: 0.5)."""
    rand_augment: Magnitude | None = None
    """Magnitude of timm's RandAugment, 0 to 10: two random operations, each with probability 0.5 (DeiT: 9,
    timm's rand-m9-mstd0.5-inc1). timm then has no jitter."""
    erase_share: Share | None = None
    """Share of images in which a random box becomes noise (Zhong et al. 2020; DeiT: 0.25)."""
    decode: Decode = "quality"
    """"quality" decodes at full size; resized pixels are within 2 gray levels of PIL's. "fast" decodes JPEGs
    at 1/2 (1/4, 1/8) of their size if the crop is at least 3 (6, 12) times the image size of the model.
    Batches contain the same images, but the sides of a crop move by up to 1 (3, 7) pixels."""
    interpolation: Interpolation | None = None
    """Antialiased interpolation of crops: "bilinear" (torchvision's default, SLIP, DeCLIP) or "bicubic"
    (open_clip); None for "bicubic"."""
    background: str | None = None
    """Color behind transparent pixels, as a CSS name or `#rrggbb`; None for white."""
    max_bad_share: Annotated[Share, NEUTRAL] = 0.01
    """Maximum share of unreadable pairs before the run stops. Each is replaced and reported."""
    shuffle_blocks: NonNegativeInt = 64
    """Number of shards to shuffle together; 0 for all."""
    num_workers: Annotated[NonNegativeInt | None, NEUTRAL] = None
    """Number of decoding threads or processes; None for the run's setting. Does not change the batches."""
    decode_in: DecodeIn | None = None
    """"threads", or "processes" with shared memory, for more than 8,000 samples/s. None chooses processes for
    at least 8 workers and 1,000,000 samples. Does not change the batches."""

    def __post_init__(self) -> None:
        for name, (low, high), most in (
            ("crop_scale", self.crop_scale, 1.0),
            ("crop_ratio", self.crop_ratio, math.inf),
        ):
            if not 0 < low <= high <= most:
                raise ValueError(f"{name} = [{low:g}, {high:g}] must be ascending, in (0, {most:g}]")
        colour_of(self.background)
        if self.min_lr > self.lr:
            raise ValueError(f"min_lr = {self.min_lr:g} is above lr = {self.lr:g}")
        if self.warmup_lr is not None and self.warmup_lr > self.lr:
            raise ValueError(f"warmup_lr = {self.warmup_lr:g} is above lr = {self.lr:g}")
        if self.precision == "fp16" and self.sharding == "fsdp":
            raise ValueError('sharding = "fsdp" does not support precision = "fp16": use "bf16"')

    def smoke(self) -> Self:
        """Return a copy with two epochs of small batches."""
        return replace(
            self, epochs=2, steps=None, batch_size=32, warmup_steps=1, samples_per_epoch=0, compile=""
        )
