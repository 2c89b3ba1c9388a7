"""CPU time per sample of loading batches and of reading alone, compared with open_clip's loader. Linux only.

    python benchmarks/loader_vs_open_clip.py --peer-python ENV/bin/python --photos PHOTOS
    python benchmarks/loader_vs_open_clip.py --peer-python ENV/bin/python --photos PHOTOS --workers 2
    python benchmarks/loader_vs_open_clip.py --peer-python ENV/bin/python --photos PHOTOS --read

ENV contains open_clip's trainer, see `train_vs_open_clip.py`. The peer is its `get_wds_dataset`: decoding, crop and
normalization by PIL and torchvision, its tokenizer, and loader processes. perceptinit uses `PairLoader` over
`webdataset` pairs with threads, then the normalization of the image tower. Both use the same shards, crops of the
same distribution at 224 px, and their own shuffle.

With --workers 0, neither side has loader processes or threads, so the work of one thread is measured. --read
measures reading only: perceptinit reads single pairs in random order, webdataset reads tar files in sequence and
shuffles in a buffer of 5,000. The two sides alternate as in `train_vs_open_clip.py`.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import train_sets as made
from train_vs_open_clip import Trainer

SIZE = 224
NUM_PAIRS, NUM_SHARDS = 2400, 4
# at least a second for the slower side: CPU seconds of other processes come in hundredths
TURN_SAMPLES = {"batches": 512, "read": 24_000}
VERSIONS = """
from importlib.metadata import version
print(", ".join(f"{p} {version(p)}" for p in ("open_clip_torch", "webdataset", "torch", "pillow")))
"""


def our_batches(shards: str, batch_size: int, num_workers: int) -> Iterator[int]:
    """Yield the number of samples of each normalized batch."""
    import open_clip
    from torch import nn

    from perceptinit.backbones.encoders import ImageTower
    from perceptinit.backbones.text import ClipTokenizer
    from perceptinit.pairs.augment import Augment
    from perceptinit.pairs.loader import PairLoader
    from perceptinit.pairs.webdataset_pairs import WebdatasetPairs
    from perceptinit.types import RunContext

    tower = ImageTower(
        nn.Identity(),
        nn.Identity(),
        image_size=SIZE,
        embed_dim=1,
        mean=open_clip.OPENAI_DATASET_MEAN,
        std=open_clip.OPENAI_DATASET_STD,
        fresh=lambda: tower,
    )
    loader = PairLoader(
        WebdatasetPairs(WebdatasetPairs.Config(shards=shards)),
        batch_size=batch_size,
        image_size=SIZE,
        tokenize=ClipTokenizer(),
        context_length=made.CONTEXT,
        ctx=RunContext(seed=0, stage="pretrain"),
        augment=Augment(),
        num_workers=num_workers,
    )
    for batch in loader.batches(0, 1_000_000):
        tower.normalize(batch.images)
        yield len(batch.keys)


def our_samples(shards: str) -> Iterator[int]:
    """Read pairs in random order without decoding, and yield 1 for each."""
    import numpy as np

    from perceptinit.pairs.webdataset_pairs import WebdatasetPairs

    pairs = WebdatasetPairs(WebdatasetPairs.Config(shards=shards))
    for epoch in count():
        for index in np.random.default_rng(epoch).permutation(pairs.num_pairs).tolist():
            pair = pairs.pair(index)
            assert pair.image
            assert pair.text
            yield 1


def run_our_side(asked: argparse.Namespace, what: str) -> None:
    """Load batches until killed, and report the end of each turn on standard error."""
    import torch

    from perceptinit.compute.devices import keep_freed_memory

    keep_freed_memory()  # as in a run
    torch.set_num_threads(1)
    found = 0
    counts = (
        our_samples(asked.shards)
        if what == "read"
        else our_batches(asked.shards, asked.batch_size, asked.workers)
    )
    for number in counts:
        found += number
        if found >= TURN_SAMPLES[what]:
            found = 0
            print("turn is done", file=sys.stderr, flush=True)


def compare(asked: argparse.Namespace, what: str, shards: str) -> None:
    """Run both sides in alternation, and print medians and ratios."""
    numbers = [str(asked.batch_size), str(asked.workers), str(TURN_SAMPLES[what])]
    script = str(Path(__file__).with_name("peer_loader.py"))
    own = [sys.executable, __file__, "--shards", shards, *sys.argv[1:]]
    sides = [
        Trainer("perceptinit", own, "turn is done", 1),
        Trainer("open_clip", [asked.peer_python, script, what, shards, *numbers], "turn is done", 1),
    ]
    try:
        for index in range(-1, asked.rounds):
            for side in sides:
                turn = side.step()
                if index >= 0:  # the first turn starts interpreters and fills buffers
                    side.turns.append(turn)
    finally:
        for side in sides:
            side.end()
    medians = []
    for side in sides:
        cpu = [1e6 * turn.cpu / TURN_SAMPLES[what] for turn in side.turns]
        wall = [1e6 * turn.wall / TURN_SAMPLES[what] for turn in side.turns]
        medians.append((statistics.median(cpu), statistics.median(wall)))
        print(
            f"{side.name:12} {medians[-1][0]:7.1f} CPU us per sample ({min(cpu):.1f} to {max(cpu):.1f}), "
            f"{medians[-1][1]:7.1f} us wall"
        )
    (cpu, wall), (peer_cpu, peer_wall) = medians
    print(f"open_clip / perceptinit: CPU {peer_cpu / cpu:.2f} x, wall {peer_wall / wall:.2f} x")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--photos", type=Path, help="folder or tar file of JPEG photographs")
    parser.add_argument("--workers", type=int, default=0, help="loader threads or processes")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7, help="measured turns of each side")
    parser.add_argument("--read", action="store_true", help="reading alone")
    parser.add_argument("--shards", help=argparse.SUPPRESS)  # given to our side of the comparison
    asked = parser.parse_args()
    what = "read" if asked.read else "batches"
    if asked.shards:
        run_our_side(asked, what)
        return
    peer = subprocess.run([asked.peer_python, "-c", VERSIONS], check=True, capture_output=True, text=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PERCEPTINIT_CACHE"] = f"{folder}/cache"  # indexes of these shards
        shards = made.write_shards(Path(folder), NUM_PAIRS, NUM_SHARDS, asked.photos)
        print(
            f"{what}, {asked.workers} workers, batch {asked.batch_size}, medians of {asked.rounds} turns of "
            f"{TURN_SAMPLES[what]}; {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; "
            f"peer: {peer.stdout.strip()}",
            flush=True,
        )
        compare(asked, what, shards)


if __name__ == "__main__":
    main()
