"""Simulated participants, who complete a session over HTTP as a browser would.

They compare color and coarse layout, with noise. One in ten answers randomly and fast, to test the exclusion
rule. The answers are stored in a separate study.
"""

# D pixel values of an RGB thumbnail
import io
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from perceptinit.plugin import PerceptInitError, generator
from perceptinit_collect.serve import serve_in_thread
from perceptinit_collect.study import copy_study, open_study
from perceptinit_collect.tasks import Task

FOLDER = "simulated"
AT_ONCE = 16
CARELESS = 10  # one in this many participants answers randomly
SIDE = 8  # side of the compared thumbnails in pixels
WAVER = 0.15  # temperature of the softmax over differences, which are divided by their mean
NOT_SURE = 0.1  # "not sure" if the two best answers differ by less than this in probability


def simulate(folder: Path, count: int, seed: int = 0) -> Path:
    """Simulate `count` participants and return their study, which replaces an earlier simulation."""
    copy = copy_study(folder, FOLDER)
    with (
        open_study(copy, is_draft=True) as study,
        serve_in_thread(study, begins_per_minute=60 * count + 60) as address,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        design = study.design
        judges = (Judge(design.task, design.settings.not_sure, seed, n) for n in range(count))
        for walked in [pool.submit(walk, address, judge) for judge in judges]:
            walked.result()
    return copy


class Judge:
    """A simulated participant; seed and number determine all answers."""

    def __init__(self, task: Task, not_sure: bool, seed: int, number: int) -> None:
        self.task, self.not_sure = task, not_sure
        self._rng = generator(seed, "collect", "simulated", number)
        self.is_careless = number % CARELESS == CARELESS - 1

    def answer(self, looks: list[np.ndarray], instruction: int | None = None) -> tuple[int | None, float]:
        """Return the chosen screen position, None for "not sure", and the reaction time in seconds.

        looks: thumbnail of each image, float64 (D,) in [0, 1], the anchor first if there is one.
        instruction: the position requested by an instructed trial, counted from 1; None otherwise.
        """
        if self.is_careless:
            return int(self._rng.integers(self.task.num_candidates)), float(self._rng.uniform(0.1, 0.3))
        seconds = float(np.exp(self._rng.normal(0.3, 0.4)))
        if instruction is not None:
            return instruction - 1, seconds
        p = self._probabilities(looks)
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
    """A minimal HTTP client that stores the session cookie."""

    def __init__(self, address: str) -> None:
        self._connection = HTTPConnection(urlsplit(address).netloc, timeout=60)
        self._cookie = ""

    def ask(self, method: str, path: str, body: str = "", kind: str = "") -> tuple[int, bytes, str]:
        """Send a request and return the status, body and redirect location."""
        headers = {"cookie": self._cookie, "content-type": kind or "text/plain"}
        self._connection.request(method, path, body or None, headers)
        reply = self._connection.getresponse()
        content = reply.read()
        cookie = reply.headers.get("set-cookie")
        if cookie:
            self._cookie = cookie.partition(";")[0]
        return reply.status, content, reply.headers.get("location", "")

    def fetch(self, path: str, body: str = "", kind: str = "", method: str = "GET") -> bytes:
        """Return the body of a response, retrying while the server responds with 429."""
        while True:
            status, content, _ = self.ask(method, path, body, kind)
            if status >= 400 and status != 429:
                raise PerceptInitError(f"{path}: HTTP status {status}: {content.decode()[:200]}")
            if status < 400:
                return content
            time.sleep(0.1)


def walk(address: str, judge: Judge) -> str:
    """Complete a session from consent to debriefing and return the participant's code."""
    browser = Browser(address)
    looks: dict[str, np.ndarray] = {}
    browser.fetch("/")
    browser.fetch("/begin", "agree=yes&age=yes", "application/x-www-form-urlencoded", "POST")
    browser.fetch("/trials")
    state = json.loads(browser.fetch("/state"))
    for position, shown in enumerate(state["trials"], start=state["next"]):
        keys = [key for key in (shown["anchor"], *shown["places"]) if key]
        for key in keys:
            if key not in looks:
                looks[key] = _look(browser.fetch(f"/image/{key}"))
        place, seconds = judge.answer([looks[key] for key in keys], shown["instruction"])
        answer = {
            "position": position, "place": place, "seconds": seconds, "input": "key", "is_interrupted": False,
        }  # fmt: skip
        browser.fetch("/answer", json.dumps(answer), "application/json", "POST")
    found = re.search(r'class="code"[^>]*>(\w+)<', browser.fetch("/done").decode())
    if found is None:
        raise PerceptInitError("/done: participant code not found, although all trials have answers")
    return found.group(1)


def _look(data: bytes) -> np.ndarray:
    """Return the thumbnail of an encoded image, float64 (D,) in [0, 1]."""
    with Image.open(io.BytesIO(data)) as image:
        tiny = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(tiny, dtype=np.float64).ravel() / 255
