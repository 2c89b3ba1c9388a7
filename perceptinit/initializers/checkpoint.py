"""Weights from a file (`checkpoint`), or a mixture of two sets of weights (`interpolate`)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

from annotated_types import Gt, Le
from torch import Tensor, nn

from perceptinit.errors import CheckpointError, list_some, problems_of
from perceptinit.files.checkpoints import load_strict, load_weights
from perceptinit.files.reading import file_sha256
from perceptinit.initializers.weights import copy_weights, reporting
from perceptinit.types import InitReport, RunContext

T = TypeVar("T")


@dataclass(eq=False)
class Checkpoint:
    """Load the image tower from a safetensors file. All names and shapes must match.

    The file `weights/init.safetensors` of a run needs no key map. To load the image tower from
    `weights/final.safetensors`, set key_map = { "image." = "" } and ignore = ["text.", "logit_scale"]. After
    supervised pretraining, set ignore = ["head.", "names"].
    """

    smoke_stand_in = "random"  # full-size weights do not fit the smoke model

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        file: Path
        """Safetensors file. Pickled checkpoints are not supported."""
        key_map: dict[str, str] = field(default_factory=dict)
        """Maps a name prefix in the file to a prefix in the image tower. The longest match applies."""
        ignore: tuple[str, ...] = ()
        """Name prefixes in the file to skip, such as those of a text tower."""
        sha256: str | None = None
        """Expected SHA-256 of the file, 64 hexadecimal digits. None skips the check."""

    config: Config

    def preflight(self) -> Iterator[str]:
        """Yield problems with the file and the key map."""
        return problems_of(self._read)

    def _read(self) -> dict[str, Tensor]:
        c = self.config
        if not c.file.is_file():
            raise CheckpointError(f"{c.file}: no such file")
        found = file_sha256(c.file) if c.sha256 else ""
        if c.sha256 and found != c.sha256.lower():
            raise CheckpointError(f"{c.file}: sha256 is {found}, expected {c.sha256}. Is it another version?")
        return rename(load_weights(c.file), c.key_map, c.ignore, str(c.file))

    def initialize(self, model: nn.Module, ctx: RunContext) -> InitReport:
        """Load the weights in place.

        Raises:
            CheckpointError: If the file is missing or damaged, or does not fit the tower.
        """
        with reporting("checkpoint", model, hint="The model already has the weights of the file") as report:
            load_strict(model, self._read(), str(self.config.file))
        return report.result


@dataclass(eq=False)
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

    config: Config

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


def rename(
    weights: Mapping[str, T], key_map: Mapping[str, str], ignore: tuple[str, ...], source: str
) -> dict[str, T]:
    """Return the weights with renamed keys.

    Args:
        weights: Values by name.
        key_map: New prefix by old prefix; the longest match applies.
        ignore: Prefixes of names to skip.
        source: File name for messages.

    Raises:
        CheckpointError: If a prefix matches no name, or two weights get the same name.
    """
    renamed: dict[str, T] = {}
    used = set()
    for name in sorted(weights):
        prefix = max((s for s in (*key_map, *ignore) if name.startswith(s)), key=len, default=None)
        used.add(prefix)
        if prefix in ignore:
            continue
        new = name if prefix is None else key_map[prefix] + name.removeprefix(prefix)
        if new in renamed:
            raise CheckpointError(f"{source}: the key map maps '{name}' and another weight to '{new}'")
        renamed[new] = weights[name]
    without_effect = sorted({*key_map, *ignore} - used)
    if without_effect:
        raise CheckpointError(
            f"{source}: no weight name starts with '{without_effect[0]}'. Names in the file: "
            f"{list_some(sorted(weights))}"
        )
    return renamed
