"""One run against several by a prediction interval, and single runs with the spread of earlier runs."""

import numpy as np
import pytest
from helpers.judging import sentences, summary
from helpers.made_tables import read_scores
from scipy import stats

from perceptinit.analysis.compare import compare
from perceptinit.analysis.statistics import estimate_unpaired
from perceptinit.errors import UsageError

BASE = (3.2960, 3.2985, 3.2952, 3.2971, 3.2949)
EARLIER = (
    "arm,seed,measure,value\nx,0,loss,3.296\nx,1,loss,3.291\nx,2,loss,3.293\ny,0,loss,3.20\ny,1,loss,3.207\n"
)


def one_against(values, candidate=3.27, **options):
    """Return the comparison of one run of `new` with runs of `old`."""
    arms = {"old": dict(enumerate(values)), "new": {9: candidate}}
    return compare(read_scores(arms, baseline="old", measure="loss", delta=0.005, **options))


def test_one_run_against_several_has_the_prediction_interval_of_student():
    found = estimate_unpaired([3.27], BASE)
    half = stats.t.ppf(0.975, 4) * np.std(BASE, ddof=1) * (1 + 1 / 5) ** 0.5
    assert (found.low, found.high) == pytest.approx(
        (3.27 - np.mean(BASE) - half, 3.27 - np.mean(BASE) + half)
    )
    assert found.degrees == 4


def test_several_runs_against_one_have_the_same_width():
    one, other = estimate_unpaired([3.27], BASE), estimate_unpaired(BASE, [3.27])
    assert one.high - one.low == pytest.approx(other.high - other.low)


def test_seven_standard_deviations_of_one_run_decide_with_the_caveat_in_the_sentence():
    comparison = one_against(BASE)
    (answer,) = summary(comparison).answers
    assert "new is better than old by 0.0263" in answer.sentence
    assert "95 % prediction interval" in answer.sentence
    assert "1 and 5 runs, if a single run varies as those of old" in answer.sentence
    (reading,) = summary(comparison).readings
    assert reading.startswith("If ")
    assert "a single run varies as the repeated ones do, new is worth it" in reading


def test_a_prediction_interval_covers_a_new_run_in_95_percent_of_experiments():
    values = np.random.default_rng(0).standard_normal((4000, 6))
    found = [estimate_unpaired(row[:1].tolist(), row[1:].tolist()) for row in values]
    assert np.mean([each.low <= 0 <= each.high for each in found]) == pytest.approx(0.95, abs=0.011)


def test_one_run_within_the_spread_of_the_others_is_undecided():
    (answer,) = summary(one_against(BASE, 3.2940)).answers
    assert answer.outcome == "undecided"


def test_a_distribution_is_assumed_for_a_single_run():
    assert any("normally distributed" in text for text in summary(one_against(BASE)).limits)


def test_one_run_each_decides_with_the_spread_of_earlier_runs(tmp_path):
    path = tmp_path / "earlier.csv"
    path.write_text(EARLIER)
    assert "one run each does not decide" in " ".join(sentences(one_against((3.296,))))
    comparison = one_against((3.296,), spread_from=str(path))
    value = comparison.primary.differences[0].value
    squares = 3 * np.var([3.296, 3.291, 3.293]) + 2 * np.var([3.20, 3.207])
    assert value.degrees == 3
    assert value.stderr == pytest.approx((squares / 3) ** 0.5 * 2**0.5)
    assert f"1 run each, if a single run varies as those of {path}" in summary(comparison).answers[0].sentence


def test_runs_of_one_common_seed_use_the_spread_of_earlier_runs(tmp_path):
    (tmp_path / "earlier.csv").write_text(EARLIER)
    arms = {"old": {0: 3.296}, "new": {0: 3.27}}
    options = {"baseline": "old", "measure": "loss", "spread_from": str(tmp_path / "earlier.csv")}
    (found,) = compare(read_scores(arms, **options)).primary.differences
    assert found.is_predicted
    assert found.value.degrees == 3


def test_earlier_runs_without_the_measure_are_refused(tmp_path):
    (tmp_path / "earlier.csv").write_text(EARLIER.replace("loss", "accuracy").replace("3.2", "0.2"))
    with pytest.raises(UsageError, match="no arm has two runs with a score of the compared runs"):
        one_against((3.296,), spread_from=str(tmp_path / "earlier.csv"))


def test_spread_from_runs_is_an_option_of_compare(verb, tmp_path):
    (tmp_path / "earlier.csv").write_text(EARLIER)
    (tmp_path / "new.csv").write_text("arm,seed,measure,value\nold,0,loss,3.296\nnew,1,loss,3.27\n")
    options = ("--baseline", "old", "--spread-from", "earlier.csv", "--format", "markdown")
    shown = verb("compare", "new.csv", *options)
    assert "1 run each, if a single run varies as those of earlier.csv" in shown


def test_records_can_have_the_spread_of_other_records(verb, tmp_path):
    from helpers.made_runs import record, three_by_three, write

    earlier = write(tmp_path / "earlier", three_by_three())
    new = write(tmp_path / "new", [record("random", 0, 0.5), record("pi", 0, 0.9)])
    shown = verb("compare", str(new), "--spread-from", str(earlier), "--format", "markdown")
    assert "95 % prediction interval" in shown
    assert f"if a single run varies as those of {earlier}" in shown
