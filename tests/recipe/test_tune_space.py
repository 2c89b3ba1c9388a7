"""The `[tune]` table of a recipe, and the points of its search space."""

import math

import pytest

from perceptinit.errors import RecipeError
from perceptinit.recipe.reading import read_recipe
from perceptinit.recipe.settings import Range
from perceptinit.recipe.tuning import Dimension
from perceptinit.running.readiness import find_needs
from perceptinit.running.tuning import find_same_data, keys_by_arm

RECIPE = """
schema = 1
name = "tuned"
seeds = [0, 1]
[backbone]
use = "timm"
[[init]]
use = "triplet-hinge"
judgments = { use = "synthetic" }
[pretrain]
use = "clip"
pairs = { use = "synthetic" }
[[eval]]
use = "zero-shot"
datasets = ["synthetic"]
[[eval]]
use = "two-afc"
judgments = { use = "synthetic" }
[tune]
measure = "top1"
trials = 4
[tune.eval]
use = "zero-shot"
datasets = ["synthetic"]
split = "val"
[tune.space]
pretrain.lr = { low = 1e-4, high = 1.0, scale = "log" }
[[arm]]
name = "random"
init = []
[[arm]]
name = "pi"
"""
SPACE = 'pretrain.lr = { low = 1e-4, high = 1.0, scale = "log" }'
EVAL = """use = "zero-shot"
datasets = ["synthetic"]
split = "val"
"""


def refusal(recipe):
    with pytest.raises(RecipeError) as error:
        read_recipe(recipe)
    return str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (SPACE, "", "tune.space: required: the tuned keys"),
        (SPACE, '"pretrain.lr" = { low = 1.0, high = 0.1 }', "low = 1 must be below high = 0.1"),
        (SPACE, 'pretrain.lr = { low = 0, high = 1, scale = "log" }', 'scale = "log" needs values above 0'),
        (SPACE, "pretrain.lr = { low = 0, high = 1 }", "tune.space.pretrain.lr.low: should be greater than 0, got 0.0"),
        (SPACE, "pretrain.min_lr = { low = 0, high = 1 }", "tune.space.pretrain.min_lr.high: min_lr = 1 is above lr"),
        (SPACE, "pretrain.lr = { low = 1 }", "tune.space.pretrain.lr.high: required"),
        (SPACE, "pretrain.lr = 3", "expected { low = ..., high = ... }, got 3"),
        (SPACE, "pretrain.lrr = { low = 1, high = 2 }", "has no key called 'lrr'"),
        (SPACE, "pretrain.warmup_steps = { low = 0.5, high = 2 }", "warmup_steps accepts integers only, got 0.5"),
        (SPACE, "pretrain.batch_size = { low = 1, high = 2 }", "data order, seeds and batch size cannot be tuned"),
        (SPACE, "init.batch_size = { low = 1, high = 2 }", "data order, seeds and batch size cannot be tuned"),
        (SPACE, "pretrain.epochs = { low = 1, high = 2 }", "the length of pretraining cannot be tuned"),
        (SPACE, "pretrain.steps = { low = 1, high = 2 }", "the length of pretraining cannot be tuned"),
        (SPACE, "pretrain.betas = { low = 1, high = 2 }", "only numbers can be tuned"),
        (SPACE, "pretrain.precision = { low = 1, high = 2 }", "only numbers can be tuned"),
        (SPACE, "pretrain.pairs.num_pairs = { low = 1, high = 2 }", "only keys of pretraining"),
        (SPACE, "backbone.embed_dim = { low = 1, high = 2 }", "only keys of pretraining"),
        (SPACE, "init.1.lr = { low = 1, high = 2 }", "only keys of pretraining"),
        ("trials = 4", "trials = 0", "tune.trials: "),
        ("trials = 4", "trials = 100000", "tune.trials: should be less than or equal to 1000"),
        ("trials = 4", "seed = 0", "trials use seeds 0 to 14, and final runs also use 0"),
        ('measure = "top1"', "", "tune.measure: required"),
        (f"[tune.eval]\n{EVAL}", "", "tune.eval: required: a table [tune.eval]"),
    ],
)  # fmt: skip
def test_an_invalid_tune_table_is_refused(old, new, sentence):
    assert sentence in refusal(RECIPE.replace(old, new))


