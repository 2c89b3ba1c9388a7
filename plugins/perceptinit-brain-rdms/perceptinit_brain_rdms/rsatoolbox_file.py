"""Read rsatoolbox RDMs files with region and subject descriptors (`brain-rdms/rsatoolbox`)."""

from __future__ import annotations

# K matrices in the file, S subjects, M images
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rsatoolbox.rdm import RDMs, load_rdm

from perceptinit.companion import reading, require_file
from perceptinit.plugin import DataError, unknown
from perceptinit_brain_rdms.brain_set import BrainSet, choose, mean_of_regions

ENDINGS = (".hdf5", ".h5")


class RsatoolboxFile(BrainSet):
    """Brain RDMs from an rsatoolbox RDMs object that is saved as HDF5.

    RDM descriptors name the region and subject of each matrix, and a pattern descriptor names the images.
    The regions of a subject are standardized and averaged. Each subject has one vote.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(BrainSet.Config):
        path: Path
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
    with reading(f"{path}: not a valid rsatoolbox file", OSError, KeyError, ValueError):
        return load_rdm(str(path), file_type="hdf5")


def read_descriptor(descriptors: Mapping[str, Iterable[str | bytes]], name: str, source: str) -> list[str]:
    """Return a descriptor as text; DataError if it does not exist."""
    if name not in descriptors:
        raise DataError(f"{source}: {unknown('no descriptor called', name, sorted(descriptors))}")
    return [v.decode() if isinstance(v, bytes) else str(v) for v in descriptors[name]]
