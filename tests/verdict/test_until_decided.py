"""Plans before the runs: checks by `validate`, and seeds added until the verdict is decided."""

import json
import re

import numpy as np
import pytest
from helpers.short_recipes import RECIPE
from scipy import stats

from perceptinit.results.preregistration import read_plan


@pytest.fixture(autouse=True)
def recipe(tmp_path):
    (tmp_path / "looks.toml").write_text(RECIPE)


def seeds_of(tmp_path, arm="random"):
    return sorted(p.name for p in (tmp_path / "runs/looks" / arm).glob("seed*"))


def test_seeds_are_added_up_to_max_seeds(verb, tmp_path):
    delta = "verdict.delta=0.001"
    shown = verb("run", "looks.toml", "--until-decided", "--set", "verdict.max_seeds=3", "--set", delta)
    assert "Undecided after 2 seeds. Adding seed 2." in shown
    whole = verb("compare", "runs/looks", "--all")
    assert "This answer is final: the plan allows at most 3 seeds." in whole
    assert seeds_of(tmp_path) == seeds_of(tmp_path, "redrawn") == ["seed0", "seed1", "seed2"]
    record = json.loads((tmp_path / "runs/looks/random/seed2/record.json").read_text())
    assert record["recipe"]["overrides"] == ["verdict.max_seeds=3", delta, "seeds=[0, 1, 2]"]
    answers = json.loads(verb("compare", "runs/looks", "--format", "json"))
    assert answers["plan"] == {"delta": 0.001, "max_seeds": 3, "sha256": None}
    assert len(answers["runs"]) == 6
    of_recipe = verb("compare", "looks.toml")  # the recipe file does not state the looks
    assert "95 % interval at every look" in of_recipe
    assert "max_seeds" not in of_recipe


def test_a_decided_verdict_adds_no_seed(verb, tmp_path):
    shown = verb(
        "run", "looks.toml", "--until-decided", "--set", "verdict.max_seeds=3",
        "--set", "verdict.delta=99", "--set", "seeds=[0, 1, 2]",
    )  # fmt: skip
    assert "differ by less than 99.0 points" in shown
    assert seeds_of(tmp_path) == ["seed0", "seed1", "seed2"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--until-decided", "--set", "verdict.max_seeds=4"], "--until-decided needs [verdict] delta"),
        (["--until-decided", "--set", "verdict.delta=1"], "needs [verdict] max_seeds"),
        (["--until-decided", "--smoke"], "--until-decided does not support --smoke"),
        (["--until-decided", "--seed", 0], "--until-decided does not support --seed"),
        (["--until-decided", "--set", "verdict.max_seeds=2", "--set", "verdict.delta=1", "--set", "seeds=[0]"],
         "has 1 seed. Specify between 2 and 2 seeds (verdict.max_seeds)"),
    ],
)  # fmt: skip
def test_until_decided_with_incompatible_options_is_refused(verb, options, sentence):
    assert sentence in verb("run", "looks.toml", *options, code=2)


def validated(verb, *settings):
    return verb("validate", "looks.toml", *(o for s in settings for o in ("--set", s)))


