"""Embeddings of the layers of a model, from one forward pass."""

# B batch, T tokens, P prefix tokens, C channels, D embedding
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from perceptinit.errors import UsageError
from perceptinit.registry import unknown

Pooling = Literal["class", "mean", "flat"]
ALL = "all"
BEST = "best"
OUTPUT = "output"  # the model's own embedding


def choose_layers(model: Any, wanted: Sequence[str]) -> list[str]:
    """Return the names of layers: `wanted`, or all blocks and the output for "all" and "best".

    Raises:
        UsageError: If a layer is unknown, or the model is a function, which has no layers.
    """
    if wanted != [OUTPUT] and next(model.image.trunk.children(), None) is None:
        raise UsageError("--layer: the model is a function, which has no layers. Omit --layer")
    if not {ALL, BEST} & set(wanted):
        names = {OUTPUT, *dict(model.image.trunk.named_modules())}
        for name in wanted:
            if name not in names:
                raise UsageError(unknown("no layer called", name, find_blocks(model.image.trunk)))
        return list(wanted)
    return [*find_blocks(model.image.trunk), OUTPUT]


def find_blocks(trunk: nn.Module, prefix: str = "") -> list[str]:
    """Return the names of a trunk's blocks: timm's list, or those of its largest list of modules."""
    if inner := getattr(trunk, "trunk", None):  # a timm model in open_clip
        return find_blocks(inner, "trunk.")
    if about := getattr(trunk, "feature_info", None):
        infos = about.info if hasattr(about, "info") else about
        return [f"{prefix}{each['module']}" for each in infos]
    lists = [pair for pair in trunk.named_modules() if isinstance(pair[1], (nn.ModuleList, nn.Sequential))]
    name, largest = max(lists, key=lambda pair: _num_parameters(pair[1]), default=("", nn.Sequential()))
    return [f"{prefix}{name}.{child}" for child, _ in largest.named_children()]


def _num_parameters(module: nn.Module) -> int:
    return sum(map(Tensor.numel, module.parameters()))


def encode_layers(
    model: Any, images: Tensor, layers: Sequence[str], pooling: Pooling | None
) -> Mapping[str, Tensor]:
    """Return the embeddings (B, D) of each layer, on the CPU, from one forward pass."""
    trunk = model.image.trunk
    is_last = getattr(trunk, "output_fmt", "") == "NHWC"
    found: dict[str, Tensor] = {}

    def note(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        values = output[0] if isinstance(output, tuple) else output
        found[name] = pool(values, pooling, is_last).float().cpu()

    with ExitStack() as hooks, torch.no_grad():
        for name in set(layers) - {OUTPUT}:
            hooks.callback(trunk.get_submodule(name).register_forward_hook(partial(note, name)).remove)
        found[OUTPUT] = model.encode_image(images).float().cpu()
    for name in layers:
        if name not in found:
            raise UsageError(f"layer {name} is not called when the model encodes an image")
    return found


def pool(values: Tensor, pooling: Pooling | None, is_channels_last: bool = False) -> Tensor:
    """Return the output of a layer as embeddings (B, D).

    Args:
        values: Tokens (B, T, D), a map (B, C, H, W), or embeddings (B, D).
        pooling: "class" for the first token, "mean" for the mean over patches, "flat" for all values of the
            layer. None for the class token, or the mean if there is none.
        is_channels_last: Whether a map is (B, H, W, C).
    """
    if pooling == "flat":
        return values.flatten(1)
    if values.ndim == 4:
        values = values.flatten(1, 2) if is_channels_last else values.flatten(2).transpose(1, 2)
    if values.ndim == 2:
        return values
    num_tokens = values.shape[1]
    # images are square, so the patches are the largest square number of tokens, and the others precede them
    num_prefix = num_tokens - math.isqrt(num_tokens) ** 2
    if pooling == "class" and not num_prefix:
        raise UsageError("the layer has no class token. Use --pooling mean")
    if pooling == "mean" or not num_prefix:
        return values[:, num_prefix:].mean(dim=1)
    return values[:, 0]
