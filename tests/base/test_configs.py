"""Recipe tables are read strictly, and each error names its TOML path."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from perceptinit.configs import PositiveInt, Share, read_config, to_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    root: Path
    epochs: PositiveInt = 32
    margin: float = 0.05
    betas: tuple[float, float] = (0.9, 0.98)
    precision: Literal["fp32", "bf16"] = "fp32"
    limit: int | None = None
    share: Share = 0.5

    def __post_init__(self):
        if self.margin == 13:
            raise ValueError("margin must not be 13")


def problems_of(**table):
    config, problems = read_config(Config, {"root": "data", **table}, "init")
    assert (config is None) == bool(problems)
    return [str(problem) for problem in problems]


def test_a_complete_table_becomes_a_config():
    config, problems = read_config(
        Config, {"root": "data", "epochs": 3, "margin": 1, "betas": [0.9, 0.99]}, "init"
    )
    assert problems == []
    assert config == Config(root=Path("data"), epochs=3, margin=1.0, betas=(0.9, 0.99))


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"epochs": "32"}, "init.epochs: expected an integer, got '32'"),
        ({"epochs": True}, "init.epochs: expected an integer, got True"),
        ({"epochs": 1.5}, "init.epochs: expected an integer, got 1.5"),
        ({"margin": "x"}, "init.margin: expected a number, got 'x'"),
        ({"marign": 0.1}, "init.marign: unknown key; did you mean 'margin'?"),
        ({"precision": "fp8"}, "init.precision: should be 'fp32' or 'bf16', got 'fp8'"),
        ({"epochs": 0}, "init.epochs: should be greater than 0, got 0"),
        ({"share": 1.5}, "init.share: should be less than or equal to 1, got 1.5"),
        ({"limit": "many"}, "init.limit: expected an integer, got 'many'"),
        ({"margin": float("inf")}, "init.margin: expected a finite number, got inf"),
        ({"margin": float("nan")}, "init.margin: expected a finite number, got nan"),
        ({"betas": [0.9, float("-inf")]}, "init.betas[1]: expected a finite number, got -inf"),
        ({"margin": 13}, "init: margin must not be 13"),
        ({"betas": [0.9, "x"]}, "init.betas[1]: expected a number, got 'x'"),
    ],
)
def test_an_invalid_value_is_reported_with_its_path(table, sentence):
    assert problems_of(**table) == [sentence]


def test_a_missing_key_is_reported():
    _, problems = read_config(Config, {}, "init")
    assert [str(p) for p in problems] == ["init.root: required, but not given"]


def test_all_problems_are_reported_at_once():
    assert len(problems_of(epochs="32", marign=1, precision="x")) == 3


def test_an_unknown_key_without_a_similar_name_lists_the_known_keys():
    (problem,) = problems_of(zzz=1)
    assert problem.startswith("init.zzz: unknown key; known: root, epochs")


def test_to_table_returns_values_that_toml_supports():
    table = to_table(Config(root=Path("data")))
    assert table == {
        "root": "data",
        "epochs": 32,
        "margin": 0.05,
        "betas": [0.9, 0.98],
        "precision": "fp32",
        "share": 0.5,
    }
