"""Batches from remote shards compared with local shards: speed, CPU seconds, traffic, memory and first step.

    python benchmarks/remote_loader.py --folder /tmp/remote_loader

A web server in its own process simulates the object store: it waits 50 ms before each reply, and its total bandwidth
is twice the bytes per second that the local loader read. The cache has room for 10 % of the data, and a shuffle reads
half of that at a time. Local and remote epochs alternate. Before them, the shards are only fetched (`--fetch` does only
this), which gives CPU seconds per GB. The last measurement is the first batch of 1,500 shards of 10,000 small images;
the server stores one shard, and the index is complete. Nothing is trained.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from perceptinit.files.remote.addresses import RemoteFile
from perceptinit.files.remote.fetched import FetchedCache, Piece
from perceptinit.files.remote.network import Stat
from perceptinit.files.remote.read_ahead import NUM_FETCHERS
from perceptinit.pairs.augment import Augment
from perceptinit.pairs.batches import stack_ids
from perceptinit.pairs.loader import PairLoader
from perceptinit.pairs.shard_index import INDEX, scan, write_index
from perceptinit.pairs.tar_file import TarFile
from perceptinit.pairs.webdataset_pairs import WebdatasetPairs
from perceptinit.results.record import processor_name
from perceptinit.types import RunContext

CHUNK_BYTES = 256 << 10


def write_shard(path: Path, num_samples: int, size: int, seed: int) -> None:
    """Write images of smooth noise as JPEG, with a caption each."""
    rng = np.random.default_rng(seed)
    with tarfile.open(path, "w") as tar:
        for sample in range(num_samples):
            small = Image.fromarray(rng.integers(0, 256, (size // 4, size // 4, 3), dtype=np.uint8))
            file = io.BytesIO()
            small.resize((size, size), Image.Resampling.BICUBIC).save(file, "jpeg", quality=90)
            for suffix, data in (("jpg", file.getvalue()), ("txt", b"an image of noise")):
                info = tarfile.TarInfo(f"{sample:06d}.{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def serve(folder: Path, latency: float) -> None:
    """Serve a folder; `/rate/N` sets the bytes a second, `/sent` tells the bytes so far. Absent tars are `any.tar`."""
    rate, sent, free_at, lock = [1e12], [0], [0.0], threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: object) -> None:
            pass

        def do_GET(self) -> None:
            if self.path.startswith("/rate/"):
                rate[0] = float(self.path.rpartition("/")[2])
            if self.path.startswith(("/rate/", "/sent")):
                self._answer(200, json.dumps(sent[0]).encode())
                return
            time.sleep(latency)
            path = folder / self.path.lstrip("/")
            path = path if path.exists() or path.suffix != ".tar" else path.parent / "any.tar"
            if not path.exists():
                self._answer(404, b"")
                return
            data = memoryview(path.read_bytes()) if self.headers.get("Range") else memoryview(b"")
            total, range_ = path.stat().st_size, self.headers.get("Range")
            if not range_:
                self._answer(200, data, {"Content-Length": str(total), "ETag": '"1"'})
                return
            first, last = map(int, range_.removeprefix("bytes=").split("-"))
            stop = min(last + 1, total)
            place = {"Content-Range": f"bytes {first}-{stop - 1}/{total}", "ETag": '"1"'}
            self._answer(206, data[first:stop], place)

        do_HEAD = do_GET  # noqa: N815

        def _answer(self, status: int, data: bytes | memoryview, headers: dict | None = None) -> None:
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(data))} | (headers or {})).items():
                self.send_header(name, value)
            self.end_headers()
            for start in range(0, len(data) if self.command == "GET" else 0, CHUNK_BYTES):
                chunk = data[start : start + CHUNK_BYTES]
                with lock:  # all answers share the line, which is free again after this chunk
                    free_at[0] = max(free_at[0], time.monotonic()) + len(chunk) / rate[0]
                    sent[0] += len(chunk)
                time.sleep(max(0.0, free_at[0] - time.monotonic()))
                self.wfile.write(chunk)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(server.server_port, flush=True)
    threading.Thread(
        target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True
    ).start()  # ends with its parent
    server.serve_forever()


def ask(url: str) -> int:
    with urllib.request.urlopen(url) as answer:
        return int(json.load(answer))


def make_loader(pairs: WebdatasetPairs, batch_size: int, threads: int, window: int) -> PairLoader:
    tokenize = lambda texts: stack_ids([np.frombuffer(t.encode(), np.uint8).copy() for t in texts])  # noqa: E731
    return PairLoader(
        pairs, batch_size=batch_size, image_size=224, tokenize=tokenize, context_length=77, augment=Augment(),
        ctx=RunContext(seed=0, stage="pretrain"), num_workers=threads, shuffle_blocks=window,
    )  # fmt: skip


def timed_epoch(loader: PairLoader, epoch: int) -> dict[str, float]:
    """Return wall and CPU seconds of an epoch, and the memory after it in MB."""
    start, cpu = time.perf_counter(), time.process_time()
    number = loader.num_batches
    for _ in loader.batches(epoch * number, (epoch + 1) * number):
        pass
    wall, used = time.perf_counter() - start, time.process_time() - cpu
    return {"wall": wall, "cpu": used, "mb": memory_mb()}


def memory_mb(which: str = "VmRSS") -> float:
    """Return resident memory: all, or `RssAnon`, which is private and excludes mapped files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith(which))


