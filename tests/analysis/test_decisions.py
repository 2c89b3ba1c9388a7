"""Decisions about a difference, against known levels and probabilities."""

import numpy as np
import pytest
from helpers.judging import family_wise, headline, summary

# simulated data: see test_verdict
from helpers.made_runs import JUDGMENTS
from helpers.made_verdicts import BASE, made, trained_on
from scipy import stats

from perceptinit.analysis.decisions import (
    Rule,
    level_of_looks,
    probabilities,
    rule_of,
)
from perceptinit.analysis.statistics import estimate
from perceptinit.errors import RecipeError
from perceptinit.recipe.settings import VerdictConfig


def decided(values, **rule):
    rule = Rule(**rule)
    return rule.decide(estimate(values, rule.confidence))


def test_the_position_of_the_interval_decides_the_outcome():
    narrow = [0.001, 0.002, 0.003]  # 0.002 with t(0.975, 2) * 0.001 / sqrt 3 = 0.0025 to each side
    assert decided(narrow, delta=0.005) == "equivalent"
    assert decided(narrow, delta=0.004) == "undecided"
    assert decided([0.01, 0.011, 0.012], delta=0.005) == "better"
    assert decided([-0.01, -0.011, -0.012]) == "worse"
    assert decided([0.01]) == "undecided"


def test_an_interval_that_excludes_0_but_stays_within_delta_is_equivalent():
    assert decided([0.0010, 0.0011, 0.0012], delta=0.005) == "equivalent"
    assert decided([0.0010, 0.0011, 0.0012]) == "better"


def test_no_difference_is_decided_before_the_first_planned_look():
    values = [0.01, 0.011, 0.012]
    assert decided(values, first=4, last=6) == "undecided"
    assert decided([*values, 0.0105], first=4, last=6) == "better"


def test_one_look_has_the_nominal_level_and_more_looks_have_a_higher_level():
    assert level_of_looks(5, 5) == 0.95
    assert 0.95 < level_of_looks(3, 6) < level_of_looks(3, 10) < 1 - 0.05 / 8  # Bonferroni


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_all_intervals_of_a_sequence_cover_the_truth_in_95_percent_of_experiments(shift):
    rule, rng = Rule(first=3, last=8), np.random.default_rng(1)
    values = rng.normal(shift, 1.0, size=(4000, 8))
    holds = np.ones(4000, dtype=bool)
    for num in range(3, 9):
        mean = values[:, :num].mean(axis=1)
        error = values[:, :num].std(axis=1, ddof=1) / np.sqrt(num)
        holds &= np.abs(mean - shift) <= stats.t.ppf(0.5 + rule.confidence / 2, num - 1) * error
    assert abs(holds.mean() - 0.95) < 0.012  # 3.5 standard errors of 4,000 experiments


def test_probabilities_are_areas_under_students_t():
    value = estimate([0.0, 0.01, 0.02])  # mean 0.01, s.e. 0.00577, 2 degrees of freedom
    below, within, above = probabilities(value, 0.01)
    assert above == pytest.approx(0.5)
    # t = 0.02 / 0.0057735 = 3.4641; P(T > t) = 1/2 - t / (2 sqrt(2 + t^2)) for 2 degrees of freedom
    assert below == pytest.approx(0.5 - 3.4641 / (2 * np.sqrt(2 + 12)), abs=1e-5)
    assert within == pytest.approx(1 - above - below)
    assert probabilities(estimate([0.1]), 0.01) is None
    assert probabilities(estimate([0.02, 0.02]), 0.01) == (0.0, 0.0, 1.0)


def test_the_rule_of_a_plan_converts_points_to_scores():
    assert rule_of(VerdictConfig(delta=0.5), 3) == Rule(0.005, 3, None)
    assert rule_of(VerdictConfig(delta=0.5, max_seeds=10), 1) == Rule(0.005, 2, 10)


def with_plan(folder, plan, pi, overrides=(), **more):
    """Return the comparison of a random and a pi arm under a `[verdict]`."""
    arms = {"random": ([], BASE[: len(pi)] or BASE), "pi": (trained_on(JUDGMENTS), pi)}
    return made(folder, arms, plan=plan, overrides=overrides, **more)


