"""Keys of earlier versions: refused in a recipe, and read in records and frozen recipes."""

import hashlib
import json

import pytest
from helpers.short_recipes import RECIPE as TINY

from perceptinit.errors import RecipeError
from perceptinit.recipe.old_keys import find_old_keys, restore_overrides, restore_plan, restore_text
from perceptinit.recipe.reading import load_recipe, read_recipe
from perceptinit.results.loading import read_recorded_recipe
from perceptinit.results.planned import read_planned
from perceptinit.results.tuned import parse_tuning
from perceptinit.running.cells import plan_cells
from perceptinit.running.frozen import freeze, thaw

OLD = """
[slurm]
partition = "long"
[launch]
wrap = "nice"
[verdict]
delta = 1.0
published_effect = 3.0
source = "a paper"
"""


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("[slurm]\ngpus = 1\n", "slurm: renamed. Write 'jobs' instead of 'slurm'"),
        ("[launch]\nwrap = 'nice'\n", "launch: renamed. Write 'jobs' instead of 'launch'"),
        ("[verdict]\npublished_effect = 2.0\n", "verdict.published_effect: removed. State it in a comment"),
        ("[tune]\nstudies = 2\n", "tune.studies: renamed. Write 'tune.searches' instead of 'tune.studies'"),
        ("[verdict]\nsource = 'a paper'\n", "verdict.source: removed. State it in a comment"),
    ],
)
def test_a_recipe_with_an_old_key_is_refused(lines, problem):
    with pytest.raises(RecipeError) as error:
        read_recipe(TINY + lines)
    assert [str(each) for each in error.value.problems] == [problem]


def test_an_old_key_of_a_like_recipe_is_located_in_its_file(tmp_path):
    (tmp_path / "base.toml").write_text(TINY + "[slurm]\ngpus = 1\n")
    (tmp_path / "own.toml").write_text('like = "base.toml"\nname = "own"\n')
    with pytest.raises(RecipeError, match=r"base\.toml:slurm: renamed"):
        load_recipe(tmp_path / "own.toml")


def test_arms_next_to_like_are_called_take(tmp_path):
    (tmp_path / "base.toml").write_text(TINY)
    (tmp_path / "own.toml").write_text('like = "base.toml"\nname = "own"\narms = ["redrawn"]\n')
    with pytest.raises(RecipeError, match=r"arms: renamed\. Write 'take' instead of 'arms'"):
        load_recipe(tmp_path / "own.toml")


def test_an_override_of_an_old_key_is_refused():
    with pytest.raises(RecipeError, match=r"--set slurm\.gpus=2: renamed\. Write 'jobs' instead of 'slurm'"):
        read_recipe(TINY, overrides=["slurm.gpus=2"])


def test_a_recorded_text_without_old_keys_is_unchanged():
    assert restore_text(TINY, "looks.toml") == TINY


def test_recorded_overrides_have_the_names_of_today():
    before = ["slurm.gpus=2", "pretrain.lr=0.1", "verdict.published_effect=3", "launch.wrap=nice"]
    assert restore_overrides(before) == ("jobs.gpus=2", "pretrain.lr=0.1", "jobs.wrap=nice")


def test_a_record_with_old_keys_has_the_same_recipe():
    about = {"text": TINY + OLD, "source": "looks.toml", "overrides": ["slurm.gpus=2"], "smoke": False}
    recipe = read_recorded_recipe({"recipe": about})
    assert (recipe.jobs.partition, recipe.jobs.wrap, recipe.jobs.gpus) == ("long", "nice", 2)
    assert recipe.verdict.delta == 1.0
    plain = read_recipe(TINY)
    assert [recipe.fingerprint(arm) for arm in recipe.arms] == [plain.fingerprint(arm) for arm in plain.arms]


def test_comparisons_read_the_arms_of_a_recorded_like():
    own = 'like = "looks.toml"\nname = "own"\narms = ["redrawn"]\n'
    merged = TINY.replace('name = "looks"', 'name = "own"')
    planned = read_planned(merged + OLD, "own.toml", (), (("own.toml", own + OLD), ("looks.toml", TINY)))
    assert planned.verdict.delta == 1.0
    assert {arm: origin.name for arm, origin in planned.origins.items()} == {"redrawn": "looks"}


def test_a_frozen_recipe_with_old_keys_is_read(tmp_path):
    recipe = read_recipe(TINY, source="looks.toml", folder=tmp_path)
    cells = plan_cells(recipe, out=tmp_path)
    content = json.loads(freeze(recipe, cells, tmp_path).read_text())
    for stated in (content["recipe"], *content["recipes"]):
        stated["text"] += OLD
    data = json.dumps(content).encode()
    file = tmp_path / f"recipe-{hashlib.sha256(data).hexdigest()[:16]}.json"
    file.write_bytes(data)
    again, runs = thaw(file)
    assert again.jobs.partition == "long"
    assert len(runs) == len(cells)
    assert not find_old_keys({"jobs": {}, "verdict": {"delta": 1.0}})


def test_a_recorded_search_with_the_old_key_is_that_of_today():
    old = '[tune]\nmeasure = "top1"\nstudies = 2\n[tune.space]\n"pretrain.lr" = { low = 1e-4, high = 1e-2 }\n'
    before = parse_tuning(old, "looks.toml", ("tune.studies=4",))
    assert before == parse_tuning(old.replace("studies", "searches"), "looks.toml", ("tune.searches=4",))
    assert before.config.searches == 4


def test_a_plan_with_the_old_key_is_unchanged_by_the_name_of_today():
    before = {"arms": ["pi"], "tune": {"studies": 3, "measure": "top1"}}
    assert restore_plan(before) == {"arms": ["pi"], "tune": {"searches": 3, "measure": "top1"}}
    assert before["tune"]["studies"] == 3
