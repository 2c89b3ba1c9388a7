"""Cost of the loader in the main process and samples per second, with decoding threads and processes.

    python benchmarks/loader_processes.py --photos PHOTOS --batch-size 512
    python benchmarks/loader_processes.py --photos PHOTOS --workers 1 2 8 16

Shards of JPEGs of 500 x 375 pixels (or of unchanged PHOTOS) become batches at 224 px with token ids. Each row is a new
process: samples per second, CPU time of the main process and its children, CPU time of the main thread for the loader
and for the fingerprint, and the fingerprint of all batches, which must be equal.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import train_sets as made

SIZE, NUM_PAIRS, NUM_SHARDS = 224, 2400, 4
WARM_UP = 2  # batches


def measure(
    shards: str, decode_in: str, num_workers: int, batch_size: int, num_batches: int
) -> dict[str, Any]:
    """Measure in this process."""
    import torch

    from perceptinit.backbones.text import Tokenization, clip_tokenizer
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
        tokenize=Tokenization(clip_tokenizer(), made.CONTEXT, can_be_trimmed=True),
        context_length=made.CONTEXT,
        ctx=RunContext(seed=0, stage="pretrain"),
        augment=Augment(),
        num_workers=num_workers,
        decode_in=decode_in,  # type: ignore[arg-type]
    )
    digest, hashing = "", 0.0
    total = WARM_UP + num_batches
    for number, batch in enumerate(loader.batches(0, total), 1):
        before = time.thread_time()
        digest = fingerprint(digest, batch)
        hashing += time.thread_time() - before
        if number == WARM_UP:
            wall, cpu, thread = time.perf_counter(), time.process_time(), time.thread_time()
            children, hashing = of_children(), 0.0
        if number == total:  # before the pool ends
            wall, cpu, thread = (
                time.perf_counter() - wall,
                time.process_time() - cpu,
                time.thread_time() - thread,
            )
            children = of_children() - children
    samples = num_batches * batch_size
    return {
        "rate": samples / wall,
        "children_us": 1e6 * children / samples,
        "main_process_us": 1e6 * cpu / samples,
        "main_thread_us": 1e6 * (thread - hashing) / samples,
        "fingerprint_us": 1e6 * hashing / samples,
        "sha256": digest,
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=Path, help="folder or tar file of JPEG photographs")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--batches", type=int, default=12)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        print(json.dumps(measure(*json.loads(asked.measure))))
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PERCEPTINIT_CACHE"] = f"{folder}/cache"
        shards = made.write_shards(Path(folder), NUM_PAIRS, NUM_SHARDS, asked.photos)
        print(f"batch {asked.batch_size}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        for decode_in, number in [
            ("threads", 0),
            *((kind, n) for n in asked.workers for kind in ("threads", "processes")),
        ]:
            job = json.dumps([shards, decode_in, number, asked.batch_size, asked.batches])
            done = subprocess.run(
                [sys.executable, __file__, "--measure", job], check=True, capture_output=True, text=True
            )
            row = json.loads(done.stdout)
            cells = ", ".join(
                f"{name} {value:.1f}" for name, value in row.items() if name != "sha256" and value
            )
            print(f"{number} {decode_in}: {cells}, {row['sha256'][:12]}", flush=True)


if __name__ == "__main__":
    main()