def test_seeds_of_trials_and_final_runs_must_not_overlap():
    grown = "[verdict]\nmax_seeds = 5\n[tune]\nseed = 4"
    assert "and final runs also use 4" in refusal(RECIPE.replace("[tune]", grown))


def test_the_tune_table_does_not_change_fingerprints():
    with_tune, without = (
        read_recipe(RECIPE),
        read_recipe(RECIPE.replace("trials = 4", "trials = 9")),
    )
    assert with_tune.fingerprint(with_tune.arm("pi")) == without.fingerprint(without.arm("pi"))


@pytest.mark.parametrize(
    ("evaluator", "sentence"),
    [
        ('use = "zero-shot"\ndatasets = ["synthetic"]\n', "uses the same data as [[eval]] (synthetic)"),
        ('use = "retrieval"\ndatasets = ["synthetic"]\n', "uses the same data as [[eval]] (synthetic)"),
        ('use = "two-afc"\njudgments = { use = "synthetic" }\n', "uses the same data as [[eval]] (synthetic)"),
        ('use = "two-afc"\nsplit = "train"\njudgments = { use = "synthetic" }\n', "that stage 1 is trained on"),
        ('use = "two-afc"\nsplit = "val"\njudgments = { use = "synthetic" }\n', ""),
        (EVAL, ""),
    ],
)  # fmt: skip
def test_tuning_on_evaluation_data_is_refused(evaluator, sentence):
    problems = find_same_data(read_recipe(RECIPE.replace(EVAL, evaluator)))
    assert bool(problems) == bool(sentence)
    assert all(sentence in str(problem) for problem in problems)


def test_an_arm_without_a_tuned_key_ignores_that_dimension():
    more = f'{SPACE}\n"init.lr" = {{ low = 1e-5, high = 1e-2 }}\ninit.epochs = {{ low = 1, high = 4 }}'
    recipe = read_recipe(RECIPE.replace(SPACE, more))
    keys = keys_by_arm(recipe, recipe.tune)
    assert keys == {"random": ["pretrain.lr"], "pi": ["pretrain.lr", "init.lr", "init.epochs"]}


@pytest.mark.parametrize(
    ("limits", "is_whole", "share", "value"),
    [
        ({"low": 1, "high": 3}, False, 0.25, 1.5),
        ({"low": 1e-4, "high": 1e-2, "scale": "log"}, False, 0.5, 1e-3),
        ({"low": 1, "high": 4}, True, 0.0, 1),
        ({"low": 1, "high": 4}, True, 0.5, 3),  # 1, 2, 3 and 4 cover a quarter each
        ({"low": 1, "high": 4}, True, 0.999, 4),
        ({"low": 3, "high": 7, "scale": "log"}, True, 0.0, 3),
        ({"low": 5e-324, "high": 1e308, "scale": "log"}, False, 0.0, 5e-324),
        ({"low": -1e308, "high": 1e308}, False, 0.5, 0.0),
        ({"low": 1, "high": 7, "scale": "log"}, True, 0.5, 2),  # sqrt(8) is in the interval of 2
    ],
)
def test_a_dimension_maps_a_share_of_its_range_to_a_value(limits, is_whole, share, value):
    found = Dimension("init.x", Range(**limits), is_whole).value(share)
    assert found == pytest.approx(value)
    assert isinstance(found, int if is_whole else float)


def test_points_are_reproducible_and_each_study_covers_the_range():
    plan = read_recipe(RECIPE).tune
    assert plan.points() == plan.points()
    for study in range(3):
        values = [point["pretrain.lr"] for point in plan.points()[study::3]]
        # base 2: the first four points of a scrambled Halton sequence have a quarter of the range each
        assert sorted(int(math.log10(value) + 4) for value in values) == [0, 1, 2, 3]
    assert len({point["pretrain.lr"] for point in plan.points()}) == 12


def test_validation_data_are_listed_among_the_data_of_a_recipe(tmp_path):
    pets = f'use = "zero-shot"\nroot = "{tmp_path}"\ndatasets = ["pets"]\n'
    recipe = read_recipe(RECIPE.replace(EVAL, pets))
    assert [need.name for need in find_needs(recipe)] == ["pets"]
