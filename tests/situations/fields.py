"""Simulated fields of records: stage 1 and per-item values."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from perceptinit.types import Items

# N items
OF_SEED = 0.3  # standard deviation of the difficulty of an item over seeds; 1 over items
OF_RUN = 0.1  # and over the runs of a seed: at 40 % correct, the arms of a seed disagree on 4 % of the items


def stage_rows(stages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of the stages of an arm. A stage with judgments learns them unless votes are shuffled."""
    return [
        {"stage": f"init.{k}", "name": stage["use"], "num_changed": 2, "metrics": _stage_metrics(stage)}
        for k, stage in enumerate(stages)
    ]


def _stage_metrics(stage: Mapping[str, Any]) -> dict[str, float]:
    if "judgments" not in stage:
        return {"weight_change/trunk": 0.2}
    return {
        "2afc_val_before": 0.55,
        "2afc_val_after": 0.5 if "shuffled-votes" in repr(stage["judgments"]) else 0.7,
        "2afc_val_stderr": 0.01,
        "2afc_val_judgments": 1720.0,
        "trivial_2afc/pixels 16 x 16": 0.6,
        "spread_before": 0.66,
        "spread_after": 0.4,
        "steps": 580.0,
        "triplets": 13_900.0,
    }


def make_items(record: Mapping[str, Any]) -> dict[str, Items]:
    """Return per-item values of the final scores of a run, whose means are the scores."""
    last = max((row["samples_seen"] for row in record["scores"]), default=0)
    rows = [r for r in record["scores"] if r["samples_seen"] == last and r["value"] is not None]
    run = f"{record['arm']['name']}/{record['seed']}"
    return {row["name"]: _items_of(row, record["seed"], run) for row in rows}


def _items_of(row: Mapping[str, Any], seed: int, run: str) -> Items:
    name, num = row["name"], row["num_examples"]
    difficulty = _draw(num, name)
    of_seed = difficulty + OF_SEED * _draw(num, f"{name} {seed}")
    ease = of_seed + OF_RUN * _draw(num, f"{name} {run}")
    trivial = row["extra"].get("baselines", {})
    baselines = {
        model: answer(b["value"], difficulty + OF_RUN * _draw(num, f"{name} {model}"))
        for model, b in trivial.items()
    }
    values = answer(row["value"], ease) if row["chance"] is not None else scatter(row["value"], ease)
    return Items(values, np.arange(num)[:, None], None, baselines)


def answer(share: float, ease: np.ndarray) -> np.ndarray:
    """Return 1 for this share of the items, the easiest, and 0 for the others; one item has the remainder."""
    values = np.empty(len(ease))
    values[np.argsort(-ease, kind="stable")] = (share * len(ease) - np.arange(len(ease))).clip(0, 1)
    return values


def scatter(mean: float, ease: np.ndarray) -> np.ndarray:
    """Return values around a mean, for scores that are not shares."""
    return mean + 0.1 * (ease - ease.mean())


def _draw(num: int, name: str) -> np.ndarray:
    """Return standard normal values that depend only on the name."""
    return np.random.default_rng(zlib.crc32(name.encode())).standard_normal(num)
