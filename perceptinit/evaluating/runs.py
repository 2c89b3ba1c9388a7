"""The weights that runs left behind, in the order in which they came about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from perceptinit.errors import UsageError
from perceptinit.recipe.reading import read_recipe
from perceptinit.recipe.recipe import Recipe
from perceptinit.results.record import RECORD, read_record, recorded_sha256

Which = Literal["final", "init", "pretrain", "all"]
SNAPSHOTS = "samples-"


@dataclass(frozen=True, slots=True)
class RunWeights:
    """One file of weights of a run.

    samples_seen: pairs that pretraining had used by then. sha256: of the weights, where the run recorded it.
    """

    file: Path
    folder: Path
    arm: str
    seed: int
    samples_seen: int
    recipe: Recipe
    sha256: str | None = None

    @property
    def title(self) -> str:
        moment = "" if self.file.stem == "final" else f" {self.file.stem}"
        return f"{self.arm}/seed{self.seed}{moment}"


def has_runs(path: Path) -> bool:
    """Tell whether there is a record of a run in a folder or below it."""
    return next(path.rglob(RECORD), None) is not None


def find_run_weights(path: Path, which: str) -> Iterator[RunWeights]:
    """Yield the weights of the runs under a folder, run by run in the order of their paths.

    which: `final`; `init` (the image tower before pretraining; the text tower is built again);
    `pretrain` (before a post-hoc stage); `all` with what evaluator `keep-weights` kept.

    Raises UsageError when there are none of that kind.
    """
    recipes: dict[Any, Recipe] = {}  # runs of one recipe are measured together
    count = 0
    for file in sorted(path.rglob(RECORD)):
        record = read_record(file)
        for weights in _files(file.parent / "weights", which):
            count += 1
            yield _run_weights(weights, file.parent, record, recipes)
    if not count:
        raise UsageError(f"{path}: no weights '{which}' in its runs; are they finished?")


def _files(folder: Path, which: str) -> list[Path]:
    if which == "all":
        kept = sorted(folder.glob(f"{SNAPSHOTS}*.safetensors"))
        # the first snapshot is the model after init, the last one the final model
        ends = ["pretrain", "final"] if kept else ["init", "pretrain", "final"]
        kept += [folder / f"{name}.safetensors" for name in ends]
        return [file for file in kept if file.is_file()]
    file = folder / f"{which}.safetensors"
    return [file] if file.is_file() else []


def _run_weights(
    file: Path, folder: Path, record: dict[str, Any], recipes: dict[Any, Recipe]
) -> RunWeights:
    about = record["recipe"]
    key = (about["text"], tuple(about["overrides"]), about["smoke"])
    if key not in recipes:
        source = Path(about["source"])
        recipe = read_recipe(
            about["text"],
            source=about["source"],
            overrides=about["overrides"],
            folder=source.parent,
        )
        recipes[key] = recipe.smoke() if about["smoke"] else recipe
    return RunWeights(
        file,
        folder,
        record["arm"]["name"],
        record["seed"],
        _samples_seen(file, record),
        recipes[key],
        recorded_sha256(record, file),
    )


def _samples_seen(file: Path, record: dict[str, Any]) -> int:
    if file.stem.startswith(SNAPSHOTS):
        return int(file.stem.removeprefix(SNAPSHOTS))
    if file.stem == "init":
        return 0
    return max((row["samples_seen"] for row in record["scores"]), default=0)
