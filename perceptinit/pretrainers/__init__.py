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
            summary="a classifier on labeled images, with timm's losses, mixup and cutmix; no text tower",
        ),
        Component(
            name="distil",
            target="perceptinit.pretrainers.distil:Distil",
            summary="embeddings of a frozen teacher, or their similarities in a batch; no text tower",
        ),
    ]
