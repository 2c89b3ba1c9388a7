"""The frozen first part of a tower in stage 1, which encodes each image once.

With `last_blocks`, or parameters that the caller froze, the inputs of the first trained module are constant.
They are computed once. While the rest of the tower runs, constants replace the modules before it.
"""

# B batch, S image size
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
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

    If the frozen part has to be encoded in each step, nothing changes, and a warning states the reason.

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
    for user in users if part else ():
        with autocast(ctx.device, config.precision):
            features = [part.encode_all(images, used, ctx.device) for images, used in user.image_sets]
        user.replace_images(part, features)


def _find_affordable(
    model: Any,
    sets: Sequence[tuple[ImageArray, np.ndarray]],
    config: TripletConfig,
    norms: NormLayers,
    device: str,
) -> Any:
    """Return the result of `find_frozen_part`, if features of equal images fit into memory."""
    if config.is_augmented:
        raise FrozenPartError("images are augmented (crop_scale, flip)")
    images, used = sets[0]
    probed = images[np.unique(used)[:NUM_PROBED]].to(device)
    part = find_frozen_part(model, torch.cat([probed, 255 - probed[:1]]), norms)
    num_bytes = part.features(probed)[0].nbytes * sum(len(np.unique(used)) for _, used in sets) if part else 0
    if num_bytes > config.cache_gib * GIB:
        size = f"{num_bytes / GIB:.2g} GiB, more than cache_gib = {config.cache_gib:g}"
        raise FrozenPartError(f"its outputs need {size}")
    return part


def find_frozen_part(model: Any, images: Tensor, norms: NormLayers) -> FrozenPart | None:
    """Return the tower behind its frozen part, or None if no weights precede the trained ones.

    The features are the input of the innermost module in which gradients start and through which everything
    about an image passes. The images show whether this is so.

    Args:
        model: Image tower whose trained parameters require gradients. It ends in eval mode.
        images: A few images, uint8 (B, 3, S, S). The last one differs from the others.
        norms: Layers with running statistics.

    Raises:
        FrozenPartError: If the frozen part has several outputs in use, or others in each step.
    """
    model.eval()
    calls = _record(model, images)
    starting = [call for call in calls if call.is_frozen and any(t.requires_grad for t in call.tensors)]
    # the first one to end, and the calls around it, which contain the other paths from their inputs
    entries = [call for call in starting if call in (starting[0], *starting[0].around)]
    parts = [FrozenPart(model, entry.module, _skip(calls, entry)) for entry in entries]
    parts = [part for part in parts if any(True for m in part.outputs for _ in m.parameters())]
    if not parts:
        return None
    probed = images[:NUM_PROBED]
    wanted = _results(model, probed)
    found = next((part for part in parts if _reproduces(part, probed, wanted)), None)
    if found is None:
        raise FrozenPartError("more than one of its outputs is used")
    skipped = {module for constant in found.outputs for module in constant.modules()}
    if not norms.are_frozen and not skipped.isdisjoint(norms.layers):
        raise FrozenPartError("its batch norm learns statistics")
    features = found.features(probed)
    model.train()
    NormLayers.of(model, "frozen").freeze()
    is_constant = _are_close(found.features(probed), features)
    model.eval()
    if not is_constant:
        raise FrozenPartError("it contains dropout")
    return found


@dataclass(slots=True, eq=False)
class _Call:
    """A call of a module in a forward pass."""

    module: nn.Module
    is_frozen: bool  # whether its first argument has a row for each image and no gradient
    num_before: int  # number of calls that ended before
    around: tuple["_Call", ...]  # calls that contain this one
    output: Any = None

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors of the output, if it is a tensor or a tuple."""
        outputs = self.output if isinstance(self.output, tuple) else (self.output,)
        return [output for output in outputs if isinstance(output, Tensor)]


def _record(model: Any, images: Tensor) -> list[_Call]:
    """Return the calls of a forward pass in the order in which they end."""
    calls: list[_Call] = []
    open_calls: list[_Call] = []

    def begin(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        value = inputs[0] if inputs else None
        has_rows = isinstance(value, Tensor) and value.ndim > 1 and len(value) == len(images)
        is_frozen = has_rows and not value.requires_grad
        open_calls.append(_Call(module, is_frozen, len(calls), tuple(open_calls)))

    def end(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        calls.append(open_calls.pop())
        calls[-1].output = output

    with ExitStack() as stack, torch.enable_grad():
        for module in model.modules():
            stack.enter_context(module.register_forward_pre_hook(begin))
            stack.enter_context(module.register_forward_hook(end))
        model.encode_image(images)
    return calls


def _skip(calls: Sequence[_Call], entry: _Call) -> dict[nn.Module, Any]:
    """Return the largest modules that end before `entry` starts, each with its output.

    Modules with several calls are not among them.
    """
    modules = [call.module for call in calls]
    return {
        call.module: call.output
        for call in calls[: entry.num_before]
        if set(call.around) <= set(entry.around) and call.tensors and modules.count(call.module) == 1
    }


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
