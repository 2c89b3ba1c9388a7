"""The frozen first part of a tower in stage 1, which encodes each image once.

With `last_blocks`, or parameters that the caller froze, the inputs of the first trained module are constant.
They are computed once. While the rest of the tower runs, constants replace the modules before it.
"""

# B batch, S image size
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from perceptinit.compute.optim import autocast
from perceptinit.initializers.norms import NormLayers
from perceptinit.initializers.objectives import TripletConfig
from perceptinit.initializers.stage_images import GIB, ResidentImages, has_room
from perceptinit.judgments.two_afc import ImageArray
from perceptinit.types import RunContext

NUM_PROBED = 2
TOLERANCE = 1e-5  # of the largest value
BATCH_SIZE = 256


class FrozenPartError(Exception):
    """The frozen part cannot be encoded once. The message is the reason, a clause after "because"."""


class FrozenPart:
    """A tower for features: the inputs of its first trained module, one row for each image.

    Other attributes are those of the tower.

    Args:
        model: Image tower.
        entry: The first trained module. The features are its first argument.
        outputs: Output of each module that need not be called, for any images.
    """

    def __init__(self, model: Any, entry: nn.Module, outputs: dict[nn.Module, Any]) -> None:
        self.outputs = outputs
        self._model = model
        self._entry = entry

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Return the features of images (B, 3, S, S), with B rows."""
        found: list[Tensor] = []
        # a copy, because the module may change its input
        with self._entry.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0].clone())):
            self._model.encode_image(images)
        return found[0]

    def encode_image(self, features: Tensor) -> Tensor:
        """Return the embeddings (B, D) of the images with these features."""
        num_rows = len(features)
        size = self._model.image_size
        blank = torch.zeros(1, 3, size, size, device=features.device).expand(num_rows, -1, -1, -1)
        with ExitStack() as stack:
            for module, output in self.outputs.items():
                stack.callback(delattr, module, "forward")
                module.forward = _constant(output, num_rows)
            hook = self._entry.register_forward_pre_hook(lambda _, inputs: (features, *inputs[1:]))
            stack.enter_context(hook)
            embeddings: Tensor = self._model.encode_image(blank)
        return embeddings

    def encode_all(self, images: ImageArray, used: np.ndarray, device: str) -> ResidentImages:
        """Return the features of the images with indices `used`, indexed like these."""
        distinct = np.unique(used)
        parts = np.split(distinct, range(BATCH_SIZE, len(distinct), BATCH_SIZE))
        values = torch.cat([self.features(images[part].to(device)).cpu() for part in parts])
        return ResidentImages(distinct, values.to(device) if has_room(values.nbytes, device) else values)


def encode_frozen_once(
    model: Any, users: Sequence[Any], config: TripletConfig, norms: NormLayers, ctx: RunContext
) -> None:
    """Replace the tower and the images of `users` by the tower behind its frozen part and its features.

    If the frozen part must be encoded in each step, nothing changes, and a warning states the reason.

    Args:
        model: Image tower whose trained parameters require gradients.
        users: The training loop and the evaluations, with `image_sets` and `replace_images`.
        config: Configuration of stage 1.
        norms: Layers with running statistics.
        ctx: Receives the warning.
    """
    sets = [image_set for user in users for image_set in user.image_sets]
    try:
        part = _find_affordable(model, sets, config, norms, ctx.device)
    except FrozenPartError as error:
        ctx.warn(f"the frozen part of the tower is encoded in each step, because {error}")
        return
    for user in users:
        with autocast(ctx.device, config.precision):
            features = [part.encode_all(images, used, ctx.device) for images, used in user.image_sets]
        user.replace_images(part, features)


def _find_affordable(
    model: Any,
    sets: Sequence[tuple[ImageArray, np.ndarray]],
    config: TripletConfig,
    norms: NormLayers,
    device: str,
) -> FrozenPart:
    """Return the result of `find_frozen_part`, if the features of all images fit into memory."""
    if config.is_augmented:
        raise FrozenPartError("images are augmented (crop_scale, flip)")
    images, used = sets[0]
    probed = images[np.unique(used)[:NUM_PROBED]].to(device)
    part = find_frozen_part(model, torch.cat([probed, 255 - probed[:1]]), norms)
    num_bytes = part.features(probed)[0].nbytes * sum(len(np.unique(used)) for _, used in sets)
    if num_bytes > config.cache_gib * GIB:
        size = f"{num_bytes / GIB:.2g} GiB, more than cache_gib = {config.cache_gib:g}"
        raise FrozenPartError(f"its outputs need {size}")
    return part


def find_frozen_part(model: Any, images: Tensor, norms: NormLayers) -> FrozenPart:
    """Return the tower behind its frozen part.

    The features are the input of the innermost module with the first trained weight through which everything
    about an image passes. The images show whether this is so.

    Args:
        model: Image tower whose trained parameters require gradients. It ends in eval mode.
        images: A few images, uint8 (B, 3, S, S). The last one differs from the others.
        norms: Layers with running statistics.

    Raises:
        FrozenPartError: If no frozen weights precede the trained ones, or the outputs of the frozen part are
            several, or differ between steps.
    """
    model.eval()
    first = next(name for name, weight in model.named_parameters() if weight.requires_grad)
    names = first.split(".")
    entries = [model.get_submodule(".".join(names[:depth])) for depth in range(len(names) - 1, 0, -1)]
    parts = [FrozenPart(model, entry, _record_frozen(model, entry, images)) for entry in entries]
    parts = [part for part in parts if any(True for m in part.outputs for _ in m.parameters())]
    if not parts:
        raise FrozenPartError("trained weights precede it")
    probed = images[:NUM_PROBED]
    wanted = _results(model, probed)
    found = next((part for part in parts if _reproduces(part, probed, wanted)), None)
    if found is None:
        raise FrozenPartError("it has several outputs")
    if not norms.are_frozen and not found.outputs.keys().isdisjoint(norms.layers):
        raise FrozenPartError("its batch norm learns statistics")
    features = found.features(probed)
    model.train()
    NormLayers.of(model, "frozen").freeze()
    is_constant = _are_close(found.features(probed), features)
    model.eval()
    if not is_constant:
        raise FrozenPartError("it contains dropout")
    return found


@torch.no_grad()
def _record_frozen(model: Any, entry: nn.Module, images: Tensor) -> dict[nn.Module, Any]:
    """Return the outputs of modules without trained weights whose only call ends before that of `entry`."""
    calls: list[tuple[nn.Module, Any]] = []
    with ExitStack() as stack:
        for module in model.modules():
            if not any(weight.requires_grad for weight in module.parameters()):
                hook = module.register_forward_hook(lambda m, _, output: calls.append((m, output)))
                stack.enter_context(hook)
        stack.enter_context(entry.register_forward_pre_hook(lambda m, _: calls.append((m, None))))
        model.encode_image(images)
    modules = [module for module, _ in calls]
    before = calls[: modules.index(entry)] if entry in modules else []
    return {m: output for m, output in before if modules.count(m) == 1 and isinstance(output, Tensor | tuple)}


def _constant(output: Any, num_rows: int) -> Callable[..., Any]:
    """Return a `forward` that returns the last row of each tensor of an output for each image."""

    def repeat(value: Any) -> Any:
        return value.detach()[-1:].expand(num_rows, *value.shape[1:]) if isinstance(value, Tensor) else value

    repeated = tuple(map(repeat, output)) if isinstance(output, tuple) else repeat(output)
    return lambda *inputs, **options: repeated


def _results(model: Any, inputs: Tensor) -> Tensor:
    """Return embeddings and gradients of their squares, in one vector."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    with torch.enable_grad():
        embeddings = model.encode_image(inputs)
        loss = embeddings.square().sum()
        gradients = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
    return torch.cat([tensor.detach().flatten() for tensor in (embeddings, *gradients)])


def _reproduces(part: FrozenPart, images: Tensor, wanted: Tensor) -> bool:
    """Return whether the features of images, which differ from those of `outputs`, give their results."""
    try:
        return _are_close(_results(part, part.features(images)), wanted)
    except Exception:  # models whose modules cannot be replaced raise any kind of error
        return False


def _are_close(found: Tensor, wanted: Tensor) -> bool:
    return torch.allclose(found, wanted, rtol=0, atol=TOLERANCE * float(wanted.abs().max()))
