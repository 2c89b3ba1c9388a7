"""Converters from choices, ratings, matrices and label counts to triplets, against values computed by hand."""

from pathlib import Path

import numpy as np
import pytest

from perceptinit.errors import DataError, UsageError
from perceptinit.judgments.controls.wrappers import ShuffledVotes, Subset
from perceptinit.judgments.forms.drawing import RatedPairs, TripletDraw, draw_pairs, elo_share
from perceptinit.judgments.forms.odd_one_out import (
    CHANCE,
    OddOneOut,
    SamePairs,
    load_odd_one_out,
    odd_one_out_agreement,
)
from perceptinit.judgments.forms.rdm import Dissimilarities, square, triplets_from_dissimilarities
from perceptinit.judgments.own.choices import answers_of
from perceptinit.judgments.published.cifar10h import same_label_share, triplets_from_label_counts
from perceptinit.judgments.scoring import two_afc_accuracy
from perceptinit.seeding import generator
from perceptinit.types import Stimuli


def stimuli(count):
    return Stimuli(tuple(f"{i}.png" for i in range(count)), [Path(f"{i}.png") for i in range(count)])


def rows(triplets):
    """Return {(anchor, closer, farther): (votes for closer, all votes)}, independent of sides."""
    found = {}
    columns = (
        triplets.anchor,
        triplets.first,
        triplets.second,
        triplets.p_second,
        triplets.num_votes,
    )
    for a, f, s, p, n in zip(*(c.tolist() for c in columns), strict=True):
        key = (a, *((s, f) if p > 0.5 else (f, s)))
        assert key not in found
        found[key] = (round(max(p, 1 - p) * n, 4), n)
    return found


def accuracy(triplets, distances):
    """Return the 2AFC accuracy of a distance matrix (M, M)."""
    d_first = distances[triplets.anchor, triplets.first]
    return two_afc_accuracy(d_first, distances[triplets.anchor, triplets.second], triplets.p_second)


# ---- odd one out -------------------------------------------------------------------------------


def test_an_odd_one_out_answer_gives_two_triplets_without_the_odd_anchor():
    judgments = OddOneOut.build(stimuli(3), [[0, 1, 2]], [[0, 0, 1]])
    assert rows(judgments.triplets(generator(0))) == {(0, 1, 2): (1, 1), (1, 0, 2): (1, 1)}


def test_odd_one_out_votes_become_shares_per_anchor():
    # 5 found 2 odd, 3 found 1 odd, 2 found 0 odd
    judgments = OddOneOut.build(stimuli(3), [[0, 1, 2]], [[2, 3, 5]])
    assert rows(judgments.triplets(generator(0))) == {
        (0, 1, 2): (5, 8),  # about anchor 0: 5 + 3 people
        (1, 0, 2): (5, 7),
        (2, 0, 1): (3, 5),
    }


def test_sides_are_random_if_the_odd_image_is_always_listed_last():
    images = np.array([[3 * i, 3 * i + 1, 3 * i + 2] for i in range(200)])
    triplets = OddOneOut.build(stimuli(600), images, [[0, 0, 1]] * 200).triplets(generator(0))
    assert 0.4 < triplets.p_second.mean() < 0.6
    assert set(triplets.p_second) == {0.0, 1.0}


def test_the_model_chooses_the_image_outside_the_most_similar_pair():
    # pairs 0-1, 0-2, 1-2: the second pair is most similar, so image 1 is odd
    assert odd_one_out_agreement([[0.1, 0.9, 0.2]], [[0, 1, 0]]).tolist() == [1.0]
    assert odd_one_out_agreement([[0.1, 0.9, 0.2]], [[3, 1, 0]]).tolist() == [0.25]


def test_a_collapsed_model_scores_one_third_on_odd_one_out():
    votes = [[0, 0, 1]] * 4
    assert odd_one_out_agreement(np.ones((4, 3)), votes).mean() == pytest.approx(CHANCE)
    # two of three pairs tie at the top: half
    assert odd_one_out_agreement([[1, 1, 0]], [[0, 0, 1]]).tolist() == [0.5]


