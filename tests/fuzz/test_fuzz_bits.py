"""One flipped bit in any written file: each run ends with the same weights or with an error."""

import json
import random
import shutil
from io import BytesIO

import harness
import numpy as np
import pytest
from helpers.command_line import run_command
from helpers.local_trackers import tracker_source
from helpers.object_store import ObjectStore
from helpers.short_recipes import BACKBONE
from helpers.tars import write_tar
from PIL import Image

from perceptinit.errors import PerceptInitError
from perceptinit.files.checkpoints import load_weights, weights_sha256
from perceptinit.pairs import local_index
from perceptinit.recipe.reading import read_recipe
from perceptinit.running.runner import run_recipe

NUM_SHARDS, PER_SHARD, NUM_PHOTOGRAPHS = 4, 8, 8
SHARDS = f"{{0..{NUM_SHARDS - 1}}}.tar"
STOP = tracker_source(
    head="import os, signal",
    log="""
    if os.environ.get("STOP") and event.kind == "scores" and event.samples_seen:
        signal.raise_signal(signal.SIGTERM)
    """,
)
RECIPE = (
    """
schema = 1
name = "short"
plugins = ["stop.py"]
"""
    + BACKBONE
    + """[[init]]
use = "triplet-hinge"
epochs = 1
batch_size = 4
image_store = "{store}"
judgments = {{ use = "table", path = "{folder}/table.csv", images = "{folder}/photographs" }}
[pretrain]
use = "clip"
epochs = 2
warmup_steps = 2
batch_size = 8
pairs = {{ use = "webdataset", shards = "{shards}" }}
[[eval]]
use = "keep-weights"
every = 2
[[track]]
use = "local/spy"
[checkpoint]
every_steps = 2
keep = 1
"""
)


def write_data(folder):
    """Write shards, photographs and a table of judgments."""
    rng = np.random.default_rng(0)

    def draw_image():
        file = BytesIO()
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(file, "png")
        return file.getvalue()

    (folder / "photographs").mkdir(parents=True)
    for shard in range(NUM_SHARDS):
        members = []
        for sample in range(PER_SHARD):
            name = f"{shard}_{sample}"
            members += [(f"{name}.png", draw_image()), (f"{name}.txt", f"a {sample}".encode())]
        write_tar(folder / "shards" / f"{shard}.tar", members)
    for number in range(NUM_PHOTOGRAPHS):
        (folder / "photographs" / f"{number}.png").write_bytes(draw_image())
    rows = [
        f"{i}.png,{(i + 1) % 8}.png,{(i + 3) % 8}.png,{'second' if i % 2 else 'first'}"
        for i in range(NUM_PHOTOGRAPHS)
    ]
    (folder / "table.csv").write_text("\n".join(["anchor,first,second,choice", *rows]))


class Experiment:
    """A run with local or remote shards, and copies of its files, finished and interrupted."""

    def __init__(self, folder, shards, monkeypatch):
        self.folder, self.monkeypatch = folder, monkeypatch
        (folder / "stop.py").write_text(STOP)
        self.text = RECIPE.format(folder=folder, shards=shards, store=folder / "work/store")
        self.written = folder / "work"
        monkeypatch.setenv("PERCEPTINIT_CACHE", str(self.written / "cache"))
        self.run()
        self.expected = self.weights()
        self.keep("finished")
        shutil.rmtree(self.written / "runs")
        monkeypatch.setenv("STOP", "1")
        with pytest.raises(BaseException, match="stopped by SIGTERM"):
            self.run()
        monkeypatch.delenv("STOP")
        self.keep("interrupted")

    def run(self):
        recipe = read_recipe(self.text, source="short.toml", folder=self.folder)
        run_recipe(recipe, out=self.written / "runs", device="cpu")

    def keep(self, name):
        shutil.copytree(self.written, self.folder / name)

    def restore(self, name):
        shutil.rmtree(self.written)
        shutil.copytree(self.folder / name, self.written)

    def weights(self):
        """Return the hash of the final weights on disk, which is the one in the record."""
        run = self.written / "runs/short/default/seed0"
        record = json.loads((run / "record.json").read_text())
        assert record["status"] == "finished"
        found = weights_sha256(load_weights(run / "weights/final.safetensors"))
        return found, record["hashes"]["final"]["model"]

    def files(self, sort):
        """Return the files of a kind: path below the folder, in the state that reads them."""
        state, pattern = sort
        root = self.folder / state
        return state, sorted(
            p.relative_to(root) for p in root.glob(pattern) if p.is_file() and p.stat().st_size
        )


SORTS = {
    "index or fetched piece": ("finished", "cache/**/*"),
    "image store": ("finished", "store/**/*"),
    "checkpoint": ("interrupted", "runs/**/checkpoints/*"),
    "weights": ("finished", "runs/**/final.safetensors"),
}


def flip(path, rng):
    data = bytearray(path.read_bytes())
    bit = rng.randrange(8 * len(data))
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)
    return bit


@pytest.mark.parametrize("place", ["local", "remote"])
def test_a_flipped_bit_never_changes_the_weights_without_an_error(tmp_path, monkeypatch, place):
    rng = random.Random(f"{place} {harness.EXAMPLES}")
    write_data(tmp_path)
    monkeypatch.setattr(local_index, "_KEPT_FROM_BYTES", 1)  # cache the index of small shards, too
    if place == "remote":
        assert run_command(("data", "index", f"shards/{SHARDS}"), tmp_path).returncode == 0
    with ObjectStore() as bucket:
        for path in (tmp_path / "shards").iterdir():
            bucket.put(f"/set/{path.name}", path.read_bytes())
        where = tmp_path / "shards" if place == "local" else bucket.url + "/set"
        experiment = Experiment(tmp_path, f"{where}/{SHARDS}", monkeypatch)
        refused = 0
        for number in range((harness.EXAMPLES or 8) // 2):
            title = list(SORTS)[number % len(SORTS)]
            state, files = experiment.files(SORTS[title])
            assert files, title
            path = rng.choice(files)
            experiment.restore(state)
            if title in ("index or fetched piece", "image store"):
                shutil.rmtree(experiment.written / "runs")
            bit = flip(experiment.written / path, rng)
            try:
                experiment.run()
            except PerceptInitError:
                refused += 1
            else:
                found = experiment.weights()
                assert found == experiment.expected, f"{title}: bit {bit} of {path}"
        print(f"{place}: {refused} of {number + 1} refused, the others ended with equal weights")
