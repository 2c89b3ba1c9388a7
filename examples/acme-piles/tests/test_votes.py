"""Votes of three participants on four images, computed by hand."""

import numpy as np

from acme_piles.votes import NOT_SORTED, questions, votes

PILES = np.array(
    [
        [0, 0, 1, 1],  # images 0 and 1 together, 2 and 3 together
        [5, 5, 5, 9],  # other numbers, and 2 with the first two
        [0, 1, 1, NOT_SORTED],
    ]
)


def count(anchor, first, second):
    one, other = votes(PILES, *(np.array([i]) for i in (anchor, first, second)))
    return one[0], other[0]


def test_a_person_who_sorted_only_the_first_image_with_the_anchor_votes_for_it():
    assert count(0, 1, 3) == (2, 0)


def test_a_person_who_sorted_both_images_with_the_anchor_does_not_vote():
    assert count(0, 1, 2) == (1, 0)  # the second person put all three together


def test_a_person_who_did_not_sort_an_image_does_not_vote():
    assert count(1, 2, 3) == (1, 0)  # the third person did not sort 3


def test_the_numbers_of_piles_do_not_matter():
    renamed = np.where(PILES == NOT_SORTED, NOT_SORTED, 7 - PILES)
    rows = questions(np.arange(4), per_anchor=3, rng=np.random.default_rng(0))
    assert all(map(np.array_equal, votes(PILES, *rows.T), votes(renamed, *rows.T)))


def test_a_question_has_three_different_images():
    rows = questions(np.arange(6), per_anchor=4, rng=np.random.default_rng(0))
    assert len(rows) == 24
    assert all(len(set(row)) == 3 for row in rows.tolist())
