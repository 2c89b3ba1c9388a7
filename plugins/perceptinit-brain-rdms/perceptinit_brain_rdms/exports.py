"""Matrices as other programs save them, with the names of their images: rsatoolbox and Meadows.

* rsatoolbox, `RDMs.save(..., file_type="hdf5")`: each matrix is a subject, a pattern descriptor names the images.
* Meadows, downloads of multiple arrangement tasks, as rsatoolbox's `io/meadows.py` reads them. JSON (tree): `tasks`, each with `stimuli` and
  `rdm`. MATLAB: `stimuli` and `rdmutv`, or one of each a participant, `stimuli_NAME` and `rdmutv_NAME`.
"""

from __future__ import annotations

# S subjects, M images, P pairs
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from perceptinit.plugin import DataError, MatValue, read_json, square, unknown
from perceptinit_brain_rdms.rsatoolbox_file import load_rdms

Matrices = tuple[np.ndarray, list[str] | None]


def read_rsatoolbox(path: Path, key: str | None) -> Matrices:
    """Return matrices (S, M, M) and image names of an RDMs file.

    Args:
        path: The file, .hdf5 or .h5.
        key: The pattern descriptor that names the images; not needed where one of them is text.

    Raises:
        DataError: If the file is not an RDMs file, or has no such descriptor.
    """
    rdms = load_rdms(path)
    descriptors = {name: np.array(values) for name, values in rdms.pattern_descriptors.items()}
    return rdms.get_matrices(), _described(path, descriptors, key)


def _described(path: Path, descriptors: Mapping[str, np.ndarray], key: str | None) -> list[str] | None:
    """Return the images' names from the descriptor `key`, or from the only one that is text."""
    texts = {n: v for n, v in descriptors.items() if v.dtype.kind in "SUO"}
    if key is None and len(texts) <= 1:
        chosen = next(iter(texts.values()), None)
        return None if chosen is None else _as_texts(chosen)
    if key is None or key not in descriptors:
        raise DataError(f"{path}: {unknown('no descriptor called', key or '', sorted(descriptors))}. Set key")
    return _as_texts(descriptors[key])


def _as_texts(values: np.ndarray) -> list[str]:
    return [v.decode() if isinstance(v, bytes) else str(v) for v in values.tolist()]


def read_meadows_json(path: Path) -> Matrices:
    """Return one matrix an arrangement task, (S, M, M), and the names of the stimuli; DataError for another file."""
    tree = read_json(path, dict, "a tree of Meadows")
    tasks = tree.get("tasks")
    arranged = [t for t in tasks if _is_arranged(t)] if isinstance(tasks, list) else []
    if not arranged:
        raise DataError(f"{path}: no task of type 'multiarrange' with 'stimuli' and 'rdm' in 'tasks'")
    try:
        names = [[str(s["name"]) for s in task["stimuli"]] for task in arranged]
        vectors = [np.array(task["rdm"], dtype=np.float64) for task in arranged]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: not a tree of Meadows ({error})") from error
    return _stacked(path, vectors, names)


def _is_arranged(task: Any) -> bool:
    about = task.get("task") if isinstance(task, dict) else None
    return isinstance(about, dict) and about.get("task_type") == "multiarrange" and "rdm" in task


def read_meadows_mat(path: Path, variables: Mapping[str, list[MatValue]]) -> Matrices | None:
    """Return one matrix a participant and the names of the stimuli; None for a file of another program."""
    people = [name.removeprefix("rdmutv") for name in variables if name.startswith("rdmutv")]
    if not people or not all(f"stimuli{person}" in variables for person in people):
        return None
    vectors = [variables[f"rdmutv{p}"][0].array.astype(np.float64).ravel() for p in people]
    return _stacked(path, vectors, [variables[f"stimuli{p}"][0].array.tolist() for p in people])


def _stacked(path: Path, vectors: Sequence[np.ndarray], names: Sequence[list[str]]) -> Matrices:
    """Return matrices over the names of the first one, whatever the order of the others."""
    first = names[0]
    matrices = []
    for vector, own in zip(vectors, names, strict=True):
        if sorted(own) != sorted(first):
            raise DataError(
                f"{path}: tasks or people with different stimuli; give files of one set of stimuli"
            )
        order = [own.index(name) for name in first]
        matrix = square(vector, str(path))
        if len(matrix) != len(own):
            raise DataError(f"{path}: {len(own)} stimuli for a matrix of {len(matrix)}")
        matrices.append(matrix[np.ix_(order, order)])
    return np.stack(matrices), first
