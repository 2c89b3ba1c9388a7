"""Built-in pretrainers."""

from __future__ import annotations

from perceptinit.hookspecs import hookimpl
from perceptinit.registry import Component


@hookimpl
def perceptinit_pretrainers() -> list[Component]:
    return [
        Component(
            name="clip",
            target="perceptinit.pretrainers.clip:Clip",
            summary="contrastive image-text pretraining with a softmax over the batch (CLIP)",
        ),
        Component(
            name="supervised",
            target="perceptinit.pretrainers.supervised:Supervised",
            summary="classification of labeled images, with timm's losses, mixup and cutmix; no text tower",
        ),
        Component(
            name="distil",
            target="perceptinit.pretrainers.distil:Distil",
            summary="distillation of a frozen teacher's embeddings or similarities; no text tower",
        ),
    ]
