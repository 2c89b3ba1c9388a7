"""Read RDMs in the files of rsatoolbox and Meadows (`brain-rdms/rsatoolbox`, `brain-rdms/rdm`).

* rsatoolbox, `RDMs.save(..., file_type="hdf5")`: a descriptor names the images. For
  `brain-rdms/rsatoolbox`, others name regions and subjects. For `brain-rdms/rdm`, each matrix is a subject.
* Meadows, multiple arrangement tasks, as in rsatoolbox's `io/meadows.py`. JSON (tree): `tasks`, each with
  `stimuli` and `rdm`. MATLAB: `stimuli` and `rdmutv`, or `stimuli_NAME` and `rdmutv_NAME` per participant.
"""

# K matrices in the file, S subjects, M images
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from rsatoolbox.rdm import RDMs, load_rdm

from perceptinit.companion import MatValue, RdmSet, read_json, read_mat, reading, require_file, square
from perceptinit.plugin import NEUTRAL, DataError, unknown
from perceptinit_brain_rdms.brain_set import BrainSet, choose, mean_of_regions

ENDINGS = (".hdf5", ".h5")


class RsatoolboxFile(BrainSet):
    """Brain RDMs from an rsatoolbox RDMs object that is saved as HDF5.

    RDM descriptors name the region and subject of each matrix, and a pattern descriptor names the images.
    The regions of a subject are standardized and averaged. Each subject has one vote.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(BrainSet.Config):
        path: Annotated[Path, NEUTRAL]
        """RDMs file, .hdf5 or .h5."""
        image_descriptor: str = "image"
        """Pattern descriptor with the image names."""
        region_descriptor: str = "roi"
        """RDM descriptor with the region names."""
        subject_descriptor: str = "subject"
        """RDM descriptor with the subject names."""

    config: Config

    @property
    def source(self) -> Path:
        return self.config.path

    def matrices(self) -> tuple[np.ndarray, list[str]]:
        """Return one matrix per subject, (S, M, M), and the M image files; DataError for an invalid file."""
        c, path = self.config, str(self.source)
        rdms = load_rdms(self.source)
        region_of = read_descriptor(rdms.rdm_descriptors, c.region_descriptor, path)
        subject_of = read_descriptor(rdms.rdm_descriptors, c.subject_descriptor, path)
        names = read_descriptor(rdms.pattern_descriptors, c.image_descriptor, path)
        regions = choose(c.regions, region_of, "region", path)
        subjects = choose(c.subjects, subject_of, "subject", path)
        matrices = rdms.get_matrices()
        rows = {(s, r): i for i, (s, r) in enumerate(zip(subject_of, region_of, strict=True))}
        if len(rows) < len(region_of):
            raise DataError(f"{path}: a subject has several matrices for one region. Average sessions first")
        for key in ((s, r) for s in subjects for r in regions):
            if key not in rows:
                raise DataError(f"{path}: subject '{key[0]}' has no matrix for region '{key[1]}'")
        means = [mean_of_regions([matrices[rows[s, r]] for r in regions], path) for s in subjects]
        return np.stack(means), self.files(names)


def load_rdms(path: Path) -> RDMs:
    """Return the RDMs in an HDF5 file; DataError for other files, such as pickles."""
    if path.suffix not in ENDINGS:
        raise DataError(
            f'{path}: only .hdf5 and .h5 files are supported. Save the RDMs with file_type="hdf5"'
        )
    require_file(path)
    # a damaged file raises many exception types
    with reading(f"{path}: not a valid rsatoolbox file", Exception):
        return load_rdm(str(path), file_type="hdf5")


def read_descriptor(descriptors: Mapping[str, Iterable[str | bytes]], name: str, source: str) -> list[str]:
    """Return a descriptor as text; DataError if it does not exist."""
    if name not in descriptors:
        raise DataError(f"{source}: {unknown('no descriptor called', name, sorted(descriptors))}")
    return [v.decode() if isinstance(v, bytes) else str(v) for v in descriptors[name]]


Matrices = tuple[np.ndarray, list[str] | None]


class RdmExport(RdmSet):
    """RDMs exported by rsatoolbox (.hdf5, .h5) or by Meadows' multiple arrangement (.json, .mat).

    The files contain the image names. The configuration keys are those of the judgments `rdm`. Each matrix,
    task or participant is a subject with one vote. Meadows matrices are reordered to match the first matrix.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(RdmSet.Config):
        path: Annotated[Path, NEUTRAL]
        """File from rsatoolbox (.hdf5, .h5) or Meadows (.json, .mat)."""
        key: str | None = None
        """rsatoolbox pattern descriptor with the image names; optional if only one descriptor is text."""

    config: Config

    def read_file(self) -> tuple[np.ndarray, Sequence[str] | None]:
        """Return the matrices (S, M, M) and the image names of the file."""
        path = self.config.path
        if path.suffix in (".hdf5", ".h5"):
            return read_rsatoolbox(path, self.config.key)
        if path.suffix == ".json":
            return read_meadows_json(path)
        return read_meadows_mat(path, read_mat(path))


