"""Memory, start, look-ups of a step and resume with 10^5 to 4 x 10^8 pairs of synthetic indexes. Linux only.

    python benchmarks/scale.py --folder /tmp/scale            up to 10 GB of disk, freed at the end
    python benchmarks/scale.py --write                        also rewrites the table and the figure of docs/scaling.md
    python benchmarks/scale.py --beside --sizes 15e6          first start of a machine, with shards.index next to the shards

Shards of 10,000 pairs are sparse files, with the index that a scan would write. Each row is the slower or larger value
of two new processes that run at the same time, without pages of the index in memory. They measure `num_pairs`, then the
middle of an epoch, then 20 steps of 4,096 pairs: the order and byte positions of pairs, without decoding. Memory excludes
Python and imports.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bench
import numpy as np

from perceptinit.pairs import local_index
from perceptinit.pairs.augment import Augment
from perceptinit.pairs.loader import PairLoader
from perceptinit.pairs.order import ONE_GENERATOR
from perceptinit.pairs.shard_index import INDEX, ShardIndex, write_index
from perceptinit.pairs.webdataset_pairs import WebdatasetPairs
from perceptinit.types import RunContext

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "scaling.md"
FIGURE = ROOT / "docs" / "images" / "scale.svg"
BEGIN = "<!-- written by benchmarks/scale.py from here -->"
END = "<!-- to here, by benchmarks/scale.py -->"

SIZES = (100_000, 1_000_000, 10_000_000, 15_000_000, 400_000_000)
PER_SHARD = 10_000
SHARDS_IN_FILE = 512
BATCH, STEPS = 4096, 20
# of each pair: an image of 9,000 bytes in 18 blocks, and a caption of 90 in one, with a header each
PAIR_BLOCKS, IMAGE_BLOCKS = 21, 19
at_the_end: threading.Barrier  # of two processes that measure
ORDERS = {"64 shards at a time": 64, "all at once": 0}


def make(folder: Path, num_pairs: int, beside: bool) -> None:
    """Write shards without content, and their index in the cache or, if `beside`, next to them."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:05d}.tar" for number in range(num_pairs // PER_SHARD)]
    for path in paths:
        with path.open("wb") as file:
            file.truncate((PAIR_BLOCKS * PER_SHARD + 2) * 512)
    if beside:
        write_index(folder / INDEX, index_of(paths).values())
        return
    kept = local_index._KeptIndex(folder)
    for at in range(0, len(paths), SHARDS_IN_FILE):
        kept.keep(index_of(paths[at : at + SHARDS_IN_FILE]))


def index_of(paths: Sequence[Path]) -> dict[Path, ShardIndex]:
    starts = np.arange(PER_SHARD) * PAIR_BLOCKS
    columns = {
        "starts": starts.astype(np.uint32),
        "firsts": (2 * np.arange(PER_SHARD)).astype(np.uint16),
        "codes": np.tile([0, 1], PER_SHARD).astype(np.uint8),
        "offsets": np.stack([starts + 1, starts + 1 + IMAGE_BLOCKS], 1).ravel().astype(np.uint32),
        "sizes": np.tile([9000, 90], PER_SHARD).astype(np.uint32),
    }
    about = (PER_SHARD, ("jpg", "txt"), [(PER_SHARD, 0, 1)], columns)
    return {path: ShardIndex(path.name, *local_index._stamp(path), *about) for path in paths}


def measure(folder: Path, shuffle_blocks: int) -> dict[str, float]:
    """Measure in this process. Before memory is read, wait for the other process."""
    before = bench.memory_bytes("RssAnon")
    start, wall = time.process_time(), time.perf_counter()
    pairs = WebdatasetPairs(WebdatasetPairs.Config(shards=f"{folder}/*.tar"))
    known = pairs.num_pairs
    started, waited = time.process_time() - start, time.perf_counter() - wall
    loader = PairLoader(
        pairs, batch_size=BATCH, image_size=224, tokenize=None, context_length=77, augment=Augment(),  # type: ignore[arg-type]
        ctx=RunContext(seed=0, stage="pretrain"), shuffle_blocks=shuffle_blocks,
    )  # fmt: skip
    middle, samples = loader.num_batches // 2 * BATCH, pairs._samples
    start = time.process_time()
    order = loader._order(0)
    first = order[middle : middle + BATCH].tolist()
    resumed = time.process_time() - start
    for index in first:
        samples._at(index)
    last = max(middle, min(middle + STEPS * BATCH, known // BATCH * BATCH) - BATCH)
    places = range(middle, last + 1, BATCH)
    start = time.process_time()
    for place in places:
        for index in order[place : place + BATCH].tolist():
            samples._at(index)
    step = (time.process_time() - start) / len(places)
    at_the_end.wait(600)
    mapped, share = index_mb()
    private = (bench.memory_bytes("RssAnon") - before) / 1e6
    return {
        "private": private, "mapped": mapped, "share": share, "start": started, "wall": waited,
        "step": 1e3 * step, "resume": resumed,
    }  # fmt: skip


def index_mb() -> tuple[float, float]:
    """Return the resident memory of mapped indexes, and this process's share (Rss and Pss)."""
    found = {"Rss": 0, "Pss": 0}
    is_index = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, *rest = line.split()
        if not name.endswith(":"):
            is_index = line.endswith(local_index.SUFFIX)
        elif is_index and name[:-1] in found:
            found[name[:-1]] += int(rest[0])
    return found["Rss"] * 1024 / 1e6, found["Pss"] * 1024 / 1e6


def in_two_processes(folder: Path, shuffle_blocks: int) -> dict[str, float]:
    """Return the larger values of two new processes that measure at the same time."""
    put_out_of_memory(folder)
    both = multiprocessing.get_context("spawn").Barrier(2)
    with bench.new_processes(2, initializer=set_barrier, initargs=(both,)) as pool:
        one, other = pool.map(measure, [folder] * 2, [shuffle_blocks] * 2)
    return {name: max(one[name], other[name]) for name in one}


def set_barrier(both: threading.Barrier) -> None:
    """Keep the barrier of both processes in this one."""
    global at_the_end
    at_the_end = both


def put_out_of_memory(folder: Path) -> None:
    """Remove the pages of the index from memory."""
    for path in [*local_index._KeptIndex(folder)._open(), *folder.glob(INDEX)]:
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def rows_of(folder: Path, num_pairs: int, beside: bool) -> list[dict[str, Any]]:
    """Create an index of this number of pairs, measure each order, and remove the index."""
    own = folder / str(num_pairs)
    try:
        make(own, num_pairs, beside)
        rows = []
        for name, blocks in ORDERS.items():
            if not blocks and num_pairs > ONE_GENERATOR:
                continue
            rows.append({"pairs": num_pairs, "order": name, **in_two_processes(own, blocks)})
            print(line_of(rows[-1]), flush=True)
        return rows
    finally:
        for path in local_index._KeptIndex(own)._open():
            path.unlink()
        shutil.rmtree(own, ignore_errors=True)


def line_of(row: dict[str, Any]) -> str:
    cells = [
        f"{row['pairs']:,}", row["order"], f"{row['private']:.0f}", f"{row['mapped']:.0f}", f"{row['share']:.0f}",
        f"{row['start']:.2f}", f"{row['wall']:.2f}", f"{row['step']:.0f}", f"{row['resume']:.2f}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def section(rows: Sequence[dict[str, Any]]) -> str:
    """Return the Markdown between the marks."""
    head = (
        "| pairs | shuffled | private MB | mapped MB | its share of these | start CPU s | wall s | step CPU ms | resume CPU s |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    command = f"`python benchmarks/scale.py --write`; {bench.about('numpy')}."
    return "\n".join([command, "", head, *map(line_of, rows)])


def renewed(page: str, rows: Sequence[dict[str, Any]]) -> str:
    """Return the page with a new section; ValueError if a mark is missing."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{section(rows)}\n\n{END}{after}"


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw memory, seconds and milliseconds over the number of pairs."""
    from perceptinit.reports.figures import MARKERS, STYLES, require_matplotlib

    require_matplotlib()
    from matplotlib import rcParams
    from matplotlib.figure import Figure

    panels = (
        ("MB a process", {"private": "of its own", "mapped": "mapped, shared"}),
        ("CPU s", {"start": "to start", "resume": "to the middle of an epoch"}),
        ("CPU ms", {"step": f"look-ups of {BATCH:,} pairs"}),
    )
    rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "perceptinit"})
    figure = Figure(figsize=(11, 6), layout="constrained")
    grid = figure.subplots(len(ORDERS), len(panels), squeeze=False, sharex=True, sharey="col")
    for line, order in enumerate(ORDERS):
        own = [row for row in rows if row["order"] == order]
        places = [row["pairs"] for row in own]
        for column, (unit, lines) in enumerate(panels):
            panel = grid[line][column]
            for index, (name, label) in enumerate(lines.items()):
                values = [max(row[name], 1e-3) for row in own]
                panel.plot(places, values, STYLES[index], marker=MARKERS[index], label=label)
            if column == 0:
                before = [150e-6 * place for place in places]
                panel.plot(places, before, ":", color="grey", label="150 bytes a pair, before")
            panel.set(xscale="log", yscale="log", ylabel=unit, title=f"shuffled {order}")
            panel.minorticks_off()
            panel.grid(alpha=0.3)
            panel.legend(frameon=False, fontsize=8)
            if line == len(ORDERS) - 1:
                panel.set_xlabel("pairs")
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    options = bench.parse(
        __doc__,
        sizes={"type": lambda text: int(float(text)), "nargs": "+", "default": SIZES},
        folder=Path(tempfile.gettempdir()) / "scale",
        write={"default": False, "help": "write table and figure of docs/scaling.md"},
        beside={
            "default": False,
            "help": "use shards.index, not the cache of this machine",
        },
        tiny={"sizes": [20_000]},
    )
    os.environ["PERCEPTINIT_CACHE"] = str(options.folder / "cache")
    print(bench.about("numpy"), flush=True)
    rows = [row for size in options.sizes for row in rows_of(options.folder, size, options.beside)]
    if options.write:
        PAGE.write_text(renewed(PAGE.read_text(), rows))
        draw(rows, FIGURE)


if __name__ == "__main__":
    main()
