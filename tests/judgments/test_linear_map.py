"""A linear map recovers a planted metric, is the identity on noise, and minimizes a convex objective."""

# N judgments, M images, D embedding
import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from perceptinit.errors import DataError
from perceptinit.judgments.linear_map import (
    IDENTITY,
    _Problem,
    fit_linear,
    halve,
    is_read_out,
    read_out,
)
from perceptinit.judgments.two_afc import Embedded, score
from perceptinit.types import Stimuli, Triplets

PIXEL = np.zeros((1, 1, 3), np.uint8)
RELEVANT = np.array([1.0, 1.0, 0.2, 0.2, 0.2, 0.2])  # what people see of each dimension


def unit(z):
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def planted(num_images=40, num_judgments=2000, seed=0):
    """Return random embeddings, and judgments by people who see some dimensions less than others."""
    rng = np.random.default_rng(seed)
    z = unit(rng.standard_normal((num_images, len(RELEVANT))))
    people = unit(z * RELEVANT)
    anchor, first, second = np.stack([rng.permutation(num_images)[:3] for _ in range(num_judgments)], axis=1)
    lead = (people[anchor] * (people[second] - people[first])).sum(axis=1)
    stimuli = Stimuli(tuple(f"{i}" for i in range(num_images)), [PIXEL] * num_images)
    votes = rng.binomial(5, 1 / (1 + np.exp(-5 * lead)))
    return z, Triplets.build(stimuli, anchor, first, second, votes / 5, 5, unit="image")


def shuffled(triplets, seed):
    order = np.random.default_rng(seed).permutation(len(triplets))
    t = triplets
    return Triplets.build(
        t.stimuli, t.anchor, t.first, t.second, t.p_second[order], t.num_votes[order], unit="image"
    )


def within(triplets, images):
    return triplets.select(np.isin(triplets.roles, images).all(axis=0))


def embedded(z, triplets):
    return Embedded(triplets.used, z[triplets.used])


def rng():
    return np.random.default_rng(0)


def test_a_planted_metric_is_recovered_on_images_that_are_not_in_the_fit():
    z, triplets = planted()
    known, unseen = (within(triplets, images) for images in (np.arange(25), np.arange(25, 40)))
    fitted = fit_linear(embedded(z, known), known, rng())
    mapped = Embedded(unseen.used, unit(z[unseen.used] @ fitted.matrix))
    gain = score(mapped, unseen).accuracy - score(embedded(z, unseen), unseen).accuracy
    assert gain > 0.05
    assert fitted.gain > 2 * fitted.stderr
    stretched = np.diag(fitted.matrix)
    assert stretched[:2].min() > stretched[2:].max()


@pytest.mark.parametrize("seed", range(5))
def test_shuffled_votes_give_the_identity(seed):
    z, triplets = planted()
    noise = shuffled(triplets, seed)
    fitted = fit_linear(embedded(z, noise), noise, np.random.default_rng(seed))
    assert fitted.pull == IDENTITY
    assert np.array_equal(fitted.matrix, np.eye(len(RELEVANT)))


def test_a_stronger_pull_gives_a_map_nearer_to_the_identity():
    z, triplets = planted()
    maps = [fit_linear(embedded(z, triplets), triplets, rng(), pull).matrix for pull in (0.1, 1.0, 100.0)]
    distances = [np.linalg.norm(matrix - np.eye(len(RELEVANT))) for matrix in maps]
    assert distances[0] > distances[1] > 5 * distances[2] > 0


