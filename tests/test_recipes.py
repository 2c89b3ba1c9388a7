"""Every recipe that ships validates without data and runs shrunk; arms differ in what they claim to."""

import json
import os
from pathlib import Path

import pytest

from perceptinit.recipe import load_recipe

RECIPES = sorted((Path(__file__).parent.parent / "recipes").glob("*.toml"))
NAMES = [path.name for path in RECIPES]


@pytest.fixture(autouse=True)
def no_data(monkeypatch):
    for name in list(os.environ):
        if name.endswith(("_ROOT", "_SHARDS")):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("path", RECIPES, ids=NAMES)
def test_a_recipe_validates_without_data(cli, path):
    done = cli("validate", path)
    assert done.returncode == 0, done.stderr
    assert "arms x" in done.stdout
    assert "Ready to run." in done.stdout or "Before it can run:" in done.stdout


@pytest.mark.parametrize("path", RECIPES, ids=NAMES)
def test_a_recipe_runs_shrunk_and_ends_with_the_table(cli, tmp_path, path):
    done = cli("run", path, "--smoke")
    assert done.returncode == 0, done.stderr
    assert "samples seen" in done.stdout
    assert "Simulated data" in done.stdout
    records = [json.loads(p.read_text()) for p in tmp_path.glob("runs/*/*/seed*/record.json")]
    assert {r["arm"]["name"] for r in records} == {a.name for a in load_recipe(path).arms}
    assert all(r["status"] == "finished" for r in records)
    # whatever the initializer does, pretraining sees the same batches and starts from the same text tower
    assert len({r["hashes"]["pretrain_data"] for r in records}) == 1
    assert len({r["hashes"]["built"]["text"] for r in records}) == 1
    assert len({r["hashes"]["init"]["text"] for r in records}) == 1


@pytest.mark.parametrize("path", RECIPES, ids=NAMES)
def test_the_shuffled_arm_is_the_pi_arm_but_for_the_votes(path):
    recipe = load_recipe(path)
    arms = {arm.name: recipe.resolved(arm)["init"] for arm in recipe.arms}
    if not {"pi", "shuffled"} <= arms.keys():
        pytest.skip(f"{path.name} has no pi with a shuffled control")
    (pi,), (shuffled,) = arms["pi"], arms["shuffled"]
    assert shuffled["judgments"]["use"] == "shuffled-votes"
    assert shuffled["judgments"]["judgments"] == pi["judgments"]
    assert {**shuffled, "judgments": None} == {**pi, "judgments": None}


@pytest.mark.parametrize("path", RECIPES, ids=NAMES)
def test_a_recipe_stands_in_the_table_of_recipes(path):
    assert path.name in (path.parent / "README.md").read_text()
