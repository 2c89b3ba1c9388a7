"""An image tower that knows its input, and the pair of towers that travels through every stage."""

from __future__ import annotations

# B batch, T tokens, D embedding, H W image
import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import nn

from perceptinit.backbones.fast_modules import is_eager_on_cpu
from perceptinit.backbones.image_models import ImageModel
from perceptinit.backbones.text import TextTower
from perceptinit.errors import UsageError
from perceptinit.seeding import named_torch_seed

RGB = tuple[float, float, float]
# CLIP's temperature of 0.07; training starts here, far from the clamp at 100
LOGIT_SCALE_START = math.log(1 / 0.07)
# floats that a core's cache holds, 1 MiB of them
CACHED_VALUES = 2**18
MIN_CONTEXT = 3  # start token, a word, end token


class ImageTower(nn.Module):
    """A pooled vision trunk and a linear projection, with the normalisation of their input.

    trunk: maps normalised images (B, 3, H, W) to features; projection: features to (B, D).
    mean, std: of the three channels for pixels in [0, 1]. They are buffers that are saved with the
    weights, because weights only mean something together with their normalisation.
    fresh: makes another tower of the same architecture with weights from torch's global generator.
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
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.projection = projection
        self.image_size = image_size
        self.embed_dim = embed_dim
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32))
        self._fresh = fresh

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return embeddings (B, D), not normalised; see `encode_image`."""
        return self.projection(self.trunk(self.normalize(images)))

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        """Return embeddings (B, D), not normalised.

        images: (B, 3, H, W) with H = W = image_size; uint8 in 0..255 or float in [0, 1].

        Raises ValueError for images of another shape.
        """
        if images.ndim != 4 or images.shape[1:] != (3, self.image_size, self.image_size):
            size = self.image_size
            raise ValueError(f"images of shape {tuple(images.shape)}; the tower takes (B, 3, {size}, {size})")
        return self(images)

    def normalize(self, images: torch.Tensor) -> torch.Tensor:
        """Return (images - mean) / std as floats, for pixels in 0..255 (uint8) or [0, 1] (float)."""
        scale = 255.0 if images.dtype == torch.uint8 else 1.0
        gain = (1 / (scale * self.std)).view(-1, 1, 1)
        offset = (-self.mean / self.std).view(-1, 1, 1)
        if images.is_floating_point():
            return torch.addcmul(offset, images.to(self.mean.dtype), gain)
        num = len(images)
        if is_eager_on_cpu(images):
            # three times over a few images in the cache, not over all in memory
            num = max(1, CACHED_VALUES // images.shape[1:].numel())
        floats = torch.empty_like(images, dtype=self.mean.dtype)
        values, pixels = floats, images
        if images.is_contiguous(memory_format=torch.channels_last):
            # whole rows of pixels are multiplied at once, not the three values of each
            values, pixels = (x.permute(0, 2, 3, 1).flatten(2) for x in (floats, images))
            gain, offset = (x.flatten().repeat(images.shape[3]) for x in (gain, offset))
        for part, read in zip(values.split(num), pixels.split(num), strict=True):
            part.copy_(read).mul_(gain).add_(offset)
        return floats

    def reset_parameters(self, seed: int) -> None:
        """Draw all weights of the tower anew, as a fresh model of this architecture has them.

        The draws are made on the CPU, so that they are the same on every device.
        """
        with named_torch_seed(seed, "image-tower"):
            fresh = self._fresh()
        self.load_state_dict(fresh.state_dict())


class DualTower(ImageModel):
    """An image tower and a text tower that share an embedding space, and the learned temperature.

    logit_scale: start of the natural logarithm of the inverse temperature.
    """

    def __init__(self, image: ImageTower, text: TextTower, logit_scale: float = LOGIT_SCALE_START) -> None:
        super().__init__(image)
        self.text = text
        self.logit_scale = nn.Parameter(torch.tensor(logit_scale, dtype=torch.float32))

    @property
    def context_length(self) -> int:
        """Largest number of tokens in a text."""
        return self.text.context_length

    def encode_text(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return text embeddings (B, D), not normalised, of ids int64 (B, T); see TextTower."""
        return self.text(self.text.pack(tokens))

    def tokenize(self, texts: Sequence[str]) -> torch.Tensor:
        """Return token ids int64 (B, T), trimmed to the longest text, end token kept."""
        return self.text.tokenize(texts)


def find_problem(build: Callable[[], DualTower]) -> Iterator[str]:
    """Yield why a model cannot be built or cannot take its own input.

    Tried on torch's meta device first, which costs neither memory nor arithmetic. Some models
    cannot be built there, so a failure counts only if it also happens on the CPU.
    """
    problem: Exception
    for device in ("meta", "cpu"):
        try:
            with named_torch_seed(0, "trial"), torch.device(device), torch.no_grad():
                _encode_one(build().to(device))
            return
        except Exception as error:  # whatever a library raises, the user is to read it
            problem = error
    yield str(problem) or type(problem).__name__


def unseen_pixels(build: Callable[[], DualTower]) -> Iterator[str]:
    """Yield that patches do not divide the image, so that a margin of it is never seen.

    Published models do that (SO400M/14 at 384 pixels), so it is nothing to refuse.
    """
    try:
        with named_torch_seed(0, "trial"), torch.device("meta"):
            model = build()
    except Exception:  # cannot be built without memory: whether at all, `find_problem` says
        return
    first = next((m for m in model.image.modules() if isinstance(m, nn.Conv2d)), None)
    if first is None or first.kernel_size != first.stride:
        return
    patch, size = first.stride[0], model.image_size
    if size % patch:
        yield (
            f"patches of {patch} pixels do not divide an image of {size}: {size % patch} rows and columns of "
            f"pixels are never seen. Try image_size = {size - size % patch}"
        )


def _encode_one(model: DualTower) -> None:
    if model.context_length < MIN_CONTEXT:
        raise UsageError(
            f"context_length = {model.context_length} leaves no room for a word between the start and the "
            "end token; CLIP's is 77"
        )
    model.eval()
    size = model.image_size
    model.encode_image(torch.zeros(1, 3, size, size))
    model.encode_text(torch.zeros(1, model.context_length, dtype=torch.int64))
