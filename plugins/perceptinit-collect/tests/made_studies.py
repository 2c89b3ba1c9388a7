"""Small studies for tests of `perceptinit collect`, with images of discs and few questions."""

import json
import re
from urllib.parse import urlencode

import numpy as np
from perceptinit_collect.serve import serve_in_thread
from perceptinit_collect.settings import FILE, default_design
from perceptinit_collect.simulate import Browser
from perceptinit_collect.study import create, open_study as open_folder
from perceptinit_collect.texts import BLANK
from PIL import Image

FORM, JSON = "application/x-www-form-urlencoded", "application/json"


def write_images(folder, count=8):
    """Write images of discs whose colors differ between images."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        y, x = np.mgrid[0:30, 0:40]
        ground, disc = rng.integers(0, 255, (2, 3))
        inside = ((x - 20) ** 2 + (y - 15) ** 2 < 100)[..., None]
        Image.fromarray(np.where(inside, disc, ground).astype(np.uint8)).save(folder / f"{i:02d}.png")
    return folder


def fill_blanks(folder):
    """Fill every blank in the texts of a study with the word "done"."""
    for path in (folder / "texts").glob("*.md"):
        path.write_text(BLANK.sub("done", path.read_text(encoding="utf-8")), encoding="utf-8")


def make_study(
    tmp_path, task="2afc", questions=20, per_person=10, not_sure=False, images=8, changes=(), limits=True
):
    """Create a study in `tmp_path / "study"`.

    changes: (old, new) text replacements in study.toml. limits: keep the limits of the exclusion rule.
    """
    source = write_images(tmp_path / "photographs", images)
    design = default_design(task, questions, per_person, not_sure, 0)
    create(source, tmp_path / "study", design, lambda message: None)
    fill_blanks(tmp_path / "study")
    path = tmp_path / "study" / FILE
    if not limits:
        path.write_text(re.sub(r"^min_.*\n", "", path.read_text(), flags=re.MULTILINE))
    for old, new in changes:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
    return tmp_path / "study"


class Visitor(Browser):
    """An HTTP client of a participant; `ask` returns the status, content and redirect location."""

    def get(self, path):
        return self.fetch(path)

    def begin(self, **parameters):
        return self.ask("POST", "/begin", urlencode({"agree": "yes", **parameters}), FORM)

    def state(self):
        return json.loads(self.get("/state"))

    def answer(self, position, place=0, **more):
        """Answer a trial and return the status and the parsed response."""
        said = {
            "position": position,
            "place": place,
            "seconds": 1.5,
            "input": "key",
            "is_interrupted": False,
        }
        status, content, _ = self.ask("POST", "/answer", json.dumps({**said, **more}), JSON)
        return status, json.loads(content) if content.startswith(b"{") else content.decode()

    def code(self):
        return re.search(r'class="code"[^>]*>(\w+)<', self.get("/done").decode()).group(1)

    def finish(self):
        for position in range(self.state()["next"], self.state()["total"]):
            assert self.answer(position)[0] == 200
        return self.code()


class Open:
    """A served study: `visitor()` is a new participant, and `rows(query)` reads the database."""

    def __init__(self, study, address):
        self.study, self.address = study, address

    def visitor(self):
        return Visitor(self.address)

    def begun(self, **parameters):
        somebody = self.visitor()
        assert somebody.begin(**parameters)[0] == 303
        return somebody

    def rows(self, query):
        return self.study.store.reader.execute(query).fetchall()


class open_study:  # noqa: N801  (used as `with open_study(folder) as site`)
    """Context manager that serves a study."""

    def __init__(self, folder, begins_per_minute=None):
        self._opened, self._begins = open_folder(folder), begins_per_minute

    def __enter__(self):
        study = self._opened.__enter__()
        self._running = serve_in_thread(study, self._begins)
        return Open(study, self._running.__enter__())

    def __exit__(self, *error):
        self._running.__exit__(*error)
        self._opened.__exit__(*error)
