"""Response times of `perceptinit collect` under load; each answer is synced to disk before the reply.

    python benchmarks/collect_load.py --people 200 --every 2 --seconds 60 --images 1000
    python benchmarks/collect_load.py --people 50 --seconds 300 --images 50 --silent 1000
    python benchmarks/collect_load.py --people 50 --seconds 60 --images 50 --readers 820

The first number is the time from the command to the first question of a new study. Under load, each participant then
fetches the images of a trial like the page, pauses, and answers; every tenth answer uses a new connection. --silent
sets the number of connections that send nothing; each is reopened a second after the server closes it. --readers sets
the number of connections that request an image of 2 MB and never read it. Server and load share the machine's cores,
and the server can open 1,024 files. The command prints percentiles of the time from an answer to its reply, and the
peak memory of the server. Any unsuccessful reply ends the benchmark with an error, and so does any closed connection of
a participant without --readers. With --readers, participants reconnect, as browsers do, and the waiting times include
that.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import re
import resource
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import bench
import numpy as np
from PIL import Image

JSON, FORM = "application/json", "application/x-www-form-urlencoded"
NUM_QUESTIONS = 2000
LARGE = "large"  # begins the names of large images


@dataclass
class Browser:
    """A person's browser: one connection, the session's cookie, images kept once fetched."""

    address: str
    cookie: str = ""
    does_reconnect: bool = False
    num_reconnects: int = 0
    seen: set[str] = field(default_factory=set)
    reader: asyncio.StreamReader | None = None
    writer: asyncio.StreamWriter | None = None

    async def ask(self, method: str, path: str, body: str = "", kind: str = JSON) -> tuple[int, bytes]:
        """Send a request, with `does_reconnect` again until a reply arrives."""
        while True:
            try:
                return await self._ask_once(method, path, body, kind)
            except (OSError, EOFError):
                if not self.does_reconnect:
                    raise
                self.num_reconnects += 1
                await asyncio.sleep(0.2)

    async def _ask_once(self, method: str, path: str, body: str, kind: str) -> tuple[int, bytes]:
        """Send a request and return status and content; OSError or EOFError when the server is gone."""
        if self.writer is None or self.reader is None:
            where = urlsplit(self.address)
            self.reader, self.writer = await asyncio.open_connection(where.hostname, where.port)
        host = urlsplit(self.address).netloc
        head = f"{method} {path} HTTP/1.1\r\nhost: {host}\r\ncookie: {self.cookie}\r\n"
        head += f"content-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
        try:
            self.writer.write((head + body).encode())
            return await self._reply()
        except (OSError, EOFError):
            self.close()
            raise

    async def _reply(self) -> tuple[int, bytes]:
        assert self.reader is not None
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if line)
        if "set-cookie" in headers:
            self.cookie = headers["set-cookie"].partition(";")[0]
        content = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return int(lines[0].split()[1]), content

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None

    async def begin(self) -> dict[str, Any]:
        """Consent and return the trials."""
        await self.ask("GET", "/")
        status, _ = await self.ask("POST", "/begin", "agree=yes&age=yes", FORM)
        assert status == 303, f"/begin answered {status}"
        await self.ask("GET", "/trials")
        return json.loads((await self.ask("GET", "/state"))[1])

    async def look(self, trial: dict[str, Any]) -> None:
        """Fetch a trial's images that were not fetched before."""
        for key in {trial["anchor"], *trial["places"]} - {None, *self.seen}:
            status, _ = await self.ask("GET", f"/image/{key}")
            assert status == 200, f"/image answered {status}"
            self.seen.add(key)


def answer_of(position: int, place: int) -> str:
    """Return an answer as the page sends it."""
    said = {"position": position, "place": place, "seconds": 1.0, "input": "key"}
    return json.dumps({**said, "is_interrupted": False})


