"""Load a finished run for export."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perceptinit.backbones.encoders import DualTower
from perceptinit.components.building import read_spec
from perceptinit.components.plugin_manager import Plugins, build_plugin_manager
from perceptinit.errors import RecipeError, UsageError
from perceptinit.recipe.tables import parse_toml
from perceptinit.results.loading import load_model
from perceptinit.results.record import RECORD, judgments_of, read_record, recorded_sha256

WEIGHTS = Path("weights") / "final.safetensors"


@dataclass(frozen=True, slots=True)
class Written:
    """An exported folder.

    usage: Code that loads it. has_projection: Whether it contains the projection of the image tower.
    """

    usage: str
    has_projection: bool = True


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """A finished run with its loaded model.

    Args:
        model: Model with the final weights, in eval mode.
        backbone: Recipe table of the backbone.
        record: Record of the run.
        plugins: Installed plug-ins and local plug-ins of the recipe.
    """

    model: DualTower
    backbone: dict[str, Any]
    record: dict[str, Any]
    plugins: Plugins

    @property
    def title(self) -> str:
        """Return the name of the run in messages, with recipe, arm and seed."""
        recipe = self.record["recipe"]["name"]
        arm = self.record["arm"]["name"]
        return f"{recipe}, arm {arm}, seed {self.record['seed']}"

    @property
    def has_text(self) -> bool:
        """Return whether the model has a text tower."""
        return hasattr(self.model, "text")

    @property
    def mean(self) -> list[float]:
        return self.model.image.mean.tolist()

    @property
    def std(self) -> list[float]:
        return self.model.image.std.tolist()

    @property
    def judgments(self) -> list[dict[str, Any]]:
        """Return the recipe tables of the judgments that the run was trained on."""
        return judgments_of(self.record)

    def cannot(self, target: str, why: str) -> UsageError:
        """Return the error for a target that does not support the model."""
        return UsageError(
            f"{self.title} cannot be exported to {target}: {why}. Use --to onnx, which supports all models"
        )


def open_run(folder: Path) -> TrainedRun:
    """Load the run in `folder`.

    Raises:
        UsageError: If the folder does not contain a finished run.
        CheckpointError: If the weights do not match the model or the record.
    """
    path = folder / RECORD
    if not path.is_file():
        near = sorted(str(p.parent) for p in folder.glob("*/**/record.json"))
        hint = f" Runs: {', '.join(near[:6])}" if near else ""
        raise UsageError(f"{folder}: no record.json. Specify the folder of one run.{hint}")
    record = read_record(path)
    if record["status"] != "finished":
        raise UsageError(f"{folder}: the run is {record['status']}, not finished")
    recipe = record["recipe"]
    text = parse_toml(recipe["text"], recipe["source"]) if recipe["text"] else {}
    local = [Path(recipe["source"]).parent / name for name in text.get("plugins", [])]
    plugins = build_plugin_manager(local)
    table = record["arm"]["resolved"]["backbone"]
    spec, problems = read_spec(plugins.registry, "backbone", table, "backbone")
    if spec is None:
        raise RecipeError(problems, str(path))
    model = load_model(spec, folder / WEIGHTS, record["seed"], recorded_sha256(record, WEIGHTS))
    return TrainedRun(model, table, record, plugins)
