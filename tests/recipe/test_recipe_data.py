"""Data of a recipe: listing, missing data, download in one command, and image-text sources by name."""

import hashlib
import io
import json
import runpy
import socket
import sys
import threading
from functools import partial
from unittest import mock

import pyarrow.parquet as pq
import pytest
from helpers.made_hub import served_hub
from helpers.made_sets import labelled_set
from PIL import Image

from perceptinit.files.downloads import Download
from perceptinit.files.remote import network
from perceptinit.images.decoding import decode
from perceptinit.pairs.published import published_pairs, source_of
from perceptinit.recipe.reading import load_recipe
from perceptinit.running.readiness import fetch_published, find_needs
from perceptinit.test_sets.labelled_images import LabelledImages
from perceptinit.types import DataCard

# published judgments that no command fetches
LAB = """
from dataclasses import dataclass
from pathlib import Path
from perceptinit.plugin import Component, DataCard, hookimpl

class Opinions:
    '''Opinion scores of a laboratory.'''
    card = DataCard(
        title="Opinion scores",
        source_url="https://lab.example/opinions",
        license="not stated",
        citation="Lab",
        size_bytes=1_780_000_000,
    )

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        root: Path

    def __init__(self, config):
        self.config = config

    def preflight(self):
        return [f'root = "{self.config.root}": no such folder']

    def load(self, split):
        raise NotImplementedError

@hookimpl
def perceptinit_judgments():
    return [Component(name="lab/opinions", target=Opinions, summary="opinion scores")]
"""
RECIPE = """
schema = 1
name = "needy"
plugins = ["lab.py"]
[backbone]
use = "timm"
model = "vit_tiny_patch16_224"
[pretrain]
use = "clip"
epochs = 1
[pretrain.pairs]
use = "webdataset"
shards = "data/cc3m/*.tar"
[[eval]]
use = "zero-shot"
root = "sets"
datasets = ["mnist"]
[[eval]]
use = "two-afc"
[eval.judgments]
use = "lab/opinions"
root = "data/opinions"
"""
MNIST = "djghosh/wds_mnist_test"


@pytest.fixture
def cli(tmp_path, cli):
    """Return a function that runs `perceptinit` in a folder with the recipe on a wide terminal."""
    (tmp_path / "r.toml").write_text(RECIPE)
    (tmp_path / "lab.py").write_text(LAB)
    return partial(cli, COLUMNS="200")


@pytest.fixture
def hub(tmp_path):
    labelled_set(tmp_path / "hub" / "datasets" / MNIST, [0, 1], 10)
    about = tmp_path / "hub" / "api" / "datasets" / MNIST
    about.parent.mkdir(parents=True)
    files = [("test/0.tar", 2_500_000_000), ("train/0.tar", 9_000_000_000)]
    siblings = [{"rfilename": name, "size": size} for name, size in files]
    about.write_text(json.dumps({"siblings": siblings, "cardData": {"license": "cc-by-sa-3.0"}}))
    with served_hub(tmp_path / "hub") as endpoint:
        yield endpoint


def row(text, name):
    (line,) = [line for line in text.splitlines() if f" {name} " in line]
    return " ".join(line.split())


def test_a_dry_run_prints_sizes_and_licenses_without_downloading(cli, hub, tmp_path):
    done = cli("data", "download", "r.toml", "--dry-run", HF_ENDPOINT=hub)
    assert done.returncode == 0, done.stderr
    assert row(done.stdout, "mnist") == "test set mnist sets/mnist 2.50 GB cc-by-sa-3.0 to download"
    assert "judgments lab/opinions data/opinions 1.78 GB not stated by hand" in row(
        done.stdout, "lab/opinions"
    )
    assert "3 of 3 sets are missing: 4.28 GB for 2, unknown size for 1." in done.stdout
    assert not (tmp_path / "sets").exists()


