"""Apply one initializer to one image tower, without a recipe."""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch

from perceptinit._version import __version__
from perceptinit.backbones.encoders import ImageTower
from perceptinit.components.building import find_component_warnings, find_parts, preflight, read_spec
from perceptinit.compute.devices import choose_device, set_up_process
from perceptinit.configs import read_config, to_table
from perceptinit.errors import CheckpointError, DataError, UsageError, WriteError, require_valid
from perceptinit.files.cache import Cache, cache_folder, key_of
from perceptinit.files.checkpoints import load_strict, load_weights, save_weights, weights_sha256
from perceptinit.files.reading import file_sha256
from perceptinit.judgments.fingerprints import judgments_sha256
from perceptinit.judgments.sources import OpenJudgments, Source, as_table, open_judgments
from perceptinit.library.arguments import callers_level, check_spelling
from perceptinit.library.tower import MAP_WEIGHT, device_of, in_float32
from perceptinit.progress import Bars
from perceptinit.recipe.tables import apply_overrides
from perceptinit.registry import Entry, Registry
from perceptinit.seeding import named_torch_seed
from perceptinit.types import Event, InitReport, RunContext

ELSEWHERE = (
    "training all layers of learned weights lowered accuracy elsewhere by 10.7 points in one of two "
    'experiments (docs/results/ladder-frozen.md). method="linear" did not; also_on= measures a second set'
)
STAGE = "init.0"  # same random numbers as the first [[init]] of a recipe


@dataclass(frozen=True, slots=True)
class Job:
    """An initializer with its settings. Equal jobs applied to equal towers give equal weights.

    Attributes:
        entry: Registry entry of the initializer.
        config: Validated Config of the initializer.
        judgments: Judgments that it uses, or None.
        also_on: Judgments that it also measures, or None.
        seed: Random seed.
    """

    entry: Entry
    config: Any
    judgments: OpenJudgments | None
    also_on: OpenJudgments | None
    seed: int

    def build(self) -> Any:
        """Construct the initializer."""
        opened = {"judgments": self.judgments, "also_on": self.also_on}
        parts = {name: part.component for name, part in opened.items() if part}
        return self.entry.load()(self.config, **parts)

    def suited(self, tower: ImageTower, given: Mapping[str, Any]) -> tuple["Job", list[str]]:
        """Return the job with settings for the weights of the tower, and sentences about settings.

        The initializer suggests values for keys that the caller has not `given`.
        """
        initializer = self.build()
        if not hasattr(initializer, "suggest"):
            return self, []
        settings, kind = initializer.suggest(tower, given)
        listed = ", ".join(f"{key}={value!r}" for key, value in settings.items())
        about = f"settings for {kind} weights: {listed}. Pass other values to change them"
        job = replace(self, config=replace(self.config, **settings))
        sentences = [
            *([about] if settings else []),
            *([ELSEWHERE] if kind == "learned" and not given.get("last_blocks") else []),
            *find_component_warnings(job.build()),
        ]
        return job, [f"{self.entry.name}: {sentence}" for sentence in sentences]

    def key_parts(self, tower: ImageTower) -> dict[str, Any]:
        """Return everything that determines the resulting weights, as plain values for the cache key."""
        values = {field.name: getattr(self.config, field.name) for field in fields(self.config)}
        files = {n: file_sha256(v) for n, v in values.items() if isinstance(v, Path) and v.is_file()}
        return {
            "perceptinit": __version__,
            "initializer": {"use": self.entry.name, **to_table(self.config)},
            "files": files,
            "plugin": [self.entry.distribution, self.entry.version],
            "judgments": _judgments_parts(self.judgments),
            **({"also_on": _judgments_parts(self.also_on)} if self.also_on else {}),
            "seed": self.seed,
            "model": [type(tower.trunk).__name__, tower.image_size, str(tower.fit), tower.embed_dim],
            "start": weights_sha256(tower),
        }


def _judgments_parts(opened: OpenJudgments | None) -> Any:
    if opened is None:
        return None
    if opened.table is not None and opened.component.card.simulated:
        return opened.table  # the table determines simulated images, which are slow to render
    return [opened.table, judgments_sha256(opened.component)]


def read_job(
    registry: Registry,
    name: str,
    options: Mapping[str, Any],
    judgments: Source,
    seed: int,
    also_on: Source = None,
) -> Job:
    """Return a validated job.

    Args:
        registry: Installed components.
        name: Name of the initializer.
        options: Values of its Config by key.
        judgments: See `apply_perceptual_init`.
        seed: Random seed.
        also_on: Judgments to measure, or None.

    Raises:
        UsageError: If the name is unknown, or options or judgments do not fit the initializer.
        DataError: If data is missing or unusable for the initializer.
    """
    entry = registry.get("initializer", name)
    cls = entry.load()
    wanted = find_parts(cls)
    keys = {field.name for field in fields(cls.Config)}  # type: ignore[attr-defined]
    check_spelling(options.keys() - keys)
    config = require_valid(read_config(cls.Config, options, name))  # type: ignore[attr-defined]
    if "pairs" in wanted:
        raise UsageError(f"{entry.title} needs image-text pairs. Use it in a recipe")
    if "judgments" not in wanted and judgments is not None:
        raise UsageError(f"{entry.title} does not use judgments. Omit them")
    opened = open_judgments(judgments, registry) if "judgments" in wanted else None
    if "also_on" not in wanted and also_on is not None:
        raise UsageError(f"{entry.title} does not measure other judgments. Omit also_on")
    second = None if also_on is None else open_judgments(also_on, registry)
    job = Job(entry, config, opened, second, seed)
    lacking = preflight(job.build())
    if lacking:
        raise DataError(f"{entry.title}: {'; '.join(lacking).removeprefix(entry.title + ': ')}")
    return job


