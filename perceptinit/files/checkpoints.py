"""Weights on disk and their fingerprints: safetensors only, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from perceptinit.errors import CheckpointError
from perceptinit.files.atomic import atomic_path


def weights_sha256(weights: nn.Module | Mapping[str, torch.Tensor]) -> str:
    """Return a hash of names, shapes, dtypes and values; equal weights give equal hashes on any device."""
    state = weights.state_dict() if isinstance(weights, nn.Module) else weights
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        values: Any = tensor.reshape(-1).view(torch.uint8).numpy()
        digest.update(values)
    return digest.hexdigest()


def save_weights(
    path: Path, weights: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors as safetensors, atomically."""
    state = {k: v.detach().cpu().contiguous().clone() for k, v in weights.items()}
    with atomic_path(path) as temporary:
        save_file(state, temporary, metadata=dict(metadata or {}))


def load_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read a safetensors file.

    Raises CheckpointError when it is missing or is no safetensors file (pickles are never loaded).
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: not a readable safetensors file ({error}). Pickled checkpoints are not loaded; "
            "convert with safetensors.torch.save_file"
        ) from error


def load_strict(module: nn.Module, weights: Mapping[str, torch.Tensor], source: str) -> None:
    """Load weights whose names and shapes all match; the module is untouched otherwise.

    Raises CheckpointError that names what is missing, left over and of another shape.
    """
    own = module.state_dict()
    complaints = [
        _some("missing", sorted(own.keys() - weights.keys())),
        _some("not in the model", sorted(weights.keys() - own.keys())),
        _some(
            "of another shape",
            [
                f"{name} {tuple(weights[name].shape)} for {tuple(own[name].shape)}"
                for name in sorted(own.keys() & weights.keys())
                if own[name].shape != weights[name].shape
            ],
        ),
    ]
    if any(complaints):
        raise CheckpointError(
            f"{source} does not fit {type(module).__name__}: "
            + "; ".join(c for c in complaints if c)
        )
    module.load_state_dict(dict(weights))


def _some(what: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{len(names)} {what} ({', '.join(names[:3])}{more})"


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write nested dicts, lists, tensors and plain values into one safetensors file, atomically."""
    tree, tensors = split_state(state)
    write_state(path, tree, {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()})


def split_state(state: Mapping[str, Any]) -> tuple[Any, dict[str, torch.Tensor]]:
    """Return a state with names in the place of its tensors, and the tensors by name."""
    tensors: dict[str, torch.Tensor] = {}
    return _take_tensors(state, tensors), tensors


def write_state(path: Path, tree: Any, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write what `split_state` gave, on the CPU, and wait until it is on the disk itself."""
    with atomic_path(path) as temporary:
        save_file(dict(tensors), temporary, metadata={"tree": json.dumps(tree)})
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())


def load_state(path: Path) -> dict[str, Any]:
    """Read what `save_state` wrote; CheckpointError when the file is damaged."""
    tensors = load_weights(path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
    if "tree" not in metadata:
        raise CheckpointError(f"{path}: holds weights, not the state of a run")
    return _put_tensors(json.loads(metadata["tree"]), tensors)


def _take_tensors(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        name = f"t{len(tensors)}"
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, Mapping):  # as pairs, since keys may be integers
        return {"items": [[k, _take_tensors(v, tensors)] for k, v in value.items()]}
    if isinstance(value, (list, tuple)):
        return {"list": [_take_tensors(v, tensors) for v in value]}
    return value


def _put_tensors(tree: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if not isinstance(tree, dict):
        return tree
    if "tensor" in tree:
        return tensors[tree["tensor"]]
    if "items" in tree:
        return {k: _put_tensors(v, tensors) for k, v in tree["items"]}
    return [_put_tensors(v, tensors) for v in tree["list"]]
