"""The triplets that recipes/known_effects/prepare_ties.py draws."""

import sys
from importlib.util import module_from_spec, spec_from_file_location

import numpy as np
import pytest
from helpers.command_line import ROOT

spec = spec_from_file_location("prepare_ties", ROOT / "recipes/known_effects/prepare_ties.py")
ties = sys.modules["prepare_ties"] = module_from_spec(spec)
spec.loader.exec_module(ties)


@pytest.fixture(scope="module")
def part():
    """120 photographs of four classes; a third are also called by another class."""
    rng = np.random.default_rng(0)
    classes = np.arange(120) % 4
    shares = 0.97 * np.eye(4)[classes] + 0.0075
    other = (classes + rng.integers(1, 4, 120)) % 4
    doubt = np.where(np.arange(120) % 3 == 0, 0.4, 0.0)[:, None]
    shares = (1 - doubt) * shares + doubt * np.eye(4)[other]
    means = np.stack([shares[classes == c].mean(axis=0) for c in range(4)])
    num_labels = np.full(120, 50)
    return ties.Photographs(np.arange(120), classes, shares, num_labels, means @ means.T)


def winner_and_loser(row):
    anchor, first, second, p_second, *_ = row
    return (anchor, second, first) if p_second > 0.5 else (anchor, first, second)


def test_people_answer_ties_that_labels_do_not(part):
    rows = ties.draw_ties(part, np.random.default_rng(0))
    assert {row[0] for row in rows} == set(range(120))
    for row in rows:
        anchor, winner, loser = winner_and_loser(row)
        own, nearer, other = part.classes[[anchor, winner, loser]]
        assert (nearer == own) == (other == own)
        lead = part.shares[anchor] @ (part.shares[winner] - part.shares[loser])
        assert lead > ties.MIN_GAP


def test_the_table_of_classes_does_not_answer_triplets_beyond_classes(part):
    rows = list(ties.draw_beyond(part, np.random.default_rng(0)))
    assert len(rows) == 3 * 120
    for row in rows:
        own, nearer, other = part.classes[list(winner_and_loser(row))]
        if row[-1] == "against classes":
            assert len({own, nearer, other}) == 3
            assert part.table[own, nearer] < part.table[own, other]
        else:
            assert nearer == other
            assert (own == nearer) == (row[-1] == "one class")


def test_controls_are_answered_by_labels_and_by_the_table_of_classes(part):
    rng = np.random.default_rng(0)
    for row in ties.draw_labels(part, 50, rng):
        own, nearer, other = part.classes[list(winner_and_loser(row))]
        assert own == nearer != other
    for row in ties.draw_classes(part, 50, rng):
        own, nearer, other = part.classes[list(winner_and_loser(row))]
        assert part.table[own, nearer] > part.table[own, other]
