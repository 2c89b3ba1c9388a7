"""The cache of initialized towers: keys of entries, sharing between processes, and damage."""

import errno
import json
import subprocess
import sys
import tarfile

import pytest
import timm
import torch

from perceptinit import apply_perceptual_init
from perceptinit.files.cache import Cache, cache_folder
from perceptinit.files.checkpoints import load_weights
from perceptinit.pairs.local_index import index_shards

TINY = ("synthetic", {"num_train": 24, "num_val": 12, "num_test": 1})
SIZES = {"img_size": 32, "patch_size": 16, "embed_dim": 32, "depth": 1, "num_heads": 2}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PERCEPTINIT_CACHE", str(tmp_path / "cache"))
    return Cache(tmp_path / "cache")


def model_of(start):
    torch.manual_seed(start)
    return timm.create_model("vit_tiny_patch16_224", num_classes=0, **SIZES)


def apply(start=0, **arguments):
    model = model_of(start)
    given = {"judgments": TINY, "epochs": 1, "batch_size": 8, "progress": False, **arguments}
    return model, apply_perceptual_init(model, **given)


def test_a_repeated_call_returns_the_cached_weights_and_report():
    first, report = apply()
    second, again = apply()
    assert all(torch.equal(v, second.state_dict()[k]) for k, v in first.state_dict().items())
    assert "from_cache" not in report.metrics
    assert again.metrics == {**report.metrics, "from_cache": 1.0}
    assert (again.changed, again.sha256_after) == (report.changed, report.sha256_after)


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"lr": 2e-3},
        {"start": 1},
        {"judgments": ("synthetic", {**TINY[1], "num_train": 25})},
        {"mean": (0.4, 0.4, 0.4)},
    ],
    ids=lambda other: next(iter(other)),
)
def test_a_different_seed_setting_model_or_data_set_is_a_separate_entry(other, cache):
    apply()
    _, report = apply(**other)
    assert "from_cache" not in report.metrics
    assert len(cache.entries()) == 2


def test_cache_false_neither_reads_nor_writes_entries(cache):
    apply(cache=False)
    assert cache.entries() == []