def test_the_gradient_is_correct_and_zero_at_the_solution():
    z, triplets = planted(num_judgments=200)
    problem = _Problem(z, triplets.roles, triplets)
    point, direction = np.random.default_rng(1).standard_normal((2, 37))
    ahead, behind = (problem.loss(point + step * direction, 0.3)[0] for step in (1e-6, -1e-6))
    slope = (problem.loss(point, 0.3)[1] * direction).sum()
    assert (ahead - behind) / 2e-6 == pytest.approx(slope, rel=1e-5)
    (change,) = problem.solve([0.3], 1e-8)
    in_basis = (problem._basis.T @ change @ problem._basis).ravel()
    minimum = minimize_scalar(
        lambda t: problem.loss(np.append(t, t * in_basis), 0.3)[0], (1.0, 2.0), tol=1e-10
    ).x
    gradient = problem.loss(np.append(minimum, minimum * in_basis), 0.3)[1]
    assert minimum > 1
    assert np.abs(gradient).max() < 1e-6


def test_the_objective_is_convex():
    z, triplets = planted(num_judgments=200)
    problem = _Problem(z, triplets.roles, triplets)
    for a, b in np.random.default_rng(2).standard_normal((20, 2, 37)):
        middle = problem.loss((a + b) / 2, 0.0)[0]
        assert middle <= (problem.loss(a, 0.0)[0] + problem.loss(b, 0.0)[0]) / 2


def test_more_dimensions_than_images_need_only_the_span_of_the_images():
    z, triplets = planted(num_images=12, num_judgments=300)
    rotation = np.linalg.qr(np.random.default_rng(3).standard_normal((50, 50))).Q[:6]
    small = fit_linear(embedded(z, triplets), triplets, rng(), 0.1).matrix
    large = fit_linear(embedded(z @ rotation, triplets), triplets, rng(), 0.2).matrix  # R is 12, not 6
    np.testing.assert_allclose(large - np.eye(50), rotation.T @ (small - np.eye(6)) @ rotation, atol=1e-5)


def test_images_of_one_judgment_stay_together_if_each_image_is_used_once():
    roles = np.arange(60).reshape(3, 20)
    is_in_half = halve(roles, 60, rng())
    assert is_in_half.sum() == 30
    assert (is_in_half[roles[0]] == is_in_half[roles[1]]).all()
    assert (is_in_half[roles[0]] == is_in_half[roles[2]]).all()


def test_a_readout_is_scored_on_images_without_a_part_in_its_fit():
    z, triplets = planted(num_images=80, num_judgments=8000)
    mapped = read_out(embedded(z, triplets), triplets, rng())
    is_scored = is_read_out(triplets, rng())
    scored = triplets.select(is_scored)
    assert 0.1 < is_scored.mean() < 0.4
    gain = score(mapped, scored).accuracy - score(embedded(z, triplets), scored).accuracy
    assert gain > 0.05
    half = np.flatnonzero(halve(triplets.roles, len(z), rng()))
    is_in_half = np.isin(triplets.roles, half).all(axis=0)
    p_second = np.where(is_in_half, 1 - triplets.p_second, triplets.p_second)
    t = triplets
    reversed_half = Triplets.build(t.stimuli, *t.roles, p_second, t.num_votes, unit="image")
    again = read_out(embedded(z, triplets), reversed_half, rng())
    others = np.setdiff1d(np.arange(len(z)), half)
    assert np.array_equal(again.z[half], mapped.z[half])
    assert not np.allclose(again.z[others], mapped.z[others])


def test_too_few_judgments_for_cross_validation_are_reported():
    z, triplets = planted(num_images=3, num_judgments=4)
    with pytest.raises(DataError, match="4 judgments of 3 images are too few to choose the pull"):
        fit_linear(embedded(z, triplets), triplets, rng())
    with pytest.raises(DataError, match="too few for a linear readout"):
        read_out(embedded(z, triplets), triplets, rng())


def test_a_single_judgment_shows_no_scale_and_leaves_the_embeddings_unchanged():
    z, triplets = planted(num_images=3, num_judgments=1)
    with np.errstate(all="raise"):
        fitted = fit_linear(embedded(z, triplets), triplets, rng(), pull=0.1)
    np.testing.assert_allclose(fitted.matrix, np.eye(len(RELEVANT)), atol=1e-6)
