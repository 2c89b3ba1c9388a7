"""A backbone's image tower, initialised and written to a file: the work of `perceptinit init`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from perceptinit.components.building import preflight, read_spec
from perceptinit.compute.devices import choose_device, set_up_process
from perceptinit.configs import to_table
from perceptinit.errors import RecipeError, UsageError
from perceptinit.files.cache import Cache, cache_folder
from perceptinit.files.checkpoints import save_weights
from perceptinit.judgments.sources import as_table
from perceptinit.library.applying import initialize_tower, read_job
from perceptinit.recipe.tables import apply_overrides
from perceptinit.registry import Registry
from perceptinit.seeding import named_torch_seed
from perceptinit.types import InitReport


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
    """Build a backbone under the seed, initialise its image tower, and write the tower to `output`.

    tables: `backbone`, `init` and `judgments`, which overrides of those paths change.

    Raises RecipeError with every problem of the tables, DataError when judgments are absent.
    """
    problems = apply_overrides(tables, overrides)
    unknown = sorted(tables.keys() - {"backbone", "init", "judgments"})
    if unknown:
        raise UsageError(f"--set {unknown[0]}...: paths start with backbone, init or judgments")
    spec, more = read_spec(registry, "backbone", tables["backbone"], "backbone")
    if spec is None or problems:
        raise RecipeError([*problems, *more])
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
    report = initialize_tower(tower.to(device), job, cache=cache)
    about = {
        "backbone": spec.table(),
        "initializer": {"use": initializer, **to_table(job.config)},
        "judgments": job.judgments.table if job.judgments else None,
        "seed": seed,
        "metrics": dict(report.metrics),
    }
    save_weights(output, tower.state_dict(), {"perceptinit": json.dumps(about)})
    return report