def damage(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("harm", [damage, lambda path: path.unlink()], ids=["a bit", "gone"])
def test_a_damaged_entry_is_reported_and_recomputed(harm, cache):
    first, _ = apply()
    (entry,) = cache.entries()
    harm(entry.weights_path)
    with pytest.warns(UserWarning, match="The damaged entry is recomputed"):
        second, report = apply()
    assert "from_cache" not in report.metrics
    assert torch.equal(first.cls_token, second.cls_token)
    load_weights(cache.entries()[0].weights_path)


def test_an_incomplete_entry_is_ignored(cache):
    apply()
    (entry,) = cache.entries()
    (entry.folder / "manifest.json").write_text('{"parts": ')
    assert cache.entries() == []
    _, report = apply()
    assert "from_cache" not in report.metrics


def test_an_edited_manifest_is_ignored(cache):
    _, first = apply()
    (entry,) = cache.entries()
    path = entry.folder / "manifest.json"
    path.write_text(path.read_text().replace('"seconds": ', '"seconds": 1'))
    _, report = apply()
    assert "from_cache" not in report.metrics
    assert report.sha256_after == first.sha256_after


def test_a_full_disk_loses_the_entry_but_not_the_tower(cache, monkeypatch):
    first, _ = apply(cache=False)

    def full(path, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.warns(UserWarning, match=r"No space left.*The result is not cached"):
        second, _ = apply()
    assert torch.equal(first.cls_token, second.cls_token)
    assert cache.entries() == []


def test_a_changed_image_file_is_a_separate_entry(tmp_path, cache):
    import numpy as np
    from PIL import Image

    for i in range(30):
        pixels = np.full((8, 8, 3), i, dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    rows = [f"{i}.png,{i + 1}.png,{i + 2}.png,1,{2 + i % 2}" for i in range(0, 28)]
    table = tmp_path / "mine.csv"
    table.write_text("\n".join(["anchor,first,second,first_votes,second_votes", *rows]))
    apply(judgments=table, allow_collapse=True)
    Image.fromarray(np.full((9, 8, 3), 200, dtype=np.uint8)).save(tmp_path / "3.png")
    _, report = apply(judgments=table, allow_collapse=True)
    assert "from_cache" not in report.metrics


def test_a_checkpoint_file_with_changed_weights_is_a_separate_entry(tmp_path, cache):
    from safetensors.torch import save_file

    file = tmp_path / "start.safetensors"
    given = {"method": "checkpoint", "file": file, "judgments": None}
    given["key_map"] = {"": "trunk.", "mean": "mean", "std": "std"}
    about = {"mean": torch.full((3,), 0.5), "std": torch.full((3,), 0.5)}

    def apply_file(seed):
        save_file({**model_of(seed).state_dict(), **about}, file)
        return apply_perceptual_init(model_of(9), progress=False, **given)

    first = apply_file(1)
    assert apply_file(1).metrics["from_cache"] == 1.0
    other = apply_file(2)
    assert "from_cache" not in other.metrics
    assert other.sha256_after != first.sha256_after


@pytest.mark.slow
def test_a_second_process_waits_for_the_entry_of_the_first(cache):
    code = (
        "import sys; sys.path[:0] = sys.argv[1:];"
        "from test_tower_cache import apply; print(apply()[1].metrics.get('from_cache', 0))"
    )
    folders = [str(__file__).rpartition("/")[0], str(__file__).rpartition("/tests/")[0]]
    processes = [
        subprocess.Popen([sys.executable, "-c", code, *folders], stdout=-1, text=True) for _ in range(2)
    ]
    answers = sorted(p.communicate(timeout=200)[0].strip() for p in processes)
    assert answers == ["0", "1.0"]


def test_the_cache_folder_follows_xdg_cache_home(monkeypatch, tmp_path):
    monkeypatch.delenv("PERCEPTINIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "perceptinit"


def test_the_cache_command_lists_and_clears_entries(cli, cache):
    apply()
    environment = {"PERCEPTINIT_CACHE": str(cache.folder)}
    (entry,) = cache.entries()
    listing = cli("cache", **environment).stdout
    assert listing.splitlines()[-1] == f"in {cache.folder}"
    assert entry.folder.name[:12] in listing
    assert "triplet" in listing
    entry.weights_path.unlink()  # an incomplete entry is removed, too
    assert "MiB of initialized towers" in cli("cache", "--clear", **environment).stdout
    assert cache.entries() == []
    assert cli("cache", "--clear", **environment).stdout == "The cache is empty.\n"


def test_the_cache_includes_tar_indexes(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("PERCEPTINIT_CACHE", str(tmp_path / "store"))
    shard = tmp_path / "0.tar"
    with tarfile.open(shard, "w") as tar:
        tar.addfile(tarfile.TarInfo("a.txt"))
    monkeypatch.setattr("perceptinit.pairs.local_index._KEPT_FROM_BYTES", 1)
    index_shards([shard])
    (index,) = (tmp_path / "store/tar-indexes").glob("*.index")
    assert "tar indexes: 0.0 MiB" in cli("cache").stdout
    assert "MiB of tar indexes" in cli("cache", "--clear").stdout
    assert not index.exists()


def test_init_writes_the_initial_weights_of_a_recipe(cli, tmp_path):
    from safetensors import safe_open

    arguments = ["init", "timm:vit_tiny_patch16_224", "--judgments", "synthetic", "--out", "w.safetensors"]
    for value in (
        "backbone.image_size=32", "backbone.embed_dim=32",
        "backbone.model_args={patch_size=16,depth=1,embed_dim=32,num_heads=2}", "backbone.text_layers=1",
        "judgments.num_train=24", "judgments.num_val=12", "init.epochs=1", "init.batch_size=8",
    ):  # fmt: skip
        arguments += ["--set", value]
    environment = {"PERCEPTINIT_CACHE": str(tmp_path / "cache")}
    done = cli(*arguments, **environment)
    assert done.returncode == 0, done.stderr
    assert "mean cosine distance of two images:" in done.stdout
    with safe_open(tmp_path / "w.safetensors", "pt") as file:
        about = json.loads(file.metadata()["perceptinit"])
        assert "trunk.cls_token" in file.keys()  # noqa: SIM118
    assert about["backbone"]["use"] == "timm"
    assert about["initializer"]["epochs"] == 1
    assert "Loaded the weights from the cache" in cli(*arguments, **environment).stdout
