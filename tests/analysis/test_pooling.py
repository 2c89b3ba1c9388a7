"""The spread that arms share: residuals, joint intervals, the test of equal spread and what reports say."""

from dataclasses import replace

import calibration_pooled
import numpy as np
import pytest
from helpers.judging import summary
from helpers.made_tables import read_scores
from helpers.made_verdicts import made
from scipy import stats

from perceptinit.analysis.compare import compare
from perceptinit.analysis.decisions import Rule
from perceptinit.analysis.pooling import level_of_family, pool
from perceptinit.analysis.power import Noise, chances
from perceptinit.recipe.settings import VerdictConfig

# residuals +1, -1, 0 / -1, 1, 0 / 0, 0, 0 after the means of arms and seeds: sum of squares 4, 4 degrees of freedom
SCORES = np.array([[11.0, 9.0, 10.0], [19.0, 21.0, 20.0], [30.0, 30.0, 30.0]])
ALIKE = ((0.50, 0.52, 0.54), (0.531, 0.549, 0.571), (0.519, 0.541, 0.559))
UNLIKE = ((0.50, 0.52, 0.54), (0.531, 0.549, 0.571), (0.60, 0.40, 0.70))


def of_table(values, spread="pooled", **more):
    """Return the comparison of arms random, a, b, ... with scores by seed, and a plan of their spread."""
    arms = {name: dict(enumerate(own)) for name, own in zip(("random", "a", "b", "c"), values, strict=False)}
    runs = read_scores(arms, delta=0.1)
    return compare(replace(runs, rule=replace(runs.rule, spread=spread), **more))


def limits(comparison):
    return " ".join(summary(comparison).limits)


def test_the_pooled_spread_is_that_of_the_residuals_of_arms_and_seeds():
    pooled = pool(SCORES)
    assert pooled.degrees == 4
    assert pooled.deviation == pytest.approx((2 * 4 / 4) ** 0.5)


def test_effects_of_seeds_and_arms_do_not_change_the_spread():
    shifted = SCORES + np.array([5.0, -3.0, 8.0]) + np.array([[1.0], [2.0], [-9.0]])
    assert pool(shifted).deviation == pytest.approx(float(pool(SCORES).deviation))


def test_the_joint_level_is_that_of_dunnett():
    drawn = np.random.default_rng(0)
    common = drawn.standard_normal((200_000, 5))
    scale = np.sqrt(drawn.chisquare(8, 200_000) / 8)
    largest = np.abs(common[:, 1:] - common[:, :1]).max(axis=1) / 2**0.5 / scale
    critical = stats.t.ppf(0.5 + level_of_family(4, 8) / 2, 8)
    assert (largest <= critical).mean() == pytest.approx(0.95, abs=0.002)


def test_three_seeds_of_five_arms_have_students_factor_of_eight_degrees_of_freedom(tmp_path):
    values = np.random.default_rng(0).normal(0.5, 0.01, (4, 3)) + np.array([[0.0], [0.03], [0.02], [0.01]])
    found = of_table(values.tolist()).primary.differences[0]
    assert found.value.degrees == 6
    assert found.value.stderr == pytest.approx(float(pool(values).deviation) / 3**0.5)


def test_vectorized_half_widths_are_those_of_the_package():
    values = np.random.default_rng(1).normal(0.5, 0.01, (20, 4, 3))
    half, falls_back = calibration_pooled.find_half_widths(values)
    assert 0 < falls_back.sum() < 20
    for own, wide in zip(values, half, strict=True):
        differences = of_table(own.tolist()).primary.differences
        assert [d.value.high - d.value.mean for d in differences] == pytest.approx(wide.tolist())


def test_arms_that_differ_in_spread_fall_back_to_their_own():
    pooled, own = of_table(UNLIKE), of_table(UNLIKE, None)
    assert "so each difference has its own spread" in limits(pooled)
    assert pooled.primary.differences[1].value == own.primary.differences[1].value  # b varies most


def test_a_pooled_spread_is_stated_with_its_test():
    text = limits(of_table(ALIKE))
    assert (
        "The spread over seeds is pooled over 3 arms (4 degrees of freedom; a test of equal spread has p ="
        in text
    )
    assert "pooled" not in limits(of_table(ALIKE, None))


def test_arms_without_common_seeds_are_not_pooled():
    text = limits(of_table((ALIKE[0], ALIKE[1][:2], ALIKE[2])))
    assert "The spread is not pooled, because the arms are not paired over the same seeds" in text


def test_seeds_added_by_hand_are_not_pooled():
    text = limits(of_table([(*own, own[0] + 0.03) for own in ALIKE], num_planned=3))
    assert "The spread is not pooled" in text


def test_intervals_over_images_use_the_pooled_spread_of_seeds(tmp_path):
    stages = [{"use": "mimetic"}]
    arms = {
        "random": ([], (0.5, 0.6, 0.7)),
        "a": (stages, (0.55, 0.6, 0.78)),
        "b": (stages, (0.52, 0.66, 0.7)),
    }
    texts = "delta = 0.1\n", 'delta = 0.1\nspread = "pooled"\n'
    own, pooled = (
        made(tmp_path / str(k), arms, plan=text, num_examples=2000, with_items=True).primary
        for k, text in enumerate(texts)
    )
    found = [score.differences[0].two_way for score in (own, pooled)]
    assert all(found)
    assert found[1].degrees > found[0].degrees
    assert found[0].mean == found[1].mean


def test_a_plan_with_looks_cannot_pool():
    with pytest.raises(ValueError, match=r"needs a fixed number of seeds\. Remove max_seeds"):
        VerdictConfig(spread="pooled", max_seeds=9)


def test_power_with_a_pooled_spread_is_that_of_simulated_experiments():
    promised = chances(Rule(num_pooled=5), 3, 2.75, Noise(1.0), 4).better
    values = calibration_pooled.draw(np.random.default_rng(0), calibration_pooled.EQUAL, 4000, 5, 3)
    values[:, 1] += 2.75 * 2**0.5
    half, _ = calibration_pooled.find_half_widths(values)
    shown = values[:, 1].mean(axis=1) - values[:, 0].mean(axis=1) > half[:, 0]
    assert promised == pytest.approx(shown.mean(), abs=0.03)


def test_a_spread_that_was_chosen_after_the_plan_withholds_what_it_changes(tmp_path):
    values = ((0.50, 0.52, 0.54), (0.5305, 0.5395, 0.5805), (0.519, 0.541, 0.559))
    stages = [{"use": "mimetic"}]
    arms = {name: (stages if k else [], own) for k, (name, own) in enumerate(zip("rab", values, strict=True))}
    late = made(tmp_path, arms, baseline="r", overrides=['verdict.spread="pooled"'])
    assert "With the earlier [verdict]" in limits(late) or "spread was not stated" in limits(late)
