"""Whether arms are paired, Welch's interval, and the permutation of labels."""

import numpy as np
import pytest
import scipy
from helpers.judging import headline, sentences
from helpers.made_tables import read_scores

from perceptinit.analysis.compare import compare
from perceptinit.analysis.intervals import max_t_p_unpaired
from perceptinit.analysis.statistics import estimate_unpaired

FIVE = (0.70, 0.71, 0.69, 0.72, 0.68)
LEAD = (0.81, 0.79, 0.80, 0.83, 0.80)


def difference(arms, **options):
    """Return the difference of the arms `pi` and `random`, given scores by seed."""
    return compare(read_scores(arms, **options)).scores[0].differences[0]


def by_seed(values, first=0):
    return dict(enumerate(values, start=first))


def test_arms_with_the_same_seeds_are_paired():
    found = difference({"random": by_seed(FIVE), "pi": by_seed(LEAD)})
    assert found.num_runs is None
    assert found.by_seed[0] == pytest.approx(0.11)


def test_a_run_without_a_score_counts_for_the_seeds_of_its_arm():
    found = difference({"random": by_seed(FIVE), "pi": {**by_seed(LEAD), 2: None}})
    assert sorted(found.by_seed) == [0, 1, 3, 4]


def test_arms_with_other_seeds_are_not_paired():
    found = difference({"random": by_seed(FIVE), "pi": by_seed(LEAD, 10)})
    assert (found.by_seed, found.num_runs, found.value.num) == ({}, (5, 5), 5)


@pytest.mark.parametrize(
    ("first", "shared"),
    [(1, 4), (2, 3), (3, None)],  # two shared seeds are too few
)
def test_arms_of_a_table_are_paired_over_enough_shared_seeds(first, shared):
    found = difference({"random": by_seed(FIVE), "pi": by_seed(LEAD, first)})
    assert (len(found.by_seed) or None, found.num_runs) == (shared, None if shared else (5, 5))


def test_fewer_shared_seeds_than_half_of_the_smaller_arm_are_not_paired():
    found = difference({"random": by_seed(FIVE + LEAD), "pi": by_seed(FIVE + LEAD, 6)})
    assert found.num_runs == (10, 10)


def test_the_option_none_excludes_pairing():
    found = difference({"random": by_seed(FIVE), "pi": by_seed(LEAD)}, is_unpaired=True)
    assert found.num_runs == (5, 5)


def test_the_unpaired_interval_and_p_value_are_those_of_welch():
    found = difference({"random": by_seed(FIVE[:4]), "pi": by_seed(LEAD, 10)})
    expected = scipy.stats.ttest_ind(LEAD, FIVE[:4], equal_var=False)
    low, high = expected.confidence_interval(0.95)
    assert (found.value.low, found.value.high) == pytest.approx((low, high))
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.value.degrees == pytest.approx(expected.df)


def test_one_run_of_each_arm_has_no_interval():
    value = estimate_unpaired([0.8], [0.7])
    assert (value.stderr, value.low, value.num) == (None, None, 1)
    assert value.mean == pytest.approx(0.1)


def test_the_permutation_of_labels_is_exact_for_two_arms():
    # 2 of the 70 ways to label eight runs separate the arms completely
    (p_value,) = max_t_p_unpaired([LEAD[:4]], FIVE[:4])
    assert p_value == pytest.approx(2 / 70, abs=0.01)


def test_equal_arms_have_uniform_permutation_p_values():
    rng = np.random.default_rng(0)
    p_values = [max_t_p_unpaired([rng.normal(size=4)], rng.normal(size=6))[0] for _ in range(300)]
    assert 0.02 <= np.mean(np.array(p_values) <= 0.05) <= 0.08


def test_the_permutation_test_does_not_depend_on_the_unit():
    rng = np.random.default_rng(2)
    arms = [rng.normal(0.5, scale, 5) for scale in (1.0, 0.2)]
    reference = rng.normal(0.0, 0.5, 5)
    found = max_t_p_unpaired(arms, reference)
    assert max_t_p_unpaired([arm / 1000 for arm in arms], reference / 1000) == pytest.approx(found)


def test_labels_are_permuted_jointly_over_the_arms():
    lead, equal = max_t_p_unpaired([LEAD, (0.7, 0.69, 0.7, 0.71, 0.72)], FIVE)
    assert lead < 0.05 < equal


def test_too_few_runs_have_no_permutation_test():
    few = difference({"random": by_seed(FIVE[:3]), "pi": by_seed(LEAD[:3], 10)})
    enough = difference({"random": by_seed(FIVE[:4]), "pi": by_seed(LEAD[:4], 10)})
    assert (few.has_exact_test, enough.has_exact_test) == (False, True)


def test_one_run_of_each_arm_cannot_answer():
    arms = {"random": {0: 77.6}, "a": {0: 79.5}, "b": {0: 79.4}, "c": {0: 79.8}}
    comparison = compare(read_scores(arms))
    assert "One run each does not show whether a is worth it." in headline(comparison)
    assert "Is it worth it? c is 2.2 points above random; one run each does not decide." in sentences(
        comparison
    )


def test_unpaired_sentences_name_the_runs():
    comparison = compare(read_scores({"random": by_seed(FIVE), "pi": by_seed(LEAD[:4], 3)}, delta=1.0))
    assert "4 and 5 runs" in headline(comparison)[0]
