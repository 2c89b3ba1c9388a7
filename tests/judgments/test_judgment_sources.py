"""A name or a file means the same judgments in the library and in every command."""

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
        ("nobody", {"use": "nobody"}),  # whoever reads the table knows what there is
        ("lab.csv", {"use": "table", "path": "lab.csv"}),
        ("lab.tsv", {"use": "table", "path": "lab.tsv"}),
        (Path("lab.txt"), {"use": "table", "path": "lab.txt"}),
        (("lab.parquet", {"seed": 1}), {"use": "table", "path": "lab.parquet", "seed": 1}),
        ("people.npy", {"use": "rdm", "path": "people.npy"}),
        (("people.mat", {"key": "d"}), {"use": "rdm", "path": "people.mat", "key": "d"}),
    ],
)  # fmt: skip
def test_what_a_source_means(source, table):
    assert as_table(source, REGISTRY) == table


def test_a_file_may_be_read_by_another_component_and_a_name_may_not():
    assert as_table("triads.csv", REGISTRY, use="odd-one-out") == {
        "use": "odd-one-out",
        "path": "triads.csv",
    }
    with pytest.raises(
        UsageError, match="use = 'table' requires a file, but 'nights' is the name of a component"
    ):
        as_table("nights", REGISTRY, use="table")


def test_the_commands_look_in_the_same_place(cli):
    told = 'root = "/no/such"'
    environment = {"MATERIALS_ROOT": "/no/such"}
    check = cli("data", "check", "materials", **environment)
    assert told in check.stdout
    start = cli("init", "-o", "x.safetensors", "--judgments", "materials", **environment)
    assert told in start.stderr
    measured = cli("eval", "timm:test_vit", "--judgments", "materials", **environment)
    assert told in measured.stderr
