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
import json
import multiprocessing
import os
import statistics
import tarfile
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path

import bench
import numpy as np
import torch
from PIL import Image
from train_sets import add_member

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
                add_member(tar, f"{sample:06d}.{suffix}", data)


def serve(folder: Path, latency: float, port: Connection) -> None:
    """Serve a folder, and send the port.

    `/rate/N` sets the bytes per second, `/sent` returns the bytes so far. Missing tar files are `any.tar`.
    """
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
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(
        target=lambda: (parent.join(), os._exit(0)), daemon=True
    ).start()  # also ends if it is killed
    port.send(server.server_port)
    server.serve_forever()


@contextmanager
def web_server(folder: Path, latency: float) -> Iterator[str]:
    """Yield the address of a web server in its own process."""
    context = multiprocessing.get_context("spawn")
    port, other_end = context.Pipe()
    server = context.Process(target=serve, args=(folder, latency, other_end), daemon=True)
    server.start()
    try:
        yield f"http://127.0.0.1:{port.recv()}"
    finally:
        server.terminate()


def ask(url: str) -> int:
    with urllib.request.urlopen(url) as answer:
        return int(json.load(answer))


def make_loader(pairs: WebdatasetPairs, batch_size: int, threads: int, window: int) -> PairLoader:
    tokenize = lambda texts: stack_ids([np.frombuffer(t.encode(), np.uint8).copy() for t in texts])  # noqa: E731
    return PairLoader(
        pairs, batch_size=batch_size, image_size=224, tokenize=tokenize, context_length=77, augment=Augment(),
        ctx=RunContext(seed=0, stage="pretrain"), num_workers=threads, shuffle_blocks=window,
    )  # fmt: skip


def run_epoch(loader: PairLoader, epoch: int) -> None:
    """Load the batches of an epoch."""
    number = loader.num_batches
    for _ in loader.batches(epoch * number, (epoch + 1) * number):
        pass


def memory_mb(name: str = "VmRSS") -> float:
    """Return resident memory: all, or `RssAnon`, which is private and excludes mapped files."""
    return bench.memory_bytes(name) / 1e6


def make_shards(options: argparse.Namespace, folder: Path) -> list[Path]:
    """Write missing shards, and return all shards."""
    shards = folder / f"set-{options.samples}"
    shards.mkdir(parents=True, exist_ok=True)
    paths = [shards / f"{number:05d}.tar" for number in range(options.shards)]
    for number, path in enumerate(paths):
        if not path.exists():
            write_shard(path, options.samples, 256, number)
    return paths


