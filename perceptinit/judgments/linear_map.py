"""A linear map of fixed embeddings that predicts judgments better, fitted by a convex loss.

The map is the square root of a symmetric matrix M = I + C / t. The cosine of two mapped embeddings,
linearized at M = I, is linear in M. The logit is t times the difference of two linearized cosines, divided by
its standard deviation at M = I. The fit minimizes the logistic loss of the votes plus `pull` times the mean
square of the eigenvalues of C. This objective is convex in C and t >= 1; with exact cosines it is not.
Negative eigenvalues of M become 0 in the map. C is zero outside the span of the judged images, so it has
R x R numbers, where R is at most the number of images.
"""

# N judgments, M judged images, P pairs of images, D embedding, R rank of the embeddings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.special import expit

from perceptinit.errors import DataError
from perceptinit.judgments.scoring import MIN_UNITS, agreement, cosine_distances, held_out_error
from perceptinit.judgments.two_afc import Embedded
from perceptinit.types import Triplets

# pulls to the identity, from strong to weak. Stronger ones hardly change the embeddings
PULLS = (3.0, 1.0, 0.3, 0.1, 0.03, 0.01)
IDENTITY = float("inf")  # the strongest pull
# random divisions of the images into halves, fewer for many images, of which one is enough
MAX_HALVINGS = 20
MAX_IMAGES = 3000
NUM_ERRORS = 2.0  # by which a gain must exceed its standard error
# tolerances of the gradient, in cross-validation and for the map
ROUGH = 1e-4
FINE = 1e-7
MAX_ITERATIONS = 1000


@dataclass(frozen=True, slots=True, eq=False)
class LinearFit:
    """A fitted map.

    Args:
        matrix: Symmetric map of embeddings, float64 (D, D).
        pull: Weight of the pull to the identity; infinite if the map is the identity.
        gain: Gain in 2AFC on images without a part in the fit, in [-1, 1]; None without cross-validation.
        stderr: Standard error of the gain; None if unknown.
    """

    matrix: np.ndarray
    pull: float
    gain: float | None = None
    stderr: float | None = None


def fit_linear(
    embedded: Embedded, triplets: Triplets, rng: np.random.Generator, pull: float | None = None
) -> LinearFit:
    """Return the map that predicts judgments best.

    Args:
        embedded: Embeddings of the images of the judgments.
        triplets: The judgments.
        rng: Divides the images for cross-validation.
        pull: Weight of the pull to the identity; None chooses it by cross-validation.

    Raises:
        DataError: If there are too few judgments for cross-validation.
    """
    embedded = embedded.select(triplets.used)
    basis = np.linalg.qr(embedded.z.T).Q  # (D, R)
    z = embedded.z @ basis
    roles = np.searchsorted(embedded.used, triplets.roles)
    gain = stderr = None
    if pull is None:
        pull, gain, stderr = _choose_pull(z, roles, triplets, rng)
    matrix = np.eye(len(basis))
    if pull != IDENTITY:
        (change,) = _Problem(z, roles, triplets).solve([pull], FINE)
        matrix += basis @ (_root(change) - np.eye(len(change))) @ basis.T
    return LinearFit(matrix, pull, gain, stderr)


def read_out(embedded: Embedded, triplets: Triplets, rng: np.random.Generator) -> Embedded:
    """Return embeddings under a linear readout, to score the judgments that `is_read_out` selects.

    The images are divided into halves. Each half is mapped by a map that is fitted on the judgments within
    the other half, so that a judgment within one half is scored on images without a part in the fit.

    Args:
        embedded: Embeddings of the images of the judgments.
        triplets: The judgments.
        rng: Divides the images.

    Raises:
        DataError: If a half contains too few judgments.
    """
    roles = np.searchsorted(embedded.used, triplets.roles)
    is_in_half = halve(roles, len(embedded.used), rng)
    z = embedded.z.copy()
    for chosen in (is_in_half, ~is_in_half):
        train = triplets.select(np.flatnonzero(chosen[roles].all(axis=0)))
        if not len(train):
            raise DataError(f"{len(triplets)} judgments of {len(z)} images are too few for a linear readout")
        z[~chosen] = _unit(embedded.z[~chosen] @ fit_linear(embedded, train, rng).matrix)
    return Embedded(embedded.used, z)


