"""torchvision: what goes into the last linear layer, of any classification model."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from perceptinit.errors import UsageError
from perceptinit.library.adapters.surface import IMAGENET_MEAN, IMAGENET_STD, Surface

CLASSIFIERS = ("heads", "head", "fc", "classifier")


def describe(model: Any) -> Surface:
    """Return the whole model as vision part; its classifier is computed, but not used.

    ViT states its size; the others take any and get 224, on which torchvision trains. Mean and std
    are those of all of torchvision's classification weights.
    """
    classifier = _last_linear(model)

    def encode(images: Tensor) -> Tensor:
        seen: list[Tensor] = []
        handle = classifier.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        try:
            model(images)
        finally:
            handle.remove()
        return seen[-1]

    size = getattr(model, "image_size", 224)
    return Surface(model, encode, size, IMAGENET_MEAN, IMAGENET_STD)


def _last_linear(model: nn.Module) -> nn.Module:
    for name in CLASSIFIERS:
        head = getattr(model, name, None)
        linear = [m for m in head.modules() if isinstance(m, nn.Linear)] if head is not None else []
        if linear:
            return linear[-1]
    raise UsageError(
        f"torchvision's {type(model).__name__} has no linear classifier "
        f"({', '.join(CLASSIFIERS)}): pass encode="
    )
