"""Each metric against a value computed by hand."""

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau, spearmanr

from perceptinit.evaluators.metrics import (
    average_precision,
    chance_of_any,
    hits_at_k,
    jackknife,
    knn_predictions,
    leave_out_groups,
    mean_per_class_recall,
    share_score,
)
from perceptinit.evaluators.rank_correlation import kendall_without, spearman_without
from perceptinit.evaluators.rsa import correlations, model_dissimilarities, noise_ceilings, pseudo_items


def test_the_standard_error_of_a_share_is_binomial():
    correct = np.arange(100) < 20
    assert share_score("top1/x", correct, 0.1, {}).stderr == pytest.approx(0.04)  # sqrt(0.2 * 0.8 / 100)


def test_mean_per_class_recall_excludes_classes_without_images():
    labels, correct = np.array([0, 0, 2, 2, 2, 2]), np.array([1, 0, 1, 1, 1, 0], dtype=bool)
    value, stderr, by_class = mean_per_class_recall(labels, correct, 3)
    assert value == pytest.approx((1 / 2 + 3 / 4) / 2)
    # 1/2 of 2 images and 3/4 of 4: sqrt(1/8 + 3/64) / 2
    assert stderr == pytest.approx((1 / 8 + 3 / 64) ** 0.5 / 2)
    np.testing.assert_array_equal(by_class, [0.5, np.nan, 0.75])


def test_average_precision_is_the_mean_precision_at_each_positive():
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    targets = np.array([[1, 1], [0, 0], [1, 0], [0, 0]], dtype=bool)
    # class 0: positives at ranks 1 and 3: (1 + 2/3) / 2; class 1: its positive comes last: 1/4
    np.testing.assert_allclose(average_precision(scores, targets), [5 / 6, 1 / 4])


def test_average_precision_ranks_ties_in_order_and_is_0_without_positives():
    scores, targets = np.zeros((2, 2)), np.array([[0, 0], [1, 0]], dtype=bool)
    np.testing.assert_allclose(average_precision(scores, targets), [1 / 2, 0])


def test_chance_of_any_counts_every_caption_of_an_image():
    # two images with 1 and 3 of 4 captions; two draws: 1 - (3/4)(2/3) = 1/2 and 1 - (1/4)(0/3) = 1
    assert chance_of_any(np.array([1, 3]), 4, 2) == pytest.approx((1 / 2 + 1) / 2)


def test_recall_counts_a_query_once():
    images = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    captions = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.9, 0.43589], [0.0, 1.0]])
    owners = np.array([0, 0, 1, 1])
    by_caption = hits_at_k(captions, images, owners, np.arange(2), [1, 2])
    # the third caption is nearer to the wrong image
    assert by_caption.tolist() == [[True, True], [True, True], [False, True], [True, True]]
    by_image = hits_at_k(images, captions, np.arange(2), owners, [1, 3, 10])
    assert by_image.tolist() == [[True, True, True], [True, True, True]]


