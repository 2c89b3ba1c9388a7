"""Bundled recipes validate without data and finish smoke runs, and their arms differ as stated."""

import os
import re
from pathlib import Path

import pytest
from helpers.smoke import check_smoke

from perceptinit.analysis.contrasts import find_contrasts
from perceptinit.analysis.questions import CONTROL, OTHERWISE, SIMULATED, STRUCTURE, WORTH
from perceptinit.recipe.reading import load_recipe
from perceptinit.results.record import new_record
from perceptinit.results.runs import LoadedRun, RunSet

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))
# these two have every kind of arm; tests/docs runs the others
SMOKE = ("quickstart.toml", "controls_materials.toml")


@pytest.fixture(autouse=True)
def no_data(monkeypatch):
    for name in list(os.environ):
        if name.endswith(("_ROOT", "_SHARDS")):
            monkeypatch.delenv(name)


def test_bundled_recipes_validate_without_data(cli, untraced):
    for path in RECIPES:
        done = cli("validate", path)
        assert done.returncode == ("Before it can run:" in done.stdout), f"{path.name}: {done.stderr}"
        assert re.search(r"\d arms? x \d", done.stdout), path.name
        assert "Ready to run." in done.stdout or done.returncode == 1, path.name


@pytest.mark.parametrize("name", SMOKE)
def test_a_bundled_recipe_finishes_a_smoke_run_with_its_table(cli, tmp_path, name):
    check_smoke(cli, tmp_path, RECIPES[0].with_name(name))


# A finished run is identified by its fingerprint. The changelog lists each recipe whose fingerprint changes.
FINGERPRINTS = {
    "aa": {
        "random": "70b3c3c7f6343b83",
        "redrawn": "534cb53b08653780",
    },
    "brain_regions": {
        "random": "695b3f052808dbfc",
        "pi": "807e4d94a6568322",
        "shuffled": "f6b9e450698f61de",
        "mid": "e8710cfbaba9edac",
        "early": "c8b9a20648137fe4",
        "late-subject-0": "79ba13caa45b08b8",
    },
    "compute_matched": {
        "random-longer": "ddce99308aec1eca",
    },
    "controls_materials": {
        "random": "357e3131d161b60b",
        "pi": "0ef8b9241f392bda",
        "shuffled": "edc5294f0eaeb62f",
        "pixels": "83dfa1bf1f1e8eb8",
        "statistics-matched": "e17544b990fc65cd",
        "mimetic": "7420db5efff8235a",
    },
    "data_efficiency": {
        "random": "e91e080b544ec2f1",
        "pi-01": "97636a941d194028",
        "pi-05": "a1380f24078286ea",
        "pi-10": "e4d884212a5cfa7d",
        "pi-25": "6f40e52948b48e56",
        "pi-50": "a62c9197deb23c60",
        "pi-100": "802446706ca6e578",
    },
    "drawings": {
        "random": "c942a4e2e5c3204d",
        "topics": "8e7b9a6603b51418",
    },
    "materials_cifar10": {
        "random": "35bc49aeaa354154",
        "pi": "a77df7d12200dd6e",
        "shuffled": "4e7f37488d1eb510",
        "post-hoc": "a38094212013f59f",
    },
    "own_judgments": {
        "random": "52aefe942f11870c",
        "pi": "257f63221579eb9a",
        "shuffled": "5255cd63fc6005da",
    },
    "pi_clip_yfcc": {
        "random": "c90372706d4c6a44",
        "pi": "5443f6fd7d478776",
        "shuffled": "27c8d27342b1e356",
        "pi-margin-half": "d77ed97dd5c5e1d7",
        "post-hoc": "7e7e5452ebd805f5",
    },
    "pi_clip_yfcc_published": {
        "random": "d8d3f99838a14b3c",
        "pi": "e5294b0fd1968d10",
        "shuffled": "8bfdb2330539bfa1",
        "post-hoc": "2d806f7be65b3ad8",
    },
    "pi_data_ladder_yfcc3m": {
        "random": "12d6cc3a157c4a80",
        "pi-001": "2636c726cde03d3b",
        "pi-005": "cc8b04773ab40831",
        "pi-010": "4741a24d6007a6eb",
        "pi-025": "a2e54115bc175ac7",
        "pi-050": "d36a5ddb27d8f914",
        "pi": "c9ba491b37ce1659",
        "shuffled": "e5ae19d8009c076a",
    },
    "quickstart": {
        "random": "8a49b5d80328025c",
        "pi": "679120254441b9ad",
        "shuffled": "09b7bfdfffdea07a",
    },
}


