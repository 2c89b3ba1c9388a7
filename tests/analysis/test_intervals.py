"""Intervals over seeds and images, and tests by signs, against numbers worked out by hand."""

import itertools

import numpy as np
import pytest
from scipy import stats

from perceptinit.analysis.intervals import estimate_two_way, find_components, max_t_p, mean_of
from perceptinit.analysis.statistics import estimate, widen
from perceptinit.judgments.scoring import jackknife_stderr, jackknife_stderrs


def each(num):
    return np.arange(num)[:, None]


def two_way_estimate(differences, images, weights=None):
    return estimate_two_way(find_components(differences, images, weights))


def test_two_way_variance_is_that_of_seeds_and_items_less_what_both_contain():
    rng = np.random.default_rng(0)
    differences = rng.normal(0, 1, (4, 1)) + rng.normal(0, 2, (1, 30)) + rng.normal(0, 1, (4, 30))
    found = two_way_estimate(differences, each(30))
    seeds, items = differences.mean(1), differences.mean(0)
    rest = differences - seeds[:, None] - items + differences.mean()
    squares = 30 * seeds.var(ddof=1), 4 * items.var(ddof=1), (rest**2).sum() / (3 * 29)
    variance = max(squares[0] + squares[1] - squares[2], *squares[:2]) / (4 * 30)
    assert found.mean == pytest.approx(differences.mean())
    assert found.stderr == pytest.approx(variance**0.5)


def test_images_that_all_agree_add_nothing():
    differences = np.array([[0.1], [0.2], [0.3]]) * np.ones((3, 50))
    found = two_way_estimate(differences, each(50))
    reach = stats.t.ppf(0.975, 2) * 0.1 / 3**0.5
    assert (found.low, found.high) == pytest.approx((0.2 - reach, 0.2 + reach))


def test_one_seed_or_one_image_gives_no_interval():
    assert find_components(np.ones((1, 30)), each(30)) is None
    assert find_components(np.ones((5, 4)), np.zeros((4, 1), int)) is None


def test_items_of_one_image_vary_together():
    """100 images shown 30 times have the interval of their 100 means."""
    rng = np.random.default_rng(5)
    by_image = rng.normal(0, 1, (5, 100))
    repeated = two_way_estimate(np.repeat(by_image, 30, axis=1), np.repeat(np.arange(100), 30)[:, None])
    assert repeated.stderr == pytest.approx(two_way_estimate(by_image, each(100)).stderr)


def test_weights_count_items_as_often():
    rng = np.random.default_rng(6)
    differences, weights = rng.normal(0, 1, (4, 12)), rng.integers(1, 4, 12)
    images = np.arange(12)[:, None]
    repeated = np.repeat(np.arange(12), weights)
    weighted = find_components(differences, images, weights)
    assert weighted.mean == pytest.approx(find_components(differences[:, repeated], images[repeated]).mean)


def test_one_call_gives_the_errors_of_several_rows():
    rng = np.random.default_rng(8)
    rows, images = rng.normal(0, 1, (3, 60)), rng.integers(0, 20, (2, 60))
    images[:, :20] = np.arange(20)
    found = jackknife_stderrs(rows, images)
    assert found == pytest.approx([jackknife_stderr(row, images + 7) for row in rows])


def test_the_mean_of_two_equal_sets_has_half_the_variance_of_their_images():
    rng = np.random.default_rng(7)
    parts = find_components(rng.normal(0, 1, (4, 50)), each(50))
    both = mean_of([parts, parts], [0.1, 0.2, 0.3, 0.4])
    assert both.images == pytest.approx(parts.images / 2)
    assert both.seeds == pytest.approx(np.var([0.1, 0.2, 0.3, 0.4], ddof=1) / 4)
    assert both.num_images == 100


def test_the_interval_holds_for_new_images_where_seeds_alone_do_not():
    rng = np.random.default_rng(1)
    held = {"both": 0, "seeds": 0}
    for _ in range(200):  # truth: 0; images differ by 1, seeds by 0.1
        differences = rng.normal(0, 0.1, (10, 1)) + rng.normal(0, 1, (1, 50)) + rng.normal(0, 0.2, (10, 50))
        both = two_way_estimate(differences, each(50))
        seeds = stats.ttest_1samp(differences.mean(1), 0).confidence_interval()
        held["both"] += both.low <= 0 <= both.high
        held["seeds"] += seeds.low <= 0 <= seeds.high
    assert held["both"] >= 186
    assert held["seeds"] <= 140


def test_a_further_variance_widens_an_interval_with_its_own_degrees_of_freedom():
    value = estimate([0.1, 0.2, 0.3])  # standard error 0.0577, 2 degrees of freedom
    own, more = value.stderr**2, 0.01
    wide = widen(value, more, 5, 0.95)
    degrees = (own + more) ** 2 / (own**2 / 2 + more**2 / 4)
    assert wide.high - wide.mean == pytest.approx(stats.t.ppf(0.975, degrees) * (own + more) ** 0.5)
    assert widen(value, 0.0, 5, 0.95).high == pytest.approx(value.high)
    assert widen(estimate([0.1]), more, 5, 0.95).low is None


def sign_flip_p(differences):
    return max_t_p([differences])[0]


def test_signs_of_six_equal_seeds_have_the_least_p():
    assert sign_flip_p([0.1] * 6) == pytest.approx(2 / 2**6)


def test_sign_flip_p_counts_patterns_as_far_from_zero():
    values = [0.5, 0.4, -0.1, 0.3, 0.2, 0.6]
    means = [np.dot(s, values) for s in itertools.product((1, -1), repeat=6)]
    expected = np.mean(np.abs(means) >= abs(sum(values)) - 1e-9)
    assert sign_flip_p(values) == pytest.approx(expected)


def test_largest_t_corrects_for_the_number_of_contrasts():
    rng = np.random.default_rng(2)
    differences = rng.normal(0, 1, (10, 8))
    alone, corrected = [sign_flip_p(row) for row in differences], max_t_p(differences)
    assert all(p >= q for p, q in zip(corrected, alone, strict=True))
    assert max_t_p(differences[:1]) == [pytest.approx(alone[0])]


def test_many_seeds_draw_their_patterns_and_always_the_same_ones():
    values = list(np.random.default_rng(3).normal(0.3, 1, 20))
    assert sign_flip_p(values) == sign_flip_p(values)
    assert sign_flip_p(values) == pytest.approx(stats.ttest_1samp(values, 0).pvalue, abs=0.05)
