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
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path

import bench
import train_sets
from train_vs_open_clip import versions

SIZE = 224
NUM_PAIRS, NUM_SHARDS = 2400, 4
MARK = "turn is done"
# at least a second for the slower side: CPU seconds of other processes come in hundredths
TURN_SAMPLES = {"batches": 512, "read": 24_000}


def our_batches(shards: str, batch_size: int, num_workers: int, with_texts: bool = True) -> Iterator[int]:
    """Yield the number of samples of each normalized batch. Without texts, their token ids are zeros."""
    import open_clip
    import torch
    from torch import nn

    from perceptinit.backbones.clip_tokenizer import ClipTokenizer
    from perceptinit.backbones.encoders import ImageTower
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
        tokenize=ClipTokenizer()
        if with_texts
        else lambda texts: torch.zeros(len(texts), 1, dtype=torch.long),
        context_length=train_sets.CONTEXT,
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


def run_our_side(options: argparse.Namespace, what: str) -> None:
    """Load batches until killed, and report the end of each turn on standard error."""
    import torch

    from perceptinit.compute.devices import keep_freed_memory

    keep_freed_memory()  # as in a run
    torch.set_num_threads(1)
    found = 0
    counts = (
        our_samples(options.shards)
        if what == "read"
        else our_batches(options.shards, options.batch_size, options.workers)
    )
    for number in counts:
        found += number
        if found >= TURN_SAMPLES[what]:
            found = 0
            print(MARK, file=sys.stderr, flush=True)


def main() -> None:
    options = bench.parse(
        __doc__,
        peer_python=bench.PEER_PYTHON,
        photos=bench.PHOTOS,
        workers={"default": 0, "help": "loader threads or processes"},
        batch_size=64,
        rounds={"default": 7, "help": "measured turns of each side"},
        read={"default": False, "help": "reading alone"},
        shards={"help": argparse.SUPPRESS},  # given to our side of the comparison
        tiny={"rounds": 1},
    )
    what = "read" if options.read else "batches"
    if options.shards:
        run_our_side(options, what)
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PERCEPTINIT_CACHE"] = f"{folder}/cache"  # indexes of these shards
        shards = train_sets.write_shards(Path(folder), NUM_PAIRS, NUM_SHARDS, options.photos)
        samples = TURN_SAMPLES[what]
        print(
            f"{what}, {options.workers} workers, batch {options.batch_size}, medians of {options.rounds} turns of "
            f"{samples}; {bench.about(threads=1)}\n"
            f"perceptinit with {versions(sys.executable)}\n"
            f"open_clip with {versions(options.peer_python)}",
            flush=True,
        )
        script = Path(__file__).with_name("peer_loader.py")
        numbers = (options.batch_size, options.workers, samples)
        commands = {
            "perceptinit": [sys.executable, __file__, "--shards", shards, *sys.argv[1:]],
            "open_clip": [options.peer_python, script, what, shards, *numbers],
        }
        starts = [partial(bench.PausedProcess, name, command, MARK) for name, command in commands.items()]
        # the first turn starts interpreters and fills buffers
        bench.race(starts, options.rounds, 1, samples)


if __name__ == "__main__":
    main()