def is_read_out(triplets: Triplets, rng: np.random.Generator) -> np.ndarray:
    """Return a mask of the judgments within one half of the images, (N,), for an equal generator."""
    used = triplets.used
    roles = np.searchsorted(used, triplets.roles)
    num_in_half = halve(roles, len(used), rng)[roles].sum(axis=0)
    return np.isin(num_in_half, (0, len(roles)))


class _Problem:
    """The convex problem for some of the judgments.

    Args:
        z: Unit embeddings, float64 (M, R).
        roles: Rows of `z` of the judgments, int64 (3, N).
        triplets: The N judgments, for their votes.
    """

    def __init__(self, z: np.ndarray, roles: np.ndarray, triplets: Triplets) -> None:
        used, roles = np.unique(roles, return_inverse=True)
        self._basis = np.linalg.qr(z[used].T).Q  # (R, K), K at most the number of images
        self._z = z[used] @ self._basis
        anchor, *others = roles.reshape(3, -1)
        codes = np.minimum(anchor, others) * len(used) + np.maximum(anchor, others)  # (2, N)
        distinct, place = np.unique(codes, return_inverse=True)
        self._a, self._b = np.divmod(distinct, len(used))  # (P,) each
        self._first, self._second = place.reshape(2, -1)  # pair of the anchor with each candidate
        self._cosine = self._bilinear(self._z)
        self._p_second = triplets.p_second.astype(np.float64)
        self._weights = triplets.num_votes / triplets.num_votes.sum()
        self._shape = (self._z.shape[1], self._z.shape[1])
        lead = self._cosine[self._second] - self._cosine[self._first]
        spread = lead.std()  # 0 for a single judgment, which shows no scale
        self._scale = 1 / spread if spread > 0 else 0.0
        self._lead = self._scale * lead

    def loss(self, values: np.ndarray, pull: float) -> tuple[float, np.ndarray]:
        """Return the objective for t and C in the basis, flat (1 + K * K,), and its gradient.

        The symmetric part of C counts.
        """
        factor = values[0]
        change = values[1:].reshape(self._shape)
        change = (change + change.T) / 2
        moved = self._z @ change
        own = (moved * self._z).sum(axis=1)
        cosine = self._cosine * (1 - (own[self._a] + own[self._b]) / 2) + self._bilinear(moved)
        moved_lead = self._scale * (cosine[self._second] - cosine[self._first])
        logits = moved_lead + (factor - 1) * self._lead
        losses = np.logaddexp(0, logits) - self._p_second * logits
        residuals = self._weights * (expit(logits) - self._p_second)
        slope = self._scale * residuals
        num_images = len(self._z)
        num_pairs = len(self._cosine)
        by_pair = np.bincount(self._second, slope, num_pairs) - np.bincount(self._first, slope, num_pairs)
        crossed = coo_array((by_pair, (self._a, self._b)), (num_images, num_images))
        ends = np.concatenate([self._a, self._b])
        squared = np.bincount(ends, np.tile(by_pair * self._cosine, 2), num_images)
        by_image = crossed @ self._z + crossed.T @ self._z - squared[:, None] * self._z
        mean_square = np.square(change).sum() / len(self._basis)
        gradient = self._z.T @ by_image / 2 + 2 * pull * change / len(self._basis)
        return float(self._weights @ losses + pull * mean_square), np.append(self._lead @ residuals, gradient)

    def solve(self, pulls: Sequence[float], tolerance: float) -> Iterator[np.ndarray]:
        """Yield C / t at the minimum for each pull, symmetric (R, R); each starts at the one before.

        Args:
            pulls: Weights of the pull to the identity.
            tolerance: Largest absolute value in the gradient at the solution.
        """
        options = {"maxiter": MAX_ITERATIONS, "gtol": tolerance, "ftol": 0.0}
        values = np.zeros(1 + self._shape[0] ** 2)
        values[0] = 1.0
        bounds = [(1.0, None), *[(None, None)] * (len(values) - 1)]
        for pull in pulls:
            found = minimize(
                self.loss, values, (pull,), jac=True, method="L-BFGS-B", bounds=bounds, options=options
            )
            values = found.x
            change = values[1:].reshape(self._shape) / values[0]
            yield self._basis @ (change + change.T) @ self._basis.T / 2

    def _bilinear(self, moved: np.ndarray) -> np.ndarray:
        """Return the product of each pair, one of which is moved, (P,)."""
        return np.einsum("pr,pr->p", moved[self._a], self._z[self._b])


