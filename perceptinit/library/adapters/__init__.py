"""From other libraries' models to the image tower that initializers work on: one file per library.

The library is told by the classes of the model, so none of them is imported here. A new library:
add its file with a `describe(model) -> Surface`, one line below, its test and its line in
docs/library.md.
"""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import Any

import torch
from torch import nn

from perceptinit.errors import UsageError
from perceptinit.library.adapters.surface import RGB, Encode, Surface
from perceptinit.library.adapters.tower import ModelTower
from perceptinit.types import InitReport

# top-level package of the model's class -> where its describe() is
LIBRARIES = {
    "timm": "perceptinit.library.adapters.timm_models",
    "open_clip": "perceptinit.library.adapters.open_clip_models",
    "torchvision": "perceptinit.library.adapters.torchvision_models",
    "transformers": "perceptinit.library.adapters.huggingface_models",
}
WRAPPERS = {
    "DistributedDataParallel": "module",
    "DataParallel": "module",
    "OptimizedModule": "_orig_mod",
}


def adapt(
    model: nn.Module,
    *,
    encode: Encode | None = None,
    image_size: int | None = None,
    mean: RGB | None = None,
    std: RGB | None = None,
) -> ModelTower:
    """Return the image tower of a model; its modules are the model's own, nothing is copied.

    encode: maps images (B, 3, S, S), normalised with mean and std, to embeddings (B, D). Required
    for models of no known library, whose images are in [0, 1] unless mean and std are given.
    image_size, mean, std: take the place of what the model states.

    Raises UsageError when something is not stated, or the model is of no known library.
    """
    model = unwrap(model)
    library = library_of(model)
    if library:
        surface = import_module(LIBRARIES[library]).describe(model)
    elif encode is None:
        raise UsageError(
            f"{type(model).__name__} is no model of {', '.join(LIBRARIES)}: pass encode=, a function from "
            "images (B, 3, S, S) to embeddings (B, D), and image_size=S"
        )
    else:
        surface = Surface(model, encode, None, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    given = {"encode": encode, "image_size": image_size, "mean": mean, "std": std}
    return ModelTower(replace(surface, **{k: v for k, v in given.items() if v is not None}))


def unwrap(model: nn.Module) -> nn.Module:
    """Return the model inside DistributedDataParallel, DataParallel and torch.compile's wrapper.

    Raises UsageError for a model whose weights are spread over processes (FSDP).
    """
    while type(model).__name__ in WRAPPERS:
        model = getattr(model, WRAPPERS[type(model).__name__])
    sharded = any(type(p).__name__ in ("DTensor", "FlatParameter") for p in model.parameters())
    if sharded:
        raise UsageError(
            f"the weights of {type(model).__name__} are sharded (FSDP): initialise the model before it is wrapped"
        )
    return model


def library_of(model: nn.Module) -> str | None:
    """Return which known library a model's class, or a class it is derived from, belongs to."""
    packages = (cls.__module__.partition(".")[0] for cls in type(model).__mro__)
    return next((package for package in packages if package in LIBRARIES), None)


def broadcast(model: Any, tower: ModelTower) -> None:
    """Give every process of a DistributedDataParallel model the weights of the first one.

    They were computed alike, but a GPU may add up in another order. Other models are left alone.
    """
    if type(model).__name__ != "DistributedDataParallel":
        return
    with torch.no_grad():
        for tensor in (*tower.trunk.parameters(), *tower.trunk.buffers()):
            torch.distributed.broadcast(tensor.data, src=0, group=model.process_group)


def model_names(report: InitReport, model: nn.Module, tower: ModelTower) -> InitReport:
    """Return the report with the changed tensors under the names that they have in the model."""
    named = (*model.named_parameters(), *model.named_buffers())
    names = {id(tensor): name for name, tensor in named}
    own = dict((*tower.named_parameters(), *tower.named_buffers()))
    return replace(report, changed=tuple(names.get(id(own[n]), n) for n in report.changed))
