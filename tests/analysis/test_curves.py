"""Values by seed, bands and paired differences over samples seen."""

import pytest
from helpers.made_runs import record, score, write

from perceptinit.analysis.compare import compare
from perceptinit.analysis.curves import all_curves, band, curves_of, pair_curves
from perceptinit.results.runs import load_runs


def test_differences_are_paired_by_seed_where_all_seeds_have_a_value():
    arm = {0: {0: 0.1, 100: 0.5, 200: 0.7}, 1: {0: 0.2, 200: 0.9}}
    reference = {0: {0: 0.1, 100: 0.4, 200: 0.5}, 1: {0: 0.1, 100: 0.4, 200: 0.8}}
    assert pair_curves(arm, reference, (0, 1)) == {
        0: pytest.approx([0.0, 0.1]),
        200: pytest.approx([0.2, 0.1]),
    }
    assert pair_curves(arm, reference, (1,), sign=-1)[200] == pytest.approx([-0.1])


def test_a_band_covers_only_positions_that_every_seed_measured():
    result = band({0: {0: 0.1, 100: 0.2}, 1: {0: 0.3}})
    assert list(result) == [0]
    assert result[0].mean == pytest.approx(0.2)


def test_curves_are_read_from_records_without_values_that_are_not_finite_or_too_large(tmp_path):
    def rows(*values):
        return [score(v, 100 * i) for i, v in enumerate(values)]

    records = [record("random", 0, rows(0.1, 0.2, 0.3, 0.3)), record("pi", 0, rows(0.0, None, 0.4, 1e200))]
    runs = load_runs([write(tmp_path, records)])
    assert curves_of(runs, "pi", "top1/x") == {0: {0: 0.0, 200: 0.4}}
    comparison = compare(runs, budget="unequal")
    curves = all_curves(comparison, comparison.scores[0])
    assert pair_curves(curves["pi"], curves["random"], [0]) == {
        0: pytest.approx([-0.1]),
        200: pytest.approx([0.1]),
    }


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
