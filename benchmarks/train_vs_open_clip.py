"""CPU seconds and memory of CLIP training, `perceptinit run` compared with open_clip's trainer. Linux only.

    python benchmarks/train_vs_open_clip.py --peer-python ENV/bin/python --model small --precision bf16
    python benchmarks/train_vs_open_clip.py --peer-python ENV/bin/python --model vit-b-32 \\
        --precision bf16 --peer-precision fp32 --patch-dropout 0.5     # reported separately: different training

ENV contains open_clip's trainer, with the version of webdataset that it needs:

    python -m venv ENV
    ENV/bin/pip install open_clip_torch==3.3.0 "webdataset<=0.2.86" pandas braceexpand

Both train the same open_clip model from the same initial weights, on the same shards of 500 x 375 JPEG
files, with the same batch size, precision, crops and AdamW. The peer is `python -m open_clip_train.main` with its
cheapest flags: without loader processes if one thread is measured, because they add a millisecond per sample.
perceptinit is `perceptinit run` of a recipe.

The two processes alternate after each step, and the waiting process is stopped (SIGSTOP), so both run under equal
conditions. CPU seconds include loader processes and are measured from the end of a step to the end of the next one.
The first steps are warm-up and are not measured.

With --threads 2, the wall time matters, and each side has a loader process or thread.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import bench
import train_sets

PEER_PRECISIONS = {"fp32": "fp32", "bf16": "amp_bf16"}
WARM_UP = 2
NUM_PAIRS, NUM_SHARDS = 2048, 4
RECIPE = """
schema = 1
name = "bench"
seeds = [0]
plugins = ["{plugin}"]
[backbone]
use = "open-clip"
model = "{config}"
pretrained = "{weights}"
[pretrain]
use = "bench/clip-with-step-log"
epochs = {epochs}
batch_size = {batch}
lr = 5e-4
warmup_steps = 1000
betas = [0.9, 0.98]
eps = 1e-6
weight_decay = 0.2
precision = "{precision}"
patch_dropout = {patch_dropout}
num_workers = {workers}
[pretrain.pairs]
use = "webdataset"
shards = "{shards}"
[checkpoint]
every_minutes = 0.0
"""


def ours(
    options: argparse.Namespace, work: Path, model: tuple[Path, Path], shards: str
) -> bench.PausedProcess:
    """Return our trainer of the model with these configuration and weights."""
    recipe = work / "bench.toml"
    recipe.write_text(
        RECIPE.format(
            plugin=Path(__file__).with_name("clip_with_step_log.py"),
            config=model[0],
            weights=model[1],
            shards=shards,
            epochs=1_000_000 // NUM_PAIRS,
            batch=options.batch_size,
            precision=options.precision,
            patch_dropout=float(options.patch_dropout),
            workers=options.threads - 1,
        )
    )
    command = [sys.executable, "-m", "perceptinit", "run", str(recipe), "--out", str(work / "runs")]
    return bench.PausedProcess("perceptinit", command, "finished step", options.threads)


def peer(options: argparse.Namespace, work: Path, folder: Path, shards: str) -> bench.PausedProcess:
    """Return open_clip's trainer of the model in `folder`."""
    command = [
        str(options.peer_python), "-m", "open_clip_train.main",
        "--model", f"local-dir:{folder}",
        "--train-data", shards, "--train-num-samples", "1000000", "--dataset-type", "webdataset",
        "--batch-size", str(options.batch_size), "--workers", str(options.threads - 1),
        "--precision", PEER_PRECISIONS[options.peer_precision or options.precision],
        "--lr", "5e-4", "--warmup", "1000", "--wd", "0.2",
        "--beta1", "0.9", "--beta2", "0.98", "--eps", "1e-6",
        "--log-every-n-steps", "1", "--logs", str(work / "logs"), "--name", "peer",
    ]  # fmt: skip
    return bench.PausedProcess("open_clip", command, "Train Epoch:", options.threads)


def versions(python: str) -> str:
    """Return the versions of the relevant packages in an environment."""
    names = ("torch", "torchvision", "open_clip_torch", "webdataset", "pillow")
    code = f"from importlib.metadata import version\nfor name in {names}:\n    print(name, version(name))"
    lines = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout
    return ", ".join(lines.splitlines())


def main() -> None:
    options = bench.parse(
        __doc__,
        peer_python=bench.PEER_PYTHON,
        model={"choices": sorted(train_sets.MODELS), "default": "small"},
        precision={"choices": sorted(PEER_PRECISIONS), "default": "fp32"},
        peer_precision={"choices": sorted(PEER_PRECISIONS), "help": "if another"},
        patch_dropout={"default": 0.0, "help": "on our side alone"},
        batch_size={"default": 0, "help": "0: that of the comparison"},
        threads=1,
        rounds={"default": 5, "help": "measured steps of each side"},
        photos=bench.PHOTOS,
        tiny={"rounds": 1, "batch_size": 16},
    )
    options.batch_size = options.batch_size or train_sets.BATCHES[options.model]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        shards = train_sets.write_shards(work / "shards", NUM_PAIRS, NUM_SHARDS, options.photos)
        model = train_sets.write_model(work / options.model, options.model)
        print(
            f"{options.model}, batch {options.batch_size}, {options.precision}"
            f"{f', peer {options.peer_precision}' if options.peer_precision else ''}"
            f"{f', patch dropout {options.patch_dropout:g}' if options.patch_dropout else ''}, "
            f"medians of {options.rounds} steps; {bench.about(threads=options.threads)}\n"
            f"perceptinit with {versions(sys.executable)}\n"
            f"open_clip with {versions(options.peer_python)}",
            flush=True,
        )
        starts = (
            partial(ours, options, work, model, shards),
            partial(peer, options, work, work / options.model, shards),
        )
        bench.race(starts, options.rounds, WARM_UP, options.batch_size)


if __name__ == "__main__":
    main()