def read_rsatoolbox(path: Path, key: str | None) -> Matrices:
    """Return the matrices (S, M, M) and image names of an rsatoolbox RDMs file.

    Args:
        path: The file, .hdf5 or .h5.
        key: Pattern descriptor with the image names; optional if only one descriptor is text.

    Raises:
        DataError: If the file is not an RDMs file, or the descriptor is missing or ambiguous.
    """
    rdms = load_rdms(path)
    descriptors = {name: np.array(values) for name, values in rdms.pattern_descriptors.items()}
    texts = [name for name, values in descriptors.items() if values.dtype.kind in "SUO"]
    if key is None and not texts:
        return rdms.get_matrices(), None
    if key is None and len(texts) > 1:
        raise DataError(f"{path}: several descriptors are text ({', '.join(texts)}). Set key to one of them")
    key = texts[0] if key is None else key
    return rdms.get_matrices(), read_descriptor(descriptors, key, f"{path}: key")


def read_meadows_json(path: Path) -> Matrices:
    """Return one matrix per arrangement task, (S, M, M), and the stimuli; DataError for other files."""
    tasks = read_json(path, dict, "a Meadows tree").get("tasks")
    arranged = [t for t in tasks if _is_arranged(t)] if isinstance(tasks, list) else []
    if not arranged:
        raise DataError(f"{path}: 'tasks' contains no 'multiarrange' task with 'stimuli' and 'rdm'")
    with reading(f"{path}: not a Meadows tree", KeyError, TypeError, ValueError):
        names = [[str(s["name"]) for s in task["stimuli"]] for task in arranged]
        vectors = [np.array(task["rdm"], dtype=np.float64) for task in arranged]
    return _stack(path, vectors, names)


def _is_arranged(task: Any) -> bool:
    about = task.get("task") if isinstance(task, dict) else None
    return isinstance(about, dict) and about.get("task_type") == "multiarrange" and "rdm" in task


def read_meadows_mat(path: Path, variables: Mapping[str, list[MatValue]]) -> Matrices:
    """Return one matrix per participant, (S, M, M), and the stimuli; DataError for other files."""
    people = [name.removeprefix("rdmutv") for name in variables if name.startswith("rdmutv")]
    if not people or not all(f"stimuli{person}" in variables for person in people):
        raise DataError(f'{path}: not a Meadows file. Other .mat files need use = "rdm"')
    vectors = [variables[f"rdmutv{p}"][0].array.astype(np.float64).ravel() for p in people]
    return _stack(path, vectors, [variables[f"stimuli{p}"][0].array.tolist() for p in people])


def _stack(path: Path, vectors: Sequence[np.ndarray], names: Sequence[list[str]]) -> Matrices:
    """Return the matrices reordered to the stimulus order of the first one, and this order."""
    first = names[0]
    matrices = []
    for vector, own in zip(vectors, names, strict=True):
        if sorted(own) != sorted(first):
            raise DataError(
                f"{path}: tasks or participants have different stimuli. Keep only those with the same stimuli"
            )
        matrix = square(vector, str(path))
        if len(matrix) != len(own):
            raise DataError(f"{path}: {len(own)} stimulus names, but the matrix has {len(matrix)} rows")
        order = list(map(own.index, first))
        matrices.append(matrix[np.ix_(order, order)])
    return np.stack(matrices), first