@pytest.mark.parametrize(
    ("images", "votes", "sentence"),
    [
        (
            [[0, 1, 1]],
            [[0, 0, 1]],
            "odd-one-out judgment 0: an image occurs twice in one judgment",
        ),
        ([[0, 1, 3]], [[0, 0, 1]], "odd-one-out judgment 0: image index out of range"),
        ([[0, 1, 2]], [[0, 0, 0]], "odd-one-out judgment 0: no votes"),
    ],
)
def test_an_invalid_odd_one_out_row_is_reported(images, votes, sentence):
    with pytest.raises(DataError, match=sentence):
        OddOneOut.build(stimuli(3), images, votes)


class Whole:
    """Judgments in odd-one-out form: 60 questions about 180 images."""

    name = "whole"

    def load_odd_one_out(self, split):
        images = np.arange(180).reshape(60, 3)
        return OddOneOut.build(stimuli(180), images, [[0, 1, 4]] * 60)

    def load(self, split):
        return self.load_odd_one_out(split).triplets(generator(0))


def test_wrappers_keep_the_odd_one_out_form():
    shuffled = ShuffledVotes(ShuffledVotes.Config(), Whole())
    half = Subset(Subset.Config(fraction=0.5), Whole())
    votes = load_odd_one_out(shuffled, "train").votes
    assert sorted(map(sorted, votes.tolist())) == [[0, 1, 4]] * 60
    assert 10 < (votes.argmax(axis=1) == 2).sum() < 30  # one third instead of all
    assert load_odd_one_out(shuffled, "test").votes.tolist() == [[0, 1, 4]] * 60
    assert len(load_odd_one_out(half, "train")) == 30
    assert len(load_odd_one_out(half, "val")) == 60


def test_anchored_judgments_are_refused_as_odd_one_out():
    class Anchored:
        name = "nights"

    with pytest.raises(UsageError, match="judgments 'nights' are not odd-one-out"):
        load_odd_one_out(Anchored(), "train")


# ---- drawing -----------------------------------------------------------------------------------


def test_pairs_with_a_sufficient_gap_are_drawn_once():
    first, second = draw_pairs(np.array([0.1, 0.3, np.nan, 0.6]), 100, 0.3, generator(0))
    # gaps: 0-1 0.2, 0-3 0.5, 1-3 0.3
    assert {frozenset(pair) for pair in zip(first.tolist(), second.tolist(), strict=True)} == {
        frozenset({0, 3}),
        frozenset({1, 3}),
    }
    assert len(first) == 2


def test_equal_distances_are_never_drawn_as_a_pair():
    first, _ = draw_pairs(np.array([0.5, 0.5, 0.5]), 10, 0.0, generator(0))
    assert len(first) == 0


def test_every_pair_of_many_candidates_can_be_drawn():
    first, second = draw_pairs(np.arange(40.0), 780, 0.0, generator(0))
    assert len({frozenset(p) for p in zip(first.tolist(), second.tolist(), strict=True)}) == 780
    assert 0.4 < (first < second).mean() < 0.6


# ---- rank m of n -------------------------------------------------------------------------------


def test_two_ranked_choices_of_eight_give_13_answers_and_unranked_ones_12():
    others = list("cdefgh")
    ranked = answers_of(["a", "b"], others, is_ranked=True)
    assert len(ranked) == 13
    assert ranked[-1] == ("a", "b")
    assert len(answers_of(["a", "b"], others, is_ranked=False)) == 12


# ---- ratings -----------------------------------------------------------------------------------


def rated(values, higher_is_better=True):
    """Return ratings of images 1.. against reference 0."""
    count = len(values)
    return RatedPairs(
        stimuli(count + 1),
        np.zeros(count, dtype=int),
        np.arange(1, count + 1),
        np.array(values) * (1 if higher_is_better else -1),
        np.arange(1, count + 1) * 10,
    )


RATING = TripletDraw("test", per_anchor=100, min_gap=0.5, seed=0)


