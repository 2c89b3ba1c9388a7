"""`perceptinit eval` compared with clip-benchmark: equal weights and data, alternating runs, CPU time and scores.

    python benchmarks/eval_vs_clip_benchmark.py --peer-python ENV/bin/python

ENV contains clip-benchmark: `pip install clip-benchmark==1.6.2 requests "numpy<2.4"` (it does not declare requests,
and fails with newer numpy). Both programs run in one process for all models and sets, with one thread and without
mixed precision. CPU seconds include start-up. Parts: parity (scores only), sets (8 checkpoints x 3 sets, and 1 x 1),
small (1 checkpoint x 8 sets of 100 to 400 images, also with the cache of text classifiers), retrieval (the metric at
COCO's size). Sets and small print a row of docs/results/clip-benchmark.md, and a profile of our side.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import bench
import eval_sets

PEER = (
    "import sys, open_clip; open_clip.add_model_config(sys.argv.pop(1)); "
    "from clip_benchmark.cli import main; main()"
)
MEASURES = {
    "acc1": "top1",
    "acc5": "top5",
    "mean_per_class_recall": "mean_per_class_recall",
    "mean_average_precision": "mean_average_precision",
}
# 16-bit gray is read in another way: docs/results/clip-benchmark.md
ODD_IMAGES = ("jpg", "png", "webp", "grey", "palette", "rgba", "cmyk")


def run_timed(command: Sequence[object], **environment: str) -> bench.Finished:
    """Run a command with one thread and without network."""
    return bench.run_command(command, OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", **environment)


class Peer:
    """clip-benchmark's command line in its own environment."""

    def __init__(self, python: Path, config: Path, folder: Path) -> None:
        self.python, self.config, self.folder = python, config, folder

    def command(
        self,
        root: Path,
        sets: Sequence[str],
        checkpoints: Sequence[Path],
        task: str,
        extra: Sequence[str] = (),
    ) -> list[str]:
        out = self.folder / "{dataset}|{pretrained}.json"
        return [
            str(self.python), "-c", PEER, str(self.config.parent), "eval",
            "--dataset", *(f"wds/{name}" for name in sets),
            "--dataset_root", f"{root}/{{dataset}}",
            "--pretrained_model", *(f"{self.config.stem},{file}" for file in checkpoints),
            "--task", task, "--no_amp", "--num_workers", "0", "--batch_size", "64", "--quiet",
            "--recall_k", "1", "5", "10", "--output", str(out), *extra,
        ]  # fmt: skip

    def scores(self) -> dict[tuple[str, str, str], float]:
        """Return the scores written so far: (checkpoint, our measure, set) -> value."""
        found = {}
        for file in self.folder.glob("*.json"):
            data_set, _, checkpoint = file.stem.partition("|")
            for name, value in json.loads(file.read_text())["metrics"].items():
                measure = MEASURES.get(name) or name.replace("_retrieval_recall@", "_recall_")
                found[checkpoint.removesuffix(".safetensors"), measure, data_set] = value
        return found


def ours_command(
    root: Path, sets: Sequence[str], checkpoints: Path, config: Path, extra: Sequence[str] = ()
) -> list[str]:
    names = [word for name in sets for word in ("--on", f"{name},root={root},batch_size=64")]
    return [
        sys.executable, "-m", "perceptinit", "eval", str(checkpoints),
        "--backbone", f"open-clip:{config}", *names,
        "--workers", "0", "--no-cache", "--format", "json", *extra,
    ]  # fmt: skip


def our_scores(text: str) -> dict[tuple[str, str, str], float]:
    rows = json.loads(text)["scores"]
    return {(r["arm"], r["measure"], r["data_set"]): r["mean"] for r in rows}


def compare(ours: dict[Any, float], peer: dict[Any, float]) -> float:
    """Print the differences of common scores, and return the largest."""
    both = sorted(key for key in ours.keys() & peer.keys() if peer[key] == peer[key])
    gaps = {key: abs(ours[key] - peer[key]) for key in both}
    worst = max(gaps, key=gaps.__getitem__)
    print(f"  {len(both)} common scores; largest difference {gaps[worst]:.2e} ({'/'.join(worst)})")
    for key in sorted(peer.keys() - ours.keys()):
        print(f"  only the peer reports {'/'.join(key)}: {peer[key]}")
    for key in both:
        if gaps[key] > 1e-6:
            print(f"  DIFFERENT {'/'.join(key)}: {ours[key]:.8f}, peer {peer[key]:.8f}")
    return gaps[worst]


