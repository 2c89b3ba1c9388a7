"""Crossover and speed-up on curves with known answers."""

import math

import pytest
from helpers.made_runs import record, score, write

from perceptinit.analysis.compare import compare
from perceptinit.analysis.curves import (
    all_curves,
    band,
    crossover,
    curves_of,
    speed_up,
)
from perceptinit.results.runs import load_runs

FLAT = {0: 0.0, 100: 0.2, 200: 0.4, 300: 0.6}


def test_the_crossover_is_the_last_intersection_of_the_curves():
    # ahead at 0, behind at 100 by 0.1, ahead at 200 by 0.3: the last crossing is at 125
    arm = {0: 0.1, 100: 0.1, 200: 0.7, 300: 0.7}
    assert crossover({0: arm}, {0: FLAT}).value == pytest.approx(125)


def test_the_crossover_of_an_arm_that_always_leads_is_the_first_measurement():
    ahead = {n: v + 0.1 for n, v in FLAT.items()}
    assert crossover({0: ahead}, {0: FLAT}).value == 0


def test_an_arm_that_is_behind_at_the_end_has_no_crossover():
    assert crossover({0: {**FLAT, 300: 0.5, 100: 0.9}}, {0: FLAT}).value is None


def test_the_crossover_of_an_error_is_where_it_falls_below_the_baseline():
    falling = {0: 1.0, 100: 0.5, 200: 0.2}
    flat = {0: 0.8, 100: 0.8, 200: 0.8}
    assert crossover({0: falling}, {0: flat}, higher_is_better=False).value == pytest.approx(40)


def test_the_interval_of_the_crossover_comes_from_resampled_seeds():
    # seed 0 crosses at 50, seed 1 at 150; both drawn (half of the resamples): mean lead crosses at 100
    baseline = {0: 0.0, 100: 0.0, 200: 0.0}
    early = {0: -1.0, 100: 1.0, 200: 1.0}
    late = {0: -1.0, 100: -1.0, 200: 1.0}
    result = crossover({0: early, 1: late}, {0: baseline, 1: baseline})
    assert result.value == pytest.approx(100)
    assert (result.low, result.high) == pytest.approx((50, 150))
    assert result.share == 1.0


def test_resamples_that_never_cross_are_counted():
    baseline = {0: 0.0, 100: 0.0}
    arms = {0: {0: -1.0, 100: 1.0}, 1: {0: -1.0, 100: -0.5}}
    result = crossover(arms, dict.fromkeys((0, 1), baseline))
    assert result.high == math.inf
    assert 0.65 < result.share < 0.85  # three of four resamples hold seed 0


def test_speed_up_is_the_ratio_of_samples_until_the_lower_final_score():
    # the reference ends at 0.6 after 300; the arm is there at 100 + 100 * (0.6 - 0.5) / 0.2
    arm = {0: 0.0, 100: 0.5, 200: 0.7, 300: 0.8}
    assert speed_up({0: arm}, {0: FLAT}).value == pytest.approx(300 / 150)
    assert speed_up({0: FLAT}, {0: arm}).value == pytest.approx(150 / 300)


def test_a_band_covers_only_positions_that_every_seed_measured():
    result = band({0: {0: 0.1, 100: 0.2}, 1: {0: 0.3}})
    assert list(result) == [0]
    assert result[0].mean == pytest.approx(0.2)


def test_curves_are_read_from_records_without_values_that_are_not_finite(tmp_path):

    def rows(*values):
        return [score(v, 100 * i) for i, v in enumerate(values)]

    records = [record("random", 0, rows(0.1, 0.2, 0.3)), record("pi", 0, rows(0.0, None, 0.4))]
    runs = load_runs([write(tmp_path, records)])
    assert curves_of(runs, "pi", "top1/x") == {0: {0: 0.0, 200: 0.4}}
    comparison = compare(runs, budget="unequal")
    curves = all_curves(comparison, comparison.scores[0])
    # leads: -0.1 at 0, 0.1 at 200
    assert crossover(curves["pi"], curves["random"]).value == pytest.approx(100)


def test_the_curve_of_an_average_requires_every_data_set(tmp_path):
    rows = [
        score(v, n, name=f"top1/{d}")
        for n, d, v in (
            (0, "a", 0.1),
            (0, "b", 0.3),
            (100, "a", 0.2),
            (200, "a", 0.4),
            (200, "b", 0.6),
        )
    ]
    comparison = compare(load_runs([write(tmp_path, [record("random", 0, rows)])]))
    (average,) = comparison.averages
    assert all_curves(comparison, average)["random"] == {0: pytest.approx({0: 0.2, 200: 0.5})}
