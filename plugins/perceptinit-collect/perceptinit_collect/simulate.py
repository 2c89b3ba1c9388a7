"""Simulated people: they walk the whole page over HTTP, as a browser would, before people are paid to.

They judge by colour and coarse layout, waver near a tie, and one in ten answers at random and fast, so that
there is somebody for the rule to leave out. Their answers go into a study folder of their own.
"""

from __future__ import annotations

# D pixels of a tiny copy of an image, in three colours
import io
import json
import re
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import numpy as np
from PIL import Image

from perceptinit.plugin import PerceptInitError, generator
from perceptinit_collect.pictures import FOLDER as IMAGES
from perceptinit_collect.serve import served
from perceptinit_collect.settings import FILE as SETTINGS_FILE, read_settings
from perceptinit_collect.study import TOKEN_FILE, current_design
from perceptinit_collect.tasks import TASKS, Task
from perceptinit_collect.texts import FOLDER as TEXTS

FOLDER = "simulated"
AT_ONCE = 16
CARELESS = 0.1  # share of people who answer at random
SIDE = 8  # pixels of the tiny copy that a simulated person compares
WAVER = 0.15  # scale of the softmax over differences, whose mean is about 1
NOT_SURE = 0.1  # "not sure" when the two best answers are this close in probability

Answer = Callable[[dict[str, Any]], tuple[int | None, float]]


def simulate(folder: Path, count: int, seed: int = 0) -> Path:
    """Let simulated people answer a study and return the folder, itself a study, that holds their answers.

    What was simulated before is thrown away; answers of people are not touched.
    """
    current_design(folder, lambda message: None)  # locked first, so that both have the same versions
    copy = _copied(folder)
    settings = read_settings(copy)
    with (
        served(copy, begins_per_minute=60 * count + 60) as address,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        walks = [
            pool.submit(
                walk,
                address,
                Judge(TASKS[settings.design.task], settings.design.not_sure, seed, number),
            )
            for number in range(count)
        ]
        for walked in walks:
            walked.result()
    return copy


def _copied(folder: Path) -> Path:
    copy = folder / FOLDER
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    (copy / IMAGES).symlink_to(Path("..") / IMAGES)
    shutil.copytree(folder / TEXTS, copy / TEXTS)
    for path in (folder / SETTINGS_FILE, folder / TOKEN_FILE, *folder.glob("design-*.json")):
        shutil.copy(path, copy / path.name)
    return copy


class Judge:
    """How one simulated person answers; `number` is theirs, and everything follows from it and the seed."""

    def __init__(self, task: Task, not_sure: bool, seed: int, number: int) -> None:
        self.task, self.not_sure = task, not_sure
        self._rng = generator(seed, "collect", "simulated", number)
        self.is_careless = number % round(1 / CARELESS) == round(1 / CARELESS) - 1

    def answer(self, looks: list[np.ndarray]) -> tuple[int | None, float]:
        """Return the place chosen (None: not sure) and the seconds it took.

        looks: what the person sees of each image, the anchor first if there is one.
        """
        if self.is_careless:
            return int(self._rng.integers(self.task.num_candidates)), float(self._rng.uniform(0.1, 0.3))
        p = self._probabilities(looks)
        seconds = float(np.exp(self._rng.normal(0.3, 0.4)))
        low, high = np.sort(p)[-2:]
        if self.not_sure and high - low < NOT_SURE:
            return None, seconds
        return int(self._rng.choice(len(p), p=p)), seconds

    def _probabilities(self, looks: list[np.ndarray]) -> np.ndarray:
        question = tuple(range(len(looks)))
        closest = [self.task.triplets(question, place)[0][:2] for place in range(self.task.num_candidates)]
        difference = np.array([np.abs(looks[a] - looks[b]).mean() for a, b in closest])
        evidence = -difference / (WAVER * max(difference.mean(), 1e-9))
        weights = np.exp(evidence - evidence.max())
        return weights / weights.sum()


class Browser:
    """A session with the page, over one connection that is made again when it breaks."""

    def __init__(self, address: str) -> None:
        self._host = urlsplit(address).netloc
        self._cookie = ""

    @cached_property
    def _connection(self) -> HTTPConnection:
        return HTTPConnection(self._host, timeout=60)

    def ask(self, method: str, path: str, body: str = "", kind: str = "") -> tuple[int, bytes, str]:
        """Return status, content and the address that a reply sends on to."""
        headers = {"cookie": self._cookie, "content-type": kind or "text/plain"}
        self._connection.request(method, path, body or None, headers)
        reply = self._connection.getresponse()
        content = reply.read()
        self._keep_cookie(reply)
        return reply.status, content, reply.headers.get("location", "")

    def _keep_cookie(self, reply: HTTPResponse) -> None:
        cookie = reply.headers.get("set-cookie")
        if cookie:
            self._cookie = cookie.partition(";")[0]

    def get(self, path: str) -> bytes:
        """Return a page or file; waits when the server says that it is asked too often."""
        while True:
            status, content, _ = self.ask("GET", path)
            if status != 429:
                return _expected(status, content, path)
            time.sleep(0.1)

    def send(self, path: str, body: str, kind: str) -> bytes:
        """Post something and return the reply, waiting as `get` does."""
        while True:
            status, content, _ = self.ask("POST", path, body, kind)
            if status != 429:
                return _expected(status, content, path)
            time.sleep(0.1)


def _expected(status: int, content: bytes, path: str) -> bytes:
    if status >= 400:
        raise PerceptInitError(f"{path}: the page answered {status}: {content.decode()[:200]}")
    return content


def walk(address: str, judge: Judge) -> str:
    """Go from consent to debriefing and return the code that the last page shows."""
    browser = Browser(address)
    looks: dict[str, np.ndarray] = {}
    browser.get("/")
    browser.send("/begin", urlencode({"agree": "yes"}), "application/x-www-form-urlencoded")
    browser.get("/trials")
    state = json.loads(browser.get("/state"))
    for position, shown in enumerate(state["trials"], start=state["next"]):
        keys = [key for key in (shown["anchor"], *shown["places"]) if key]
        for key in keys:
            if key not in looks:
                looks[key] = _look(browser.get(f"/image/{key}"))
        place, seconds = judge.answer([looks[key] for key in keys])
        answer = {
            "position": position, "place": place, "seconds": seconds, "input": "key", "is_interrupted": False,
        }  # fmt: skip
        browser.send("/answer", json.dumps(answer), "application/json")
    page = browser.get("/done").decode()
    found = re.search(r'class="code"[^>]*>(\w+)<', page)
    if found is None:
        raise PerceptInitError("/done: shows no code, although every trial has an answer")
    return found.group(1)


def _look(data: bytes) -> np.ndarray:
    """Return what a simulated person sees of an image: float64 (D,), in [0, 1]."""
    with Image.open(io.BytesIO(data)) as image:
        tiny = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(tiny, dtype=np.float64).ravel() / 255
