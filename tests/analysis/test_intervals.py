"""Intervals over seeds and images, and sign-flip tests, against values computed by hand."""

import itertools

import numpy as np
import pytest
from scipy import stats

from perceptinit.analysis.intervals import (
    estimate_two_way,
    find_components,
    find_item_components,
    max_t_p,
    mean_of,
)
from perceptinit.analysis.statistics import estimate, widen
from perceptinit.judgments.scoring import clustered_stderr, jackknife_stderr, jackknife_stderrs


def each(num):
    return np.arange(num)[:, None]


def two_way_estimate(differences, images, weights=None):
    return estimate_two_way(find_components(differences, images, weights))


def test_the_two_way_variance_adds_seeds_and_items_and_subtracts_their_residual():
    rng = np.random.default_rng(0)
    differences = rng.normal(0, 1, (4, 1)) + rng.normal(0, 2, (1, 30)) + rng.normal(0, 1, (4, 30))
    found = two_way_estimate(differences, each(30))
    seeds, items = differences.mean(1), differences.mean(0)
    rest = differences - seeds[:, None] - items + differences.mean()
    squares = 30 * seeds.var(ddof=1), 4 * items.var(ddof=1), (rest**2).sum() / (3 * 29)
    variance = max(squares[0] + squares[1] - squares[2], *squares[:2]) / (4 * 30)
    assert found.mean == pytest.approx(differences.mean())
    assert found.stderr == pytest.approx(variance**0.5)


def test_images_with_equal_differences_do_not_widen_the_interval():
    differences = np.array([[0.1], [0.2], [0.3]]) * np.ones((3, 50))
    found = two_way_estimate(differences, each(50))
    reach = stats.t.ppf(0.975, 2) * 0.1 / 3**0.5
    assert (found.low, found.high) == pytest.approx((0.2 - reach, 0.2 + reach))


def test_one_seed_or_one_image_has_no_interval():
    assert find_components(np.ones((1, 30)), each(30)) is None
    assert find_components(np.ones((5, 4)), np.zeros((4, 1), int)) is None


def test_items_of_one_image_are_not_independent():
    """100 images that appear 30 times have the interval of their 100 means."""
    rng = np.random.default_rng(5)
    by_image = rng.normal(0, 1, (5, 100))
    repeated = two_way_estimate(np.repeat(by_image, 30, axis=1), np.repeat(np.arange(100), 30)[:, None])
    assert repeated.stderr == pytest.approx(two_way_estimate(by_image, each(100)).stderr)


def test_a_weight_counts_as_repetitions_of_its_item():
    rng = np.random.default_rng(6)
    differences, weights = rng.normal(0, 1, (4, 12)), rng.integers(1, 4, 12)
    images = np.arange(12)[:, None]
    repeated = np.repeat(np.arange(12), weights)
    weighted = find_components(differences, images, weights)
    assert weighted.mean == pytest.approx(find_components(differences[:, repeated], images[repeated]).mean)


def test_one_call_returns_the_standard_errors_of_several_rows():
    rng = np.random.default_rng(8)
    rows, images = rng.normal(0, 1, (3, 60)), rng.integers(0, 20, (2, 60))
    images[:, :20] = np.arange(20)
    found = jackknife_stderrs(rows, images)
    assert found == pytest.approx([jackknife_stderr(row, images + 7) for row in rows])


def test_the_mean_of_two_equal_sets_has_half_the_variance_over_images():
    rng = np.random.default_rng(7)
    parts = find_components(rng.normal(0, 1, (4, 50)), each(50))
    both = mean_of([parts, parts], [0.1, 0.2, 0.3, 0.4])
    assert both.images == pytest.approx(parts.images / 2)
    assert both.seeds == pytest.approx(np.var([0.1, 0.2, 0.3, 0.4], ddof=1) / 4)
    assert both.num_images == 100


def draw_people(rng, num_people, effect, num_seeds=5, num_questions=40):
    """Return differences, shape (S, N), images and people. The true difference is 0."""
    people = np.repeat(np.arange(num_people), num_questions)
    images = np.stack([rng.permutation(60)[:3] for _ in people])
    means = effect * rng.standard_normal(num_people)[people] + 0.2 * rng.standard_normal(60)[images[:, 0]]
    noise = 0.02 * rng.standard_normal((num_seeds, 1)) + 0.3 * rng.standard_normal((num_seeds, len(people)))
    return means + noise, images, people


@pytest.mark.parametrize(("num_people", "effect"), [(5, 0.0), (5, 0.3), (20, 0.3)])
def test_the_interval_covers_new_people(num_people, effect):
    rng = np.random.default_rng(3)
    held = {"people": 0, "pooled": 0}
    for _ in range(150):
        differences, images, people = draw_people(rng, num_people, effect)
        for name, each in (("people", people), ("pooled", None)):
            found = estimate_two_way(find_components(differences, images, people=each))
            held[name] += found.low <= 0 <= found.high
    assert held["people"] >= 0.91 * 150
    assert held["pooled"] <= held["people"] + 3
    assert effect == 0 or held["pooled"] < 0.85 * 150


def test_fewer_than_five_people_are_pooled():
    differences, images, people = draw_people(np.random.default_rng(4), 4, 0.3)
    assert find_components(differences, images, people=people) == find_components(differences, images)


