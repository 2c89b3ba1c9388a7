"""Train for 20,000 steps with evaluations and checkpoints, and check growth of memory, descriptors, threads and disk.

    python benchmarks/soak.py
    python benchmarks/soak.py --steps 4000        # a minute

The run reads images from tar shards in threads, evaluates zero-shot and human judgments every 500 steps, and saves a
checkpoint every 200 steps. Exit code 1: something grew between the second and the last tenth of the run. Fewer than
4,000 steps are not judged, because their second tenth is before the first evaluations.
"""

from __future__ import annotations

import io
import os
import statistics
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import bench
import numpy as np
from PIL import Image
from train_sets import add_member

RECIPE = (
    """
schema = 1
name = "soak"
"""
    + bench.TINY_BACKBONE
    + """
[[init]]
use = "triplet-hinge"
epochs = 20
batch_size = 32
[init.judgments]
use = "synthetic"
num_train = 64
num_val = 32
num_test = 32
image_size = 16
[pretrain]
use = "clip"
epochs = {epochs}
batch_size = 16
warmup_steps = 10
ema_decay = 0.99
[pretrain.pairs]
use = "webdataset"
shards = "{shards}/*.tar"
[[eval]]
use = "zero-shot"
datasets = ["synthetic"]
synthetic_num_images = 64
every = 500
[[eval]]
use = "two-afc"
every = 500
[eval.judgments]
use = "synthetic"
num_test = 32
image_size = 16
[[track]]
use = "jsonl"
[checkpoint]
every_steps = 200
"""
)
STEPS_PER_EPOCH = 100
MIN_STEPS = 4000  # of which the second tenth contains evaluations
# growth between the second and the last tenth that is not a leak: the allocator's pools, one temporary file
ALLOWED = {"memory MB": 10.0, "descriptors": 2.0, "threads": 1.0, "disk MB": 1.0}


class Sample(NamedTuple):
    """Resources of the process and of the run's folder after a step. Disk excludes the log."""

    step: int
    memory: float
    descriptors: int
    threads: int
    disk: float


def write_shards(folder: Path) -> None:
    """Write 1,600 images with captions into 4 shards."""
    for shard in range(4):
        with tarfile.open(folder / f"{shard:04d}.tar", "w") as tar:
            for i in range(400):
                add_member(tar, f"{shard}{i:05d}.jpg", draw_image(400 * shard + i))
                add_member(tar, f"{shard}{i:05d}.txt", b"a colour")


def draw_image(seed: int) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, "JPEG")
    return file.getvalue()


def sample(step: int, folder: Path) -> Sample:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    files = [path for path in folder.rglob("*") if path.suffix != ".jsonl"]
    num_bytes = 0
    for path in files:
        try:
            num_bytes += path.stat().st_size
        except FileNotFoundError:  # a temporary file that has its name by now
            continue
    return Sample(
        step,
        pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
        sum(1 for _ in Path("/proc/self/fd").iterdir()),
        sum(1 for _ in Path("/proc/self/task").iterdir()),
        num_bytes / 1e6,
    )


def watched_run(steps: int, folder: Path) -> list[Sample]:
    """Train in this process, and return a sample every 50 steps."""
    from perceptinit.api import run_recipe
    from perceptinit.pretrainers.training import Training

    shards = folder / "shards"
    shards.mkdir()
    write_shards(shards)
    recipe = folder / "soak.toml"
    recipe.write_text(RECIPE.format(epochs=steps // STEPS_PER_EPOCH, shards=shards))
    samples, step = [], Training.step

    def step_and_look(self: Any, batch: Any) -> Any:
        result = step(self, batch)
        if self.num_steps % 50 == 0:
            samples.append(sample(self.num_steps, folder / "runs"))
        return result

    Training.step = step_and_look  # type: ignore[method-assign]
    run_recipe(recipe, out=folder / "runs", device="cpu")
    return samples


def main() -> None:
    options = bench.parse(
        __doc__,
        steps={"default": 20_000, "help": "a multiple of 100, at least 500"},
        tiny={"steps": 500},
    )
    folder = tempfile.TemporaryDirectory()
    with folder:
        samples: list[Sample] = []
        seconds = bench.spend(lambda: samples.extend(watched_run(options.steps, Path(folder.name)))).wall
    print(f"{options.steps:,} steps in {seconds:.0f} s; {bench.about('torch')}")
    tenth = len(samples) // 10
    early, late = samples[tenth : 2 * tenth], samples[-tenth:]
    has_grown = False
    for place, (name, allowed) in enumerate(ALLOWED.items(), 1):
        first, last = (statistics.median(row[place] for row in part) for part in (early, late))
        largest = max(row[place] for row in samples)
        print(f"{name:12} second tenth {first:9.2f}   last tenth {last:9.2f}   most {largest:9.2f}")
        has_grown |= last - first > allowed
    if options.steps < MIN_STEPS:
        print("too few steps to judge growth")
        return
    print("growth found" if has_grown else "flat")
    sys.exit(int(has_grown))


if __name__ == "__main__":
    main()