def test_a_small_difference_is_reported_as_equivalent_with_its_probabilities(tmp_path):
    comparison = with_plan(tmp_path, "delta = 2.0", (0.501, 0.520, 0.541), num_examples=5000)
    (answer,) = summary(comparison).answers
    assert answer.outcome == "equivalent"
    assert answer.sentence.startswith("pi and random differ by less than 2.0 points: +0.1 points (95 %")
    assert "better by more than 2.0 points <0.01, within >0.99, worse <0.01" in answer.sentence
    assert "it is equivalent to random within 2.0 points" in summary(comparison).readings[0]
    assert "differences within 2.0 points (delta) do not matter" in " ".join(headline(comparison))


def test_an_undecided_difference_reports_the_number_of_seeds_that_would_decide_it(tmp_path):
    (answer,) = summary(with_plan(tmp_path, "delta = 1.0", (0.505, 0.518, 0.546))).answers
    assert answer.outcome == "undecided"
    assert "more seeds would decide it with 80 % chance." in answer.sentence


def test_an_undecided_difference_at_the_last_look_is_final(tmp_path):
    plan = "delta = 1.0\nmax_seeds = 3"
    (answer,) = summary(with_plan(tmp_path, plan, (0.48, 0.55, 0.55))).answers
    assert "This answer is final: the plan allows at most 3 seeds." in answer.sentence
    assert "at every look" in answer.sentence


def test_several_looks_widen_the_interval(tmp_path):
    def width(folder, plan):
        (score,) = with_plan(tmp_path / folder, plan, (0.53, 0.56, 0.56)).scores
        return score.differences[0].value.high - score.differences[0].value.low

    one, many = width("one", "delta = 1.0"), width("many", "delta = 1.0\nmax_seeds = 10")
    ratio = stats.t.ppf(0.5 + level_of_looks(3, 10) / 2, 2) / stats.t.ppf(0.975, 2)
    assert many / one == pytest.approx(ratio)


def test_a_delta_that_changed_after_the_first_run_is_reported(tmp_path):
    comparison = with_plan(tmp_path, "delta = 1.0", (0.53, 0.56, 0.56), ("verdict.delta=3.0",))
    assert "Not as planned: [verdict] delta was 1.0 when the first run began, and is 3.0 now." in headline(
        comparison
    )


def test_an_invalid_plan_is_refused(tmp_path):
    for plan, sentence in (
        ("delta = -1", "verdict.delta: should be greater than 0"),
        ('delta = "0.5 %"', "verdict.delta: expected a number"),
        ("delta = 200", "delta = 200: expected less than 100 points (hundredths of a score)"),
        ("deltas = 1.0", "did you mean 'delta'?"),
    ):
        with pytest.raises(RecipeError) as error:
            with_plan(tmp_path, plan, (0.5, 0.5, 0.5))
        assert sentence in str(error.value)


def test_one_sentence_counts_the_differences_on_the_whole_page(tmp_path):
    text = family_wise(with_plan(tmp_path, "delta = 1.0", (0.53, 0.56, 0.56)))
    assert text.startswith("1 difference is shown, 1 of them in the verdict.")


def test_intervals_of_several_arms_share_the_error_rate(tmp_path):
    arms = {
        "random": ([], BASE),
        "pi": (trained_on(JUDGMENTS), BASE),
        "mimetic": ([{"use": "mimetic"}], BASE),
    }
    arms = {
        name: (init, [v + 0.01 * i * (-1) ** k for k, v in enumerate(values)])
        for i, (name, (init, values)) in enumerate(arms.items())
    }
    text = family_wise(made(tmp_path, arms, plan="delta = 1.0"))
    assert "Each interval misses the truth in at most 5 % of experiments." in text
    # 2 intervals at 97.5 %: 2 * 0.025
    assert (
        "about 0.1 of the 2 would exclude 0 by chance, and any of the 2 with a probability of at most 5 %"
        in text
    )
