"""Another library's model as the image tower that initializers see."""

from __future__ import annotations

# B batch, D embedding, S height and width
import torch
from torch import nn

from perceptinit.backbones.encoders import ImageTower
from perceptinit.errors import InitializerError, UsageError
from perceptinit.library.adapters.state import device_of
from perceptinit.library.adapters.surface import Surface


class ModelTower(ImageTower):
    """An image tower around a model's own modules; embeddings are what `surface.encode` gives.

    `trunk` is the vision part, and its parameters are the tower's only ones.
    """

    def __init__(self, surface: Surface) -> None:
        for name in ("image_size", "mean", "std"):
            if getattr(surface, name) is None:
                raise UsageError(
                    f"{type(surface.vision).__name__} does not state its {name}: pass {name}="
                )
        super().__init__(
            surface.vision,
            nn.Identity(),
            image_size=int(surface.image_size or 0),
            embed_dim=0,
            mean=surface.mean or (),
            std=surface.std or (),
            fresh=self._cannot_be_fresh,
        )
        self._surface = (
            surface  # not its encode alone, which may be a module and would be a part then
        )
        device = device_of(surface.vision)
        self.mean, self.std = self.mean.to(device), self.std.to(device)
        self.embed_dim = self._measure_embed_dim()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return embeddings (B, D), not normalised."""
        return self._surface.encode(self.normalize(images))

    def _cannot_be_fresh(self) -> ImageTower:
        # how a library draws a model's first weights is not in the model
        raise InitializerError(
            f"{type(self.trunk).__name__} cannot be drawn anew in place: construct it again (after "
            "torch.manual_seed), or use a recipe with a backbone"
        )

    def _measure_embed_dim(self) -> int:
        """Return D of one grey image; UsageError when the model does not give (B, D)."""
        modes = {module: module.training for module in self.modules()}
        dtype = next(self.trunk.parameters()).dtype
        grey = self.mean.new_zeros(1, 3, self.image_size, self.image_size).to(dtype)
        self.eval()
        try:
            with torch.no_grad():
                embeddings = self._surface.encode(grey)
        except Exception as error:  # whatever the model raises, the user is to read it
            raise UsageError(
                f"{type(self.trunk).__name__} cannot encode an image (1, 3, {self.image_size}, "
                f"{self.image_size}): {error}. Is image_size right?"
            ) from error
        finally:
            for module, mode in modes.items():
                module.training = mode
        if not isinstance(embeddings, torch.Tensor) or embeddings.ndim != 2:
            got = tuple(embeddings.shape) if isinstance(embeddings, torch.Tensor) else embeddings
            raise UsageError(f"encode must give embeddings (B, D), got {got!r:.80}")
        return embeddings.shape[1]
