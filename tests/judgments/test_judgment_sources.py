"""A name or a file denotes the same judgments in the library and in every command."""

from pathlib import Path

import pytest

from perceptinit.components.plugin_manager import build_plugin_manager
from perceptinit.errors import UsageError
from perceptinit.judgments.sources import as_table

REGISTRY = build_plugin_manager().registry


@pytest.fixture(autouse=True)
def roots(monkeypatch):
    monkeypatch.setenv("MATERIALS_ROOT", "/sets/materials")
    monkeypatch.delenv("NIGHTS_ROOT", raising=False)


@pytest.mark.parametrize(
    ("source", "table"),
    [
        (None, {"use": "nights", "root": "data/nights"}),
        ("nights", {"use": "nights", "root": "data/nights"}),
        ("materials", {"use": "materials", "root": "/sets/materials"}),
        (("materials", {"ties": "drop"}), {"use": "materials", "root": "/sets/materials", "ties": "drop"}),
        (("materials", {"root": "here"}), {"use": "materials", "root": "here"}),
        ("synthetic", {"use": "synthetic"}),
        ("nobody", {"use": "nobody"}),  # the reader of the table reports unknown names
        ("lab.csv", {"use": "table", "path": "lab.csv"}),
        ("lab.tsv", {"use": "table", "path": "lab.tsv"}),
        (Path("lab.txt"), {"use": "table", "path": "lab.txt"}),
        (("lab.parquet", {"seed": 1}), {"use": "table", "path": "lab.parquet", "seed": 1}),
        ("people.npy", {"use": "rdm", "path": "people.npy"}),
        (("people.mat", {"key": "d"}), {"use": "rdm", "path": "people.mat", "key": "d"}),
    ],
)  # fmt: skip
def test_a_source_is_converted_to_a_recipe_table(source, table):
    assert as_table(source, REGISTRY) == table


def test_use_applies_to_files_but_not_to_names():
    assert as_table("triads.csv", REGISTRY, use="odd-one-out") == {
        "use": "odd-one-out",
        "path": "triads.csv",
    }
    with pytest.raises(
        UsageError, match="use = 'table' requires a file, but 'nights' is the name of a component"
    ):
        as_table("nights", REGISTRY, use="table")


def test_all_commands_use_the_same_root(cli):
    sentence = 'root = "/no/such"'
    environment = {"MATERIALS_ROOT": "/no/such"}
    check = cli("data", "check", "materials", **environment)
    assert sentence in check.stdout
    start = cli("init", "--out", "x.safetensors", "--judgments", "materials", **environment)
    assert sentence in start.stderr
    measured = cli("eval", "timm:test_vit", "--on", "materials", **environment)
    assert sentence in measured.stderr
