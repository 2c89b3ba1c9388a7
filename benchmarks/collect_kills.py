"""Kill the server of `perceptinit collect` repeatedly with SIGKILL under load, and count lost answers.

    python benchmarks/collect_kills.py --kills 100 --people 50 --seed 0

Simulated participants answer as fast as the server replies and resend an answer until it is acknowledged, like the
page. Afterwards, the database must contain every acknowledged answer once, unchanged, with valid checksums.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import socket
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path

import bench
from collect_load import FORM, JSON, Browser, answer_of, make_study, start, write_photographs
from perceptinit_collect.checks import read_checked

Acknowledged = dict[tuple[str, int], int]
"""The place that was acknowledged, by the session's token and the trial's position."""


class Crowd:
    """Simulated participants with open sessions until `is_over`."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.is_over = False
        self.acknowledged: Acknowledged = {}
        self.sent_again = 0

    async def person(self, number: int) -> None:
        rng = random.Random(number)
        browser = Browser(self.address)
        while not self.is_over:
            browser.cookie = ""
            while not browser.cookie and not self.is_over:
                await self._ask(browser, "POST", "/begin", "agree=yes&age=yes", FORM)
            state = await self._ask(browser, "GET", "/state")
            for position in range(len(json.loads(state)["trials"]) if state else 0):
                place = rng.randrange(2)
                if await self._ask(browser, "POST", "/answer", answer_of(position, place)):
                    token = browser.cookie.partition("=")[2]
                    self.acknowledged[token, position] = place

    async def _ask(self, browser: Browser, method: str, path: str, body: str = "", kind: str = JSON) -> bytes:
        """Send a request until a reply arrives and return it, or b"" once the crowd is over."""
        while not self.is_over:
            try:
                status, content = await browser.ask(method, path, body, kind)
            except (OSError, EOFError):
                self.sent_again += 1
            else:
                if status != 429:  # faster than people are
                    assert status < 400, f"{path} answered {status}: {content!r}"
                    return content or b"-"
            await asyncio.sleep(0.05)
        return b""


async def kill_again_and_again(
    study: Path, port: int, kills: int, people: int, seconds: tuple[float, float], seed: int
) -> Crowd:
    rng = random.Random(seed)
    server, address = start(study, "--port", port)
    crowd = Crowd(address)
    tasks = [asyncio.create_task(crowd.person(number)) for number in range(people)]
    for kill in range(kills):
        await asyncio.sleep(rng.uniform(*seconds))
        server.kill()
        await asyncio.to_thread(server.wait)
        if (kill + 1) % 10 == 0:
            print(f"{kill + 1} kills, {len(crowd.acknowledged):,} answers acknowledged", flush=True)
        server, _ = await asyncio.to_thread(start, study, "--port", port)
    await asyncio.sleep(1)
    crowd.is_over = True
    for task in asyncio.as_completed(tasks):
        await task
    server.kill()
    server.wait()
    return crowd


def compare(study: Path, acknowledged: Acknowledged) -> tuple[int, int, int, int]:
    """Return how many answers are stored, lost, changed and doubled."""
    with closing(sqlite3.connect(study / "answers.sqlite")) as database:
        people = database.execute("SELECT token_sha256, id, trials FROM people").fetchall()
        rows = database.execute("SELECT person, position, answer FROM answers").fetchall()
    person = {sha256: (code, json.loads(trials)) for sha256, code, trials in people}
    stored = {(code, position): answer for code, position, answer in rows}
    lost = changed = 0
    for (token, position), place in acknowledged.items():
        code, trials = person[hashlib.sha256(token.encode()).hexdigest()]
        if (code, position) not in stored:
            lost += 1
        elif stored[code, position] != trials[position]["order"][place]:
            changed += 1
    return len(rows), lost, changed, len(rows) - len(stored)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def main() -> None:
    options = bench.parse(
        __doc__,
        kills=100,
        people=50,
        between={"type": float, "nargs": 2, "default": (0.5, 2.5), "help": "seconds between two kills"},
        seed=0,
        tiny={"kills": 1, "people": 3},
    )
    print(bench.about("perceptinit-collect"))
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        study, photographs = Path(temporary) / "study", Path(temporary) / "photographs"
        write_photographs(photographs, 30)
        make_study(photographs, study)
        between = tuple(options.between)
        crowd = asyncio.run(
            kill_again_and_again(study, free_port(), options.kills, options.people, between, options.seed)
        )
        count, lost, changed, doubled = compare(study, crowd.acknowledged)
        _, problems = read_checked(study)
    print(f"{options.kills} kills in {time.perf_counter() - began:.0f} s, {options.people} people")
    print(
        f"{len(crowd.acknowledged):,} answers acknowledged, {count:,} stored, {crowd.sent_again:,} sent again"
    )
    print(f"acknowledged and lost: {lost}; changed: {changed}; doubled: {doubled}")
    print(f"participants whose checksums do not match: {len(problems)}")
    raise SystemExit(int(lost + changed + doubled + len(problems) > 0))


if __name__ == "__main__":
    main()
