"""Fit a small image embedding to the answers, and measure its accuracy on held-out answers.

Stochastic triplet embedding: the probability of "j is closer to i than k" is a softmax over negative squared
distances. Source: van der Maaten & Weinberger (2012), Stochastic triplet embedding, with an L2 penalty. The
fit uses scipy, so that the server does not need torch.
"""

# T triplets (anchor, closer, farther), M images, D dimensions
from dataclasses import dataclass

import numpy as np

from perceptinit.plugin import generator

NUM_DIMENSIONS = 4
NUM_FOLDS = 5
PENALTY = 0.01
MAX_ITERATIONS = 50
Z_95 = 1.96


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Accuracy on held-out answers, and the half-width of its 95 % interval."""

    accuracy: float
    half_width: float

    def answers_until(self, half_width: float, num_answers: int) -> int:
        """Return the number of additional answers needed for an interval of this half-width.

        Assumes that the width is inversely proportional to the square root of the number of answers.
        """
        needed = num_answers * (self.half_width / half_width) ** 2
        return max(0, int(np.ceil(needed)) - num_answers)


def held_out_2afc(triplets: np.ndarray, questions: np.ndarray, num_images: int) -> HeldOut | None:
    """Return the cross-validated accuracy of embeddings on held-out questions.

    The interval treats the answers to a question as a cluster.

    Args:
        triplets: Anchor, closer and farther image of each answer, int (T, 3).
        questions: Question index of each triplet, int (T,). All triplets of a question are in one fold.
        num_images: Number of images M.

    Returns:
        None with fewer than NUM_FOLDS questions.
    """
    ids, question = np.unique(questions, return_inverse=True)
    if len(ids) < NUM_FOLDS:
        return None
    fold = generator(0, "collect", "folds").permutation(len(ids))[question] % NUM_FOLDS
    is_right = np.zeros(len(triplets))
    for held_out in range(NUM_FOLDS):
        points = fit(triplets[fold != held_out], num_images)
        is_right[fold == held_out] = _score(points, triplets[fold == held_out])
    accuracy = float(is_right.mean())
    by_question = np.bincount(question, is_right - accuracy)
    half_width = float(Z_95 * np.sqrt((by_question**2).sum()) / len(triplets))
    return HeldOut(accuracy, half_width)


def fit(triplets: np.ndarray, num_images: int, num_dimensions: int = NUM_DIMENSIONS) -> np.ndarray:
    """Return the maximum-likelihood embedding of the images, with an L2 penalty, float64 (M, D)."""
    from scipy.optimize import minimize

    start = generator(0, "collect", "embedding").standard_normal((num_images, num_dimensions)) * 0.1
    found = minimize(
        _loss, start.ravel(), (triplets, num_images), method="L-BFGS-B", jac=True,
        options={"maxiter": MAX_ITERATIONS},
    )  # fmt: skip
    return found.x.reshape(num_images, num_dimensions)


def _loss(flat: np.ndarray, triplets: np.ndarray, num_images: int) -> tuple[float, np.ndarray]:
    """Return the mean negative log likelihood with its penalty, and the gradient (M * D,)."""
    points = flat.reshape(num_images, -1)
    anchor, closer, farther = triplets.T
    to_closer, to_farther = points[anchor] - points[closer], points[anchor] - points[farther]
    evidence = (to_farther**2).sum(axis=1) - (to_closer**2).sum(axis=1)
    loss = np.logaddexp(0, -evidence).mean() + PENALTY * (points**2).mean()
    weight = (-2 / (1 + np.exp(np.clip(evidence, -50, 50))) / len(triplets))[:, None]
    gradient = 2 * PENALTY * points / points.size
    np.add.at(gradient, anchor, weight * (to_farther - to_closer))
    np.add.at(gradient, closer, weight * to_closer)
    np.add.at(gradient, farther, -weight * to_farther)
    return float(loss), gradient.ravel()


def _score(points: np.ndarray, triplets: np.ndarray) -> np.ndarray:
    """Return 1 where the embedding agrees with an answer, 0.5 at equal distances, else 0, (T,)."""
    anchor, closer, farther = triplets.T
    near = ((points[anchor] - points[closer]) ** 2).sum(axis=1)
    far = ((points[anchor] - points[farther]) ** 2).sum(axis=1)
    return (near < far) + 0.5 * (near == far)
