"""Power of the decision rule, compared with closed forms and with the decisions of a second simulation."""

import numpy as np
import pytest
from scipy import stats

from perceptinit.analysis.decisions import Rule
from perceptinit.analysis.intervals import Components, max_t_p
from perceptinit.analysis.power import Noise, chances, detected_by_signs, find_effect, seeds_to_decide


def test_power_below_six_seeds_equals_the_t_test():
    # noncentral t: 5 seeds, true difference of 2 deviations, no delta
    exact = stats.nct.sf(stats.t.ppf(0.975, 4), 4, 2 * 5**0.5)
    assert chances(Rule(), 5, 2.0, Noise(1.0)).better == pytest.approx(exact, abs=0.015)
    assert chances(Rule(), 5, 0.0, Noise(1.0)).better == pytest.approx(0.025, abs=0.006)


@pytest.mark.parametrize("num", [6, 8])
def test_power_from_six_seeds_on_requires_both_tests(num):
    rng, shift = np.random.default_rng(1), 3.5 / num**0.5
    values = rng.standard_normal((2000, num)) + shift
    bounds = stats.t.interval(0.95, num - 1, values.mean(axis=1), values.std(axis=1, ddof=1) / num**0.5)
    both = [low > 0 and max_t_p([row])[0] <= 0.05 for low, row in zip(bounds[0], values, strict=True)]
    assert chances(Rule(), num, shift, Noise(1.0)).better == pytest.approx(np.mean(both), abs=0.035)
    assert chances(Rule(), num, shift, Noise(1.0)).better < stats.nct.sf(
        stats.t.ppf(0.975, num - 1), num - 1, 3.5
    )


def test_power_includes_equivalence_and_looks():
    assert chances(Rule(delta=0.001), 3, 0.0, Noise(0.01)).equivalent < 0.05
    assert chances(Rule(delta=0.1), 5, 0.0, Noise(0.01)).equivalent > 0.99
    one, many = (chances(Rule(1.0, 3, last), 10, 2.0, Noise(1.0)) for last in (None, 10))
    assert 0.99 < many.better < one.better  # docs/calibration-tables.md: 99.7 and 100.0
    uncertain = np.geomspace(0.5, 2.0, 4000)
    assert chances(Rule(1.0), 5, 2.0, Noise(uncertain)).better < chances(Rule(1.0), 5, 2.0, Noise(1.0)).better


def test_power_of_a_family_uses_wider_intervals():
    exact = stats.nct.sf(stats.t.ppf(1 - 0.0125 / 2, 4), 4, 2 * 5**0.5)
    assert chances(Rule(), 5, 2.0, Noise(1.0), num_family=4).better == pytest.approx(exact, abs=0.015)


def test_power_without_noise_is_certain():
    assert chances(Rule(), 6, 0.1, Noise(0.0)).better == 1.0
    assert chances(Rule(), 6, 0.0, Noise(np.zeros(4000))).better == 0.0


def test_the_number_of_seeds_to_decide_grows_with_noise_and_respects_the_plan():
    near, far = (0.004, 0.008, 0.001), (0.04, -0.03, 0.002)
    rule = Rule(delta=0.005)
    assert 1 <= seeds_to_decide((near,), rule) <= 20
    assert seeds_to_decide((near,), Rule(delta=0.05)) == 1
    assert seeds_to_decide((far,), rule) is None
    assert seeds_to_decide((near,), Rule(delta=0.005, first=3, last=3)) is None


def test_two_seeds_suffice_to_predict_how_many_more_decide():
    assert seeds_to_decide(((0.3, 0.3001),), Rule()) == 1
    assert seeds_to_decide(((0.3,),), Rule()) is None


def test_the_predicted_number_of_seeds_decides_in_8_of_10_experiments():
    # many seeds, so that their mean and deviation are as good as known: 0 and 0.01
    values = tuple(0.01 * stats.norm.ppf((np.arange(40) + 0.5) / 40))
    more = seeds_to_decide((values,), Rule(delta=0.0045))
    rng = np.random.default_rng(2)
    new = np.concatenate([np.tile(values, (4000, 1)), rng.normal(0, 0.01, (4000, more))], axis=1)
    half = stats.t.ppf(0.975, 39 + more) * new.std(axis=1, ddof=1) / np.sqrt(40 + more)
    assert np.mean(np.abs(new.mean(axis=1)) + half <= 0.0045) > 0.75


def test_six_seeds_detect_less_than_five_because_of_the_sign_flip_test():
    five, six = (find_effect(lambda x, n=n: chances(Rule(), n, x, Noise(1.0)).better, 1.0) for n in (5, 6))
    assert five < six
    assert detected_by_signs(6, 0.95, 1) == pytest.approx(six, abs=0.02)
    assert detected_by_signs(5, 0.95, 1) == 0.0


def test_one_seed_on_the_other_side_rules_out_a_decision_at_six_seeds():
    rows = np.random.default_rng(1).normal(0, 1, (8, 5))
    rows[0] = [-0.02, -0.02, -0.03, -0.025, 0.001]
    alone = seeds_to_decide(tuple(map(tuple, rows[:1].tolist())), Rule())
    assert alone > 1
    assert seeds_to_decide(tuple(map(tuple, rows.tolist())), Rule()) > alone


def test_more_seeds_do_not_help_where_images_limit_the_power():
    parts = Components(0.0, 0.01, 0.04, 0.0, 5, 100)
    few, many = (chances(Rule(), num, 0.3, Noise(0.1, parts)).better for num in (5, 20))
    exact = stats.nct.sf(stats.t.ppf(0.975, 99), 99, 0.3 / 0.2)
    assert few < many == pytest.approx(exact, abs=0.04)
    assert seeds_to_decide(((0.2, 0.3, 0.25, 0.3, 0.2),), Rule(), parts) is None
    assert seeds_to_decide(((0.2, 0.3, 0.25, 0.3, 0.2),), Rule()) is not None
