"""Interpolation between two sets of weights (`interpolate`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Gt, Le
from torch import Tensor

from perceptinit.errors import problems_of
from perceptinit.files.checkpoints import load_strict, load_weights
from perceptinit.initializers.checkpoint import rename
from perceptinit.initializers.report import copy_weights, reporting
from perceptinit.types import InitReport, RunContext


class Interpolate:
    """Interpolate linearly between the current weights and another set, tensor by tensor.

    After stage 1 in `[[init]]`, interpolation with a random initialization measures how much of that stage is
    needed. With a file, it averages two models of the same architecture.

    Source: Ash and Adams 2020 (shrink and perturb); Wortsman et al. 2022 (model soups).
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        share: Annotated[float, Gt(0), Le(1)] = 0.5
        """Weight of the other set; 1 replaces the current weights."""
        file: Path | None = None
        """Safetensors file of the other set. None uses a random initialization with the seed of the run."""
        key_map: dict[str, str] = field(default_factory=dict)
        """Maps a name prefix in the file to a prefix in the tower, as in `checkpoint`."""
        ignore: tuple[str, ...] = ()
        """Name prefixes in the file to skip, as in `checkpoint`."""

        def __post_init__(self) -> None:
            if self.file is None and (self.key_map or self.ignore):
                raise ValueError("key_map and ignore need a file: set 'file' or remove them")

    def __init__(self, config: Config) -> None:
        self.config = config

    def preflight(self) -> Iterator[str]:
        """Yield problems with the file."""
        file = self.config.file
        return problems_of(self._read, file) if file else iter(())

    def initialize(self, model: Any, ctx: RunContext) -> InitReport:
        """Interpolate the weights in place. Integer buffers do not change.

        Raises:
            CheckpointError: If the file does not fit the tower.
        """
        file = self.config.file
        with reporting("interpolate", model, hint="Are the two sets of weights equal?") as report:
            if file is None:
                model.reset_parameters(ctx.seed_for("interpolate"))
            else:
                load_strict(model, self._read(file), str(file))
            other = copy_weights(model)
            mixed = {
                name: own.lerp(other[name], self.config.share)
                for name, own in report.before.items()
                if own.is_floating_point()
            }
            model.load_state_dict(report.before | mixed)
        return report.result

    def _read(self, file: Path) -> dict[str, Tensor]:
        return rename(load_weights(file), self.config.key_map, self.config.ignore, str(file))