def initialize_tower(
    tower: ImageTower,
    job: Job,
    bars: Bars,
    *,
    device: str | None = None,
    cache: Cache | None = None,
    num_workers: int = 2,
) -> InitReport:
    """Initialize a tower in place, or load the result from the cache.

    Args:
        tower: Image tower.
        job: Initializer and settings.
        bars: Progress bars.
        device: Device of the computation. Default: the device of the tower, which is restored afterwards.
        cache: Cache of results, or None.
        num_workers: Number of image decoding threads.

    Returns:
        The report of the initializer. `metrics["from_cache"]` is 1.0 for a cached result.
    """
    target = torch.device(choose_device(device)) if device else device_of(tower)
    with in_float32(tower, target):
        ctx = RunContext(
            seed=job.seed,
            stage=STAGE,
            device=str(target),
            send=lambda event: _show(event, bars, job.entry.name),
            num_workers=num_workers,
        )
        if cache is None:
            return job.build().initialize(tower, ctx)
        return _initialize_cached(tower, job, cache, ctx)


def _show(event: Event, bars: Bars, title: str) -> None:
    """Show the progress of a stage, and issue its warnings as Python warnings."""
    if event.kind == "warning":
        warnings.warn(event.message, UserWarning, stacklevel=callers_level())
    if event.kind == "step":
        if "minutes_planned" in event.metrics:
            bars.say(
                f"{title}: {event.total_steps:,} steps encode {event.metrics['images_planned']:,.0f} images, "
                f"about {event.metrics['minutes_planned']:.1f} minutes"
            )
        loss = event.metrics.get("loss")
        note = "" if loss is None else f"loss {loss:.3f}"
        bars.update(title, event.step or 0, event.total_steps, note)


def _initialize_cached(tower: Any, job: Job, cache: Cache, ctx: RunContext) -> InitReport:
    parts = job.key_parts(tower)
    key = key_of(parts)
    with cache.locked(key):
        entry = cache.find(key)
        if entry is not None:
            try:
                stored = entry.manifest["report"]  # its `seconds` are those of the original computation
                weights = load_weights(entry.weights_path, stored["sha256_after"])
                if MAP_WEIGHT in weights.keys() - tower.state_dict().keys():
                    tower.add_map()
                load_strict(tower, weights, str(entry.weights_path))
                metrics = {**stored["metrics"], "from_cache": 1.0}
                return InitReport(**{**stored, "changed": tuple(stored["changed"]), "metrics": metrics})
            except CheckpointError as error:
                ctx.warn(f"cache: {error}. The damaged entry is recomputed")
                cache.remove(key)
        report = job.build().initialize(tower, ctx)
        manifest = {"parts": parts, "report": asdict(report)}
        try:
            cache.store(key, manifest, lambda path: save_weights(path, tower.state_dict()))
        except WriteError as error:  # not fatal: the tower is initialized
            ctx.warn(f"cache: {error}. The result is not cached")
    return report


def initialize_backbone(
    registry: Registry,
    tables: dict[str, Any],
    *,
    initializer: str,
    judgments: str | None,
    overrides: Sequence[str],
    seed: int,
    device: str,
    use_cache: bool,
    output: Path,
) -> InitReport:
    """Build a backbone, initialize its image tower, and write the tower to a file.

    Args:
        registry: Installed components.
        tables: Recipe tables "backbone", "init" and "judgments". Modified in place by the overrides.
        initializer: Name of the initializer.
        judgments: Name or path of judgments.
        overrides: Assignments such as "init.epochs=4".
        seed: Seed of the backbone and of the initializer.
        device: Device of the computation.
        use_cache: Whether to use the cache of results.
        output: Safetensors file to write.

    Raises:
        RecipeError: If the tables are invalid. The error lists all problems.
        DataError: If judgments are missing or unusable.
    """
    problems = apply_overrides(tables, overrides)
    unknown = sorted(tables.keys() - {"backbone", "init", "judgments"})
    if unknown:
        raise UsageError(f"--set {unknown[0]}...: paths must start with backbone, init or judgments")
    spec = require_valid(read_spec(registry, "backbone", tables["backbone"], "backbone"), problems)
    source: Any = judgments
    if tables["judgments"]:
        table = as_table(judgments, registry) | tables["judgments"]
        source = (table.pop("use"), table)
    job = read_job(registry, initializer, tables["init"], source, seed)
    backbone = spec.build()
    lacking = preflight(backbone)
    if lacking:
        raise UsageError(f"{spec.entry.title}: {'; '.join(lacking)}")
    device = choose_device(device)
    set_up_process(device)
    with named_torch_seed(seed, "backbone"):
        tower = backbone.build().image
    cache = Cache(cache_folder()) if use_cache else None
    with Bars(stays=True, shown=True) as bars:
        report = initialize_tower(tower.to(device), job, bars, cache=cache)
    about = {
        "backbone": spec.table(),
        "initializer": {"use": initializer, **to_table(job.config)},
        "judgments": job.judgments.table if job.judgments else None,
        "seed": seed,
        "metrics": dict(report.metrics),
    }
    save_weights(output, tower.state_dict(), {"perceptinit": json.dumps(about)})
    return report
