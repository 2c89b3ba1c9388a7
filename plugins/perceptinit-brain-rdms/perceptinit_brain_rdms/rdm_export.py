"""Exported matrices (`brain-rdms/rdm`): files of rsatoolbox and Meadows, with the names of their images.

* rsatoolbox, `RDMs.save(..., file_type="hdf5")`: each matrix is a subject, a descriptor names the images.
* Meadows, downloads of multiple arrangement tasks, as in rsatoolbox's `io/meadows.py`. JSON (tree): `tasks`,
  each with `stimuli` and `rdm`. MATLAB: `stimuli` and `rdmutv`, or one of each per participant,
  `stimuli_NAME` and `rdmutv_NAME`.
"""

from __future__ import annotations

# S subjects, M images
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from perceptinit.plugin import DataError, MatValue, RdmSet, read_json, read_mat, square, unknown
from perceptinit_brain_rdms.rsatoolbox_file import as_texts, load_rdms

Matrices = tuple[np.ndarray, list[str] | None]


class RdmExport(RdmSet):
    """Matrices of rsatoolbox (.hdf5, .h5) or of Meadows' multiple arrangement (.json, .mat).

    The files name their images. The keys are those of the judgments `rdm`. Each matrix, task or
    participant is a subject and has one vote. The matrices of Meadows are sorted into the order of the first
    one.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(RdmSet.Config):
        path: Path
        """A file of rsatoolbox (.hdf5, .h5) or of Meadows (.json, .mat)."""
        key: str | None = None
        """The pattern descriptor of rsatoolbox that names the images; not needed if one is text."""

    config: Config

    def read_file(self) -> tuple[np.ndarray, Sequence[str] | None]:
        """Return the matrices (S, M, M) of the file and the names of its images."""
        path = self.config.path
        if path.suffix in (".hdf5", ".h5"):
            return read_rsatoolbox(path, self.config.key)
        if path.suffix == ".json":
            return read_meadows_json(path)
        return read_meadows_mat(path, read_mat(path))


def read_rsatoolbox(path: Path, key: str | None) -> Matrices:
    """Return matrices (S, M, M) and image names of an RDMs file.

    Args:
        path: The file, .hdf5 or .h5.
        key: The pattern descriptor that names the images; not needed if one of them is text.

    Raises:
        DataError: If the file is not an RDMs file, or has no such descriptor.
    """
    rdms = load_rdms(path)
    descriptors = {name: np.array(values) for name, values in rdms.pattern_descriptors.items()}
    texts = [name for name, values in descriptors.items() if values.dtype.kind in "SUO"]
    if key is None and not texts:
        return rdms.get_matrices(), None
    key = texts[0] if key is None and len(texts) == 1 else key
    if key is None or key not in descriptors:
        raise DataError(f"{path}: {unknown('no descriptor called', key or '', sorted(descriptors))}. Set key")
    return rdms.get_matrices(), as_texts(descriptors[key])


def read_meadows_json(path: Path) -> Matrices:
    """Return one matrix per arrangement task, (S, M, M), and the stimuli; DataError for another file."""
    tasks = read_json(path, dict, "a tree of Meadows").get("tasks")
    arranged = [t for t in tasks if _is_arranged(t)] if isinstance(tasks, list) else []
    if not arranged:
        raise DataError(f"{path}: no task of type 'multiarrange' with 'stimuli' and 'rdm' in 'tasks'")
    try:
        names = [[str(s["name"]) for s in task["stimuli"]] for task in arranged]
        vectors = [np.array(task["rdm"], dtype=np.float64) for task in arranged]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: not a tree of Meadows ({error})") from error
    return _stack(path, vectors, names)


def _is_arranged(task: Any) -> bool:
    about = task.get("task") if isinstance(task, dict) else None
    return isinstance(about, dict) and about.get("task_type") == "multiarrange" and "rdm" in task


def read_meadows_mat(path: Path, variables: Mapping[str, list[MatValue]]) -> Matrices:
    """Return one matrix per participant and the names of the stimuli; DataError for another file."""
    people = [name.removeprefix("rdmutv") for name in variables if name.startswith("rdmutv")]
    if not people or not all(f"stimuli{person}" in variables for person in people):
        raise DataError(f'{path}: not a file of Meadows; other .mat files need use = "rdm"')
    vectors = [variables[f"rdmutv{p}"][0].array.astype(np.float64).ravel() for p in people]
    return _stack(path, vectors, [variables[f"stimuli{p}"][0].array.tolist() for p in people])


def _stack(path: Path, vectors: Sequence[np.ndarray], names: Sequence[list[str]]) -> Matrices:
    """Return matrices with the names of the first one; the others are sorted into its order."""
    first = names[0]
    matrices = []
    for vector, own in zip(vectors, names, strict=True):
        if sorted(own) != sorted(first):
            raise DataError(
                f"{path}: tasks or people with different stimuli; give files of one set of stimuli"
            )
        matrix = square(vector, str(path))
        if len(matrix) != len(own):
            raise DataError(f"{path}: {len(own)} stimuli for a matrix of {len(matrix)}")
        order = [own.index(name) for name in first]
        matrices.append(matrix[np.ix_(order, order)])
    return np.stack(matrices), first
