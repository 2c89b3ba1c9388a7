"""Layers with running statistics, such as batch norm, in a stage that trains on few images."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from perceptinit.errors import InitializerError

Norm = Literal["auto", "train", "frozen"]
ROUNDED = 1.001  # initial biases may round up to their bound
INITIAL_STATISTICS = {"running_mean": 0.0, "running_var": 1.0}


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
    """Return whether weights were trained, by running statistics, gains of norm layers, and biases.

    In random weights of PyTorch and timm, the statistics are 0 and 1, the gains of a layer are equal, and its
    biases are equal or at most 1 / sqrt(inputs of a unit). RepVGG draws its gains, so it counts as learned.

    Args:
        weights: Weights and buffers by name.
    """
    return any(_shows_training(name, tensor, weights) for name, tensor in weights.items())


def _shows_training(name: str, tensor: Tensor, weights: Mapping[str, Tensor]) -> bool:
    layer, _, role = name.rpartition(".")
    if role in INITIAL_STATISTICS:
        return bool(tensor.ne(INITIAL_STATISTICS[role]).any())
    if tensor.ndim != 1 or role not in ("weight", "bias") or not tensor.ne(tensor[0]).any():
        return False
    if role == "weight":
        return True
    kernels = weights.get(f"{layer}.weight")
    if kernels is None or kernels.ndim < 2:
        return False
    return bool(tensor.abs().max() > ROUNDED / math.sqrt(kernels[0].numel()))
