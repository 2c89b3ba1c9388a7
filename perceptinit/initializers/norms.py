"""Layers with running statistics, such as batch norm, in a stage that trains on few images."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from perceptinit.errors import InitializerError

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
        layers = tuple(m for m in model.modules() if isinstance(getattr(m, "running_var", None), Tensor))
        if norm in ("train", "frozen"):
            return cls(layers, norm == "frozen")
        buffers = (layer.named_buffers(recurse=False) for layer in layers)
        return cls(layers, any(are_learned(dict(own)) for own in buffers))

    def freeze(self) -> None:
        """Set the layers to eval mode if they are frozen; call it after `train()` of the whole model."""
        for layer in self.layers if self.are_frozen else ():
            layer.training = False  # not `eval()`, which includes submodules, such as dropout

    def check_micro_batch(self, model: nn.Module) -> None:
        """Raise an error if a layer would compute its statistics over a micro-batch."""
        batch_norms = (m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm))
        has_none = any(layer.running_var is None for layer in batch_norms)
        if has_none or any(layer.training for layer in self.layers):
            raise InitializerError(
                "micro_batch: batch norm would compute its statistics over a micro-batch. Remove micro_batch "
                'or set norm = "frozen"'
            )

    def metrics(self) -> dict[str, float]:
        """Return the numbers of layers with statistics and of frozen ones; empty without such layers."""
        count = len(self.layers)
        return {"norm_layers": count, "norm_layers_frozen": count * self.are_frozen} if count else {}


def are_learned(weights: Mapping[str, Tensor]) -> bool:
    """Return whether weights were trained: learned running statistics, or unequal gains of a norm layer.

    All gains of a layer are equal in random weights. Models without norm layers count as random.

    Args:
        weights: Weights and buffers by name.
    """
    return any(_shows_training(name.rpartition(".")[2], tensor) for name, tensor in weights.items())


def _shows_training(name: str, tensor: Tensor) -> bool:
    initial = {"running_mean": 0.0, "running_var": 1.0}.get(name)
    if name == "weight" and tensor.ndim == 1:
        initial = float(tensor[0])
    return initial is not None and bool(tensor.ne(initial).any())
