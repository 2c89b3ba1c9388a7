"""Tuned arms: the question that they answer, and no claim where tuning budgets differ."""

import pytest
from helpers.judging import sentences
from helpers.made_runs import RECIPE, record, score, write

from perceptinit.analysis.compare import compare
from perceptinit.errors import RecipeError, UsageError
from perceptinit.reports.report import render
from perceptinit.results.runs import load_runs
from perceptinit.verdict.headline import Judged

TUNE = """
[tune]
measure = "top1"
{more}
[tune.eval]
use = "zero-shot"
[tune.space]
"pretrain.lr" = {{ low = 1e-4, high = 1e-2 }}
"""


def tuned_record(arm, seed, value, more="", role="best", lr=1e-3):
    one = record(arm, seed, [score(value)])
    one["recipe"]["text"] = RECIPE.format(seeds=[0, 1, 2]) + TUNE.format(more=more)
    one["recipe"]["overrides"] = [f'tune.role="{role}"', f"pretrain.lr={lr}"] if role else []
    one["arm"]["resolved"]["pretrain"]["lr"] = lr
    return one


def compared(tmp_path, **of_random):
    records = [
        tuned_record(arm, seed, value + seed / 1000, **more)
        for arm, value, more in (("random", 0.5, of_random), ("pi", 0.6, {"lr": 2e-3}))
        for seed in range(3)
    ]
    return compare(load_runs([write(tmp_path, records)]))


def test_tuned_arms_are_compared_at_their_best_settings(tmp_path):
    said = " ".join(sentences(compared(tmp_path)))
    assert "Each at its best settings: is it better than random? pi is better than random" in said
    assert "5 trials in each of 3 searches, by top1 on validation data" in said
    assert "worth it" not in said


@pytest.mark.parametrize(
    ("of_random", "sentence"),
    [
        ({"more": "trials = 2"}, "pi had 15 tuning trials and random had 6"),
        ({"role": "", "lr": 2e-3}, "pi had 15 tuning trials and random had 0"),
        ({"more": "seed = 7"}, "tuned with different [tune] settings"),
    ],
)
def test_no_arm_is_reported_as_better_where_tuning_budgets_differ(tmp_path, of_random, sentence):
    comparison = compared(tmp_path, **of_random)
    said = " ".join(sentences(comparison))
    assert sentence in said
    assert "is better than random by" not in said
    assert "Yes:" not in render(Judged.of(comparison), with_examples=False)


def test_tuning_trials_are_not_compared(tmp_path):
    with pytest.raises(UsageError, match="these runs are tuning trials"):
        compared(tmp_path, role="trial")


def test_an_invalid_tune_table_in_a_record_is_an_error(tmp_path):
    with pytest.raises(RecipeError, match="expected an integer, got 'x'"):
        compared(tmp_path, more='trials = "x"')