def write_photographs(folder: Path, count: int, large: int = 0) -> None:
    """Write JPEGs of 500 x 375 pixels with the detail of photographs (60 kB), and large ones (2 MB)."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        _photograph(rng, (500, 375)).save(folder / f"{i:05d}.jpg", quality=85)
    for i in range(large):
        _photograph(rng, (1600, 1200)).save(folder / f"{LARGE}{i}.jpg", quality=98)


def _photograph(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    coarse = Image.fromarray(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8))
    pixels = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC)).astype(np.int16)
    noisy = np.clip(pixels + rng.integers(-12, 12, pixels.shape), 0, 255).astype(np.uint8)
    return Image.fromarray(noisy)


def start(*arguments: object) -> tuple[subprocess.Popen[str], str]:
    """Start `perceptinit collect` and return the process and the page's address."""
    command = [sys.executable, "-m", "perceptinit", "collect", *map(str, arguments)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    for line in server.stdout:
        if line.startswith("people:"):
            return server, line.split()[1]
    raise SystemExit("the server ended: " + " ".join(command))


def make_study(photographs: Path, study: Path, *options: object, task: str = "2afc") -> None:
    """Make a study with filled blanks, in which any number of people can start from one address."""
    words = [photographs, "--task", task, "--questions", NUM_QUESTIONS, "--out", study, "--status", *options]
    command = [sys.executable, "-m", "perceptinit", "collect", *map(str, words)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    for text_file in (study / "texts").glob("*.md"):
        text_file.write_text(re.sub(r"\[FILL IN [^]]*\]", "filled", text_file.read_text()))
    settings = study / "study.toml"
    text = settings.read_text()
    settings.write_text(text.replace("begins_per_minute = 60", "begins_per_minute = 1000000"))


async def first_question(address: str) -> None:
    browser = Browser(address)
    state = await browser.begin()
    await browser.look(state["trials"][0])
    browser.close()


async def person(
    browser: Browser, every: float, until: float, rng: random.Random, waits: list[float]
) -> None:
    """Answer every `every` seconds until the time is over. A new participant replaces one who finished."""
    await asyncio.sleep(rng.uniform(0, every))
    while time.monotonic() < until:
        browser.cookie = ""
        state = await browser.begin()
        for position, trial in enumerate(state["trials"]):
            due = time.monotonic() + every * rng.uniform(0.9, 1.1)
            if position % 10 == 0:
                browser.close()
            await browser.look(trial)
            await asyncio.sleep(max(0, due - time.monotonic()))
            if time.monotonic() > until:
                break
            sent = time.perf_counter()
            status, _ = await browser.ask("POST", "/answer", answer_of(position, rng.randrange(2)))
            waits.append(time.perf_counter() - sent)
            assert status == 200, f"/answer answered {status}"
    browser.close()


async def stay_silent(address: str, until: float, opened: list[float]) -> None:
    """Keep a connection open without sending anything."""
    where = urlsplit(address)
    while time.monotonic() < until:
        try:
            reader, writer = await asyncio.open_connection(where.hostname, where.port)
            opened.append(time.monotonic())
            await asyncio.wait_for(reader.read(), until - time.monotonic())
            writer.close()
        except (OSError, TimeoutError):
            pass
        await asyncio.sleep(1)


async def stay_unread(address: str, until: float, request: bytes, opened: list[float]) -> None:
    """Keep a connection open that requested an image and does not read it."""
    where = urlsplit(address)
    loop = asyncio.get_running_loop()
    while time.monotonic() < until:
        with suppress(OSError, TimeoutError), socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            await asyncio.wait_for(loop.sock_connect(client, (where.hostname, where.port)), 5)
            await loop.sock_sendall(client, request)
            opened.append(time.monotonic())
            while time.monotonic() < until:
                await asyncio.sleep(1)
                client.getpeername()  # OSError once the server has closed the connection
        await asyncio.sleep(1)


async def request_image(address: str, image: Path) -> bytes:
    """Return a request for an image of the study, with the cookie of a new session."""
    browser = Browser(address)
    await browser.begin()
    browser.close()
    key = hashlib.sha256(image.read_bytes()).hexdigest()[:20]
    host = urlsplit(address).netloc
    return f"GET /image/{key} HTTP/1.1\r\nhost: {host}\r\ncookie: {browser.cookie}\r\n\r\n".encode()


async def load(
    study: Path, address: str, people: int, every: float, seconds: float, silent: int, readers: int, seed: int
) -> list[float]:
    waits: list[float] = []
    opened: list[float] = []
    # a bucket of requests of one session would be empty soon
    images = [*(study / "images").glob(f"{LARGE}*")]
    requests = [await request_image(address, image) for image in images for _ in range(20)]
    until = time.monotonic() + seconds
    others = [stay_silent(address, until, opened) for _ in range(silent)]
    others += [stay_unread(address, until, requests[i % 20], opened) for i in range(readers)]
    tasks = [asyncio.create_task(other) for other in others]
    browsers = [Browser(address, does_reconnect=readers > 0) for _ in range(people)]
    crowd = (person(b, every, until, random.Random(seed + i), waits) for i, b in enumerate(browsers))
    await asyncio.gather(*crowd)
    await asyncio.gather(*tasks)
    if silent:
        print(f"{silent:,} silent connections at once, opened {len(opened):,} times in {seconds:g} s")
    if readers:
        again = sum(browser.num_reconnects for browser in browsers)
        print(f"{readers:,} connections that do not read, opened {len(opened):,} times in {seconds:g} s")
        print(f"participants reconnected {again:,} times")
    return waits


def main() -> None:
    options = bench.parse(
        __doc__,
        people=200,
        every={"default": 2.0, "help": "seconds between the answers of a participant"},
        seconds=60.0,
        images=1000,
        silent={"default": 0, "help": "connections that send nothing"},
        readers={"default": 0, "help": "connections that do not read an image that they requested"},
        seed=0,
        tiny={"people": 3, "every": 0.3, "seconds": 2.0, "images": 30, "silent": 2, "readers": 2},
    )
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, most_files))  # the server inherits this limit
    print(bench.about("perceptinit-collect"))
    with tempfile.TemporaryDirectory() as temporary:
        study, photographs = Path(temporary) / "study", Path(temporary) / "photographs"
        write_photographs(photographs, options.images, int(options.readers > 0))
        began = time.perf_counter()
        draft = Path(temporary) / "draft"
        questions = ("--task", "2afc", "--questions", NUM_QUESTIONS)
        server, address = start(photographs, *questions, "--out", draft, "--port", 0, "--draft")
        asyncio.run(first_question(address))
        first = time.perf_counter() - began
        print(f"from the command to the first question, {options.images} images: {first:.2f} s")
        server.terminate()
        server.wait()
        make_study(photographs, study)
        server, address = start(study, "--port", 0)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(most_files, 4096), most_files))
        amounts = (options.people, options.every, options.seconds, options.silent, options.readers)
        try:
            waits = np.array(asyncio.run(load(study, address, *amounts, options.seed))) * 1000
        finally:
            server.terminate()
            _, _, usage = os.wait4(server.pid, 0)
    median, p95, p99 = np.percentile(waits, [50, 95, 99])
    cpu = (usage.ru_utime + usage.ru_stime) * 1000 / len(waits)
    print(
        f"{options.people} people, an answer every {options.every:g} s each: {len(waits):,} answers in "
        f"{options.seconds:g} s\n"
        f"wait for a reply, ms: median {median:.1f}, 95 % {p95:.1f}, 99 % {p99:.1f}, longest {waits.max():.1f}\n"
        f"the server's CPU time an answer, with three images: {cpu:.1f} ms; "
        f"peak memory {usage.ru_maxrss / 1024:.0f} MB"
    )


if __name__ == "__main__":
    main()
