"""Hugging Face transformers: the image embedding, or the pooled features of a vision model."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from perceptinit.library.adapters.surface import (
    CLIP_MEAN,
    CLIP_STD,
    HALF,
    IMAGENET_MEAN,
    IMAGENET_STD,
    RGB,
    Surface,
    square_side,
)

# Mean and std stand in the image processor, not in the model: those of the first published weights
# of each architecture. Source: their preprocessor_config.json.
STATISTICS: dict[str, tuple[RGB, RGB]] = {
    "clip": (CLIP_MEAN, CLIP_STD),
    "siglip": (HALF, HALF),
    "siglip2": (HALF, HALF),
    "vit": (HALF, HALF),
    "deit": (IMAGENET_MEAN, IMAGENET_STD),
    "dinov2": (IMAGENET_MEAN, IMAGENET_STD),
    "swin": (IMAGENET_MEAN, IMAGENET_STD),
    "convnext": (IMAGENET_MEAN, IMAGENET_STD),
    "resnet": (IMAGENET_MEAN, IMAGENET_STD),
}


def describe(model: Any) -> Surface:
    """Return the vision part: of a dual encoder its image tower and projection, else the model
    without its classifier.

    Embeddings are `pooler_output`, after the projection where there is one, and the first token
    where the model does not pool.
    """
    config = getattr(model.config, "vision_config", model.config)
    family = config.model_type.removesuffix("_vision_model")
    mean, std = STATISTICS.get(family, (None, None))
    size = square_side(getattr(config, "image_size", None))
    vision = _vision(model)
    return Surface(vision, _encoder(vision), size, mean, std)


def _vision(model: Any) -> nn.Module:
    parts = {
        name: getattr(model, name)
        for name in ("vision_model", "visual_projection")
        if hasattr(model, name)
    }
    if len(parts) == 2:
        return nn.ModuleDict(parts)
    return parts.get("vision_model", model.base_model)


def _encoder(vision: nn.Module) -> Any:
    if not isinstance(vision, nn.ModuleDict):
        return lambda images: _pooled(vision(pixel_values=images))
    tower, projection = vision["vision_model"], vision["visual_projection"]
    return lambda images: projection(_pooled(tower(pixel_values=images)))


def _pooled(output: Any) -> Tensor:
    pooled = getattr(output, "pooler_output", None)
    if pooled is None:
        return output.last_hidden_state[:, 0]
    return pooled.flatten(1)
