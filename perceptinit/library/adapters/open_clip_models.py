"""open_clip: the image embedding of a CLIP model; text tower and temperature are out of reach."""

from __future__ import annotations

from typing import Any

from perceptinit.errors import UsageError
from perceptinit.library.adapters.surface import CLIP_MEAN, CLIP_STD, Surface, square_side


def describe(model: Any) -> Surface:
    """Return `model.visual` as vision part.

    Mean and std are those of the weights' own preprocessing; a model that was built without states
    none, and takes OpenAI's, as open_clip's transforms do.

    Raises UsageError for a module of open_clip that is no whole model.
    """
    if not hasattr(model, "visual") or not hasattr(model, "encode_image"):
        raise UsageError(
            f"open_clip's {type(model).__name__} is a part of a model: pass the model, or encode="
        )
    visual = model.visual
    about = getattr(visual, "preprocess_cfg", None) or {}
    size = about.get("size") or getattr(visual, "image_size", None)
    mean = about.get("mean") or getattr(visual, "image_mean", None) or CLIP_MEAN
    std = about.get("std") or getattr(visual, "image_std", None) or CLIP_STD
    return Surface(visual, model.encode_image, square_side(size), tuple(mean), tuple(std))