def make_shards(o: argparse.Namespace, shards: Path) -> list[Path]:
    """Write missing shards, and return all shards."""
    shards.mkdir(parents=True, exist_ok=True)
    paths = [shards / f"{number:05d}.tar" for number in range(o.shards)]
    for number, path in enumerate(paths):
        if not path.exists():
            write_shard(path, o.samples, 256, number)
    return paths


def fetch(o: argparse.Namespace, url: str, folder: Path) -> None:
    """Fetch all shards with the threads of a loader, into a cache with room for a tenth of them."""
    sizes = {path.name: path.stat().st_size for path in make_shards(o, folder / "set")}
    cache = FetchedCache(sum(sizes.values()) // 10)
    pieces = [Piece.whole(RemoteFile(f"{url}/set/{name}"), Stat(size, "1")) for name, size in sizes.items()]

    def hold(piece: Piece) -> None:
        while (found := cache.hold(piece)) is None:  # other threads hold what is there
            time.sleep(0.001)
        found[1].release()

    hold(pieces[0])  # also imports what it needs
    before = os.times()
    with ThreadPoolExecutor(NUM_FETCHERS) as pool:
        list(pool.map(hold, pieces[1:]))
    after, gb = os.times(), sum(piece.room for piece in pieces[1:]) / 1e9
    user, system = after.user - before.user, after.system - before.system
    print(f"fetching: {(user + system) / gb:.2f} CPU s per GB ({user / gb:.2f} of them user)")


def compare(o: argparse.Namespace, url: str, folder: Path) -> None:
    shards = folder / "set"
    paths = make_shards(o, shards)
    write_index(shards / INDEX, (scan(TarFile(path), "1") for path in paths))
    num_bytes = sum(path.stat().st_size for path in paths)
    pattern = f"{{00000..{o.shards - 1:05d}}}.tar"
    local = WebdatasetPairs(WebdatasetPairs.Config(shards=f"{shards}/{pattern}"))
    remote = WebdatasetPairs(
        WebdatasetPairs.Config(shards=f"{url}/set/{pattern}", cache_gb=0.1001 * num_bytes / 1e9)
    )
    window = max(1, o.shards // 20)
    loaders = [make_loader(pairs, 64, o.threads, window) for pairs in (local, remote)]
    first = timed_epoch(loaders[0], 0)  # also fills the system's cache
    ask(f"{url}/rate/{2 * num_bytes / first['wall']}")
    results: list[list[dict[str, float]]] = [[], []]
    before = ask(f"{url}/sent")
    for epoch, which in itertools.product(range(1, o.epochs + 1), (0, 1)):
        results[which].append(timed_epoch(loaders[which], epoch))
    traffic = (ask(f"{url}/sent") - before) / (o.epochs * num_bytes)
    samples = loaders[0].num_batches * 64
    print(
        f"{o.shards} shards, {o.shards * o.samples:,} pairs, {num_bytes / 1e6:,.0f} MB; {o.threads} threads; "
        f"line of {2 * num_bytes / first['wall'] / 1e6:.0f} MB/s, cache of 10 %, {window} shards at a time"
    )
    for name, rows in zip(("local", "remote"), results, strict=True):
        wall, cpu = (statistics.median(row[key] for row in rows) for key in ("wall", "cpu"))
        print(
            f"{name:>7}: {samples / wall:7.0f} samples/s, {1e3 * cpu / samples:.3f} CPU ms a sample "
            f"(medians of {len(rows)} epochs), memory {rows[0]['mb']:.0f} MB after the first, {rows[-1]['mb']:.0f} after the last"
        )
    shares = [a["wall"] / b["wall"] for a, b in zip(*results, strict=True)]
    print(
        f"remote at {100 * statistics.median(shares):.0f} % of local speed ({100 * min(shares):.0f} to {100 * max(shares):.0f}, "
        f"epoch against epoch); traffic {traffic:.3f} of the data an epoch"
    )


def first_step(o: argparse.Namespace, url: str, folder: Path) -> None:
    many = folder / "many"
    many.mkdir(parents=True, exist_ok=True)
    if not (many / "any.tar").exists():
        write_shard(many / "any.tar", 10_000, 16, 0)
    one = scan(TarFile(many / "any.tar"), "1")
    if not (many / INDEX).exists():
        write_index(many / INDEX, (replace(one, name=f"{number:05d}.tar") for number in range(1500)))
    memory, own = memory_mb(), memory_mb("RssAnon")
    start, cpu = time.perf_counter(), time.process_time()
    pairs = WebdatasetPairs(
        WebdatasetPairs.Config(shards=f"{url}/many/{{00000..01499}}.tar", cache_gb=50 * one.num_bytes / 1e9)
    )
    known = pairs.num_pairs
    indexed = time.perf_counter() - start
    batches = make_loader(pairs, 256, o.threads, 20).batches(0, 10)
    next(batches)
    print(
        f"1,500 shards, {known:,} pairs, index of {(many / INDEX).stat().st_size / 1e6:.0f} MB: known after {indexed:.1f} s, "
        f"first batch (20 shards of {one.num_bytes / 1e6:.0f} MB shuffled) after {time.perf_counter() - start:.1f} s, "
        f"{time.process_time() - cpu:.1f} CPU s, {memory_mb() - memory:.0f} MB more resident, "
        f"{memory_mb('RssAnon') - own:.0f} of it not the mapped index"
    )
    batches.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "remote_loader")
    parser.add_argument("--shards", type=int, default=40)
    parser.add_argument("--samples", type=int, default=250, help="in a shard")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds before each reply")
    parser.add_argument("--fetch", action="store_true", help="measure fetching only")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    o = parser.parse_args()
    if o.serve:
        serve(o.folder, o.latency)
        return
    command = [
        sys.executable,
        __file__,
        "--serve",
        "--folder",
        str(o.folder),
        "--latency",
        str(o.latency),
    ]
    with (
        tempfile.TemporaryDirectory() as cache,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server,
    ):
        os.environ["PERCEPTINIT_CACHE"] = cache
        assert server.stdout
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        torch.set_num_threads(1)
        print(f"{processor_name()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        fetch(o, url, o.folder)
        if not o.fetch:
            compare(o, url, o.folder)
            first_step(o, url, o.folder)
        server.terminate()


if __name__ == "__main__":
    main()
