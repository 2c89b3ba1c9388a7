"""timm: the pooled features before the classifier, of any image model."""

from __future__ import annotations

from typing import Any

from perceptinit.library.adapters.surface import Surface, square_side


def describe(model: Any) -> Surface:
    """Return the whole model as vision part; its classifier is not used and stays as it is."""
    about = model.pretrained_cfg
    embedding = getattr(
        model, "patch_embed", None
    )  # knows an img_size that the model was built with
    size = getattr(embedding, "img_size", None) or about["input_size"]

    def encode(images: Any) -> Any:
        return model.forward_head(model.forward_features(images), pre_logits=True)

    return Surface(model, encode, square_side(size), tuple(about["mean"]), tuple(about["std"]))
