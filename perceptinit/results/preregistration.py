"""The plan of an experiment, stated before its runs: `plan.json` beside them, with a hash of all that it says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from perceptinit.errors import DataError, stripped
from perceptinit.files.reading import misfit, read_json
from perceptinit.results.record import printable_values

PLAN = "plan.json"  # in the folder of a recipe's runs
SCHEMA = 1
# what readers of a plan rely on
SHAPE = {
    "schema": int,
    "sha256": str,
    "written": str,
    "recipe": {"name": str, "summary": str, "source": str, "overrides": [str]},
    "hypothesis": str,
    "verdict": {"delta": float | int | None, "max_seeds": int | None, "primary": str},
    "seeds": [int],
    "stopping": str,
    "baseline": str,
    "arms": [
        {
            **dict.fromkeys(("name", "summary", "difference", "fingerprint"), str),
            "init": [dict],
            "posthoc": [dict],
        }
    ],
    "shared": {"backbone": dict, "eval": [dict]},
    "contrasts": [dict.fromkeys(("arm", "reference", "question"), str)],
    "measures": str,
    "exclusions": str,
    "prospects": [str],
    "records": [{"arm": str, "seed": int, "status": str, "started": str, "sha256": str}],
    "versions": {"python": str, "packages": dict},
}
# where the arms are tuned
RANGE_SHAPE = {"low": float | int, "high": float | int, "scale": str}
TUNE_SHAPE = {"measure": str, "trials": int, "studies": int, "eval": {"use": str}, "space": dict}


def read_plan(folder: Path) -> dict[str, Any]:
    """Return the plan in a recipe's folder, empty when there is none; DataError naming the file for what is none.

    Control characters in it are spelt out, as `sealed` does before it hashes.
    """
    path = folder / PLAN
    if not path.exists():
        return {}
    plan = read_json(path, dict, "a readable plan")
    problem = misfit(plan, SHAPE)
    if not problem and plan["schema"] != SCHEMA:
        problem = f"its schema is {plan['schema']}, not {SCHEMA}"
    if not problem and "tune" in plan:
        problem = misfit(plan["tune"], TUNE_SHAPE, "tune") or misfit(
            plan["tune"]["space"], dict.fromkeys(plan["tune"]["space"], RANGE_SHAPE), "tune.space"
        )
    if not problem and not _is_finite(plan):
        problem = "it holds a number that is not finite"
    if problem:
        raise DataError(f"{path}: not a plan: {problem}. Restore the file, or move it away")
    return dict(printable_values(plan))


def _is_finite(plan: Mapping[str, Any]) -> bool:
    try:
        json.dumps(plan, allow_nan=False)
    except ValueError:
        return False
    return True


def sealed(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return a plan as it will be read, without credentials and with its hash."""
    plain = dict(printable_values(stripped(json.loads(json.dumps(plan, allow_nan=False)))))
    return {**plain, "sha256": plan_sha256(plain)}


def plan_sha256(plan: Mapping[str, Any]) -> str:
    """Return the hash of all that a plan says, whatever hash it states itself."""
    content = {key: value for key, value in plan.items() if key != "sha256"}
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def planned_settings(plan: Mapping[str, Any], arm: Mapping[str, Any]) -> dict[str, Any]:
    """Return all settings of one of the plan's arms, as a record has them in `resolved`."""
    own = {slot: arm[slot] for slot in ("init", "posthoc")}
    return {"name": plan["recipe"]["name"], **plan["shared"], **own}
