"""Stages of `init` that another run has done already (`[checkpoint] stages_from`)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from perceptinit.errors import CheckpointError
from perceptinit.files.checkpoints import load_strict, load_weights, weights_sha256
from perceptinit.results.record import RECORD, read_record

SAME = ("python", "packages", "platform", "processor", "threads", "device")


class Earlier:
    """A finished run whose `init` is the beginning of another's.

    rows: the reports of its stages, each with the run that it was `taken_from`.
    """

    def __init__(self, folder: Path) -> None:
        """Raise DataError when there is no record that can be read."""
        record = read_record(folder / RECORD)
        source = {"taken_from": "/".join(folder.parts[-3:])}
        self.rows = [row | source for row in record["init"] if row["stage"].startswith("init.")]
        self._folder, self._sha256 = folder, record["hashes"]["init"]["image"]

    def load(self, tower: nn.Module) -> None:
        """Put the image tower where its last stage left it; CheckpointError when the file holds something else."""
        file = _weights(self._folder)
        load_strict(tower, load_weights(file), str(file))
        if weights_sha256(tower) != self._sha256:
            raise CheckpointError(
                f"{file}: not the weights of {self._folder / RECORD}. Do that run again with --fresh, or take "
                "its experiment out of [checkpoint] stages_from"
            )


def find_earlier(roots: Iterable[Path], record: Mapping[str, Any]) -> str | None:
    """Return the folder, below those of experiments, of the run that has most of the first stages of `record`'s, if any.

    It began with the same weights, and had the same seed, machine, packages, plug-ins and threads, so that its stages would
    come out the same to the bit if as many processes did them again. DataError for a record there that cannot be read.
    """
    lengths: dict[str, int] = {}
    for root in roots:
        for file in sorted(root.glob(f"*/seed{record['seed']}/{RECORD}")):
            other = read_record(file)
            if _weights(file.parent).is_file() and _is_beginning(other, record):
                lengths[str(file.parent)] = len(other["arm"]["resolved"]["init"])
    return max(lengths, key=lambda folder: lengths[folder], default=None)


def _weights(folder: Path) -> Path:
    return folder / "weights" / "init.safetensors"


def _is_beginning(other: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    """Say whether a finished run's stages are the first of another's, from the same weights and in the same surroundings."""
    theirs, own = other["arm"]["resolved"]["init"], record["arm"]["resolved"]["init"]
    return (
        other["status"] == "finished"
        and 0 < len(theirs) <= len(own)
        and theirs == json.loads(json.dumps(own[: len(theirs)]))
        and other["hashes"].get("built", {}).get("image") == record["hashes"]["built"]["image"]
        and other["plugins"] == record["plugins"]
        and all(other["environment"].get(k) == record["environment"].get(k) for k in SAME)
    )