@pytest.fixture(scope="module")
def recipes():
    return {path.stem: load_recipe(path) for path in RECIPES}


def test_every_arm_keeps_its_fingerprint(recipes):
    found = {
        name: {arm.name: recipe.fingerprint(arm) for arm in recipe.arms} for name, recipe in recipes.items()
    }
    assert found == FINGERPRINTS


def test_no_arm_repeats_a_shared_stage(recipes):
    assert {name: recipe.warnings for name, recipe in recipes.items() if recipe.warnings} == {}


def test_set_for_stage_one_applies_to_pi_and_its_control(recipes_folder):
    recipe = load_recipe(recipes_folder / "quickstart.toml", ["init.epochs=1"])
    assert [[spec.config.epochs for spec in arm.init] for arm in recipe.arms] == [[], [1], [1]]


def as_runs(recipe):
    """Return a finished run of each arm with its record."""
    runs = [
        LoadedRun(arm.name, 0, Path(), "finished", about=new_record(recipe, arm, 0, "cpu")["arm"])
        for arm in recipe.arms
    ]
    arms = tuple(arm.name for arm in recipe.arms)
    return RunSet(recipe.name, recipe.summary, recipe.baseline, arms, tuple(runs))


def questions(recipe):
    contrasts = find_contrasts(as_runs(recipe))
    return {c.title: c.question for c in contrasts if c.question != WORTH}


def test_records_state_which_judgments_are_by_people(recipes_folder):
    runs = as_runs(load_recipe(recipes_folder / "controls_materials.toml"))
    assert {arm: runs.about(arm)["by_people"] for arm in runs.arms if arm != "pixels"} == {
        "random": True, "pi": True, "shuffled": True, "statistics-matched": True, "mimetic": True,
    }  # fmt: skip
    assert not runs.about("pixels")["by_people"]


def test_only_pi_and_its_shuffled_control_test_the_structure_of_the_votes(recipes):
    for name, recipe in recipes.items():
        of_the_answers = SIMULATED if name == "quickstart" else STRUCTURE
        found = [title for title, question in questions(recipe).items() if question == of_the_answers]
        has_twins = {"pi", "shuffled"} <= {arm.name for arm in recipe.arms}
        assert found == (["pi - shuffled"] if has_twins else []), name


def test_other_contrasts_state_the_settings_that_differ(recipes_folder):
    asked = questions(load_recipe(recipes_folder / "brain_regions.toml"))
    asked |= questions(load_recipe(recipes_folder / "controls_materials.toml"))
    assert asked == {
        "pi - shuffled": STRUCTURE,
        "mid - shuffled": OTHERWISE.format("init.judgments.path"),
        "early - shuffled": OTHERWISE.format("init.judgments.path"),
        "late-subject-0 - shuffled": OTHERWISE.format("init.judgments.subjects"),
        "pixels - shuffled": OTHERWISE.format("init.judgments"),
        "statistics-matched - shuffled": OTHERWISE.format("init"),
        "shuffled - random": CONTROL,
    }


def test_every_bundled_recipe_is_in_the_table_of_recipes(recipes_folder):
    table = (recipes_folder / "README.md").read_text()
    assert [path.name for path in RECIPES if path.name not in table] == []
