"""Noise ceilings of human votes: computed by hand, and absent with too few votes."""

import numpy as np
import pytest

from perceptinit.evaluators.rank_correlation import kendall_without, spearman_without
from perceptinit.evaluators.rsa import noise_ceilings
from perceptinit.judgments.baselines import MIN_VOTES, ceiling, ceiling_of_split, two_afc_ceiling
from perceptinit.judgments.controls.wrappers import ShuffledVotes
from perceptinit.judgments.forms.rdm import square
from perceptinit.types import Stimuli, Triplets

ENOUGH = 50  # repetitions of the rows of an example, to have enough votes for a ceiling


def test_the_ceiling_is_the_agreement_with_the_majority_without_and_with_the_own_vote():
    # 3 to 1: each of the three is predicted by 2 to 1, the one is not: 3/4. 2 to 2: the others are 2 to 1
    # against each voter: 0; including the voter, a tie: 1/2.
    counts = np.array([[3, 1], [2, 2]] * ENOUGH)
    assert ceiling(counts) == (pytest.approx((3 + 0) / 8), pytest.approx((3 + 2) / 8))


def test_a_tie_of_the_other_voters_predicts_half_a_vote():
    # 2 to 1: without one of the two, 1 to 1: 1/2; without the one, 2 to 0: 0
    assert ceiling(np.array([[2, 1]] * ENOUGH)) == (pytest.approx(1 / 3), pytest.approx(2 / 3))


def test_a_tie_between_three_answers_is_shared():
    # 1, 1, 1: without a voter, the two others tie and the voter's choice has no vote
    assert ceiling(np.array([[1, 1, 1]] * ENOUGH)) == (0, pytest.approx(1 / 3))
    # 2, 1, 0: without one of the two, 1, 1, 0: 1/2 each
    assert ceiling(np.array([[2, 1, 0]] * ENOUGH)) == (pytest.approx(1 / 3), pytest.approx(2 / 3))


def test_questions_with_one_vote_do_not_enter_the_ceiling():
    assert ceiling(np.array([[1, 0]] * 1000)) is None
    shared = np.array([[1, 1]] * ENOUGH)
    assert ceiling(np.concatenate([shared, [[1, 0]] * 1000])) == (0, 0.5)


def test_the_ceiling_requires_a_minimum_number_of_votes():
    counts = np.array([[1, 0]] * 1000 + [[2, 0]])
    assert ceiling(counts) is None
    assert ceiling(np.array([[2, 0]] * (MIN_VOTES // 2 - 1))) is None
    assert ceiling(np.array([[2, 0]] * (MIN_VOTES // 2))) == (1, 1)


def test_weighting_by_judgments_counts_each_judgment_once():
    counts = np.array([[4, 0], [1, 1]] * ENOUGH)
    assert ceiling(counts) == (pytest.approx(4 / 6), pytest.approx(5 / 6))
    assert ceiling(counts, "judgments") == (pytest.approx(1 / 2), pytest.approx(3 / 4))


def triplets(p_second, num_votes):
    count = len(p_second)
    stimuli = Stimuli(("a", "b", "c"), [b""] * 3)
    return Triplets.build(stimuli, [0] * count, [1] * count, [2] * count, p_second, num_votes)


def test_votes_for_two_candidates_have_a_ceiling():
    assert two_afc_ceiling(triplets([0.75, 0.5] * ENOUGH, 4)) == (3 / 8, 5 / 8)
    assert two_afc_ceiling(triplets([1.0] * 500, 1)) is None


class Known:
    name = "known"

    def noise_ceiling(self, split):
        return {"train": (0.1, 0.2), "test": (0.6, 0.7)}[split]


def test_the_noise_ceiling_of_judgments_is_used_through_a_wrapper():
    unanimous = triplets([1.0] * 100, 4)
    assert ceiling_of_split(Known(), "test", unanimous) == (0.6, 0.7)
    wrapped = ShuffledVotes(ShuffledVotes.Config(), Known())
    assert ceiling_of_split(wrapped, "test", unanimous) == (0.6, 0.7)
    # shuffled training votes differ from those of the inner judgments
    assert ceiling_of_split(wrapped, "train", unanimous) == (1, 1)


PAIRS, SUBJECTS = np.arange(28), np.arange(1, 6)[:, None]
MADE = np.sin(1.3 * PAIRS + 0.2) + 0.8 * np.sin(SUBJECTS * (PAIRS + 1) * 0.7)


@pytest.mark.parametrize(
    ("vectors", "correlation", "expected"),
    [
        (MADE, spearman_without, (0.6604868296437701, 0.7888296353089712)),
        (MADE, kendall_without, (0.4799065312443055, 0.6061137081113525)),
        (np.round(2 * MADE), spearman_without, (0.616859248412441, 0.7617954081880939)),
        (np.round(2 * MADE), kendall_without, (0.46086040726286115, 0.6128811584663698)),
    ],
    ids=["spearman", "kendall", "spearman with ties", "kendall with ties"],
)
def test_the_noise_ceiling_of_rsa_equals_rsatoolbox(vectors, correlation, expected):
    """Expected values: boot_noise_ceiling of rsatoolbox 0.3.2 for these matrices of 8 images and 5 subjects."""
    found = np.mean(noise_ceilings(square(vectors, "made"), correlation), axis=0)
    assert found == pytest.approx(expected, abs=1e-9)
