"""Coverage of intervals of a model that was measured once, for new images and, if they are named, new people.

2AFC and odd one out: a model agrees with an answer with a probability that depends on the three images and the
person. RSA: models and people see the images at places with errors, which differ in size between people, and
each pair with a further error. The jackknife leaves out each image and ranks the others again, as the measure does.
The true score of RSA is the mean over the experiments.
"""

from __future__ import annotations

# N answers, M images, P people, K pairs of images
from collections.abc import Iterator, Sequence

import numpy as np
from calibration_counts import Cells, Counts, Row, Study, share

from perceptinit.analysis.intervals import estimate_two_way, find_item_components
from perceptinit.analysis.over_items import MIN_IMAGES_OF_DIFFERENCE
from perceptinit.analysis.statistics import Estimate
from perceptinit.evaluators.rsa import pseudo_items

NUM = 1_000
NUM_MATRICES = 2_000  # experiments of RSA with fewer than 100 images
NUM_OF_FIVE = 4_000  # experiments of answers of five people, whose rates are near 97 %
MEASURES = ("2afc", "odd_one_out", "rsa")
NUM_IMAGES = (20, 40, 100)
NUM_PEOPLE = (1, 5, 20)
ANSWERS = 20  # of each image
SCORE = {"2afc": 0.65, "odd_one_out": 0.5}
OF_ROLES = {
    "2afc": (0.1, 0.05, 0.05),
    "odd_one_out": (0.07, 0.07, 0.07),
}  # deviation over images of each role
OF_PEOPLE = 0.06


def cover(values: np.ndarray, images: np.ndarray, people: np.ndarray | None, are_shares: bool) -> Estimate:
    """Return the estimate of a mean over items with its interval."""
    parts = find_item_components(values, images, people=people, are_shares=are_shares)
    if parts is None:
        raise ValueError("too few images")
    return estimate_two_way(parts)


def draw_answers(
    rng: np.random.Generator, measure: str, num_images: int, num_people: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return agreement of two models of equal scores, shape (2, N), images, (N, 3), and people, (N,)."""
    num = ANSWERS * num_images
    images = rng.permuted(np.tile(np.arange(num_images), (num, 1)), axis=1)[:, :3]
    images = np.unique(images, return_inverse=True)[1].reshape(images.shape)
    people = np.arange(num) % num_people
    of_people = OF_PEOPLE if num_people > 1 else 0.0  # a single person is not a sample of people
    p = np.full((2, num), SCORE[measure])
    for role, deviation in enumerate(OF_ROLES[measure]):
        p += deviation * rng.standard_normal((2, num_images))[:, images[:, role]]
    p += of_people * rng.standard_normal((2, num_people))[:, people]
    return (rng.random(p.shape) < p).astype(np.float64), images, people if num_people > 1 else None


def count_answers(
    rng: np.random.Generator, num: int, measure: str, num_images: int, num_people: int
) -> Counts:
    """Return how often intervals contain the truth, of a score and of a difference of two models."""
    score = difference = 0
    halves = []
    for _ in range(num):
        (own, other), images, people = draw_answers(rng, measure, num_images, num_people)
        of_score = cover(own, images, people, are_shares=True)
        of_difference = cover(own - other, images, people, are_shares=False)
        score += of_score.low <= SCORE[measure] <= of_score.high
        difference += of_difference.low <= 0 <= of_difference.high
        halves.append(of_score.high - of_score.mean)
    return {"score": int(score), "difference": int(difference), "half": round(float(np.median(halves)), 4)}


def draw_matrices(
    rng: np.random.Generator, num_images: int, num_people: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return dissimilarities of two models, (2, K), and of people, (P, K)."""

    def describe(count: int, spread: np.ndarray) -> np.ndarray:
        """Return squared distances of images, with errors of their places and of pairs."""
        places = true + spread[:, None, None] * rng.standard_normal((count, num_images, 3))
        apart = np.square(places[:, :, None] - places[:, None]).sum(axis=3)
        return (apart + 2 * rng.standard_normal(apart.shape))[:, rows, columns]

    true = rng.standard_normal((num_images, 3))
    rows, columns = np.triu_indices(num_images, 1)
    models = describe(2, np.full(2, 0.7))
    people = describe(num_people, rng.uniform(0.4, 1, num_people) if num_people > 1 else np.full(1, 0.7))
    return models, people


def rank_without(values: np.ndarray, num_images: int) -> np.ndarray:
    """Return standardized ranks of distinct values of pairs, and of those without each image, (1 + M, K).

    Pairs with the image have 0, so that the sum of products of two rows is Spearman's correlation.
    """
    order = np.argsort(values)
    kept = np.ones((1 + num_images, len(values)), np.float32)
    for images in np.triu_indices(num_images, 1):
        kept[1 + images[order], np.arange(len(values))] = 0
    num = kept.sum(axis=1, keepdims=True)
    ranks = (np.cumsum(kept, axis=1) - (num + 1) / 2) * kept
    found = np.empty_like(ranks)
    found[:, order] = ranks / np.sqrt(num * (num**2 - 1) / 12)
    return found


def correlate(model: np.ndarray, people: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return Spearman's correlation with each person, (P,), and without each image, (M, P), of `rank_without`."""
    found = np.stack([np.einsum("mk,mk->m", model, person) for person in people], axis=1)
    return found[0], found[1:]


def count_matrices(rng: np.random.Generator, num: int, num_images: int, num_people: int) -> Counts:
    """Return how often intervals of RSA contain the truth, also those of differences that are not printed."""
    scores, differences = [], []
    for _ in range(num):
        models, people = draw_matrices(rng, num_images, num_people)
        ranked = [rank_without(person, num_images) for person in people]
        own, other = (pseudo_items(*correlate(rank_without(model, num_images), ranked)) for model in models)
        scores.append(cover(own.values, own.images, own.people, are_shares=False).of_correlation())
        differences.append(cover(own.values - other.values, own.images, own.people, are_shares=False))
    truth = float(np.mean([each.mean for each in scores]))
    return {
        "score": sum(each.low <= truth <= each.high for each in scores),
        "difference": sum(each.low <= 0 <= each.high for each in differences),
        "half": round(float(np.median([(each.high - each.low) / 2 for each in scores])), 4),
    }


def rows(cells: Cells) -> Iterator[Row]:
    """Yield one row for each measure, number of images and number of people."""
    for measure in MEASURES:
        for num_images in NUM_IMAGES:
            for num_people in NUM_PEOPLE:
                name = f"models/{measure}/{num_images}/{num_people}"
                if measure == "rsa":
                    num = NUM_MATRICES if num_images < 100 else NUM
                    c = cells.find(name, num, count_matrices, num_images, num_people)
                else:
                    num = NUM_OF_FIVE if num_people == 5 else NUM
                    c = cells.find(name, num, count_answers, measure, num_images, num_people)
                covered = [share(c[key], c["num"]) for key in ("score", "difference")]
                if measure == "rsa" and num_images < MIN_IMAGES_OF_DIFFERENCE:
                    covered[1] = f"not printed: {covered[1]}"
                half = f"{c['half']:.3f}" if measure == "rsa" else f"{100 * c['half']:.1f}"
                yield measure, str(num_images), str(num_people), f"{c['num']:,}", *covered, half


STUDIES = {
    "models": Study(
        (
            "measure", "images", "people", "experiments", "coverage of a score", "coverage of a difference",
            "median half-width of a score",
        ),
        rows,
    )
}  # fmt: skip