def fetch(options: argparse.Namespace, url: str, folder: Path) -> None:
    """Fetch all shards with the threads of a loader, into a cache with room for a tenth of them."""
    sizes = {path.relative_to(folder): path.stat().st_size for path in make_shards(options, folder)}
    cache = FetchedCache(sum(sizes.values()) // 10)
    pieces = [Piece.whole(RemoteFile(f"{url}/{path}"), Stat(size, "1")) for path, size in sizes.items()]

    def hold(piece: Piece) -> None:
        found = cache.hold(piece)
        while found is None:  # other threads hold all pieces of the cache
            time.sleep(0.001)
            found = cache.hold(piece)
        found[1].release()

    hold(pieces[0])  # also imports what it needs
    before = os.times()
    with ThreadPoolExecutor(NUM_FETCHERS) as pool:
        list(pool.map(hold, pieces[1:]))
    after, gb = os.times(), sum(piece.room for piece in pieces[1:]) / 1e9
    user, system = after.user - before.user, after.system - before.system
    print(f"fetching: {(user + system) / gb:.2f} CPU s per GB ({user / gb:.2f} of them user)")


def compare(options: argparse.Namespace, url: str, folder: Path) -> None:
    """Load local and remote epochs in alternation, and print speed, CPU time, memory and traffic."""
    paths = make_shards(options, folder)
    shards = paths[0].parent
    write_index(shards / INDEX, (scan(TarFile(path), "1") for path in paths))
    num_bytes = sum(path.stat().st_size for path in paths)
    pattern = f"{{00000..{options.shards - 1:05d}}}.tar"
    local = WebdatasetPairs(WebdatasetPairs.Config(shards=f"{shards}/{pattern}"))
    remote = WebdatasetPairs(
        WebdatasetPairs.Config(shards=f"{url}/{shards.name}/{pattern}", cache_gb=0.1001 * num_bytes / 1e9)
    )
    window = max(1, options.shards // 20)
    loaders = {
        name: make_loader(pairs, options.batch_size, options.threads, window)
        for name, pairs in (("local", local), ("remote", remote))
    }
    first = bench.spend(partial(run_epoch, loaders["local"], 0))  # also fills the system's cache
    rate = 2 * num_bytes / first.wall
    ask(f"{url}/rate/{rate}")
    before = ask(f"{url}/sent")
    memory: dict[str, list[float]] = {name: [] for name in loaders}

    def next_epoch(name: str) -> bench.Spent:
        epoch = 1 + len(memory[name])
        spent = bench.spend(partial(run_epoch, loaders[name], epoch))
        memory[name].append(memory_mb())
        return spent

    spent = bench.alternate({name: partial(next_epoch, name) for name in loaders}, options.epochs)
    traffic = (ask(f"{url}/sent") - before) / (options.epochs * num_bytes)
    samples = loaders["local"].num_batches * options.batch_size
    print(
        f"{options.shards} shards, {options.shards * options.samples:,} pairs, {num_bytes / 1e6:,.0f} MB; "
        f"{options.threads} threads; line of {rate / 1e6:.0f} MB/s, cache of 10 %, {window} shards at a time; "
        f"medians of {options.epochs} epochs"
    )
    for name, turns in spent.items():
        cpu, wall = bench.columns(turns)
        print(
            f"{name:>7}: {samples / statistics.median(wall):.0f} samples/s, "
            f"{bench.spread(cpu, 'CPU ms a sample', 3, 1000 / samples)}, memory {memory[name][0]:.0f} MB after the first, "
            f"{memory[name][-1]:.0f} after the last"
        )
    _, local_wall = bench.columns(spent["local"])
    _, remote_wall = bench.columns(spent["remote"])
    print(
        f"remote / local speed {bench.ratio(local_wall, remote_wall)}; traffic {traffic:.3f} of the data an epoch"
    )


def first_step(options: argparse.Namespace, url: str, folder: Path) -> None:
    """Print the time and the memory until the first batch of many shards, whose content is one shard."""
    many = folder / f"many-{options.many_shards}-{options.many_samples}"
    many.mkdir(parents=True, exist_ok=True)
    if not (many / "any.tar").exists():
        write_shard(many / "any.tar", options.many_samples, 16, 0)
    one = scan(TarFile(many / "any.tar"), "1")
    if not (many / INDEX).exists():
        numbers = range(options.many_shards)
        write_index(many / INDEX, (replace(one, name=f"{number:05d}.tar") for number in numbers))
    memory, own = memory_mb(), memory_mb("RssAnon")
    start, cpu = time.perf_counter(), time.process_time()
    shards = f"{url}/{many.name}/{{00000..{options.many_shards - 1:05d}}}.tar"
    pairs = WebdatasetPairs(WebdatasetPairs.Config(shards=shards, cache_gb=50 * one.num_bytes / 1e9))
    known = pairs.num_pairs
    indexed = time.perf_counter() - start
    batches = make_loader(pairs, 256, options.threads, 20).batches(0, 10)
    next(batches)
    print(
        f"{options.many_shards:,} shards, {known:,} pairs, index of {(many / INDEX).stat().st_size / 1e6:.0f} MB: "
        f"known after {indexed:.1f} s, first batch (20 shards of {one.num_bytes / 1e6:.0f} MB shuffled) after "
        f"{time.perf_counter() - start:.1f} s, {time.process_time() - cpu:.1f} CPU s, "
        f"{memory_mb() - memory:.0f} MB more resident, {memory_mb('RssAnon') - own:.0f} of it not the mapped index"
    )
    batches.close()


def main() -> None:
    options = bench.parse(
        __doc__,
        folder=Path(tempfile.gettempdir()) / "remote_loader",
        shards=40,
        samples={"default": 250, "help": "in a shard"},
        batch_size=64,
        epochs=3,
        threads=2,
        latency={"default": 0.05, "help": "seconds before each reply"},
        many_shards={"default": 1500, "help": "of the first batch"},
        many_samples={"default": 10_000, "help": "in each of them"},
        fetch={"default": False, "help": "measure fetching only"},
        tiny={
            "shards": 12,
            "samples": 4,
            "batch_size": 8,
            "epochs": 1,
            "many_shards": 30,
            "many_samples": 20,
        },
    )
    with tempfile.TemporaryDirectory() as cache, web_server(options.folder, options.latency) as url:
        os.environ["PERCEPTINIT_CACHE"] = cache
        torch.set_num_threads(1)
        print(bench.about("torch"), flush=True)
        fetch(options, url, options.folder)
        if not options.fetch:
            compare(options, url, options.folder)
            first_step(options, url, options.folder)


if __name__ == "__main__":
    main()