def parity(work: Path, peer_python: Path) -> None:
    """Compare scores on sets with irregularities."""
    root = work / "parity"
    config = eval_sets.write_checkpoints(work / "one", 2)
    for count in (2, 4, 5, 6, 37):
        eval_sets.labelled_set(root / f"classes{count}", num_classes=count, num_images=120, num_templates=3)
    eval_sets.labelled_set(root / "odd", num_classes=9, num_images=160, num_templates=2, kinds=ODD_IMAGES)
    eval_sets.labelled_set(
        root / "absent",
        num_classes=12,
        num_images=150,
        num_templates=2,
        absent=(0, 7),
        num_shards=3,
    )
    eval_sets.multilabel_set(root / "many", num_classes=15, num_images=150)
    eval_sets.labelled_set(root / "prompts", num_classes=8, num_images=100, num_templates=1)
    eval_sets.caption_set(root / "captions", num_images=140)
    prompts = eval_sets.class_prompts(8)
    (root / "prompts" / "class_prompts.json").write_text(json.dumps(prompts))
    (work / "prompts.json").write_text(json.dumps({"prompts": prompts, "wds/prompts": prompts}))
    labelled = [*(f"classes{c}" for c in (2, 4, 5, 6, 37)), "odd", "absent", "many"]
    peer = Peer(peer_python, config, work / "peer-parity")
    peer.folder.mkdir()
    checkpoints = sorted((work / "one").glob("*.safetensors"))
    run_timed(peer.command(root, labelled, checkpoints, "zeroshot_classification"))
    run_timed(peer.command(root, ["captions"], checkpoints, "zeroshot_retrieval"))
    custom = ["--custom_template_file", str(work / "prompts.json")]
    run_timed(peer.command(root, ["prompts"], checkpoints, "zeroshot_classification", custom))
    for workers in ("0", "3"):
        command = ours_command(
            root, [*labelled, "captions", "prompts"], work / "one", config, ["--workers", workers]
        )
        ours = our_scores(run_timed(command).output)
        print(f"parity, {workers} workers:")
        compare(ours, peer.scores())


def race(title: str, ours: Sequence[object], peer: Sequence[object], rounds: int) -> str:
    """Run both commands in alternation, print a row of the page and a profile, and return our last output."""
    sides = {"peer": partial(run_timed, peer), "ours": partial(run_timed, ours)}
    runs = bench.alternate(sides, rounds)
    seconds = {name: [run.cpu for run in found] for name, found in runs.items()}
    memory = {
        name: statistics.median(run.peak_bytes for run in found) / 2**20 for name, found in runs.items()
    }
    cells = [f"{bench.spread(seconds[name], 's', 1)}, {memory[name]:.0f} MiB" for name in runs]
    ratios = [bench.ratio(seconds["peer"], seconds["ours"], 1), f"{memory['ours'] / memory['peer']:.2f}"]
    print(f"| {' | '.join([title, *cells, *ratios, str(rounds)])} |", flush=True)
    print(bench.profile("perceptinit", ours[3:]), flush=True)
    return runs["ours"][-1].output


def sets(work: Path, peer_python: Path, rounds: int, num_checkpoints: int, layers: int) -> None:
    """Measure 8 checkpoints x 3 sets in one call, and one checkpoint on one set."""
    root = work / "speed"
    eval_sets.labelled_set(root / "large", num_classes=100, num_images=400, num_templates=80)
    eval_sets.labelled_set(root / "middle", num_classes=37, num_images=300, num_templates=18, seed=1)
    eval_sets.labelled_set(root / "small", num_classes=10, num_images=300, num_templates=7, seed=2)
    names = ["large", "middle", "small"]
    config = eval_sets.write_checkpoints(work / "many", num_checkpoints, layers)
    eval_sets.write_checkpoints(work / "single", 1, layers)
    for title, chosen, folder in (
        (f"{num_checkpoints} checkpoints x 3 sets", names, "many"),
        ("1 checkpoint x 1 set (100 classes x 80 templates)", names[:1], "single"),
    ):
        peer = Peer(peer_python, config, work / f"peer-{folder}")
        peer.folder.mkdir()
        checkpoints = sorted((work / folder).glob("*.safetensors"))
        command = ours_command(root, chosen, work / folder, config)
        peer_command = peer.command(root, chosen, checkpoints, "zeroshot_classification")
        text = race(title, command, peer_command, rounds)
        compare(our_scores(text), peer.scores())


def small(work: Path, peer_python: Path, rounds: int, layers: int) -> None:
    """Measure one checkpoint on 8 small sets, for which start-up matters."""
    root = work / "small"
    sizes = [
        (10, 100, 7),
        (20, 150, 5),
        (37, 200, 18),
        (5, 250, 3),
        (100, 300, 10),
        (47, 350, 8),
        (12, 400, 6),
    ]
    sizes.append((8, 100, 20))
    names = [f"set{i}" for i in range(len(sizes))]
    for i, (num_classes, num_images, num_templates) in enumerate(sizes):
        eval_sets.labelled_set(
            root / names[i],
            num_classes=num_classes,
            num_images=num_images,
            num_templates=num_templates,
            seed=i,
        )
    config = eval_sets.write_checkpoints(work / "first", 1, layers)
    peer = Peer(peer_python, config, work / "peer-small")
    peer.folder.mkdir()
    command = ours_command(root, names, work / "first", config)
    checkpoints = sorted((work / "first").glob("*.safetensors"))
    peer_command = peer.command(root, names, checkpoints, "zeroshot_classification")
    text = race(f"1 checkpoint x {len(names)} small sets", command, peer_command, rounds)
    compare(our_scores(text), peer.scores())
    cached = [word for word in command if word != "--no-cache"]
    with tempfile.TemporaryDirectory() as cache:
        times = [run_timed(cached, PERCEPTINIT_CACHE=cache).cpu for _ in range(2)]
    print(f"  text classifiers from the cache: {times[0]:.1f} CPU s, then {times[1]:.1f}", flush=True)


