"""The image tower, with its input normalization, and the dual encoder."""

from __future__ import annotations

# B batch, T tokens, D embedding, H W image
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from perceptinit.backbones.fast_modules import PatchConv, is_eager_on_cpu, is_inference
from perceptinit.backbones.image_models import ImageModel
from perceptinit.backbones.text import TextTower
from perceptinit.errors import UsageError
from perceptinit.seeding import named_torch_seed
from perceptinit.types import Fit, FitMode

RGB = tuple[float, float, float]
# CLIP's initial temperature is 0.07, and its scale is clamped to 100
LOGIT_SCALE_START = math.log(1 / 0.07)
# floats in 1 MiB, the size of a CPU core's cache
CACHED_VALUES = 2**18
MIN_IMAGE_SIZE = 8  # pixels
MIN_CONTEXT = 3  # start token, a word, end token


class ImageTower(nn.Module):
    """A vision trunk with pooling, a linear projection, and input normalization.

    `mean` and `std` are buffers and therefore saved with the weights.

    Args:
        trunk: Maps normalized images (B, 3, H, W) to features.
        projection: Maps features to embeddings (B, D).
        image_size: Height and width of the input, in pixels.
        embed_dim: Length D of the embeddings.
        mean: Channel means, for pixels in [0, 1].
        std: Channel standard deviations, for pixels in [0, 1].
        fresh: Returns a new tower of this architecture, initialized from torch's global generator.
        fit: Mode of `Fit`; None for "center-crop".
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self,
        trunk: nn.Module,
        projection: nn.Module,
        *,
        image_size: int,
        embed_dim: int,
        mean: Sequence[float],
        std: Sequence[float],
        fresh: Callable[[], ImageTower],
        fit: FitMode | None = None,
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.projection = projection
        self.image_size = image_size
        self.embed_dim = embed_dim
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32))
        self._fresh = fresh
        self.fit_mode = fit
        self.crop = 1.0  # of `Fit`; models of other libraries have their own

    @property
    def fit(self) -> Fit:
        """How non-square images are made square; "pad" fills the margins with the mean color, as in timm."""
        if self.fit_mode != "pad":
            return Fit(self.fit_mode or "center-crop", crop=self.crop)
        red, green, blue = (round(255 * value) for value in self.mean.tolist())
        return Fit("pad", (red, green, blue))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return embeddings (B, D), not normalized; see `encode_image`."""
        patches: Any = getattr(self.trunk, "conv1", None)  # of open_clip's ViT
        is_cut = isinstance(patches, PatchConv) and self.image_size % patches.kernel_size[0] == 0
        is_plain = is_inference(self) and not torch.is_autocast_enabled("cpu")
        if is_cut and is_plain and images.dtype == torch.uint8 and is_eager_on_cpu(images):
            patches.normalization = self._gain_and_offset(255.0)
        else:
            images = self.normalize(images)
        return self.projection(self.trunk(images))

    def _gain_and_offset(self, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Return factor and summand (3, 1, 1) that normalize pixels in [0, scale]."""
        gain = (1 / (scale * self.std)).view(-1, 1, 1)
        return gain, (-self.mean / self.std).view(-1, 1, 1)

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        """Return image embeddings, not normalized.

        Args:
            images: Shape (B, 3, H, W) with H = W = image_size; uint8 in [0, 255] or float in [0, 1].

        Returns:
            Embeddings, shape (B, D).

        Raises:
            ValueError: If the shape differs.
        """
        if images.ndim != 4 or images.shape[1:] != (3, self.image_size, self.image_size):
            size = self.image_size
            raise ValueError(f"expected images of shape (B, 3, {size}, {size}), got {tuple(images.shape)}")
        return self(images)

    def normalize(self, images: torch.Tensor) -> torch.Tensor:
        """Return (images - mean) / std as floats, for pixels in [0, 255] (uint8) or [0, 1] (float)."""
        scale = 255.0 if images.dtype == torch.uint8 else 1.0
        gain, offset = self._gain_and_offset(scale)
        if images.is_floating_point():
            return torch.addcmul(offset, images.to(self.mean.dtype), gain)
        num = len(images)
        if is_eager_on_cpu(images):
            # three operations on a few images at a time, so that they stay in the cache
            num = max(1, CACHED_VALUES // images.shape[1:].numel())
        floats = torch.empty_like(images, dtype=self.mean.dtype)
        values = floats
        pixels = images
        if images.is_contiguous(memory_format=torch.channels_last):
            # vectorizes over rows of pixels instead of three channels
            values = floats.permute(0, 2, 3, 1).flatten(2)
            pixels = images.permute(0, 2, 3, 1).flatten(2)
            gain = gain.flatten().repeat(images.shape[3])
            offset = offset.flatten().repeat(images.shape[3])
        for part, read in zip(values.split(num), pixels.split(num), strict=True):
            part.copy_(read).mul_(gain).add_(offset)
        return floats

    def reset_parameters(self, seed: int) -> None:
        """Reinitialize all weights on the CPU, so that they are the same on all devices."""
        with named_torch_seed(seed, "image-tower"):
            fresh = self._fresh()
        self.load_state_dict(fresh.state_dict())


class DualTower(ImageModel):
    """An image tower and a text tower with a shared embedding space, and a learned temperature.

    Args:
        image: The image tower.
        text: The text tower.
        logit_scale: Initial natural logarithm of the inverse temperature.
    """

    def __init__(self, image: ImageTower, text: TextTower, logit_scale: float = LOGIT_SCALE_START) -> None:
        super().__init__(image)
        self.text = text
        self.logit_scale = nn.Parameter(torch.tensor(logit_scale, dtype=torch.float32))

    @property
    def context_length(self) -> int:
        """Maximum number of tokens of a text."""
        return self.text.context_length

    def encode_text(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return text embeddings (B, D), not normalized, for ids int64 (B, T); see `TextTower`."""
        return self.text(self.text.pack(tokens))

    @property
    def tokenize(self) -> Callable[[Sequence[str]], torch.Tensor]:
        """Return token ids, int64 (B, T), trimmed to the longest text, always with the end token."""
        return self.text.tokenize


def find_problem(build: Callable[[], DualTower]) -> Iterator[str]:
    """Yield the error, if any, that is raised when the model is built or encodes an input.

    The meta device is tried first, because it needs no memory. Some models cannot be built on it, so an error
    is reported only if it also occurs on the CPU.
    """
    problem: Exception
    for device in ("meta", "cpu"):
        try:
            with named_torch_seed(0, "trial"), torch.device(device), torch.no_grad():
                _encode_one(build().to(device))
            return
        except Exception as error:  # libraries raise any kind of error
            problem = error
    yield str(problem) or type(problem).__name__


def find_unseen_pixels(build: Callable[[], DualTower]) -> Iterator[str]:
    """Yield a warning if the patch size does not divide the image size, so that pixels are ignored.

    This is not an error, because it also applies to published models such as SO400M/14 at 384 pixels.
    """
    try:
        with named_torch_seed(0, "trial"), torch.device("meta"):
            model = build()
    except Exception:  # `find_problem` reports this error
        return
    first = next((m for m in model.image.modules() if isinstance(m, nn.Conv2d)), None)
    if first is None or first.kernel_size != first.stride:
        return
    patch = first.stride[0]
    size = model.image_size
    if size % patch:
        yield (
            f"patch size {patch} does not divide image size {size}, so {size % patch} rows and columns of "
            f"pixels are ignored. Try image_size = {size - size % patch}"
        )


def _encode_one(model: DualTower) -> None:
    if model.context_length < MIN_CONTEXT:
        raise UsageError(
            f"context_length = {model.context_length} leaves no space for a word between the start "
            "and end tokens. CLIP uses 77"
        )
    model.eval()
    size = model.image_size
    if size < MIN_IMAGE_SIZE:
        raise UsageError(f"image_size = {size} is too small to show anything. Set at least {MIN_IMAGE_SIZE}")
    model.encode_image(torch.zeros(1, 3, size, size))
    model.encode_text(torch.zeros(1, model.context_length, dtype=torch.int64))
