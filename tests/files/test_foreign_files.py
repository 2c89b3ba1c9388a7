"""Commands that delete leave the files of others: foreign names, foreign content, and whatever a link leads to.

Each case writes what a command works on, `plant` puts foreign files into all of its folders, and the command runs.
"""

import ast
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.photographs import photographs
from helpers.runs_here import run_recipe_here
from helpers.tars import write_tar

from perceptinit.evaluators import kept_embeddings
from perceptinit.evaluators.kept_embeddings import keep_embeddings
from perceptinit.exporting import export
from perceptinit.files.atomic import write_file
from perceptinit.files.cache import WEIGHTS, Cache, cache_folder, foreign_files, kept_files
from perceptinit.files.checkpoints import save_weights
from perceptinit.files.downloads import Download, fetch_all
from perceptinit.files.remote.addresses import RemoteFile
from perceptinit.files.remote.fetched import FetchedCache, Piece
from perceptinit.files.remote.network import Stat
from perceptinit.files.remote.transfer import Part
from perceptinit.images.store import ImageStore
from perceptinit.pairs.local_index import index_shards
from perceptinit.pairs.pack_sources import Columns, open_source
from perceptinit.pairs.packing import PackSettings, pack
from perceptinit.types import RunContext

PACKAGE = Path(kept_embeddings.__file__).parents[1]
KEY, HALF = "a1" * 32, "b2" * 16
# calls that delete, and the case that covers them; "own" deletes only what the same call wrote, or a file by a name
# that contains a hash or is reserved (a lock's holder, a temporary file)
DELETING = {
    "evaluators/kept_embeddings.py": "embeddings",
    "files/atomic.py": "own",
    "files/cache.py": "cache",
    "files/downloads.py": "download",
    "files/remote/fetched.py": "pieces",
    "files/remote/transfer.py": "download",
    "images/store.py": "own",
    "pairs/indexing.py": "own",
    "pairs/local_index.py": "own",
    "pairs/packing.py": "pack",
    "results/locks.py": "own",
    "running/cells.py": "fresh",
    "running/checkpoints.py": "fresh",
}
CALLS = {"rmtree", "unlink", "rmdir", "remove_files", "removedirs"}


def plant(root, outside):
    """Write foreign files and links into all folders of a folder, and return their paths."""
    (outside / "folder").mkdir(parents=True)
    for name in ("file.txt", "folder/manifest.json", "folder/weights.safetensors"):
        (outside / name).write_text("precious")
    planted = [*outside.rglob("*")]
    for folder in [Path(path) for path, _, _ in os.walk(root)]:
        (folder / "mine").mkdir()
        files = [
            folder / name
            for name in ("notes.txt", ".hidden", "mine/weights.safetensors", "mine/manifest.json")
        ]
        for file in files:
            file.write_text("{}")
        links = [folder / f"link-{path.stem}" for path in (outside / "file.txt", outside / "folder")]
        for link, target in zip(links, (outside / "file.txt", outside / "folder"), strict=True):
            link.symlink_to(target)
        planted += [*files, *links]
    return planted


def state_of(paths):
    return {
        str(path): path.readlink() if path.is_symlink() else path.is_file() and path.read_bytes()
        for path in paths
    }


def pieces_of(bucket, *names):
    for name in names:
        bucket.put(f"/{name}.tar", name.encode() * 100)
    return [Piece.whole(RemoteFile(f"{bucket.url}/{name}.tar"), Stat(100, "")) for name in names]


def use(cache, piece):
    cache.hold(piece)[1].release()


def fill_cache(bucket, tmp_path, monkeypatch):
    """Write something of each kind into the cache."""
    monkeypatch.setattr("perceptinit.pairs.local_index._KEPT_FROM_BYTES", 1)
    base = cache_folder()
    weights = {"w": torch.ones(3)}
    Cache(base).store(KEY, {"parts": {}}, lambda path: save_weights(path, weights))
    save_weights(base / KEY.replace("a", "c") / WEIGHTS, weights)  # by a killed process, without manifest
    stimuli = photographs(tmp_path / "photographs")
    ImageStore(base / "images", 4, RunContext()).open(stimuli, np.arange(len(stimuli)))
    for kind in ("embeddings", "classifiers"):
        keep_embeddings(base / kind / f"{KEY}.safetensors", np.ones((2, 3), np.float32))
    index_shards([write_tar(tmp_path / "0.tar", [("a.txt", b"a")])])
    whole, part = pieces_of(bucket, "a", "b")
    for name in ("shards", "copies"):
        use(FetchedCache(folder=base / name), whole)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Part, "finish", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            use(FetchedCache(folder=base / "shards"), part)
    bucket.put("/0.tar", b"0" * 10)
    fetch_all([Download(urls=(f"{bucket.url}/0.tar",), path="test/0.tar")], base / "test-sets/lab--set/main")


