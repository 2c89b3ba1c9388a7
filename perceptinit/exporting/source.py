"""A finished run to export, and the model card of its folder: usage, scores, data, licenses and recipe."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from perceptinit.backbones.encoders import DualTower, ImageTower
from perceptinit.backbones.image_models import ImageModel
from perceptinit.components.building import read_spec
from perceptinit.components.plugin_manager import Plugins, build_plugin_manager
from perceptinit.errors import PerceptInitError, UsageError, require_valid
from perceptinit.files.markup import to_markdown
from perceptinit.recipe.tables import parse_toml
from perceptinit.results.loading import load_model, read_recorded_recipe
from perceptinit.results.record import (
    RECORD,
    describe_stages,
    judgments_of,
    list_judgments,
    read_record,
    recorded_sha256,
)
from perceptinit.results.runs import samples_in_words
from perceptinit.types import DataCard, RunContext

WEIGHTS = Path("weights") / "final.safetensors"

LIBRARY = {"timm": "timm", "open-clip": "open_clip", "huggingface": "transformers"}

FITS = {
    "center-crop": "the shorter side is resized and the center is cropped",
    "squash": "both sides are resized, ignoring the aspect ratio",
    "pad": "the longer side is resized and borders of the mean color are added",
}


@dataclass(frozen=True, slots=True)
class Written:
    """An exported folder.

    usage: Code that loads it. has_projection: Whether it contains the projection of the image tower.
    is_classifier: Whether the projection is stored as the classifier of the model.
    """

    usage: str
    has_projection: bool = True
    is_classifier: bool = False


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
    def has_map(self) -> bool:
        """Return whether initializer `linear` changed the projection, so that exports contain it."""
        stages = self.record["arm"]["resolved"]
        return any(stage["use"] == "linear" for stage in [*stages["init"], *stages["posthoc"]])

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
            f"{self.title} cannot be exported to {target}: {why}. Use onnx, which supports all models"
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
    spec = require_valid(read_spec(plugins.registry, "backbone", table, "backbone"), source=str(path))
    model = load_model(spec, folder / WEIGHTS, record["seed"], recorded_sha256(record, WEIGHTS))
    return TrainedRun(model, table, record, plugins)


def model_card(run: TrainedRun, target: str, written: Written) -> str:
    """Return a model card for the Hugging Face Hub, with YAML front matter."""
    record = run.record
    scores = _score_lines(record["scores"], samples_in_words([record]))
    if not written.has_projection:
        scores = [
            "The folder contains the image trunk without its projection. Scores of its pooled features:",
            "",
            *_measure_trunk(run),
            "",
            "Scores of the projected embedding, which the folder does not contain:",
            "",
            *scores,
        ]
    lines = [
        "---",
        "license: other",
        f"library_name: {LIBRARY.get(target, 'pytorch')}",
        "tags: [perceptinit, perceptual-initialization, clip]",
        "---",
        f"# {to_markdown(run.title)}",
        "",
        to_markdown(record["arm"]["summary"] or record["recipe"]["summary"]),
        "",
        to_markdown(
            f"Trained with perceptinit {record['environment']['packages'].get('perceptinit', '')} on "
            f"{record['finished']}. Weights: sha256 {record['hashes']['final']['model']} (names and values)."
        ),
        "",
        "## Usage",
        "",
        f"```python\n{written.usage}```",
        "",
        f"Input size: {run.model.image_size} x {run.model.image_size} pixels. Mean: {_numbers(run.mean)}. "
        f"Std: {_numbers(run.std)}.",
        f'Non-square images (`fit = "{run.model.fit.mode}"`): {FITS[run.model.fit.mode]}.',
        "",
        "## Scores",
        "",
        *scores,
        "",
        "## Initialization",
        "",
        *([f"* {to_markdown(line)}" for line in describe_stages(record)] or ["None: fresh weights."]),
        "",
        "## Human data",
        "",
        *(_data_lines(run) or ["None: this arm uses no human judgments."]),
        "",
        "## License",
        "",
        "The training data, listed above and in the recipe, have their own licenses. Check them before you "
        "share the weights. The license of perceptinit is Apache-2.0.",
        "",
        "## Recipe",
        "",
        _fence("toml", record["recipe"]["text"].strip()),
        *[_fence("", f"--set {override}") for override in record["recipe"]["overrides"]],
        "",
    ]
    return "\n".join(lines)


def _fence(language: str, text: str) -> str:
    """Return a code block whose fence is longer than all fences in the text."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _numbers(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def _score_lines(rows: list[dict[str, Any]], samples: str) -> list[str]:
    last = max((row["samples_seen"] for row in rows), default=0)
    final = {row["name"]: row for row in rows if row["samples_seen"] == last}
    if not final:
        return ["No scores."]
    return [f"After {last:,} {samples}:", "", *_table(final)]


def _table(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a Markdown table of scores by name."""
    lines = ["| score | value | standard error | chance | examples |", "|---|---|---|---|---|"]
    for name, row in rows.items():
        numbers = [row[key] for key in ("value", "stderr", "chance")]
        cells = ["" if number is None else f"{number:.4f}" for number in numbers]
        lines.append(f"| {to_markdown(name)} | {' | '.join(cells)} | {row['num_examples']:,} |")
    return lines


def _measure_trunk(run: TrainedRun) -> list[str]:
    """Return a table of the trunk's scores on the recipe's judgments, which need no text tower."""
    tower = run.model.image
    trunk: Any = tower.trunk
    bare = ImageTower(
        trunk,
        nn.Identity(),
        image_size=tower.image_size,
        embed_dim=trunk.num_features,
        mean=run.mean,
        std=run.std,
        fresh=lambda: tower,
        fit=tower.fit.mode,
    )
    model: Any = ImageModel(bare).eval()
    found: dict[str, dict[str, Any]] = {}
    try:
        with torch.no_grad():
            for slot in read_recorded_recipe(run.record).evals:
                if "judgments" in slot.spec.parts:
                    scores = slot.spec.build().evaluate(model, RunContext(stage="export"))
                    found |= {score.name: asdict(score) for score in scores}
    except PerceptInitError as error:  # for example, the judgments are on another machine
        return [f"Not measured: {to_markdown(str(error))}"]
    return _table(found) if found else ["Not measured: the recipe has no evaluator of judgments."]


def _data_lines(run: TrainedRun) -> list[str]:
    resolved = run.record["arm"]["resolved"]
    lines = []
    for judgments in list_judgments([*resolved["init"], *resolved["posthoc"]]):
        name = judgments["use"]
        spec, _ = read_spec(run.plugins.registry, "judgments", judgments, "judgments")
        if spec is None:  # for example, its plug-in is not installed
            lines.append(f"* {to_markdown(name)}")
            continue
        card: DataCard = spec.build().card
        simulated = " Simulated, not human data." if card.simulated else ""
        about = to_markdown(f"{card.title}. License: {card.license}. {card.citation}.{simulated}")
        lines.append(f"* `{name}`: {about}")
    return list(dict.fromkeys(lines))
