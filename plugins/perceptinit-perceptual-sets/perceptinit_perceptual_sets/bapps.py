"""BAPPS (`bapps`; Zhang et al. 2018): 2AFC and JND judgments of distorted image patches."""

# N judgments of 64 x 64 pixel patches
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np

from perceptinit.companion import SamePairs, derive_seed, file_names, list_some, problems_of, read_npy
from perceptinit.plugin import (
    NEUTRAL,
    Conventions,
    DataCard,
    DataError,
    Download,
    NonNegativeInt,
    Share,
    Split,
    Stimuli,
    Triplets,
    assign_splits,
)

Distortions = Literal["traditional", "cnn", "mix", "superres", "deblur", "color", "frameinterp"]
# number of votes per judgment; the files contain only shares. Source: README of the data set
VOTES = {"train": 2, "val": 5, "jnd": 3}
URL = "https://perceptual-similarity.s3.us-west-2.amazonaws.com/dataset"


@dataclass(eq=False)
class Bapps:
    """151,300 training and 36,300 validation judgments of patches with many kinds of distortion.

    Reads the published folders `2afc/{train,val}/<kind>/{ref,p0,p1,judge}` and `jnd/val/<kind>/{p0,p1,same}`.
    Files are matched by name, and a name that is missing in one folder is an error. A judge file contains the
    share of votes for p1.

    Splits: `test` is the published validation set, and `val` is a share of the published training set. All
    same-or-different judgments, for the evaluator `jnd`, are in `test`.
    """

    name = "bapps"
    conventions: ClassVar[Conventions] = Conventions(
        sides="first = p0, second = p1, as published",
        direction='judge: share of votes for p1; same: share of "same" answers',
        ties="included, as shares of votes",
        winner_first="no",
    )
    card: ClassVar[DataCard] = DataCard(
        title="BAPPS: 2AFC and JND judgments of distorted image patches",
        source_url="https://github.com/richzhang/PerceptualSimilarity",
        license="not stated for the data (code: BSD-2-Clause)",
        citation="Zhang, Isola, Efros, Shechtman and Wang (2018). The Unreasonable Effectiveness of Deep "
        "Features as a Perceptual Metric. CVPR",
        num_judgments=187_600,
        size_bytes=6_600_000_000,
        checked="generated files in the published layout; counts are those of the source",
    )
    downloads: ClassVar[tuple[Download, ...]] = tuple(
        Download(
            urls=(f"{URL}/{name}.tar.gz",),
            path=f"{name}.tar.gz",
            unpack=True,
            into=into,
            unpacked_bytes=num_bytes,
            parts=("data", part),
        )
        for name, into, num_bytes, part in (
            ("twoafc_val", "2afc", 1_100_000_000, "val"),
            ("jnd", ".", 200_000_000, "jnd"),
            ("twoafc_train", "2afc", 5_300_000_000, "train"),
        )
    )

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        root: Annotated[Path, NEUTRAL]
        """Folder that contains `2afc/` and `jnd/`."""
        kinds: tuple[Distortions, ...] = ()
        """Kinds of distortion to read. Default: all."""
        val_share: Share = 0.05
        """Share of the published training judgments in `val`."""
        seed: NonNegativeInt = 0
        """Random seed of the `val` split, which is the same for all runs."""

    config: Config

    def preflight(self) -> Iterator[str]:
        """Yield an error message for each published part with missing folders or files."""
        for part in ("train", "val"):
            yield from problems_of(self._names, part)

    def load(self, split: Split) -> Triplets:
        """Return the 2AFC judgments of a split; DataError for missing or invalid files, or an empty split."""
        part = "val" if split == "test" else "train"
        names = self._names(part)
        if split != "test":
            c = self.config
            splits = assign_splits(names, c.seed, "judgments", "bapps", "split", val_share=c.val_share)
            names = [name for name, s in zip(names, splits, strict=True) if s == split]
        if not names:
            raise DataError(
                f"bapps: no judgments in split '{split}'. Check val_share ({self.config.val_share}) and kinds"
            )
        stimuli = _find_stimuli(self.config.root, f"2afc/{part}", names, ("ref", "p0", "p1"))
        anchor = np.arange(len(names)) * 3
        p_second = _read_shares(self.config.root / "2afc" / part, names, "judge")
        # hashes of names, so that group ids are unique across splits
        group = [derive_seed(0, "bapps", part, name) for name in names]
        return Triplets.build(stimuli, anchor, anchor + 1, anchor + 2, p_second, VOTES[part], group)

    def load_same_pairs(self, split: Split) -> SamePairs:
        """Return the same-or-different judgments of split `test`; DataError for missing files."""
        if split != "test":
            raise DataError(f"bapps: split '{split}' has no same-or-different judgments. Use split 'test'")
        folder = self.config.root / "jnd" / "val"
        names = self._match(folder, ("p0", "p1"), "same")
        stimuli = _find_stimuli(self.config.root, "jnd/val", names, ("p0", "p1"))
        first = np.arange(len(names)) * 2
        return SamePairs.build(stimuli, first, first + 1, _read_shares(folder, names, "same"), VOTES["jnd"])

    def _names(self, part: str) -> list[str]:
        """Return `<kind>/<stem>` of the 2AFC judgments in a published part."""
        return self._match(self.config.root / "2afc" / part, ("ref", "p0", "p1"), "judge")

    def _match(self, folder: Path, images: Sequence[str], answers: str) -> list[str]:
        """Return `<kind>/<stem>` of all judgments; DataError if a file is missing in one of the folders."""
        c, names = self.config, []
        endings = {**dict.fromkeys(images, ".png"), answers: ".npy"}
        kinds = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
        for kind in kinds:
            if c.kinds and kind not in c.kinds:
                continue
            stems = {
                part: {n.removesuffix(ending) for n in file_names(folder / kind / part) if n.endswith(ending)}
                for part, ending in endings.items()
            }
            union = sorted(set().union(*stems.values()))
            for part, found in stems.items():
                missing = [f"{stem}{endings[part]}" for stem in union if stem not in found]
                if missing:
                    raise DataError(
                        f"{folder / kind / part}: {len(missing):,} of {len(union):,} files are missing: "
                        f"{list_some(missing)}"
                    )
            names += [f"{kind}/{stem}" for stem in union]
        if not names:
            raise DataError(
                f"{folder}: no judgments found (kinds: {', '.join(c.kinds) or 'all'}). Download them with: "
                f"perceptinit data download bapps --out {c.root}"
            )
        return names


def _find_stimuli(root: Path, part: str, names: Sequence[str], roles: Sequence[str]) -> Stimuli:
    """Return the images of all judgments, len(roles) per judgment, with relative paths as ids."""
    ids = []
    for name in names:
        kind, _, stem = name.partition("/")
        ids += [f"{part}/{kind}/{role}/{stem}.png" for role in roles]
    return Stimuli(tuple(ids), [root / path for path in ids])


def _read_shares(folder: Path, names: Sequence[str], part: str) -> np.ndarray:
    """Return the share in each answer file, float64 (N,); DataError for an invalid file."""
    shares = np.empty(len(names))
    for row, name in enumerate(names):
        kind, _, stem = name.partition("/")
        path = folder / kind / part / f"{stem}.npy"
        value = read_npy(path)
        if value.size != 1 or not 0 <= float(value.reshape(-1)[0]) <= 1:
            raise DataError(f"{path}: expected a single number in [0, 1], got {value}")
        shares[row] = value.reshape(-1)[0]
    return shares