def test_ratings_of_one_reference_become_pairs_with_the_better_one_closer():
    triplets = rated([5.0, 4.8, 3.0]).triplets(RATING, "gap")
    # 5.0 and 4.8 are too close; the smaller number of raters counts
    assert rows(triplets) == {(0, 1, 3): (10, 10), (0, 2, 3): (20, 20)}


def test_a_rating_where_lower_is_better_reverses_the_winner():
    triplets = rated([5.0, 3.0], higher_is_better=False).triplets(RATING, "gap")
    assert rows(triplets) == {(0, 2, 1): (10, 10)}


def test_elo_ratings_400_points_apart_have_odds_of_10_to_1():
    assert elo_share(np.array([0.0, 400.0, -400.0])).tolist() == pytest.approx([1 / 2, 10 / 11, 1 / 11])
    triplets = rated([1400.0, 1000.0]).triplets(RATING, "elo")
    assert rows(triplets) == {(0, 1, 2): (pytest.approx(10 * 10 / 11, abs=1e-3), 10)}


def test_ratings_without_a_sufficient_gap_are_refused():
    with pytest.raises(DataError, match=r"no two candidates of one anchor differ by min_gap = 0\.5"):
        rated([5.0, 4.9]).triplets(RATING, "gap")


# ---- matrices ----------------------------------------------------------------------------------


def test_a_vector_is_read_as_the_upper_triangle_row_by_row():
    assert square(np.array([1.0, 2, 3, 4, 5, 6]), "test").tolist() == [
        [0, 1, 2, 3],
        [1, 0, 4, 5],
        [2, 4, 0, 6],
        [3, 5, 6, 0],
    ]
    with pytest.raises(DataError, match="test: 5 cells are neither a square matrix"):
        square(np.zeros(5), "test")


def drawn(dissimilarities, members, **options):
    size = dissimilarities.values.shape[1]
    draw = TripletDraw(**{"per_anchor": 1000, "min_gap": 0.0, "seed": 0, "source": "test", **options})
    return triplets_from_dissimilarities(dissimilarities, stimuli(size), members, draw)


def test_a_matrix_gives_the_closer_candidate_for_each_anchor():
    d = Dissimilarities.build(square(np.array([1.0, 2.0, 3.0]), "test"), "dissimilarity", "test")
    # 0-1 is 1, 0-2 is 2, 1-2 is 3
    assert rows(drawn(d, [0, 1, 2])) == {(0, 1, 2): (1, 1), (1, 0, 2): (1, 1), (2, 0, 1): (1, 1)}
    turned_matrix = Dissimilarities.build(square(np.array([1.0, 2.0, 3.0]), "test"), "similarity", "test")
    assert set(rows(drawn(turned_matrix, [0, 1, 2]))) == {(0, 2, 1), (1, 2, 0), (2, 1, 0)}


def three_subjects():
    vectors = np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0], [2.0, 1.0, 3.0]])
    return Dissimilarities.build(square(vectors, "test"), "dissimilarity", "test")


def test_each_subject_has_one_vote_on_any_scale():
    found = rows(drawn(three_subjects(), [0, 1, 2]))
    # anchor 0: subjects 0 and 1 have image 1 nearer, subject 2 has image 2 nearer
    assert found == {(0, 1, 2): (2, 3), (1, 0, 2): (3, 3), (2, 0, 1): (3, 3)}


def test_the_matrix_ceiling_excludes_the_subject_below_and_includes_it_above():
    d = three_subjects()
    lower, upper = d.noise_ceiling(lambda group: drawn(group, [0, 1, 2]))
    # z of (1, 2, 3) is (-1.22, 0, 1.22), of the third (0, -1.22, 1.22). Anchors 1 and 2 agree always.
    # Anchor 0: the mean of all, (-0.82, -0.41), sides with subjects 0 and 1: upper = (1 + 1 + 2/3) / 3.
    # Without subject 0 or 1 the others tie there and choose no triplet. Without 2 they are against him:
    # lower = (1 + 1 + 2/3) / 3.
    assert upper == pytest.approx((1 + 1 + 2 / 3) / 3)
    assert lower == pytest.approx((1 + 1 + 2 / 3) / 3)
    single = Dissimilarities.build(square(np.array([1.0, 2, 3]), "t"), "dissimilarity", "t")
    assert single.noise_ceiling(lambda group: drawn(group, [0, 1, 2])) is None


