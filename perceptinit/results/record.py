"""`record.json`: all facts about a run, rewritten after each stage."""

from __future__ import annotations

import json
import math
import os
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from typing_extensions import TypedDict

from perceptinit._version import __version__
from perceptinit.components.building import walk
from perceptinit.components.plugin_manager import CORE
from perceptinit.errors import map_texts, printable, read_name, reading, without_credentials
from perceptinit.files.atomic import write_json
from perceptinit.files.reading import content_sha256, read_json, unseal
from perceptinit.types import Score, describe_stage

if TYPE_CHECKING:
    from perceptinit.recipe.recipe import Arm, Recipe

RECORD = "record.json"  # in the folder of a run
SCHEMA = 1


class PluginRow(TypedDict):
    name: str
    distribution: str
    version: str


class Named(TypedDict):
    name: str
    summary: str


class RecipeRow(Named):
    source: str
    text: str
    baseline: str
    overrides: list[str]
    smoke: bool


class Stages(TypedDict):
    init: list[dict]
    posthoc: list[dict]


class ArmRow(Named):
    resolved: Stages


class Environment(TypedDict):
    packages: dict


class StageRow(TypedDict):
    stage: str
    metrics: dict


class ScoreRow(TypedDict):
    name: str
    stage: str
    epoch: int
    samples_seen: int
    num_examples: int
    value: float | None
    stderr: float | None
    chance: float | None
    ceiling: float | None
    higher_is_better: bool
    extra: dict


class Record(TypedDict):
    """Required keys of a record. Records contain further keys."""

    schema: Literal[1]
    status: Literal["running", "finished", "interrupted", "failed"]
    recipe: RecipeRow
    arm: ArmRow
    seed: int
    fingerprint: str
    environment: Environment
    plugins: list[PluginRow]
    started: str
    hashes: dict
    init: list[StageRow]
    scores: list[ScoreRow]
    warnings: list
    wall_seconds: dict


_PACKAGES = ("torch", "torchvision", "timm", "open_clip_torch", "numpy", "pillow")


def now() -> str:
    """Return the current UTC time in ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, Any]:
    """Return the versions of Python and of the packages that can affect results."""
    return {"python": sys.version.split()[0], "packages": {"perceptinit": __version__, **_installed()}}


@cache
def _installed() -> Mapping[str, str]:
    """Return the versions of installed packages; cached, because their metadata is slow to parse."""
    found = {}
    for name in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def environment(device: str) -> dict[str, Any]:
    """Return the versions and machine properties that can affect results."""
    import torch

    from perceptinit.compute.optim import choose_precision

    has_affinity = hasattr(os, "sched_getaffinity")
    return {
        **versions(),
        "platform": platform.platform(),
        "processor": processor_name(),
        "cores": len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        "auto_precision": choose_precision("auto", device),
    }


def new_record(recipe: Recipe, arm: Arm, seed: int, device: str) -> dict[str, Any]:
    """Return the initial record of a run."""
    about = {
        "name": recipe.name,
        "source": recipe.source,
        "summary": recipe.summary,
        "text": recipe.text,
        "sources": [{"path": path, "text": text} for path, text in recipe.sources],
        "overrides": list(recipe.overrides),
        "smoke": recipe.is_smoke,
        "baseline": recipe.baseline,
    }
    return {
        "schema": SCHEMA,
        "status": "running",
        "recipe": map_texts(without_credentials, about),
        "arm": arm_row(recipe, arm),
        "seed": seed,
        "fingerprint": recipe.fingerprint(arm),
        "environment": environment(device),
        "plugins": [
            {"name": p.name, "distribution": p.distribution, "version": p.version}
            for p in recipe.plugins.loaded
            if p.name != CORE
        ],
        "started": now(),
        "hashes": {},
        "init": [],
        "scores": [],
        "warnings": [],
        "wall_seconds": {"total": 0.0},
    }


def arm_row(recipe: Recipe, arm: Arm) -> dict[str, Any]:
    """Return the row that describes an arm in its records."""
    judgments = [spec for spec in walk((*arm.init, *arm.posthoc)) if spec.entry.kind == "judgments"]
    row = {
        "name": arm.name,
        "summary": arm.summary,
        "difference": recipe.difference(arm),
        "by_people": all(spec.build().card.by_people for spec in judgments),
        "simulated": any(spec.build().card.simulated for spec in judgments),
        # without wrappers
        "taught_by": sorted({spec.build().name for spec in judgments if "judgments" not in spec.parts}),
        "resolved": recipe.resolve(arm),
    }
    return dict(map_texts(without_credentials, row))


def judgments_of(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the recipe tables of the judgments that a run was trained on, without wrappers."""
    resolved = record["arm"]["resolved"]
    tables = list_judgments([*resolved["init"], *resolved["posthoc"]])
    return [table for table in tables if "judgments" not in table]


