"""Weights from a file (`checkpoint`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from torch import nn

from perceptinit.errors import CheckpointError, problems_of
from perceptinit.files.checkpoints import load_strict, load_weights
from perceptinit.files.checksums import file_sha256
from perceptinit.initializers.report import reporting
from perceptinit.types import InitReport, RunContext

T = TypeVar("T")


class Checkpoint:
    """Loads the image tower from a safetensors file whose names and shapes all match.

    A run leaves such files: `weights/init.safetensors` fits as it is; for the image tower inside
    `weights/final.safetensors` set key_map = { "image." = "" } and ignore = ["text.", "logit_scale"], or
    ["head.", "names"] after pretraining on labels.
    """

    smoke_stand_in = "random"  # weights of a full-size model do not fit a shrunken one

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        file: Path
        """Safetensors file; pickled checkpoints are not loaded."""
        key_map: dict[str, str] = field(default_factory=dict)
        """Start of a name in the file -> what stands there in the image tower; the longest match counts."""
        ignore: tuple[str, ...] = ()
        """Starts of names in the file that are left out, such as those of a text tower."""
        sha256: str | None = None
        """Checksum that the file must have, 64 hexadecimal digits; None checks nothing."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def preflight(self) -> Iterator[str]:
        """Yield what is wrong with the file, before anything starts."""
        return problems_of(self._read)

    def _read(self) -> dict:
        c = self.config
        check_file(c.file, c.sha256)
        return rename(load_weights(c.file), c.key_map, c.ignore, str(c.file))

    def initialize(self, model: nn.Module, ctx: RunContext) -> InitReport:
        weights, hint = self._read(), "it already holds the weights of the file"
        with reporting("checkpoint", model, hint=hint) as report:
            load_strict(model, weights, str(self.config.file))
        return report.result


def check_file(file: Path, sha256: str | None) -> None:
    """Raise CheckpointError when the file is missing or its checksum is another one."""
    if not file.is_file():
        raise CheckpointError(f"{file}: no such file")
    if sha256 is None:
        return
    found = file_sha256(file)
    if found != sha256.lower():
        raise CheckpointError(f"{file}: sha256 is {found}, expected {sha256}; is it another version?")


def rename(
    weights: Mapping[str, T], key_map: Mapping[str, str], ignore: tuple[str, ...], source: str
) -> dict[str, T]:
    """Return the weights under the names that the map gives them, without the ignored ones.

    Raises CheckpointError when a start of a name occurs in no name, or two weights get one name.
    """
    renamed: dict[str, T] = {}
    used = set()
    for name in sorted(weights):
        start = max((s for s in (*key_map, *ignore) if name.startswith(s)), key=len, default=None)
        if start is not None:
            used.add(start)
        if start in ignore:
            continue
        new = name if start is None else key_map[start] + name.removeprefix(start)
        if new in renamed:
            raise CheckpointError(
                f"{source}: the key map gives the name '{new}' to two weights, one is {name}"
            )
        renamed[new] = weights[name]
    without_effect = sorted({*key_map, *ignore} - used)
    if without_effect:
        names = sorted(weights)
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise CheckpointError(
            f"{source}: no weight's name starts with '{without_effect[0]}'. "
            f"Names there: {', '.join(names[:3])}{more}"
        )
    return renamed
