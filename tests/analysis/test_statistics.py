"""Means, intervals and paired differences against values computed by hand."""

import math

import numpy as np
import pytest
import scipy

from perceptinit.analysis.numbers import interval
from perceptinit.analysis.statistics import differences, estimate, estimate_unpaired, p_value, subtract_means


def test_the_estimate_of_three_values_has_students_t_interval():
    # mean 2, variance 1, s.e. 1/sqrt(3); t(0.975, 2 degrees of freedom) = 4.3027
    result = estimate([1.0, 2.0, 3.0])
    assert result.mean == 2.0
    assert result.stderr == pytest.approx(0.57735, abs=1e-5)
    assert result.low == pytest.approx(2 - 4.30265 * 0.57735, abs=1e-4)
    assert result.high == pytest.approx(2 + 4.30265 * 0.57735, abs=1e-4)


def test_one_value_has_no_standard_error_or_interval():
    result = estimate([0.5])
    assert (result.stderr, result.low, result.high, result.num) == (None, None, None, 1)
    assert interval(result, is_share=True) == ""


def test_an_empty_list_of_values_is_refused():
    with pytest.raises(ValueError, match="no values"):
        estimate([])


def test_paired_differences_use_shared_seeds_only():
    # seeds 0 and 1 are shared: differences 0.1 and 0.3, mean 0.2, s.e. 0.1
    paired = differences({0: 0.6, 1: 0.9, 2: 0.1}, {0: 0.5, 1: 0.6, 7: 0.9})
    result = estimate(list(paired.values()))
    assert result.mean == pytest.approx(0.2)
    assert result.stderr == pytest.approx(0.1)
    assert result.num == 2


def test_a_constant_shift_over_noisy_seeds_has_an_interval_of_zero_width():
    baseline = {0: 0.1, 1: 0.5, 2: 0.9}
    paired = differences({s: v + 0.05 for s, v in baseline.items()}, baseline)
    result = estimate(list(paired.values()))
    assert math.isclose(result.low, 0.05, abs_tol=1e-9)


def test_p_values_equal_those_of_scipy_stats():
    rng = np.random.default_rng(0)
    for num in range(2, 12):
        values = rng.normal(0.3, 1, num).tolist()
        reference = rng.normal(0.1, 1, num + 1).tolist()
        single = scipy.stats.ttest_1samp(values, 0.0)
        assert p_value(estimate(values)) == pytest.approx(single.pvalue, rel=1e-9)
        welch = scipy.stats.ttest_ind(values, reference, equal_var=False)
        assert p_value(estimate_unpaired(values, reference)) == pytest.approx(welch.pvalue, rel=1e-9)


def test_means_without_spread_have_an_interval_from_the_lowest_error():
    equal = estimate([0.5] * 4)
    found = subtract_means(equal, estimate([0.25] * 4), floor=0.01)
    assert found.mean == 0.25
    assert found.high - found.mean == pytest.approx(0.01 * scipy.stats.t.ppf(0.975, 3))
