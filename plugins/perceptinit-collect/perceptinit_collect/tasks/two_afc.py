"""2AFC: which of two images is more like the anchor?"""

from __future__ import annotations

# n images in the folder
from math import comb

import numpy as np

from perceptinit_collect.tasks.task import Question, Task, combination


class TwoAfc(Task):
    """An anchor and two candidates; "not sure" is half a vote for each candidate."""

    name = "2afc"
    component = "table"
    initializer = "triplet-hinge"
    evaluator = "two-afc"
    num_images = 3
    num_candidates = 2
    image_columns = ("anchor", "first", "second")
    answer_columns = ("p_second", "num_votes")
    obvious_answer = 0

    def count(self, num_images: int) -> int:
        return num_images * comb(num_images - 1, 2)

    def draw(self, num_images: int, count: int, rng: np.random.Generator) -> list[Question]:
        """Draw `count` different questions; the numbers of questions per anchor differ by at most one."""
        share, left_over = divmod(count, num_images)
        more = set(rng.permutation(num_images)[:left_over].tolist())
        questions = []
        for anchor in range(num_images):
            num_pairs = share + (anchor in more)
            ranks = rng.choice(comb(num_images - 1, 2), num_pairs, replace=False)
            questions += [_question(anchor, int(rank), rng) for rank in ranks]
        return [questions[i] for i in rng.permutation(count)]

    def obvious(self, num_images: int, rng: np.random.Generator) -> Question:
        same, other = rng.choice(num_images, 2, replace=False).tolist()
        return same, same, other

    def cells(self, answer: int | None) -> tuple[str, str]:
        return ("0.5" if answer is None else str(answer)), "1"

    def triplets(self, question: Question, answer: int) -> list[tuple[int, int, int]]:
        anchor, *candidates = question
        return [(anchor, candidates[answer], candidates[1 - answer])]


def _question(anchor: int, rank: int, rng: np.random.Generator) -> Question:
    pair = [number + (number >= anchor) for number in combination(rank, 2)]
    first, second = rng.permutation(pair).tolist()
    return anchor, first, second