class Cases:
    """Each method writes files, and returns the folder and the function that deletes."""

    def __init__(self, tmp_path, bucket, monkeypatch, cli):
        self.tmp_path, self.bucket, self.monkeypatch, self.cli = tmp_path, bucket, monkeypatch, cli

    def cache(self):
        fill_cache(self.bucket, self.tmp_path, self.monkeypatch)
        assert len({kept.title.partition("px")[0] for kept in kept_files()}) == 8
        return cache_folder(), lambda: self.cli("cache", "--clear")

    def embeddings(self):
        folder = self.tmp_path / "embeddings"
        keep_embeddings(folder / f"{KEY}.safetensors", np.ones((2, 3), np.float32))
        (folder / "mine.safetensors").write_text("precious")
        self.monkeypatch.setattr(kept_embeddings, "MAX_BYTES", 1)
        return folder, lambda: keep_embeddings(
            folder / f"{KEY[::-1]}.safetensors", np.ones((2, 3), np.float32)
        )

    def pieces(self):
        a, b, c = pieces_of(self.bucket, *"abc")
        cache = FetchedCache(250)
        use(cache, a)

        def evict():
            use(cache, b)
            use(cache, c)
            assert len([*cache.folder.rglob("?.tar")]) == 2

        return cache.folder, evict

    def download(self):
        for name in ("a.bin", "b.bin"):
            self.bucket.put(f"/{name}", name.encode())
        downloads = [
            Download(urls=(f"{self.bucket.url}/{name}",), path=f"in/{name}") for name in ("a.bin", "b.bin")
        ]
        folder = self.tmp_path / "data"
        fetch_all(downloads, folder)

        def again():
            (folder / "in/a.bin").unlink()
            fetch_all(downloads, folder)

        return folder, again

    def pack(self):
        source, folder = photograph_folder(self.tmp_path / "captions"), self.tmp_path / "packed"

        def work():
            pack(open_source(source, Columns()), folder, PackSettings(), lambda count: None)

        work()
        return folder, work

    def fresh(self):
        folder = self.tmp_path / "runs"
        run_recipe_here(folder, "checkpoint.every_steps=2")
        old = folder / "tiny/pi/seed0/checkpoints/checkpoint-000001.safetensors"
        old.parent.mkdir(exist_ok=True)
        old.write_text("of an interrupted run")
        return folder, lambda: run_recipe_here(folder, "checkpoint.every_steps=2", fresh=True)

    def export(self):
        run_recipe_here(self.tmp_path / "runs")
        folder = self.tmp_path / "exported"
        (folder / "tower").mkdir(parents=True)
        run = self.tmp_path / "runs/tiny/pi/seed0"
        return self.tmp_path / "runs", lambda: export(run, "open-clip", folder / "tower")


def photograph_folder(folder):
    for path in photographs(folder).images:
        path.with_suffix(".txt").write_text("a caption")
    return folder


@pytest.mark.parametrize("case", [name for name in vars(Cases) if not name.startswith("_")])
def test_commands_that_delete_leave_foreign_files(case, bucket, tmp_path, monkeypatch, cli):
    folder, delete = getattr(Cases(tmp_path, bucket, monkeypatch, cli), case)()
    planted = plant(folder, tmp_path / "outside")
    planted += folder.glob("mine.safetensors")
    before = state_of(planted)
    delete()
    assert state_of(planted) == before


def test_clearing_leaves_files_with_names_of_the_cache_and_says_so(bucket, tmp_path, monkeypatch, cli):
    outside = tmp_path / "outside"
    foreign = {
        f"{KEY}/manifest.json": "{}",
        f"{KEY}/weights.safetensors": "mine",
        f"{KEY.replace('a', 'd')}/weights.safetensors": "mine",
        "thesis/manifest.json": "{}",
        "thesis/weights.safetensors": "mine",
        "images/2024px-holiday/me.npy": "mine",
        f"shards/{HALF}-100/thesis.tex": "mine",
        "copies/chapter-2/thesis.tex": "mine",
        "test-sets/lab--set/main/downloads.json": "[]",
        "test-sets/lab--set/main/0.tar": "mine",
        "embeddings/mine.safetensors": "mine",
    }
    for name, text in foreign.items():
        path = cache_folder() / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    Cache(outside).store(KEY, {"parts": {}}, lambda path: write_file(path, b"mine"))
    (cache_folder() / KEY.replace("a", "e")).symlink_to(outside / KEY)
    (cache_folder() / "classifiers").symlink_to(outside)
    (outside / f"{KEY}.safetensors").write_text("mine")
    before = state_of([*cache_folder().rglob("*"), *outside.rglob("*")])
    done = cli("cache", "--clear")
    assert state_of([*cache_folder().rglob("*"), *outside.rglob("*")]) == before
    assert "Left 13 files that the cache did not write: a1a1" in done.stdout
    assert len(foreign_files()) == len(foreign) + 2


def test_clearing_removes_everything_that_the_cache_wrote(bucket, tmp_path, monkeypatch):
    fill_cache(bucket, tmp_path, monkeypatch)
    for kept in kept_files():
        kept.clear()
    assert kept_files() == foreign_files() == []
    left = {path.suffix for path in cache_folder().rglob("*") if path.is_file()}
    assert left == {".lock"}
    assert [path.name for kind in ("shards", "copies") for path in (cache_folder() / kind).iterdir()] == [
        "locks"
    ] * 2


def test_every_module_that_deletes_has_a_case():
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            name = (
                node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""
            )
            name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else name
            if name in CALLS:
                found.add(path.relative_to(PACKAGE).as_posix())
    assert found == DELETING.keys()
    assert set(DELETING.values()) - {"own"} <= vars(Cases).keys()


def test_an_evicted_piece_leaves_its_foreign_files_and_its_room(bucket):
    a, b = pieces_of(bucket, *"ab")
    cache = FetchedCache(150)
    use(cache, a)
    (folder,) = cache.folder.glob("*-100")
    (folder / "notes.txt").write_text("mine")
    (folder / ".seal.json.1-ab.tmp").write_text("of a killed process")
    use(cache, b)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    assert cache._used() == 100
    use(cache, a)
    assert (folder / "a.tar").read_bytes() == b"a" * 100
