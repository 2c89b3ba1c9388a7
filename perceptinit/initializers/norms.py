"""Layers with running statistics, such as batch norm, in a stage that trains on few images."""

from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

Norm = Literal["auto", "train", "frozen"]


@dataclass(frozen=True, slots=True)
class NormLayers:
    """The layers of a tower with running statistics, and whether a stage keeps these statistics.

    Attributes:
        layers: `BatchNorm` of torch with its subclasses, and other modules with a running mean and variance.
        are_frozen: Whether the layers stay in eval mode. Their gains and biases are trained in both modes.
    """

    layers: tuple[Any, ...]
    are_frozen: bool

    @classmethod
    def of(cls, model: nn.Module, norm: Norm | None) -> "NormLayers":
        """Return the layers of `model`. "auto" (or None) freezes learned statistics and trains initial ones.

        Stage 1 shows the same few images in every step. In training mode, a layer normalizes by their
        statistics and replaces its own by them, which fit no other images.
        """
        layers = tuple(m for m in model.modules() if _has_statistics(m))
        is_auto = norm in (None, "auto")
        return cls(layers, any(map(_is_learned, layers)) if is_auto else norm == "frozen")

    def freeze(self) -> None:
        """Set the layers to eval mode if they are frozen; call it after `train()` of the whole model."""
        for layer in self.layers if self.are_frozen else ():
            layer.training = False  # not `eval()`, which includes submodules, such as dropout

    def metrics(self) -> dict[str, float]:
        """Return the numbers of layers with statistics and of frozen ones; empty without such layers."""
        count = len(self.layers)
        return {"norm_layers": count, "norm_layers_frozen": count * self.are_frozen} if count else {}


def _has_statistics(module: Any) -> bool:
    statistics = (getattr(module, "running_mean", None), getattr(module, "running_var", None))
    return all(isinstance(values, Tensor) for values in statistics)


def _is_learned(layer: Any) -> bool:
    """Return whether a running mean is not 0 or a running variance is not 1, the initial values."""
    return bool(layer.running_mean.ne(0).any() or layer.running_var.ne(1).any())