def test_recall_does_not_depend_on_the_chunk_size(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    queries, gallery = (torch.randn(30, 4, generator=generator) for _ in range(2))
    owners = np.arange(30)
    whole = hits_at_k(queries, gallery, owners, owners, [1, 5])
    monkeypatch.setattr("perceptinit.evaluators.metrics.RECALL_ELEMENTS", 70)
    np.testing.assert_array_equal(hits_at_k(queries, gallery, owners, owners, [1, 5]), whole)


def test_the_jackknife_of_a_mean_equals_its_standard_error():
    values = np.array([1.0, 2.0, 3.0, 6.0])

    def mean(rows):
        return float(values[rows].mean())

    # groups of one value: the standard deviation sqrt(14 / 3) over the root of 4
    assert jackknife(leave_out_groups(mean, np.arange(4))) == pytest.approx((14 / 3) ** 0.5 / 2)
    assert jackknife(np.array([1.0])) is None


def test_nearest_neighbors_vote_with_exponential_weights():
    reference = np.array([[1, 0], [0.6, 0.8], [0.6, -0.8]], dtype=np.float32)
    labels = np.array([0, 1, 1])
    image = np.array([[1, 0]], dtype=np.float32)
    # one vote of weight 1 against two of exp(-0.4 / T): 2 exp(-4) < 1 and 2 exp(-0.4) > 1
    assert knn_predictions(reference, labels, image, 3, 0.1, 2).tolist() == [0]
    assert knn_predictions(reference, labels, image, 3, 1.0, 2).tolist() == [1]
    assert knn_predictions(reference, labels, image, 1, 1.0, 2).tolist() == [0]


def square(*pairs):
    matrix = np.full((3, 3), np.nan)
    for (i, j), value in zip(((0, 1), (0, 2), (1, 2)), pairs, strict=True):
        matrix[i, j] = matrix[j, i] = value
    return matrix


def test_rsa_is_a_rank_correlation_with_each_subject():
    model = square(0.1, 0.2, 0.3)
    subjects = np.stack([square(1, 2, 3), square(1, 3, 2)])
    # Spearman: 1 and 1 - 6 * 2 / (3 * 8) = 0.5; Kendall: 1 and (2 - 1) / 3
    assert correlations(model[None], subjects, spearman_without, np.arange(3), 0).tolist() == [[[1, 0.5]]]
    assert correlations(model[None], subjects, kendall_without, np.arange(3), 0)[0, 0] == pytest.approx(
        [1, 1 / 3]
    )


def test_rsa_excludes_pairs_without_an_answer():
    subjects = square(1, np.nan, 3)[None]
    found = correlations(square(0.1, 0.2, 0.3)[None], subjects, spearman_without, np.arange(3), 0)
    assert found == pytest.approx(1)


@pytest.mark.parametrize(("own", "scipys"), [(spearman_without, spearmanr), (kendall_without, kendalltau)])
@pytest.mark.parametrize("num_values", [4, 10_000])  # with many ties and with few
def test_rank_correlations_without_a_group_equal_those_of_scipy(own, scipys, num_values):
    rng = np.random.default_rng(0)
    model, subject = rng.integers(0, num_values, (2, 20, 20)).astype(float)
    subject[rng.random(subject.shape) < 0.1] = np.nan
    group = rng.permutation(20) % 6
    found = correlations(model[None], subject[None], own, group, 6)[:, 0, 0]
    for mask, value in zip([group >= 0, *(group != g for g in range(6))], found, strict=True):
        pairs = np.triu(np.outer(mask, mask), 1) & ~np.isnan(subject)
        assert value == pytest.approx(scipys(model[pairs], subject[pairs]).statistic, abs=1e-12)


def test_models_and_subjects_with_unlike_unknown_pairs_are_correlated_each_by_itself():
    rng = np.random.default_rng(0)
    models, subjects = rng.random((2, 3, 14, 14))
    subjects[1:][rng.random((2, 14, 14)) < 0.1] = np.nan
    for correlate in (spearman_without, kendall_without):
        found = correlations(models, subjects, correlate, np.arange(14), 14)
        for i, j in np.ndindex(3, 3):
            alone = correlations(models[[i]], subjects[[j]], correlate, np.arange(14), 14)
            assert found[:, i, j] == pytest.approx(alone.ravel(), abs=1e-12)


@pytest.mark.parametrize(
    ("distance", "correlate", "expected"),
    [
        ("euclidean", spearman_without, -0.01731879166745634),
        ("euclidean", kendall_without, -0.011769691191270724),
        ("pearson", spearman_without, 0.0019692406153917867),
        ("pearson", kendall_without, 0.0012288786482334835),
    ],
)
def test_correlations_on_the_same_features_equal_those_of_rsatoolbox(distance, correlate, expected):
    """Expected values: the mean of `compare` of rsatoolbox 0.3.2, with `calc_rdm` of these features."""
    rng = np.random.default_rng(5)
    features = rng.normal(size=(30, 16)).astype(np.float32) + 1
    matrices = rng.random((4, 30, 30))
    matrices = (matrices + matrices.transpose(0, 2, 1)) * (1 - np.eye(30))
    model = model_dissimilarities(features.astype(np.float64), distance)
    found = correlations(model[None], matrices, correlate, np.arange(30), 0)
    assert found.mean() == pytest.approx(expected, abs=1e-9)


def test_pseudo_values_have_the_mean_of_the_score_and_the_error_of_the_jackknife():
    without = np.array([[0.4, 0.6], [0.5, 0.7], [0.6, 0.5]])  # three images, two subjects
    items = pseudo_items(np.array([0.5, 0.7]), without)
    assert items.values.mean() == pytest.approx(0.6)
    by_image = items.values.reshape(3, 2).mean(axis=1)
    assert by_image.std(ddof=1) / 3**0.5 == pytest.approx(jackknife(without.mean(axis=1)))
    assert items.values.reshape(3, 2).mean(axis=0) == pytest.approx([0.5, 0.7])


def test_the_noise_ceiling_excludes_the_subject_below_and_includes_it_above():
    subjects = np.stack([square(1, 2, 3), square(1, 3, 2)])
    lower, upper = np.mean(noise_ceilings(subjects, spearman_without), axis=0)
    # without: each is predicted by the other, 0.5; the mean ranks 1, 2.5, 2.5 have sqrt(3)/2 with each
    assert (lower, upper) == (pytest.approx(0.5), pytest.approx(3**0.5 / 2))
    assert noise_ceilings(subjects[:1], spearman_without) == []