def list_judgments(tables: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the `judgments` tables of stages, including tables nested in other `judgments` tables."""
    inner = [t["judgments"] for t in tables if isinstance(t.get("judgments"), Mapping)]
    return inner + list_judgments(inner) if inner else []


def describe_stages(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of each initializer's report, as `InitReport` prints them, then its warnings."""
    for row in record["init"]:
        metrics = {name: value for name, value in row["metrics"].items() if value is not None}
        yield from describe_stage(row["name"], row["num_changed"], metrics).splitlines()
        yield from (
            f"Warning: {warning['message']}"
            for warning in record["warnings"]
            if warning["stage"] == row["stage"]
        )


def recorded_sha256(record: Mapping[str, Any], file: Path) -> str | None:
    """Return the recorded hash of a run's weight file, or None."""
    part = {"init": "image", "pretrain": "model", "final": "model"}.get(file.stem, "")
    hashes = record["hashes"].get(file.stem)
    return str(hashes[part]) if isinstance(hashes, Mapping) and part in hashes else None


def processor_name() -> str:
    """Return the name of the processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def score_row(score: Score, stage: str, epoch: int, samples_seen: int) -> dict[str, Any]:
    """Return the row of a score in a record, with the stage and the samples seen."""
    row = asdict(score.without_arrays()) | {
        "value": finite(score.value),
        "extra": plain(score.extra),
    }
    del row["items"], row["pseudo_items"], row["choices"]  # the first are stored in a separate file
    return {"stage": stage, "epoch": epoch, "samples_seen": samples_seen, **row}


def finite(value: Any) -> float | None:
    """Return a float, or None for NaN and infinity, which JSON does not have."""
    number = float(value)
    return number if math.isfinite(number) else None


def are_finite(values: list[Any]) -> bool:
    """Return whether all values are finite numbers, faster than one call for each."""
    kinds = {*map(type, values)}
    return kinds <= {int, bool} or (kinds <= {float} and all(map(math.isfinite, values)))


def plain(value: Any) -> Any:
    """Return a value that JSON can represent: arrays as lists, non-finite numbers as None."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list) and are_finite(value):  # per-item values
        return [*value]
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, str) or value is None:
        return value
    if isinstance(value, Iterable):
        return [plain(v) for v in value]
    return finite(value) if isinstance(value, float) else value


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write and sync a record with its content hash; ValueError for a non-finite number."""
    plain = json.loads(json.dumps(record, allow_nan=False))
    write_json(path, {**plain, "sha256": content_sha256(plain)}, synced=True)


def read_record(path: Path) -> dict[str, Any]:
    """Return a record without its hash, with control characters escaped.

    Raises:
        DataError: If the file is not a valid record, was changed after it was written, or has a name with a
            line break. The message names the file.
    """
    record = read_json(path, Record, "a record")
    names = [record["recipe"]["name"], record["arm"]["name"], *(row["name"] for row in record["scores"])]
    with reading(f"{path}: a name is invalid", ValueError):
        list(map(read_name, names))
    version = str(record["environment"]["packages"].get("perceptinit", "0.1.0"))
    return dict(map_texts(printable, unseal(path, record, is_old=version.startswith("0.1."))))
