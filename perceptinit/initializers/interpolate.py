"""Weights between two sets (`interpolate`)."""

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
from perceptinit.initializers.report import reporting
from perceptinit.types import InitReport, RunContext


class Interpolate:
    """Moves the weights a share of the way from what they are to another set, tensor by tensor.

    After a stage 1 in `[[init]]`, with fresh weights as the other set, it asks how much of what was
    learnt is needed; this is also shrink and perturb (Ash and Adams 2020). With a file it is the
    average of two models of one architecture (Wortsman et al. 2022, Model soups).
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        share: Annotated[float, Gt(0), Le(1)] = 0.5
        """Of the other weights in the result, above 0; 1 takes them whole."""
        file: Path | None = None
        """Safetensors file of the other weights; None draws fresh ones under the run's seed."""
        key_map: dict[str, str] = field(default_factory=dict)
        """As in initializer `checkpoint`: start of a name in the file -> start of a name in the tower."""
        ignore: tuple[str, ...] = ()
        """As in initializer `checkpoint`: starts of names in the file that are left out."""

        def __post_init__(self) -> None:
            if self.file is None and (self.key_map or self.ignore):
                raise ValueError("key_map and ignore are for the names in a file; there is none")

    def __init__(self, config: Config) -> None:
        self.config = config

    def preflight(self) -> Iterator[str]:
        """Yield what is wrong with the file."""
        file = self.config.file
        return problems_of(self._read, file) if file else iter(())

    def initialize(self, model: Any, ctx: RunContext) -> InitReport:
        """Set the weights in place; CheckpointError when the file does not fit the tower."""
        file = self.config.file
        with reporting("interpolate", model, hint="are the two sets the same?") as report:
            if file is None:
                model.reset_parameters(ctx.seed_for("interpolate"))
            else:
                load_strict(model, self._read(file), str(file))
            other = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
            model.load_state_dict(mix(report.before, other, self.config.share))
        return report.result

    def _read(self, file: Path) -> dict[str, Tensor]:
        return rename(load_weights(file), self.config.key_map, self.config.ignore, str(file))


def mix(own: dict[str, Tensor], other: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Return (1 - share) own + share other; tensors that are no numbers with a point stay own."""
    return {
        name: tensor.lerp(other[name], share) if tensor.is_floating_point() else tensor
        for name, tensor in own.items()
    }