def test_a_relative_path_of_a_plug_in_is_relative_to_the_recipe(cli, tmp_path):
    (tmp_path / "study").mkdir()
    for name in ("r.toml", "lab.py"):
        (tmp_path / name).rename(tmp_path / "study" / name)
    done = cli("data", "download", "study/r.toml", "--dry-run", HF_ENDPOINT="http://127.0.0.1:9")
    assert row(done.stdout, "lab/opinions").startswith("judgments lab/opinions study/data/opinions ")
    assert row(done.stdout, "mnist").startswith(
        "test set mnist sets/mnist "
    )  # as all data of built-in components
    recipe = load_recipe(tmp_path / "study/r.toml")
    assert 'root": "data/opinions"' in json.dumps(recipe.resolve(recipe.arms[0]))  # and so in the fingerprint


def test_data_download_fetches_available_data_and_prints_instructions_for_the_rest(cli, hub, tmp_path):
    refused = cli("data", "download", "r.toml", HF_ENDPOINT=hub)
    assert refused.returncode == 2
    assert "--yes is required to accept the licenses and download 1 sets (2.50 GB for 1)" in refused.stderr
    assert not (tmp_path / "sets").exists()
    done = cli("data", "download", "r.toml", "--yes", HF_ENDPOINT=hub)
    assert done.returncode == 0, done.stderr
    assert "mnist: downloaded to sets/mnist" in done.stdout
    assert (tmp_path / "sets/mnist/test/0.tar").is_file()
    assert "judgments lab/opinions, into data/opinions: download by hand from https://lab" in done.stdout
    assert "img2dataset --url_list cc3m.tsv" in done.stdout
    again = cli("data", "download", "r.toml", HF_ENDPOINT="http://127.0.0.1:9")
    assert row(again.stdout, "mnist").endswith("present")
    assert again.stderr == ""  # no request to the hub for existing data


