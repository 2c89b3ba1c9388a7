"""Save and load weights as safetensors files, with checksums."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from perceptinit.errors import CheckpointError, WriteError, list_some
from perceptinit.files.atomic import atomic_path, temporary_folder

# key of the hash in a file's metadata
CHECKSUM = "sha256"


def weights_sha256(weights: nn.Module | Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 of names, shapes, dtypes and values, independent of the device."""
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
    """Write tensors and their hash to a safetensors file, atomically and synced; WriteError on failure."""
    state = {k: v.detach().cpu().contiguous().clone() for k, v in weights.items()}
    _write(path, state, {**(metadata or {}), CHECKSUM: weights_sha256(state)})


def _write(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    with temporary_folder(path) as folder, atomic_path(path, synced=True, where=folder) as temporary:
        try:
            save_file(dict(tensors), temporary, metadata=dict(metadata))
        except SafetensorError as error:  # also raised for errors of the operating system
            raise WriteError(path, str(error)) from error
        if CHECKSUM in metadata and "format" in metadata:  # in random order; equal content has equal bytes
            with temporary.open("rb+") as file:
                file.seek(8 + len('{"__metadata__":'))
                file.write(json.dumps(metadata, separators=(",", ":"), sort_keys=True).encode())


def load_weights(path: Path, sha256: str | None = None) -> dict[str, torch.Tensor]:
    """Return the tensors of a safetensors file.

    Args:
        path: The file.
        sha256: Expected `weights_sha256`. The hash that `save_weights` stores in the file is always verified.

    Raises:
        CheckpointError: If the file is missing, damaged, or not a safetensors file. Pickles are never loaded.
    """
    weights, metadata = _read(path)
    known = {sha256, metadata.get(CHECKSUM)} - {None}
    if known and {weights_sha256(weights)} != known:
        raise CheckpointError(
            f"{path}: the weights do not match their checksum, so the file was damaged or replaced. "
            "Restore a copy, or rerun the command that created it"
        )
    return weights


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return the tensors and the metadata of a safetensors file."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, file.metadata() or {}
    except Exception as error:  # a damaged header raises many exception types
        raise CheckpointError(
            f"{path}: not a readable safetensors file ({error}). Convert a pickled checkpoint with "
            "safetensors.torch.save_file"
        ) from error


def load_strict(module: nn.Module, weights: Mapping[str, torch.Tensor], source: str) -> None:
    """Load weights if all names and shapes match; otherwise leave the module unchanged.

    Raises:
        CheckpointError: If tensors are missing, unexpected or of another shape. The message names them.
    """
    own = module.state_dict()
    shared = own.keys() & weights.keys()
    shapes = [
        f"{name} {tuple(weights[name].shape)} instead of {tuple(own[name].shape)}"
        for name in sorted(shared)
        if own[name].shape != weights[name].shape
    ]
    groups = {
        "complex": sorted(n for n in shared if weights[n].is_complex() and not own[n].is_complex()),
        "missing": sorted(own.keys() - weights.keys()),
        "not in the model": sorted(weights.keys() - own.keys()),
        "of another shape": shapes,
    }
    complaints = [f"{len(names)} {what} ({list_some(names)})" for what, names in groups.items() if names]
    if complaints:
        raise CheckpointError(f"{source} does not fit {type(module).__name__}: {'; '.join(complaints)}")
    module.load_state_dict(dict(weights))


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write nested dicts, lists, tensors and plain values to one safetensors file, atomically."""
    tree, tensors = split_state(state)
    write_state(path, tree, {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()})


def split_state(state: Mapping[str, Any]) -> tuple[Any, dict[str, torch.Tensor]]:
    """Return a state with its tensors replaced by names, and the tensors by name."""
    tensors: dict[str, torch.Tensor] = {}
    return _take_tensors(state, tensors), tensors


def write_state(path: Path, tree: Any, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write the result of `split_state` atomically and synced; the tensors must be on the CPU."""
    text = json.dumps(tree)
    _write(path, tensors, {"tree": text, CHECKSUM: _state_sha256(text, tensors)})


def load_state(path: Path) -> dict[str, Any]:
    """Return the state in a file written by `save_state`; CheckpointError if it is damaged."""
    tensors, metadata = _read(path)
    text = metadata.get("tree", "")
    if metadata.get(CHECKSUM) != _state_sha256(text, tensors):
        raise CheckpointError(f"{path}: the state does not match its checksum, so the file is damaged")
    return _put_tensors(json.loads(text), tensors)


def _state_sha256(tree: str, tensors: Mapping[str, torch.Tensor]) -> str:
    return hashlib.sha256(f"{weights_sha256(tensors)} {tree}".encode()).hexdigest()


def _take_tensors(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        name = f"t{len(tensors)}"
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, Mapping):  # as pairs, because keys may be integers
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