def test_validate_prints_the_detectable_difference(verb):
    shown = validated(verb, "verdict.delta=2.0", "verdict.noise=0.5", "seeds=[0, 1, 2, 3, 4]")
    assert "verdict: differences within 2 points do not matter; 5 seeds" in shown
    # t test with 4 degrees of freedom: 80 % chance from a noncentrality of 3.76 on; 3.76 * 0.5 / sqrt 5
    assert "5 seeds detect a true difference of 0.84 points with 80 % probability" in shown
    assert "warning: verdict" not in shown


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ([], "without [verdict] delta, arms cannot be called equivalent. Set it to the largest difference"),
        (["seeds=[0]"], "warning: seeds: one seed cannot decide anything"),
        (["verdict.primary=embedding_spread/synthetic"], "embedding_spread is descriptive and does not rank models"),
        (["verdict.primary=2afx/synthetic"], "no measure called '2afx'. Did you mean '2afc'?"),
        (["verdict.primary=top1/cifar10"], "no evaluator of the recipe uses 'cifar10'."),
        (["verdict.delta=0.005"], "0.005 points may be a share: then set 0.5"),
        (["verdict.delta=30"], "30 points are more than a quarter of the possible difference, so no arm can be called"),
        (["verdict.delta=0.5", "verdict.noise=0.5", "seeds=[0, 1, 2]"],
         "0.5 points are below the noise: with 3 seeds, the difference between equal arms has an interval of ±1.2 points"),
        (["verdict.delta=0.5", "verdict.noise=0.5", "seeds=[0, 1, 2]"],
         "3 seeds detect a true difference of delta (0.5 points) with only 17 % probability. Add seeds"),
    ],
)  # fmt: skip
def test_validate_warns_of_a_plan_that_cannot_answer(verb, settings, sentence):
    assert sentence in validated(verb, *settings)


def test_the_promised_number_of_seeds_calls_equal_arms_equivalent_in_80_percent(verb):
    found = validated(verb, "verdict.delta=0.5", "verdict.noise=0.5", "seeds=[0, 1, 2]")
    num = int(re.search(r"(\d+) seeds call them so with 80 % probability", found)[1])
    assert simulate_equivalence(num) > 0.78
    assert simulate_equivalence(num - 1) < 0.82


def simulate_equivalence(num):
    """Return the share of experiments without a difference whose 95 % interval is within one deviation of 0."""
    values = np.random.default_rng(0).standard_normal((20_000, num))
    half = stats.t.ppf(0.975, num - 1) * values.std(axis=1, ddof=1) / num**0.5
    return (np.abs(values.mean(axis=1)) + half <= 1).mean()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--set", "verdict.delta=-1"], "verdict.delta: should be greater than 0"),
        (["--until-decided", "--set", "verdict.delta=1"], "needs [verdict] max_seeds"),
        (
            ["--set", "verdict.delta=1", "--set", "verdict.noise=2"],
            "with only 5 % probability. Add seeds, or write this plan with --anyway",
        ),
    ],
)
def test_an_invalid_plan_is_refused_and_not_written(verb, tmp_path, options, sentence):
    assert sentence in verb("preregister", "looks.toml", *options, code=2)
    assert not (tmp_path / "runs").exists()


def test_anyway_writes_a_plan_with_too_few_seeds(verb, tmp_path):
    options = ("--set", "verdict.delta=1", "--set", "verdict.noise=2", "--anyway")
    assert "plan of" in verb("preregister", "looks.toml", *options)


def test_preregister_run_and_compare_follow_one_plan(verb, tmp_path):
    shown = verb(
        "preregister", "looks.toml", "--until-decided", "--set", "verdict.max_seeds=3", "--set", "verdict.delta=99"
    )  # fmt: skip
    assert "# Plan of looks" in shown
    assert "runs/looks/plan.json: plan of 20" in shown
    verb("run", "looks.toml", "--until-decided", "--set", "verdict.max_seeds=3", "--set", "verdict.delta=99")
    assert "As planned (plan of 20" in verb("compare", "runs/looks", "--all")
    plan = read_plan(tmp_path / "runs/looks")
    record = json.loads((tmp_path / "runs/looks/random/seed0/record.json").read_text())
    assert record["plan"] == plan["sha256"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ((), "* Delta: not stated, so arms cannot be called equivalent"),
        (("verdict.delta=0.005",), "0.005 points may be a share: then set 0.5"),
        (("seeds=[0]",), "warning: seeds: one seed cannot decide anything"),
    ],
)
def test_a_plan_that_cannot_answer_is_written_with_a_warning(verb, settings, sentence):
    assert sentence in verb("preregister", "looks.toml", *(o for s in settings for o in ("--set", s)))
