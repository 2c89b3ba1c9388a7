"""A model that has an image tower and no text tower."""

from __future__ import annotations

# B batch, D embedding, H W image
import torch
from torch import nn

from perceptinit.backbones.encoders import ImageTower


class ImageOnly(nn.Module):
    """The half of a dual encoder that measures of images need."""

    def __init__(self, image: ImageTower) -> None:
        super().__init__()
        self.image = image

    @property
    def image_size(self) -> int:
        """Height and width of the images it takes, pixels."""
        return self.image.image_size

    @property
    def embed_dim(self) -> int:
        """Length of an embedding."""
        return self.image.embed_dim

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        """Return image embeddings (B, D), not normalised; see ImageTower."""
        return self.image.encode_image(images)
