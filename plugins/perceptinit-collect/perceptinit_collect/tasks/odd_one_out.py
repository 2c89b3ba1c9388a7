"""Odd one out: which of three images is least like the other two?"""

from __future__ import annotations

# n images in the folder
from math import comb

import numpy as np

from perceptinit_collect.tasks.task import Question, Task, combination


class OddOneOut(Task):
    """Three candidates without an anchor; "not sure" is one vote for each candidate."""

    name = "odd-one-out"
    component = "odd-one-out"
    initializer = "triplet-hinge"
    evaluator = "odd-one-out"
    num_images = 3
    num_candidates = 3
    image_columns = ("image_1", "image_2", "image_3")
    answer_columns = ("votes_1", "votes_2", "votes_3")
    obvious_answer = 2

    def count(self, num_images: int) -> int:
        return comb(num_images, 3)

    def draw(self, num_images: int, count: int, rng: np.random.Generator) -> list[Question]:
        ranks = rng.choice(self.count(num_images), count, replace=False)
        return [tuple(rng.permutation(combination(int(r), 3)).tolist()) for r in ranks]

    def obvious(self, num_images: int, rng: np.random.Generator) -> Question:
        same, other = rng.choice(num_images, 2, replace=False).tolist()
        return same, same, other

    def cells(self, answer: int | None) -> tuple[str, ...]:
        return tuple(str(int(answer in (None, candidate))) for candidate in range(3))

    def triplets(self, question: Question, answer: int) -> list[tuple[int, int, int]]:
        a, b = (image for candidate, image in enumerate(question) if candidate != answer)
        odd = question[answer]
        return [(a, b, odd), (b, a, odd)]
