"""The tasks, which define the questions and the export of answers."""

# n images in the folder, C candidates of a question
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from math import comb
from typing import ClassVar

import numpy as np

Question = tuple[int, ...]
"""Indices of a question's images, in the order of the task's columns."""


class Task(ABC):
    """A kind of question. An answer is the index of a candidate, or None for "not sure".

    The last `num_candidates` images of a question are the candidates. The image before them, if any, is the
    anchor.
    """

    name: ClassVar[str]
    component: ClassVar[str]
    """The `judgments` component that reads the export."""
    evaluator: ClassVar[str]
    """The evaluator of the exported recipe."""
    num_candidates: ClassVar[int]
    image_columns: ClassVar[tuple[str, ...]]
    answer_columns: ClassVar[tuple[str, ...]]
    obvious_answer: ClassVar[int]
    """The correct answer to the questions that `obvious` returns."""

    @abstractmethod
    def count(self, num_images: int) -> int:
        """Return the number of possible questions about `num_images` images."""

    @abstractmethod
    def draw(self, num_images: int, count: int, rng: np.random.Generator) -> list[Question]:
        """Draw `count` different questions in random order; at most `self.count(num_images)`."""

    def obvious(self, num_images: int, rng: np.random.Generator) -> Question:
        """Draw a question with an obvious answer: two images, the first of them shown twice."""
        same, other = rng.choice(num_images, 2, replace=False).tolist()
        return same, same, other

    @abstractmethod
    def cells(self, answer: int | None) -> Sequence[str]:
        """Return the values of `answer_columns` for an answer; "not sure" is a tie."""

    @abstractmethod
    def triplets(self, question: Question, answer: int) -> list[tuple[int, int, int]]:
        """Return the triplets (anchor, closer image, farther image) that an answer implies."""


class TwoAfc(Task):
    """An anchor and two candidates; "not sure" is half a vote for each candidate."""

    name = "2afc"
    component = "table"
    evaluator = "two-afc"
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

    def cells(self, answer: int | None) -> tuple[str, str]:
        return ("0.5" if answer is None else str(answer)), "1"

    def triplets(self, question: Question, answer: int) -> list[tuple[int, int, int]]:
        anchor, *candidates = question
        return [(anchor, candidates[answer], candidates[1 - answer])]


class OddOneOut(Task):
    """Three candidates without an anchor; "not sure" is one vote for each candidate."""

    name = "odd-one-out"
    component = "odd-one-out"
    evaluator = "odd-one-out"
    num_candidates = 3
    image_columns = ("image_1", "image_2", "image_3")
    answer_columns = ("votes_1", "votes_2", "votes_3")
    obvious_answer = 2

    def count(self, num_images: int) -> int:
        return comb(num_images, 3)

    def draw(self, num_images: int, count: int, rng: np.random.Generator) -> list[Question]:
        ranks = rng.choice(self.count(num_images), count, replace=False)
        return [tuple(rng.permutation(combination(int(r), 3)).tolist()) for r in ranks]

    def cells(self, answer: int | None) -> tuple[str, ...]:
        return tuple(str(int(answer in (None, candidate))) for candidate in range(3))

    def triplets(self, question: Question, answer: int) -> list[tuple[int, int, int]]:
        a, b = (image for candidate, image in enumerate(question) if candidate != answer)
        odd = question[answer]
        return [(a, b, odd), (b, a, odd)]


TASKS: dict[str, Task] = {task.name: task for task in (TwoAfc(), OddOneOut())}


def _question(anchor: int, rank: int, rng: np.random.Generator) -> Question:
    pair = [number + (number >= anchor) for number in combination(rank, 2)]
    first, second = rng.permutation(pair).tolist()
    return anchor, first, second


def combination(rank: int, size: int) -> list[int]:
    """Return the `rank`-th set of `size` integers >= 0 in colexicographic order, sorted.

    Source: the combinatorial number system (Knuth, The Art of Computer Programming, 7.2.1.3).
    """
    members = []
    for k in range(size, 0, -1):
        members.append(_largest(rank, k))
        rank -= comb(members[-1], k)
    return members[::-1]


def _largest(rank: int, k: int) -> int:
    """Return the largest number below 2 ** 24 with comb(number, k) <= rank."""
    return bisect_right(range(1 << 24), rank, key=lambda number: comb(number, k)) - 1
