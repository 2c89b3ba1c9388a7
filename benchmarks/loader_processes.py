"""Cost of the loader in the main process and samples per second, with decoding threads and processes. Linux only.

    python benchmarks/loader_processes.py --photos PHOTOS --batch-size 512
    python benchmarks/loader_processes.py --photos PHOTOS --workers 1 2 8 16

Shards of JPEGs of 500 x 375 pixels (or of unchanged PHOTOS) become batches at 224 px with token ids. Each row is a new
process: samples per second, CPU time of the main process and its children, CPU time of the main thread for the loader
and for the fingerprint, and the fingerprint of all batches, which must be equal.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import bench
import train_sets

SIZE, NUM_PAIRS, NUM_SHARDS = 224, 2400, 4
WARM_UP = 2  # batches


def measure(
    shards: str, decode_in: str, num_workers: int, batch_size: int, num_batches: int
) -> dict[str, Any]:
    """Measure in this process."""
    import torch

    from perceptinit.backbones.clip_tokenizer import clip_tokenizer
    from perceptinit.backbones.text import Tokenization
    from perceptinit.compute.devices import keep_freed_memory
    from perceptinit.pairs.augment import Augment
    from perceptinit.pairs.batches import fingerprint
    from perceptinit.pairs.loader import PairLoader
    from perceptinit.pairs.webdataset_pairs import WebdatasetPairs
    from perceptinit.types import RunContext

    keep_freed_memory()
    torch.set_num_threads(1)
    loader = PairLoader(
        WebdatasetPairs(WebdatasetPairs.Config(shards=shards)),
        batch_size=batch_size,
        image_size=SIZE,
        tokenize=Tokenization(clip_tokenizer(), train_sets.CONTEXT, can_be_trimmed=True),
        context_length=train_sets.CONTEXT,
        ctx=RunContext(seed=0, stage="pretrain"),
        augment=Augment(),
        num_workers=num_workers,
        decode_in=decode_in,  # type: ignore[arg-type]
    )
    digest = ""
    hashing = 0.0
    total = WARM_UP + num_batches
    for number, batch in enumerate(loader.batches(0, total), 1):
        before = time.thread_time()
        digest = fingerprint(digest, batch)
        hashing += time.thread_time() - before
        if number == WARM_UP:
            begin = read_clocks()
            hashing = 0.0
        if number == total:  # before the pool ends
            end = read_clocks()
    samples = num_batches * batch_size
    micros = {name: 1e6 * (end[name] - begin[name]) / samples for name in end}
    own_hashing = 1e6 * hashing / samples
    return {
        "rate": 1e6 / micros["wall"],
        "children_us": micros["children"],
        "main_process_us": micros["cpu"],
        "main_thread_us": micros["thread"] - own_hashing,
        "fingerprint_us": own_hashing,
        "sha256": digest,
    }


def read_clocks() -> dict[str, float]:
    """Return wall seconds, and CPU seconds of this process, this thread and the children."""
    return {
        "wall": time.perf_counter(),
        "cpu": time.process_time(),
        "thread": time.thread_time(),
        "children": of_children(),
    }


def of_children() -> float:
    """Return the CPU seconds of the children of this process so far."""
    total = 0
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text().split():
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def main() -> None:
    options = bench.parse(
        __doc__,
        photos=bench.PHOTOS,
        workers=[1, 2],
        batch_size=512,
        batches=12,
        tiny={"workers": [1], "batch_size": 8, "batches": 2},
    )
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PERCEPTINIT_CACHE"] = f"{folder}/cache"
        shards = train_sets.write_shards(Path(folder), NUM_PAIRS, NUM_SHARDS, options.photos)
        print(f"batch {options.batch_size}; {bench.about('torch', 'simplejpeg', threads=1)}", flush=True)
        fingerprints = set()
        settings = [(kind, number) for number in options.workers for kind in ("threads", "processes")]
        for decode_in, number in [("threads", 0), *settings]:
            row = bench.in_new_process(
                measure, shards, decode_in, number, options.batch_size, options.batches
            )
            sha256 = row.pop("sha256")
            cells = ", ".join(f"{name} {value:.1f}" for name, value in row.items() if value)
            print(f"{number} {decode_in}: {cells}, {sha256[:12]}", flush=True)
            fingerprints.add(sha256)
    if len(fingerprints) > 1:
        raise SystemExit("the batches differ")


if __name__ == "__main__":
    main()