RETRIEVAL_COMMON = """
import torch, numpy as np, json
generator = torch.Generator().manual_seed(0)
images = torch.nn.functional.normalize(torch.randn(5000, 512, generator=generator), dim=1)
owners = np.repeat(np.arange(5000), 5)
owners = np.concatenate([owners, np.arange(10)])
texts = images[owners] + 0.18 * torch.randn(len(owners), 512, generator=generator)
texts = torch.nn.functional.normalize(texts, dim=1)
"""
RETRIEVAL_PEER = (
    RETRIEVAL_COMMON
    + """
from clip_benchmark.metrics import zeroshot_retrieval as z
per_batch = 64
class Model:
    def encode_image(self, rows): return images[rows]
    def encode_text(self, rows): return texts[rows]
of = [[] for _ in range(5000)]
for text, image in enumerate(owners): of[image].append(text)
loader = [(torch.arange(i, min(i + per_batch, 5000)), of[i:i + per_batch]) for i in range(0, 5000, per_batch)]
print(json.dumps(z.evaluate(Model(), loader, lambda rows: torch.tensor(rows), "cpu", amp=False, recall_k_list=[1, 5, 10])))
"""
)
RETRIEVAL_OURS = (
    RETRIEVAL_COMMON
    + """
from perceptinit.evaluators.metrics import hits_at_k
ks = [1, 5, 10]
a = hits_at_k(texts, images, owners, np.arange(5000), ks).mean(0)
b = hits_at_k(images, texts, np.arange(5000), owners, ks).mean(0)
print(json.dumps({f"{n}_retrieval_recall@{k}": v for n, r in (("image", a), ("text", b)) for k, v in zip(ks, r)}))
"""
)
BASE = RETRIEVAL_COMMON + "import clip_benchmark.metrics.zeroshot_retrieval\nprint({})"
OUR_BASE = RETRIEVAL_COMMON + "import perceptinit.evaluators.metrics\nprint({})"


def retrieval(peer_python: Path, rounds: int) -> None:
    """Measure retrieval at COCO's size (5,000 images, 25,010 captions, d = 512) without imports and data."""
    commands = {
        "peer": [peer_python, "-c", RETRIEVAL_PEER],
        "ours": [sys.executable, "-c", RETRIEVAL_OURS],
        "peer base": [peer_python, "-c", BASE],
        "our base": [sys.executable, "-c", OUR_BASE],
    }
    sides = {name: partial(run_timed, command) for name, command in commands.items()}
    runs = bench.alternate(sides, rounds)
    seconds = {name: statistics.median(run.cpu for run in found) for name, found in runs.items()}
    memory = {name: found[-1].peak_bytes / 2**20 for name, found in runs.items()}
    peer, ours = seconds["peer"] - seconds["peer base"], seconds["ours"] - seconds["our base"]
    theirs, own = (last_line(runs[name][-1]) for name in ("peer", "ours"))
    gap = max(abs(theirs[key] - own[key]) for key in theirs)
    print(
        f"retrieval at COCO size: peer {peer:.1f} CPU s, ours {ours:.1f} CPU s: {peer / ours:.1f} times less; "
        f"whole process {seconds['peer']:.1f} and {seconds['ours']:.1f} CPU s; peak memory {memory['peer']:.0f} and "
        f"{memory['ours']:.0f} MiB (bases {memory['peer base']:.0f}, {memory['our base']:.0f}); "
        f"largest difference {gap:.1e}",
        flush=True,
    )


def last_line(run: bench.Finished) -> Any:
    """Return the JSON of the last line that a command printed."""
    return json.loads(run.output.strip().splitlines()[-1])


def main() -> None:
    options = bench.parse(
        __doc__,
        peer_python=bench.PEER_PYTHON,
        part={"choices": ("all", "parity", "sets", "small", "retrieval"), "default": "all"},
        rounds=3,
        checkpoints=8,
        layers={"default": 6, "help": "blocks of each tower"},
        tiny={"part": "small", "rounds": 1, "layers": 1},
    )
    peer_python, rounds = Path(options.peer_python), options.rounds
    parts = {
        "parity": lambda work: parity(work, peer_python),
        "sets": lambda work: sets(work, peer_python, rounds, options.checkpoints, options.layers),
        "small": lambda work: small(work, peer_python, rounds, options.layers),
        "retrieval": lambda work: retrieval(peer_python, rounds),
    }
    print(bench.about("torch", "open_clip_torch", threads=1), flush=True)
    print(
        "| comparison | clip-benchmark | perceptinit | ratio of CPU seconds | memory, ours / theirs | rounds |"
    )
    print("|---|---:|---:|---:|---:|---:|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, measure in parts.items():
            if options.part in ("all", name):
                measure(Path(folder))


if __name__ == "__main__":
    main()
