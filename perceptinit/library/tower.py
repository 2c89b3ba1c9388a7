"""Wrap a model of another library as an image tower, and restore its state afterwards."""

# B batch, D embedding, S height and width
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from perceptinit.backbones.encoders import RGB, ImageTower
from perceptinit.errors import InitializerError, UsageError
from perceptinit.types import FitMode

Encode = Callable[[Tensor], Tensor]
# name of the layer of the vision part that follows its embedding, and of its weight in the tower
MAP = "embedding_map"
MAP_WEIGHT = f"trunk.{MAP}.weight"


@dataclass(frozen=True, slots=True)
class Surface:
    """The vision part of a model and its input format.

    Attributes:
        vision: Module whose weights an initializer may change.
        encode: Maps normalized images (B, 3, S, S) to embeddings (B, D) with `vision`.
        image_size: Side S in pixels; None if the model does not specify it.
        mean: Channel means for pixels in [0, 1]; None if the model does not specify them.
        std: Channel standard deviations; None if the model does not specify them.
        fit: How non-square images are converted to squares.
    """

    vision: nn.Module
    encode: Encode
    image_size: int | None
    mean: RGB | None
    std: RGB | None
    fit: FitMode = "center-crop"


class ModelTower(ImageTower):
    """An image tower that shares the modules of another library's model.

    Its trunk is the vision part of the model and has all parameters of the tower.

    Args:
        surface: Vision part of the model and its input format.

    Raises:
        UsageError: If image size, mean or std is unknown, or `encode` does not return embeddings (B, D).
    """

    def __init__(self, surface: Surface) -> None:
        for name in ("image_size", "mean", "std"):
            if getattr(surface, name) is None:
                raise UsageError(
                    f"{type(surface.vision).__name__} does not specify its {name}. Pass {name}=, or encode= "
                    "and image_size="
                )
        super().__init__(
            surface.vision,
            nn.Identity(),
            image_size=int(surface.image_size or 0),
            embed_dim=0,
            mean=surface.mean or (),
            std=surface.std or (),
            fresh=self._cannot_be_fresh,
            fit=surface.fit,
        )
        self._surface = surface  # an `encode` module as a direct attribute would become a submodule
        device = device_of(surface.vision)
        self.mean, self.std = self.mean.to(device), self.std.to(device)
        self.embed_dim = self._measure_embed_dim()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return unnormalized embeddings (B, D)."""
        images = self.normalize(images)
        last = getattr(self.trunk, MAP, None)
        if last is None:
            return self._surface.encode(images)
        calls: list[Tensor] = []
        with last.register_forward_hook(lambda module, inputs, output: calls.append(output)):
            embeddings = self._surface.encode(images)
        return embeddings if calls else last(embeddings)  # a Sequential calls its new layer itself

    def add_map(self) -> nn.Linear:
        """Add a layer to the vision part that follows its embedding, and return it; it is the identity.

        Raises:
            UsageError: If the vision part is not a single module of the model.
        """
        if isinstance(self.trunk, nn.ModuleDict):
            raise UsageError("the model's projection is frozen. Call requires_grad_(True) on it")
        layer = nn.Linear(self.embed_dim, self.embed_dim, bias=False, device=device_of(self.trunk))
        nn.init.eye_(layer.weight)
        self.trunk.add_module(MAP, layer)
        return layer

    def _cannot_be_fresh(self) -> ImageTower:
        # the library's initialization scheme is not part of the model
        raise InitializerError(
            f"{type(self.trunk).__name__} cannot be reinitialized in place. Construct it again after "
            "torch.manual_seed, or use a recipe with a backbone"
        )

    def _measure_embed_dim(self) -> int:
        """Return D, measured by encoding a gray image."""
        dtype = next(self.trunk.parameters()).dtype
        grey = self.mean.new_zeros(1, 3, self.image_size, self.image_size).to(dtype)
        try:
            with _restoring_modes(self), torch.no_grad():
                self.eval()
                embeddings = self._surface.encode(grey)
        except Exception as error:  # models raise arbitrary exceptions
            raise UsageError(
                f"{type(self.trunk).__name__} cannot encode an image (1, 3, {self.image_size}, "
                f"{self.image_size}): {error}. Is image_size right?"
            ) from error
        if not isinstance(embeddings, torch.Tensor) or embeddings.ndim != 2:
            got = tuple(embeddings.shape) if isinstance(embeddings, torch.Tensor) else embeddings
            raise UsageError(f"encode must return embeddings (B, D), got {got!r:.80}")
        return embeddings.shape[1]


def device_of(module: nn.Module) -> torch.device:
    """Return the device of a module's weights.

    Raises:
        UsageError: If the weights are on several devices, or on the meta device.
    """
    devices = sorted({str(tensor.device) for tensor in _tensors(module)})
    if devices == ["meta"]:
        raise UsageError("the model is on the meta device. Materialize its weights first")
    if len(devices) != 1:
        raise UsageError(f"the model's weights are on {', '.join(devices)}. Move them to one device first")
    return torch.device(devices[0])


@contextmanager
def in_float32(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Convert a module to float32 on a device inside the block, with gradients and without autocast.

    Kernels of convolutions are in the channels_last memory format, in which they are faster. On exit, the
    device, dtype, memory format, `requires_grad` and gradient of each tensor and the training mode of each
    module are restored; added tensors have the device and dtype of the first one. If the block raises, the
    weights are restored too.
    """
    tensors = _tensors(module)
    found = [(t, t.device, t.dtype, t.is_contiguous(), t.requires_grad, t.grad) for t in tensors]
    copies = [t.detach().to("cpu", copy=True) for t in tensors]
    try:
        for t in tensors:
            t.grad = None
            t.data = t.data.to(device, torch.float32 if t.is_floating_point() else t.dtype)
        for m in module.modules():
            if type(m) is nn.Conv2d:  # subclasses may compute with a view of their kernel
                m.weight.data = m.weight.data.to(memory_format=torch.channels_last)
        with _restoring_modes(module), torch.enable_grad(), torch.autocast(device.type, enabled=False):
            yield
    except BaseException:
        for t, copy in zip(tensors, copies, strict=True):
            t.data = copy
        raise
    finally:
        known = {id(t) for t in tensors}
        for t in _tensors(module):
            if id(t) not in known:  # an added layer
                t.data = t.data.to(*found[0][1:3])
        for t, place, dtype, was_contiguous, requires_grad, grad in found:
            t.data = t.data.to(place, dtype)
            if was_contiguous and t.ndim == 4:
                t.data = t.data.clone(memory_format=torch.contiguous_format)
            if t.requires_grad != requires_grad:
                t.requires_grad_(requires_grad)
            t.grad = grad


@contextmanager
def _restoring_modes(module: nn.Module) -> Iterator[None]:
    modes = {m: m.training for m in module.modules()}
    try:
        yield
    finally:
        for m, mode in modes.items():
            m.training = mode


def _tensors(module: nn.Module) -> list[Tensor]:
    """Return the parameters and buffers without duplicates."""
    return list({id(t): t for t in (*module.parameters(), *module.buffers())}.values())
