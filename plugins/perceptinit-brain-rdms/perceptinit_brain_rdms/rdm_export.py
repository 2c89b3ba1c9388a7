"""Exported matrices (`brain-rdms/rdm`): files of rsatoolbox and Meadows, read as `rdm` reads yours."""

from __future__ import annotations

# S subjects, M images
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from perceptinit.plugin import DataError, RdmSet, read_mat
from perceptinit_brain_rdms.exports import read_meadows_json, read_meadows_mat, read_rsatoolbox


class RdmExport(RdmSet):
    """Matrices of rsatoolbox (.hdf5, .h5) or of Meadows' multiple arrangement (.json, .mat).

    The files name their images. The keys are those of the judgments `rdm`. Each matrix, task or
    participant is a subject and a vote; Meadows' matrices are put into the order of the first one.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(RdmSet.Config):
        path: Path
        """A file of rsatoolbox (.hdf5, .h5) or of Meadows (.json, .mat)."""
        key: str | None = None
        """The pattern descriptor of rsatoolbox that names the images; not needed where one is text."""

    config: Config

    def read_file(self) -> tuple[np.ndarray, Sequence[str] | None]:
        """Return the matrices (S, M, M) of the file and the names of its images."""
        path = self.config.path
        if path.suffix in (".hdf5", ".h5"):
            return read_rsatoolbox(path, self.config.key)
        if path.suffix == ".json":
            return read_meadows_json(path)
        found = read_meadows_mat(path, read_mat(path))
        if found is None:
            raise DataError(f'{path}: not a file of Meadows; other .mat files need use = "rdm"')
        return found
