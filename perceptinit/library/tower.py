"""Another library's model as the image tower that initializers see, and as it was found afterwards."""

from __future__ import annotations

# B batch, D embedding, S height and width
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from perceptinit.backbones.encoders import RGB, ImageTower
from perceptinit.errors import InitializerError, UsageError

Encode = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Surface:
    """The vision part of a model and how images go in.

    vision: module whose weights an initializer may change.
    encode: maps normalised images (B, 3, S, S) to embeddings (B, D) by way of `vision`.
    image_size: S, pixels, None when the model does not state it.
    mean, std: of the three channels, for pixels in [0, 1]; None when the model does not state them.
    """

    vision: nn.Module
    encode: Encode
    image_size: int | None
    mean: RGB | None
    std: RGB | None


class ModelTower(ImageTower):
    """An image tower around a model's own modules; embeddings are what `surface.encode` gives.

    `trunk` is the vision part, and its parameters are the tower's only ones.
    """

    def __init__(self, surface: Surface) -> None:
        for name in ("image_size", "mean", "std"):
            if getattr(surface, name) is None:
                raise UsageError(f"{type(surface.vision).__name__} does not state its {name}: pass {name}=")
        super().__init__(
            surface.vision,
            nn.Identity(),
            image_size=int(surface.image_size or 0),
            embed_dim=0,
            mean=surface.mean or (),
            std=surface.std or (),
            fresh=self._cannot_be_fresh,
        )
        self._surface = surface  # its encode alone may be a module, which would become a part
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


def device_of(module: nn.Module) -> torch.device:
    """Return where a module's weights are.

    Raises UsageError when they are on several devices, or are not there yet (meta).
    """
    devices = sorted({str(tensor.device) for tensor in _tensors(module)})
    if devices == ["meta"]:
        raise UsageError("the model has no weights yet (torch's meta device): materialise them first")
    if len(devices) != 1:
        raise UsageError(f"the model's weights are on {', '.join(devices)}: put them on one device first")
    return torch.device(devices[0])


@contextmanager
def in_float32(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Give the block a module in float32 on `device`, outside of autocast and with gradients enabled.

    Afterwards device, dtype, requires_grad, gradients and modes of every tensor and module are as
    before. When the block raises, so are the weights.
    """
    tensors = _tensors(module)
    found = [(t, t.device, t.dtype, t.requires_grad, t.grad) for t in tensors]
    copies = [t.detach().to("cpu", copy=True) for t in tensors]
    modes = {m: m.training for m in module.modules()}
    try:
        for t in tensors:
            t.grad = None
            t.data = t.data.to(device, torch.float32 if t.is_floating_point() else t.dtype)
        with torch.enable_grad(), torch.autocast(device.type, enabled=False):
            yield
    except BaseException:
        for t, copy in zip(tensors, copies, strict=True):
            t.data = copy
        raise
    finally:
        for t, place, dtype, requires_grad, grad in found:
            t.data = t.data.to(place, dtype)
            if t.requires_grad != requires_grad:
                t.requires_grad_(requires_grad)
            t.grad = grad
        for m, mode in modes.items():
            m.training = mode


def _tensors(module: nn.Module) -> list[Tensor]:
    """Return parameters and buffers, each once."""
    return list({id(t): t for t in (*module.parameters(), *module.buffers())}.values())