def test_random_matrices_have_a_lower_ceiling_at_chance():
    # triplets that the left-out subject helped to choose would favor that subject: 0.72 here
    noise = np.random.default_rng(0).normal(size=(5, 190))
    d = Dissimilarities.build(square(noise, "test"), "dissimilarity", "test")
    lower, upper = d.noise_ceiling(lambda group: drawn(group, range(20), min_gap=1.0))
    assert lower == pytest.approx(0.5, abs=0.02)
    assert upper > 0.65


def test_the_lower_ceiling_excludes_subjects_whose_others_cancel_out():
    vectors = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [1.0, 2.0, 3.0]])
    d = Dissimilarities.build(square(vectors, "test"), "dissimilarity", "test")
    # without subject 0 or 2, the others cancel; both predict subject 1 wrongly
    assert d.noise_ceiling(lambda group: drawn(group, [0, 1, 2]))[0] == 0


def test_missing_cells_give_no_vote():
    vectors = np.array([[1.0, np.nan, 3.0], [1.0, 2.0, 3.0]])
    d = Dissimilarities.build(square(vectors, "test"), "dissimilarity", "test")
    assert rows(drawn(d, [0, 1, 2])) == {(0, 1, 2): (1, 1), (1, 0, 2): (2, 2), (2, 0, 1): (1, 1)}


def test_triplets_use_only_images_of_the_split_and_are_unique():
    rng = generator(0, "test")
    points = rng.random((12, 2))
    matrix = np.linalg.norm(points[:, None] - points[None], axis=2)
    triplets = drawn(Dissimilarities.build(matrix, "dissimilarity", "test"), [0, 3, 5, 7])
    used = {*triplets.anchor, *triplets.first, *triplets.second}
    assert used == {0, 3, 5, 7}
    assert len(rows(triplets)) == 4 * 3  # 4 anchors, 3 pairs of the other three
    assert accuracy(triplets, matrix) == 1.0


@pytest.mark.parametrize(
    ("matrix", "sentence"),
    [
        (
            [[0, 1, 2], [1, 0, 3], [2, 4, 0]],
            r"not symmetric: cells \(1, 2\) and \(2, 1\), counted from 0, are 3 and 4\. If the asymmetry",
        ),
        ([[0, np.inf, 2], [np.inf, 0, 3], [2, 3, 0]], r"images 0 and 1 \(counted from 0\) is infinite"),
        ([[0, 1, 1], [1, 0, 1], [1, 1, 0]], "all non-missing cells are equal"),
    ],
)
def test_an_invalid_matrix_is_reported_with_its_cell(matrix, sentence):
    with pytest.raises(DataError, match=sentence):
        Dissimilarities.build(np.array(matrix, dtype=float), "dissimilarity", "lab.npy")


# Similarity of 14 colors, mean of 31 people, by wavelength from 434 to 674 nm (Ekman 1954)
EKMAN = [
    *(0.86, 0.42, 0.42, 0.18, 0.06, 0.07, 0.04, 0.02, 0.07, 0.09, 0.12, 0.13, 0.16),
    *(0.50, 0.44, 0.22, 0.09, 0.07, 0.07, 0.02, 0.04, 0.07, 0.11, 0.13, 0.14),
    *(0.81, 0.47, 0.17, 0.10, 0.08, 0.02, 0.01, 0.02, 0.01, 0.05, 0.03),
    *(0.54, 0.25, 0.10, 0.09, 0.02, 0.01, 0.00, 0.01, 0.02, 0.04),
    *(0.61, 0.31, 0.26, 0.07, 0.02, 0.02, 0.01, 0.02, 0.00),
    *(0.62, 0.45, 0.14, 0.08, 0.02, 0.02, 0.02, 0.01),
    *(0.73, 0.22, 0.14, 0.05, 0.02, 0.02, 0.00),
    *(0.33, 0.19, 0.04, 0.03, 0.02, 0.02),
    *(0.58, 0.37, 0.27, 0.20, 0.23),
    *(0.74, 0.50, 0.41, 0.28),
    *(0.76, 0.62, 0.55),
    *(0.85, 0.68),
    *(0.76,),
]