def _choose_pull(
    z: np.ndarray, roles: np.ndarray, triplets: Triplets, rng: np.random.Generator
) -> tuple[float, float, float | None]:
    """Return the pull with the highest 2AFC on images without a part in the fit, its gain and the error.

    The images are divided into halves several times. A map is fitted on the judgments within one half and
    scored on the judgments within the other. The identity is chosen unless the gain exceeds two standard
    errors.
    """
    found = []
    rows = []
    for _ in range(max(1, min(MAX_HALVINGS, MAX_IMAGES // len(z)))):
        is_in_half = halve(roles, len(z), rng)
        for chosen in (is_in_half, ~is_in_half):
            train = np.flatnonzero(chosen[roles].all(axis=0))
            test = np.flatnonzero(~chosen[roles].any(axis=0))
            if len(train) and len(test):
                problem = _Problem(z, roles[:, train], triplets.select(train))
                changes = [np.zeros((z.shape[1], z.shape[1])), *problem.solve(PULLS, ROUGH)]
                p_second = triplets.p_second[test]
                found.append([_agreement(z @ _root(change), roles[:, test], p_second) for change in changes])
                rows.append(test)
    if not rows:
        raise DataError(
            f"{len(triplets)} judgments of {len(z)} images are too few to choose the pull: no half of the "
            "images contains a judgment. Set pull"
        )
    values = np.concatenate(found, axis=1)  # (1 + number of pulls, scored judgments)
    scored = triplets.select(np.concatenate(rows))
    gains = np.average(values - values[0], axis=1, weights=scored.num_votes)
    best = int(gains.argmax())
    error = held_out_error(
        values[best] - values[0],
        "image",
        scored.anchor,
        scored.group,
        scored.roles,
        scored.num_votes,
        are_differences=True,
    )
    is_better = error.stderr is not None and gains[best] > NUM_ERRORS * error.stderr
    return PULLS[best - 1] if best and is_better else IDENTITY, float(gains[best]), error.stderr


def halve(roles: np.ndarray, num_images: int, rng: np.random.Generator) -> np.ndarray:
    """Return a mask of a random half of the images, (M,).

    Images that judgments connect stay together if they form small groups, as when no image is used twice.
    """
    anchor, *others = roles
    links = (np.ones(2 * len(anchor)), (np.tile(anchor, 2), np.concatenate(others)))
    count, group = connected_components(coo_array(links, (num_images, num_images)), directed=False)
    if np.bincount(group).max() > num_images / MIN_UNITS:
        count, group = num_images, np.arange(num_images)
    return (rng.permutation(count) < count // 2)[group]


def _root(change: np.ndarray) -> np.ndarray:
    """Return the square root of I + C, for symmetric C (R, R)."""
    values, vectors = np.linalg.eigh(np.eye(len(change)) + change)
    return (vectors * np.sqrt(values.clip(min=0))) @ vectors.T


def _agreement(z: np.ndarray, roles: np.ndarray, p_second: np.ndarray) -> np.ndarray:
    anchor, first, second = roles
    z = _unit(z)
    return agreement(cosine_distances(z, anchor, first), cosine_distances(z, anchor, second), p_second)


def _unit(z: np.ndarray) -> np.ndarray:
    return z / np.linalg.norm(z, axis=1, keepdims=True).clip(min=np.finfo(z.dtype).tiny)