def test_answers_of_the_same_question_are_left_out_once():
    """With one image a role, three roles of one image have the variance of that image."""
    rng = np.random.default_rng(5)
    differences, people = rng.normal(0, 1, (4, 60)), np.arange(60) % 6
    one, three = (
        find_components(differences, np.arange(60)[:, None] + 60 * np.arange(num), people=people)
        for num in (1, 3)
    )
    assert three.images == pytest.approx(one.images, rel=0.05)
    assert three.people == pytest.approx(one.people)


def test_the_interval_covers_new_images_unlike_an_interval_over_seeds():
    rng = np.random.default_rng(1)
    held = {"both": 0, "seeds": 0}
    for _ in range(200):  # truth: 0; standard deviation 1 between images, 0.1 between seeds
        differences = rng.normal(0, 0.1, (10, 1)) + rng.normal(0, 1, (1, 50)) + rng.normal(0, 0.2, (10, 50))
        both = two_way_estimate(differences, each(50))
        seeds = stats.ttest_1samp(differences.mean(1), 0).confidence_interval()
        held["both"] += both.low <= 0 <= both.high
        held["seeds"] += seeds.low <= 0 <= seeds.high
    assert held["both"] >= 186
    assert held["seeds"] <= 140


def test_an_additional_variance_widens_an_interval_with_its_own_degrees_of_freedom():
    value = estimate([0.1, 0.2, 0.3])  # standard error 0.0577, 2 degrees of freedom
    own, more = value.stderr**2, 0.01
    wide = widen(value, more, 5, 0.95)
    degrees = (own + more) ** 2 / (own**2 / 2 + more**2 / 4)
    assert wide.high - wide.mean == pytest.approx(stats.t.ppf(0.975, degrees) * (own + more) ** 0.5)
    assert widen(value, 0.0, 5, 0.95).high == pytest.approx(value.high)
    assert widen(estimate([0.1]), more, 5, 0.95).low is None


def sign_flip_p(differences):
    return max_t_p([differences])[0]


def test_six_equal_differences_have_the_smallest_possible_p_value():
    assert sign_flip_p([0.1] * 6) == pytest.approx(2 / 2**6)


def test_the_sign_flip_p_value_counts_sign_patterns_at_least_as_far_from_zero():
    values = [0.5, 0.4, -0.1, 0.3, 0.2, 0.6]
    means = [np.dot(s, values) for s in itertools.product((1, -1), repeat=6)]
    expected = np.mean(np.abs(means) >= abs(sum(values)) - 1e-9)
    assert sign_flip_p(values) == pytest.approx(expected)


def test_the_largest_t_corrects_for_the_number_of_contrasts():
    rng = np.random.default_rng(2)
    differences = rng.normal(0, 1, (10, 8))
    alone, corrected = [sign_flip_p(row) for row in differences], max_t_p(differences)
    assert all(p >= q for p, q in zip(corrected, alone, strict=True))
    assert max_t_p(differences[:1]) == [pytest.approx(alone[0])]


def test_many_seeds_sample_sign_patterns_reproducibly():
    values = list(np.random.default_rng(3).normal(0.3, 1, 20))
    assert sign_flip_p(values) == sign_flip_p(values)
    assert sign_flip_p(values) == pytest.approx(stats.ttest_1samp(values, 0).pvalue, abs=0.05)


def test_items_alone_have_the_interval_of_independent_images():
    values = np.random.default_rng(0).normal(0.1, 1, 30)
    found = estimate_two_way(find_item_components(values, each(30)))
    interval = stats.t.interval(0.95, 29, values.mean(), stats.sem(values))
    assert (found.low, found.high) == pytest.approx(interval)
    assert find_item_components(values[:9], each(9)) is None


def test_a_score_of_one_run_is_never_more_certain_than_its_votes():
    votes = np.full(20, 5)
    found = find_item_components(np.full(20, 0.8), each(20), votes, are_shares=True)
    assert found.variance == pytest.approx(0.8 * 0.2 / 100)
    assert found.units == ("images",)


def test_items_alone_have_the_components_of_seeds_without_a_variance_over_seeds():
    rng = np.random.default_rng(2)
    people = np.repeat(np.arange(8), 25)
    places = rng.integers(0, 30, (200, 3))
    values = rng.normal(0, 1, 200) + rng.normal(0, 1, 8)[people]
    one = find_item_components(values, places, people=people)
    two = find_components(np.stack([values, values]), places, people=people)
    assert (one.images, one.people, one.mean) == pytest.approx((two.images, two.people, two.mean))
    assert (two.seeds, two.both) == pytest.approx((0, 0))
    assert one.units == ("images", "people")


def test_the_interval_covers_people_who_agree_with_a_model_to_different_degrees():
    rng = np.random.default_rng(0)
    people, images = np.repeat(np.arange(20), 50), np.tile(np.arange(50), 20)[:, None]
    values = (rng.random(1000) < np.repeat(rng.uniform(0.3, 0.9, 20), 50)).astype(float)
    named = estimate_two_way(find_item_components(values, images, people=people))
    pooled = estimate_two_way(find_item_components(values, images))
    assert named.stderr > 2 * pooled.stderr
    assert named.stderr == pytest.approx(clustered_stderr(values, people))


def test_degrees_without_seeds_are_at_least_those_of_the_smaller_sample():
    rng = np.random.default_rng(3)
    people = np.repeat(np.arange(6), 40)
    values = rng.normal(0, 1, 240) + rng.normal(0, 3, 6)[people]
    found = find_item_components(values, np.tile(np.arange(40), 6)[:, None], people=people)
    assert 5 <= found.degrees < 6
    same = find_item_components(np.ones(40), each(40))
    assert (same.variance, same.degrees) == (0, 39)