def test_ekmans_color_similarities_give_the_color_circle():
    similarity = square(np.array(EKMAN), "ekman")
    d = Dissimilarities.build(similarity, "similarity", "ekman")
    triplets = drawn(d, range(14), min_gap=0.1)
    np.fill_diagonal(similarity, 1.0)
    squared = (1 - similarity) ** 2
    centre = np.eye(14) - 1 / 14
    values, vectors = np.linalg.eigh(-centre @ squared @ centre / 2)
    points = vectors[:, -2:] * np.sqrt(values[-2:])  # two dimensions, as in Shepard (1962)
    angles = np.unwrap(np.arctan2(*points.T))
    steps = np.sign(np.diff(angles))
    assert (steps == steps[0]).all()  # wavelengths are in order around the circle
    plane = np.linalg.norm(points[:, None] - points[None], axis=2)
    line = np.abs(np.subtract.outer(np.arange(14), np.arange(14))).astype(float)
    assert accuracy(triplets, plane) == pytest.approx(0.982, abs=0.01)
    assert accuracy(triplets, line) == pytest.approx(0.836, abs=0.02)  # hue is not a line
    assert accuracy(triplets, np.ones((14, 14))) == 0.5


# ---- label counts ------------------------------------------------------------------------------


def test_label_similarity_is_the_probability_of_equal_labels():
    counts = np.array([[8, 2], [5, 5], [0, 10]])
    shares = counts / 10
    # 0.8 * 0.5 + 0.2 * 0.5 = 0.5 and 0.2 * 1 = 0.2
    assert same_label_share(shares, 0).tolist() == pytest.approx([0.68, 0.5, 0.2])
    draw = TripletDraw("t", per_anchor=9, min_gap=0.25, seed=0)
    found = rows(triplets_from_label_counts(counts, stimuli(3), [0, 1, 2], 0.0, draw))
    # anchor 0: 0.5 / (0.5 + 0.2) of 10; anchor 1: 0.5 against 0.5 is a tie; anchor 2: 0.5 / 0.7
    assert found == {
        (0, 1, 2): (pytest.approx(50 / 7, abs=1e-3), 10),
        (2, 1, 0): (pytest.approx(50 / 7, abs=1e-3), 10),
    }


def test_anchors_with_unanimous_labels_can_be_excluded():
    counts = np.array([[8, 2], [5, 5], [0, 10]])
    draw = TripletDraw("t", per_anchor=9, min_gap=0.25, seed=0)
    triplets = triplets_from_label_counts(counts, stimuli(3), [0, 1, 2], 0.2, draw)
    assert set(triplets.anchor) == {0}


def test_invalid_label_counts_are_reported_by_row():
    draw = TripletDraw("lab.npy", per_anchor=9, min_gap=0.1, seed=0)
    with pytest.raises(DataError, match=r"lab.npy: zero-based row 1: no labels"):
        triplets_from_label_counts(np.array([[1, 0], [0, 0]]), stimuli(2), [0, 1], 0.0, draw)


# ---- same or different -------------------------------------------------------------------------


def test_the_image_that_is_called_the_same_more_often_is_closer():
    pairs = SamePairs.build(stimuli(4), [0, 0, 3], [1, 2, 1], [0.9, 0.3, 1.0], [10, 5, 1])
    triplets = pairs.triplets(TripletDraw("t", per_anchor=9, min_gap=0.1, seed=0))
    assert rows(triplets) == {(0, 1, 2): (5, 5)}


def test_pairs_without_a_common_image_are_refused():
    pairs = SamePairs.build(stimuli(4), [0, 2], [1, 3], [0.9, 0.3])
    with pytest.raises(DataError, match="no image is the first of two or more pairs"):
        pairs.triplets(TripletDraw("lab", per_anchor=9, min_gap=0.1, seed=0))
