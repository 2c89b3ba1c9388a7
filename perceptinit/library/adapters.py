"""Adapters from models of other libraries to image towers.

To support a library, add a function, an entry in `DESCRIBE`, a test, and a line in docs/library.md.
"""

# B batch, D embedding, S height and width
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from perceptinit.errors import UsageError
from perceptinit.library.tower import RGB, Encode, ModelTower, Surface
from perceptinit.types import FitMode, InitReport

CLIP_MEAN: RGB = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: RGB = (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN: RGB = (0.485, 0.456, 0.406)
IMAGENET_STD: RGB = (0.229, 0.224, 0.225)
HALF: RGB = (0.5, 0.5, 0.5)

# In transformers, the image processor stores mean and std, not the model. These are the values of the first
# published weights of each architecture. Source: their preprocessor_config.json.
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
CLASSIFIERS = ("heads", "head", "fc", "classifier")
WRAPPERS = {
    "DistributedDataParallel": "module",
    "DataParallel": "module",
    "OptimizedModule": "_orig_mod",
}


def describe_timm(model: Any) -> Surface:
    """Describe the whole model. Its classifier is neither used nor changed."""
    about = getattr(model, "pretrained_cfg", None) or {}  # models of a constructor have none
    embedding = getattr(model, "patch_embed", None)  # its img_size is the one used to build the model
    size = getattr(embedding, "img_size", None) or about.get("input_size")

    def encode(images: Any) -> Any:
        return model.forward_head(model.forward_features(images), pre_logits=True)

    return Surface(model, encode, _square_side(size), about.get("mean"), about.get("std"))


def describe_open_clip(model: Any) -> Surface:
    """Describe `model.visual`.

    Mean and std come from the preprocessing of the pretrained weights. The default is OpenAI's, as in
    open_clip's transforms.

    Raises:
        UsageError: If the module is only part of an open_clip model.
    """
    if not hasattr(model, "visual") or not hasattr(model, "encode_image"):
        raise UsageError(
            f"open_clip's {type(model).__name__} is only part of a model. Pass the whole model, or encode="
        )
    visual = model.visual
    about = getattr(visual, "preprocess_cfg", None) or {}
    size = about.get("size") or getattr(visual, "image_size", None)
    mean = about.get("mean") or getattr(visual, "image_mean", None) or CLIP_MEAN
    std = about.get("std") or getattr(visual, "image_std", None) or CLIP_STD
    return Surface(visual, model.encode_image, _square_side(size), tuple(mean), tuple(std))


def describe_torchvision(model: Any) -> Surface:
    """Describe the whole model. Embeddings are the inputs of its last linear layer.

    The image size is that of a ViT, or 224 for models that accept any size. Mean and std are those of
    torchvision's classification weights.
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
        f"({', '.join(CLASSIFIERS)}). Pass encode="
    )


def describe_transformers(model: Any) -> Surface:
    """Describe the vision tower and projection of a dual encoder, or the base of an image model.

    Embeddings are `pooler_output`, or the first token of a model without pooling. They are projected if the
    model has a projection.
    """
    config = getattr(model.config, "vision_config", model.config)
    family = config.model_type.removesuffix("_vision_model")
    mean, std = STATISTICS.get(family, (None, None))
    size = _square_side(getattr(config, "image_size", None))
    vision = tower = getattr(model, "vision_model", model.base_model)
    projection: nn.Module = nn.Identity()
    if hasattr(model, "vision_model") and hasattr(model, "visual_projection"):
        projection = model.visual_projection
        vision = nn.ModuleDict({"vision_model": tower, "visual_projection": projection})

    def encode(images: Tensor) -> Tensor:
        return projection(_pool(tower(pixel_values=images)))

    return Surface(vision, encode, size, mean, std)


def _pool(output: Any) -> Tensor:
    pooled = getattr(output, "pooler_output", None)
    return output.last_hidden_state[:, 0] if pooled is None else pooled.flatten(1)


def _square_side(size: object) -> int | None:
    """Return S for the sizes S, (S, S) and (3, S, S), and None for any other size."""
    sides = tuple(size)[-2:] if isinstance(size, (tuple, list)) else (size, size)
    return int(sides[0]) if sides[0] == sides[-1] and isinstance(sides[0], int) else None


# top-level package of the model class -> function that describes the model
DESCRIBE: dict[str, Callable[[Any], Surface]] = {
    "timm": describe_timm,
    "open_clip": describe_open_clip,
    "torchvision": describe_torchvision,
    "transformers": describe_transformers,
}


def adapt(
    model: nn.Module,
    *,
    encode: Encode | None = None,
    image_size: int | None = None,
    mean: RGB | None = None,
    std: RGB | None = None,
    fit: FitMode = "center-crop",
) -> ModelTower:
    """Return the image tower of a model. The tower shares the modules of the model.

    Args:
        model: Model of a library in `DESCRIBE`, or any other module together with `encode`.
        encode: Maps images (B, 3, S, S), normalized with mean and std, to embeddings (B, D). Required
            for other modules.
        image_size: Side S in pixels. Overrides the value of the model.
        mean: Channel means for pixels in [0, 1]. Overrides the value of the model. Images of other modules
            are not normalized by default.
        std: Channel standard deviations. Overrides the value of the model.
        fit: How non-square images are converted to squares.

    Raises:
        UsageError: If a required value is missing.
    """
    model = unwrap(model)
    packages = (cls.__module__.partition(".")[0] for cls in type(model).__mro__)
    library = next((package for package in packages if package in DESCRIBE), None)
    if encode is not None:
        surface = _describe_with(encode, model, library)
    elif library:
        surface = DESCRIBE[library](model)
    else:
        raise UsageError(
            f"{type(model).__name__} is not a model of {', '.join(DESCRIBE)}. Pass encode=, a function from "
            "images (B, 3, S, S) to embeddings (B, D), and image_size=S"
        )
    given: dict[str, Any] = {"encode": encode, "image_size": image_size, "mean": mean, "std": std, "fit": fit}
    return ModelTower(replace(surface, **{k: v for k, v in given.items() if v is not None}))


def _describe_with(encode: Encode, model: nn.Module, library: str | None) -> Surface:
    """Return the description for the caller's `encode`, with known values of the library."""
    plain = Surface(model, encode, None, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    if library is None:
        return plain
    try:
        known = DESCRIBE[library](model)
    except (UsageError, AttributeError, TypeError):  # part of a model, or an unusual class
        return plain
    return replace(known, mean=known.mean or plain.mean, std=known.std or plain.std)


def unwrap(model: nn.Module) -> nn.Module:
    """Return the model without DistributedDataParallel, DataParallel and torch.compile wrappers.

    Raises:
        UsageError: If the weights are sharded over processes (FSDP).
    """
    while type(model).__name__ in WRAPPERS:
        model = getattr(model, WRAPPERS[type(model).__name__])
    if any(type(p).__name__ in ("DTensor", "FlatParameter") for p in model.parameters()):
        raise UsageError(
            f"the weights of {type(model).__name__} are sharded (FSDP). Initialize the model before "
            "wrapping it"
        )
    return model


def broadcast(model: Any, tower: ModelTower) -> None:
    """Broadcast the weights of rank 0 if the model is a DistributedDataParallel model.

    All ranks run the same computation, but the order of summation on a GPU can differ.
    """
    if type(model).__name__ != "DistributedDataParallel":
        return
    with torch.no_grad():
        for tensor in (*tower.trunk.parameters(), *tower.trunk.buffers()):
            torch.distributed.broadcast(tensor.data, src=0, group=model.process_group)


def model_names(report: InitReport, model: nn.Module, tower: ModelTower) -> InitReport:
    """Return the report with the tensor names of the model instead of those of the tower."""
    named = (*model.named_parameters(), *model.named_buffers())
    names = {id(tensor): name for name, tensor in named}
    own = dict((*tower.named_parameters(), *tower.named_buffers()))
    return replace(report, changed=tuple(names.get(id(own[n]), n) for n in report.changed))