def test_without_a_network_a_dry_run_prints_the_known_sizes(cli):
    settings = ("--set", 'eval.0.datasets=["mnist", "stl10", "objectnet"]', "--dry-run")
    done = cli("data", "download", "r.toml", *settings, HF_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode == 0
    assert done.stderr.count("http://127.0.0.1:9: ") == 1
    assert row(done.stdout, "mnist") == "test set mnist sets/mnist 0.04 GB not stated to download"
    assert row(done.stdout, "stl10") == "test set stl10 sets/stl10 0.14 GB not stated to download"
    assert (
        row(done.stdout, "objectnet") == "test set objectnet sets/objectnet not stated not stated to download"
    )


def test_without_a_network_a_download_stops_with_one_sentence(cli):
    settings = ("--set", 'eval.0.datasets=["mnist", "cifar10"]', "--yes")
    done = cli("data", "download", "r.toml", *settings, HF_ENDPOINT="http://127.0.0.1:9")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: no server responds (http://127.0.0.1:9: ")
    assert line.endswith("Check the connection, then rerun the command")


def test_a_server_that_never_responds_is_given_up(monkeypatch):
    monkeypatch.setattr(network, "REACH_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert list(network.find_unreachable([address])) == [address]


def test_a_name_server_that_never_responds_is_given_up(monkeypatch):
    ended = threading.Event()
    waiting = mock.Mock(open=lambda *args, **options: ended.wait(10))
    monkeypatch.setattr(network, "REACH_SECONDS", 0.2)
    monkeypatch.setattr(network, "_opener", waiting)
    found = network.find_unreachable(["http://a.org", "http://b.org"])
    ended.set()
    assert found == dict.fromkeys(["http://a.org", "http://b.org"], "no response within 0.2 s")


def test_a_download_starts_after_the_user_agrees(cli, hub, tmp_path, monkeypatch):
    for answer, code in (("n", 1), ("y", 0)):
        terminal = io.StringIO(f"{answer}\n")
        terminal.isatty = lambda: True
        monkeypatch.setattr("sys.stdin", terminal)
        done = cli("data", "download", "r.toml", HF_ENDPOINT=hub)
        assert done.returncode == code
        assert "Accept the licenses and download 1 sets (2.50 GB for 1)? [y/N]" in done.stdout
        assert (tmp_path / "sets/mnist/test/0.tar").is_file() == (answer == "y")


def test_a_failed_download_does_not_stop_the_others(cli, hub, tmp_path):
    settings = ("--set", 'eval.0.datasets=["birdsnap", "mnist", "cifar10"]')
    done = cli("data", "download", "r.toml", "--yes", *settings, HF_ENDPOINT=hub)
    assert done.returncode == 1
    assert "cifar10: 3 of 3 files could not be fetched" in done.stderr
    assert (tmp_path / "sets/mnist/test/0.tar").is_file()
    assert "birdsnap, into sets/birdsnap: from its images: perceptinit data pack" in done.stdout


def test_options_of_a_set_and_of_a_recipe_are_not_mixed(cli):
    refused = cli("data", "download", "r.toml", "--out", "sets")
    assert refused.stderr == "error: r.toml: the recipe states its folders and data. Omit --out and --part\n"
    refused = cli("data", "download", "nights", "--set", "seeds=[0]")
    assert refused.stderr == "error: nights: --set is for recipes\n"


def test_remote_pairs_are_listed_without_credentials(cli):
    address = "https://me:secret@127.0.0.1:9/cc3m/{0..9}.tar"
    settings = ("--set", f'pretrain.pairs.shards="{address}"', "--dry-run")
    done = cli("data", "download", "r.toml", *settings, HF_ENDPOINT="http://127.0.0.1:9")
    assert "https://...@127.0.0.1:9/cc3m" in row(done.stdout, "cc3m")
    assert "secret" not in done.stdout + done.stderr


def test_published_judgments_are_downloaded_with_their_checksums(tmp_path):
    source = tmp_path / "hub" / "votes.csv"
    source.parent.mkdir()
    source.write_bytes(b"anchor,first,second\n")
    with served_hub(tmp_path / "hub") as address:
        files = [Download(urls=(f"{address}/votes.csv",), path="votes.csv")]
        sums = {"votes.csv": hashlib.sha256(source.read_bytes()).hexdigest()}
        card = DataCard(title="", source_url="", license="", citation="", sha256=sums)
        report = lambda *_: None  # noqa: E731
        assert fetch_published(files, tmp_path / "new" / "set", card, 1, report) == ["votes.csv"]
        assert fetch_published(files, tmp_path / "new" / "set", card, 1, report) == []


def test_the_pairs_recipes_use_all_shards_that_img2dataset_writes(cli):
    """The commands of `data list` write shards of 10,000 pairs, so their number depends on dead links."""
    for name in ("pi_clip_yfcc", "pi_data_ladder_yfcc3m", "declip_yfcc15m_b32", "slip_yfcc15m_b16"):
        assert load_recipe(name).pretrain.parts["pairs"].config.shards.endswith("/*.tar")


def test_each_data_set_of_a_recipe_is_listed_once_with_its_card(cli):
    pi_clip = {need.name: need for need in find_needs(load_recipe("pi_clip_yfcc"))}
    assert len(pi_clip) == 33  # 31 test sets; NIGHTS of stage 1, after stage 1 and of the evaluation
    assert pi_clip["nights"].license == "not stated for the data (code: MIT)"
    assert pi_clip["nights"].num_bytes > 50e9
    assert pi_clip["yfcc15m"].fetch is None
    assert find_needs(load_recipe("quickstart")) == []


def read_obstacles(done):
    return done.stdout.split("Before it can run:\n")[1].split("\n\n")[0].splitlines()


def test_validate_summarizes_missing_data_in_one_line(cli, untraced):
    sets = ["mnist", "cifar10", "stl10"]
    done = cli("validate", "r.toml", "--set", f"eval.0.datasets={sets}")
    (line,) = read_obstacles(done)
    assert "missing data: pairs cc3m, 3 test sets, judgments lab/opinions (1.8 GB)." in line
    assert "perceptinit data download r.toml --set" in line
    few = read_obstacles(cli("validate", "r.toml"))
    assert [text.split("]: ")[0] for text in few[:3]] == [
        "  [pretrain.pairs",
        "  [eval[0]",
        "  [eval[1].judgments",
    ]
    assert few[3].endswith("the download, run: perceptinit data download r.toml")
    assert done.returncode == 1


def test_image_text_sources_are_listed_with_their_download_commands(cli):
    assert row(cli("data", "list").stdout, "12,423,374").startswith("cc12m 12,423,374 331 GB list:")
    card = cli("data", "list", "yfcc15m").stdout
    assert "14,829,396 pairs" in card
    assert "License: Creative Commons" in card
    script = next(word for word in card.split() if word.endswith("yfcc15m_list.py"))
    assert runpy.run_path(script)["clean"]("a+%3Cb%3Ecat%3C%2Fb%3E+http%3A%2F%2Fx.y") == "a cat "
    refused = cli("data", "download", "yfcc15m")
    assert refused.returncode == 2
    assert "yfcc15m_list.py" in refused.stderr


def test_every_image_text_source_states_license_citation_and_note():
    for name, source in published_pairs().items():
        assert source_of(f"/somewhere/{name}/part/*.tar") == source
        assert min(len(source.license), len(source.citation), len(source.note)) > 15
        assert source.source_url.startswith("https://")
        assert all("\n" not in command for command in source.commands)
    assert source_of("data/cc3m_and_more/*.tar") is None


def test_the_yfcc15m_list_contains_the_selected_photographs(tmp_path, monkeypatch, recipes_folder):
    def line(number, title, description):
        columns = [
            str(number),
            *["-"] * 7,
            title,
            description,
            *["-"] * 6,
            f"http://photo/{number}",
        ]
        return "\t".join(columns)

    (tmp_path / "subset.tsv").write_text("7\tid\thash\n9\tid\thash\n")
    rows = [
        line(7, "A+red%2C+cat", ""),
        line(8, "no", "no"),
        line(9, "", "see+%3Ca+href%3D1%3Ehere%3C%2Fa%3E"),
    ]
    (tmp_path / "all.txt").write_text("\n".join(rows) + "\n")
    words = ["subset.tsv", "all.txt", "out.parquet"]
    monkeypatch.setattr(sys, "argv", ["", *(str(tmp_path / word) for word in words)])
    runpy.run_path(str(recipes_folder / "yardsticks/yfcc15m_list.py"), run_name="__main__")
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == [
        {"url": "http://photo/7", "title": "A red, cat", "description": ""},
        {"url": "http://photo/9", "title": "", "description": "see here"},
    ]


class MadeCifar100:
    """Two classes of two images a part, in place of torchvision's download."""

    classes = ("apple", "aquarium_fish")

    def __init__(self, root, train, download):
        self.color = 200 if train else 100

    def __iter__(self):
        return ((Image.new("RGB", (32, 32), (self.color, i, 0)), i % 2) for i in range(4))


def test_the_folders_of_cifar100_are_read_as_labelled_images(tmp_path, monkeypatch, recipes_folder):
    monkeypatch.setattr("torchvision.datasets.CIFAR100", MadeCifar100)
    monkeypatch.setattr(sys, "argv", ["", str(tmp_path)])
    runpy.run_path(str(recipes_folder / "yardsticks/cifar100_folders.py"), run_name="__main__")
    for part, color in (("train", 200), ("test", 100)):
        pairs = LabelledImages(LabelledImages.Config(path=str(tmp_path / part)))
        assert (pairs.read_classes().names, pairs.num_pairs) == (MadeCifar100.classes, 4)
        assert decode(pairs.pair(0).image, "0")[0, 0, 0] == color
