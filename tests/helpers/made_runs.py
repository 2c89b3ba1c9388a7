"""Folders of runs with given records, for tests of tables, curves and pages."""

import copy
import json

from situations.fields import make_items

from perceptinit.results.items import write_items

RECIPE = """
schema = 1
name = "made"
summary = "made by hand"
seeds = {seeds}
[[arm]]
name = "random"
[[arm]]
name = "pi"
[[arm]]
name = "shuffled"
"""

JUDGMENTS = {"use": "nights", "root": "nights"}
INIT = {
    "random": [],
    "pi": [{"use": "triplet-hinge", "judgments": JUDGMENTS}],
    "shuffled": [{"use": "triplet-hinge", "judgments": {"use": "shuffled-votes", "judgments": JUDGMENTS}}],
}


INITIALIZED = {"stage": "init.0", "name": "triplet-hinge", "num_changed": 2, "changed": ["a", "b"]}
STAGE_ONE = {
    "spread_before": 0.6,
    "spread_after": 0.4,
    "2afc_val_before": 0.55,
    "2afc_val_after": 0.7,
    "2afc_val_stderr": 0.01,
}


def score(value, samples_seen=100, name="top1/x", stage="pretrain", **more):
    """Return a score row, by default top-1 accuracy on set `x`."""
    row = {"stage": stage, "epoch": 1, "samples_seen": samples_seen, "name": name, "value": value}
    row |= {"stderr": 0.01, "chance": 0.1, "ceiling": None, "num_examples": 50}
    return row | {"higher_is_better": True, "extra": {"seen_in_stage_1": 0.0}} | more


def record(arm, seed, scores, status="finished", **more):
    """Return a record; `scores`: rows, or one value of top-1 on `x` at 100 samples."""
    rows = scores if isinstance(scores, list) else [score(scores)]
    resolved = {
        "name": "made",
        "backbone": {"use": "timm", "model": "vit"},
        "init": copy.deepcopy(INIT.get(arm, [])),  # tests change their records
        "pretrain": {"use": "clip", "pairs": {"use": "csv"}},
        "posthoc": [],
        "eval": [{"use": "zero-shot"}],
    }
    hashes = {"image": f"image{seed}", "text": f"text{seed}", "model": f"model{seed}"}
    return {
        "schema": 1,
        "status": status,
        "recipe": {
            "name": "made",
            "source": "made.toml",
            "summary": "made by hand",
            "text": RECIPE.format(seeds=[0, 1, 2]),
            "overrides": [],
            "smoke": False,
            "baseline": "random",
        },
        "arm": {"name": arm, "summary": f"the {arm} arm", "resolved": resolved},
        "seed": seed,
        "fingerprint": arm,
        "environment": {
            "python": "3.11.0",
            "packages": {"torch": "2.4"},
            "platform": "Linux",
            "processor": "a CPU",
            "cores": 2,
            "threads": 2,
            "device": "cpu",
        },
        "plugins": [],
        "started": "2026-01-01T00:00:00+00:00",
        "finished": "2026-01-01T00:01:00+00:00",
        "hashes": {"built": hashes, "final": hashes, "pretrain_data": f"data{seed}"},
        "init": [INITIALIZED | {"metrics": dict(STAGE_ONE)}] if resolved["init"] else [],
        "scores": rows,
        "warnings": [],
        "wall_seconds": {"total": 60.0, "pretrain": 40.0, "eval": 5.0},
    } | more


def write(root, records, with_items=False):
    """Write records as `root/made/<arm>/seed<k>/record.json` and return the folder of the recipe.

    with_items: also write values by image, with which intervals cover images.
    """
    for one in records:
        folder = root / "made" / one["arm"]["name"] / f"seed{one['seed']}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "record.json").write_text(json.dumps(one))
        if with_items:
            write_items(folder, make_items(one))
    return root / "made"


def three_by_three(**more):
    """Return nine finished records: pi is 3 points above random and 5 above shuffled in the mean.

    pi - random by seed: 0.03, 0.04, 0.02; pi - shuffled: 0.05, 0.05, 0.05.
    """
    values = {
        "random": (0.50, 0.52, 0.54),
        "pi": (0.53, 0.56, 0.56),
        "shuffled": (0.48, 0.51, 0.51),
    }
    return [
        record(arm, seed, value, **more)
        for arm, of_seeds in values.items()
        for seed, value in enumerate(of_seeds)
    ]
