"""Built-in pretrainers."""

from perceptinit.hookspecs import hookimpl
from perceptinit.registry import Component, built_in

_PRETRAINERS = {
    "clip": ("clip:Clip", "contrastive image-text pretraining with a softmax over the batch (CLIP)"),
    "supervised": (
        "supervised:Supervised",
        "classification of labeled images, with timm's losses, mixup and cutmix; no text tower",
    ),
    "distil": (
        "distil:DistilPretraining",
        "distillation of a frozen teacher's embeddings or similarities; no text tower",
    ),
}


@hookimpl
def perceptinit_pretrainers() -> list[Component]:
    return built_in(_PRETRAINERS, __name__)
