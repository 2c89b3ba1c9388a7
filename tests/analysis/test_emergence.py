"""When a lead emerges, fades or lasts, on leads of five seeds with known answers."""

import numpy as np
import pytest
from calibration_when import COURSES, count_courses, draw_noise, find_true_emergence

from perceptinit.analysis.emergence import find_emergence
from perceptinit.analysis.statistics import estimate

NOISE = (-0.02, -0.01, 0.0, 0.01, 0.02)  # standard error 0.0071; half-width at 95 % 0.0196


def leads(*means):
    """Return leads of five seeds at 100, 200, ... samples."""
    return {100 * n: [mean + noise for noise in NOISE] for n, mean in enumerate(means, start=1)}


def test_a_lead_emerges_at_the_first_evaluation_from_which_all_show_it():
    found = find_emergence(leads(0.0, 0.05, 0.01, 0.05, 0.05))
    assert found.emerged == 400  # the lead of 0.05 at 200 is before one that is not shown
    assert found.end == 500


def test_a_lead_that_the_last_evaluation_does_not_show_has_not_emerged():
    found = find_emergence(leads(0.05, 0.05, 0.01))
    assert (found.emerged, found.is_lasting, found.is_late) == (None, False, False)


def test_the_lower_limit_is_where_the_simultaneous_upper_limit_begins_to_stay_above_0():
    # half-width of 98.75 % intervals, four evaluations: 0.03
    found = find_emergence(leads(-0.05, -0.04, -0.02, 0.05))
    assert found.not_before == 300
    assert find_emergence(leads(0.05, -0.05)).not_before is None


def test_a_lead_that_emerges_in_the_last_quarter_is_late():
    assert find_emergence(leads(0.0, 0.0, 0.0, 0.05)).is_late
    assert not find_emergence(leads(0.0, 0.0, 0.05, 0.05)).is_late


def test_a_lead_lasts_if_no_earlier_lead_exceeds_the_last_one():
    steady = find_emergence(leads(0.05, 0.05, 0.05))
    assert (steady.is_lasting, steady.peak) == (True, None)


@pytest.mark.parametrize(
    ("means", "is_lasting"),
    [
        ((0.0, 0.05), False),  # one of two evaluations, after all samples
        ((0.0, 0.0, 0.05, 0.05), True),  # from three quarters of the samples on
        ((0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.05, 0.05), False),  # late, two of nine evaluations
    ],
)
def test_a_lead_lasts_over_a_quarter_of_the_samples_or_half_of_the_evaluations(means, is_lasting):
    assert find_emergence(leads(*means)).is_lasting is is_lasting


def test_half_of_uneven_evaluations_is_lasting():
    values = leads(0.0, 0.05, 0.05)
    assert find_emergence({10: values[100], 90: values[200], 100: values[300]}).is_lasting


def test_a_lead_that_was_lost_and_came_back_is_again():
    assert find_emergence(leads(0.09, 0.0, 0.09, 0.09), floor=0.005).is_again
    assert not find_emergence(leads(0.0, 0.09, 0.09), floor=0.005).is_again
    assert not find_emergence(leads(0.09, 0.08, 0.09), floor=0.005).is_again  # never lost


def test_a_lead_fades_if_an_earlier_one_is_shown_and_larger():
    # equal deviations of the seeds cancel in the loss of 0.04, so its deviation is the floor
    found = find_emergence(leads(0.06, 0.09, 0.05), floor=0.005)
    assert (found.emerged, found.is_lasting, found.peak) == (100, False, 200)
    assert find_emergence(leads(0.05, 0.0), floor=0.005).peak == 100  # also if nothing emerged


def test_an_earlier_lead_that_is_larger_but_not_shown_is_not_fading():
    assert find_emergence(leads(0.02, 0.0), floor=0.001).peak is None


def test_one_evaluation_or_one_seed_has_no_answer():
    assert find_emergence(leads(0.05)) is None
    assert find_emergence({100: [0.1], 200: [0.2]}) is None


def test_the_sign_flip_test_must_agree_from_six_seeds_on():
    values = [0.001, 0.001, 0.001, 0.001, 0.001, -0.0001]  # p of the t test 0.004, of sign flips 2 / 32
    assert estimate(values).low > 0
    assert find_emergence({100: values, 200: values}).emerged is None


def test_the_interval_of_the_verdict_replaces_that_of_the_last_evaluation():
    over_images = estimate([0.05, -0.05, 0.15])
    found = find_emergence(leads(0.05, 0.05), last=over_images, ends_ahead=False)
    assert found.leads[200] == over_images
    assert found.emerged is None


def test_emergence_is_too_early_in_at_most_5_percent_and_found_in_80_percent_of_experiments():
    rng = np.random.default_rng(0)
    none = count_courses(rng, 300, "none", 7)
    half = count_courses(rng, 300, "in the second half", 7)
    assert max(none["early"], half["early"]) <= 0.05 * 300
    assert half["emerged"] >= 0.8 * 300


@pytest.mark.parametrize(
    ("course", "first"),
    [("none", None), ("in the first half", None), ("throughout", 1), ("in the second half", 17)],
)
def test_the_true_emergence_is_where_the_true_lead_begins_to_stay_above_0(course, first):
    assert find_true_emergence(COURSES[course](np.arange(1, 33) / 32)) == first


def test_simulated_evaluations_have_unit_deviation_and_are_correlated():
    noise = draw_noise(np.random.default_rng(0), 4000, 3)
    assert noise.std() == pytest.approx(1, abs=0.01)
    # half of the variance is shared, and neighbors have 0.9 of the rest in common
    assert np.corrcoef(noise[:, 9, 0], noise[:, 10, 0])[0, 1] == pytest.approx(0.95, abs=0.01)
    assert np.corrcoef(noise[:, 0, 0], noise[:, 31, 0])[0, 1] == pytest.approx(0.5, abs=0.05)
