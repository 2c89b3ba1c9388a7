"""Models without a text tower: an image tower, with or without a classifier."""

# B batch, D embedding, C classes, H W image
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from perceptinit.seeding import named_torch_seed
from perceptinit.types import Fit

# as in timm's ViT
HEAD_STD = 0.02


class ImageModel(nn.Module):
    """A model that consists of an image tower.

    Args:
        image: The image tower, an `ImageTower`.
    """

    def __init__(self, image: nn.Module) -> None:
        super().__init__()
        self.image: Any = image

    @property
    def image_size(self) -> int:
        """Height and width of the input, in pixels."""
        return self.image.image_size

    @property
    def fit(self) -> Fit:
        """How non-square images are made square."""
        return Fit.of(self.image)

    @property
    def embed_dim(self) -> int:
        """Length of the embeddings."""
        return self.image.embed_dim

    def encode_image(self, images: Tensor) -> Tensor:
        """Return image embeddings (B, D), not normalized; see `ImageTower`."""
        return self.image.encode_image(images)


class ImageClassifier(ImageModel):
    """An image tower with a linear classifier. The class names are saved with the weights.

    Args:
        image: The image tower, an `ImageTower`.
        classnames: Names of the C classes.
        seed: Seed of the classifier's weights.
    """

    names: Tensor

    def __init__(self, image: nn.Module, classnames: Sequence[str], seed: int = 0) -> None:
        super().__init__(image)
        with named_torch_seed(seed, "head"):
            self.head = nn.Linear(self.embed_dim, len(classnames))
            nn.init.trunc_normal_(self.head.weight, std=HEAD_STD)
            nn.init.zeros_(self.head.bias)
        names = bytearray("\n".join(classnames).encode())
        self.register_buffer("names", torch.frombuffer(names, dtype=torch.uint8))

    @property
    def classnames(self) -> tuple[str, ...]:
        """Names of the C classes, in the order of the logits."""
        return _as_names(self.names)

    def classify(self, images: Tensor) -> Tensor:
        """Return the logits (B, C) of images; see `encode_image`."""
        return self.head(self.encode_image(images))


def image_model(image: nn.Module, weights: Mapping[str, Tensor]) -> ImageModel:
    """Return a model without a text tower, with a classifier if `weights` has one; weights are not loaded."""
    if "head.weight" not in weights:
        return ImageModel(image)
    return ImageClassifier(image, _as_names(weights["names"]))


def _as_names(tensor: Tensor) -> tuple[str, ...]:
    return tuple(tensor.cpu().numpy().tobytes().decode().split("\n"))
