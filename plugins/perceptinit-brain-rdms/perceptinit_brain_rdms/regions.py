"""Read one RDM vector per region and subject (`brain-rdms/regions`), the layout of NOD."""

# S subjects, M images, P = M (M - 1) / 2 pairs
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from perceptinit.companion import read_names, reading, square
from perceptinit.plugin import DataError
from perceptinit_brain_rdms.brain_set import BrainSet, choose, mean_of_regions

ENDING = "_roi_rdm_vector.npy"
GROUPS = {
    "early": ("V1", "V2", "V3"),
    "mid": ("V4", "V8", "LO1", "LO2", "LO3"),
    "late": ("PIT", "VVC", "FFC", "VMV1", "VMV2", "VMV3"),
}


class Regions(BrainSet):
    """Brain RDMs in the layout of the Natural Object Dataset (NOD): `sub-XX/<region>_roi_rdm_vector.npy`.

    Each vector is an upper triangle, row by row. `filenames.txt`, in each subject's folder or in `root`,
    lists the images in order and must be the same for all subjects. Regions are names or the groups early
    (V1 V2 V3), mid (V4 V8 LO1 LO2 LO3) and late (PIT VVC FFC VMV1 VMV2 VMV3).
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(BrainSet.Config):
        root: Path
        """Folder with one subfolder per subject."""
        regions: tuple[str, ...]
        """Regions or groups of regions, standardized and averaged within each subject."""
        subjects: tuple[str, ...] = ()
        """Subject folders, such as "sub-01". Default: all."""

    config: Config

    @property
    def source(self) -> Path:
        return self.config.root

    def matrices(self) -> tuple[np.ndarray, list[str]]:
        """Return one matrix per subject, (S, M, M), and the M image files; DataError for an invalid file."""
        root = self.source
        if not root.is_dir():
            raise DataError(f'root = "{root}": no such folder')
        there = sorted(path.name for path in root.iterdir() if any(path.glob(f"*{ENDING}")))
        if not there:
            raise DataError(f'root = "{root}": no subject folder contains files <region>{ENDING}')
        subjects = choose(self.config.subjects, there, "subject", str(root))
        names = [self._names(subject) for subject in subjects]
        for subject, own in zip(subjects, names, strict=True):
            if own != names[0]:
                raise DataError(
                    f"{root / subject}: filenames.txt differs from that of {subjects[0]}. All subjects need "
                    "the same images in the same order"
                )
        matrices = [self._subject(subject, len(names[0])) for subject in subjects]
        return np.stack(matrices), self.files(names[0])

    def _names(self, subject: str) -> list[str]:
        own = self.source / subject / "filenames.txt"
        return read_names(own if own.is_file() else self.source / "filenames.txt")

    def _subject(self, subject: str, num_images: int) -> np.ndarray:
        folder = self.source / subject
        there = sorted(path.name.removesuffix(ENDING) for path in folder.glob(f"*{ENDING}"))
        wanted = [region for name in self.config.regions for region in GROUPS.get(name, (name,))]
        regions = choose(wanted, there, "region", str(folder))
        matrices = [self._matrix(folder / f"{region}{ENDING}", num_images) for region in regions]
        return mean_of_regions(matrices, str(folder))

    def _matrix(self, path: Path, num_images: int) -> np.ndarray:
        with reading(f"{path}: not a readable .npy file of numbers", OSError, ValueError):
            vector = np.load(path, allow_pickle=False)
        expected = num_images * (num_images - 1) // 2
        if vector.shape != (expected,):
            raise DataError(f"{path}: shape {vector.shape}, but {num_images} images have {expected:,} pairs")
        return square(vector, str(path))
