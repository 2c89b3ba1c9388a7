"""What a task has to say: which questions there are, what stands on the page, and how an answer is exported."""

from __future__ import annotations

# n images in the folder, K images in a question, C candidates that can be answered
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from math import comb
from typing import ClassVar

import numpy as np

Question = tuple[int, ...]
"""The images of a question by number, in the order of the task's columns."""


class Task(ABC):
    """A task; an answer is the number of a candidate, or None for "not sure".

    The candidates are the last `num_candidates` images of a question; the one before them, if any, is
    the anchor.
    """

    name: ClassVar[str]
    component: ClassVar[str]
    """Name of the `judgments` component that reads the export."""
    initializer: ClassVar[str]
    """Name of the initializer of the exported recipe."""
    evaluator: ClassVar[str]
    """Name of the evaluator of the exported recipe."""
    num_images: ClassVar[int]
    num_candidates: ClassVar[int]
    image_columns: ClassVar[tuple[str, ...]]
    answer_columns: ClassVar[tuple[str, ...]]
    obvious_answer: ClassVar[int]
    """The answer to every question of `obvious`."""

    @abstractmethod
    def count(self, num_images: int) -> int:
        """Return how many different questions there are about this many images."""

    @abstractmethod
    def draw(self, num_images: int, count: int, rng: np.random.Generator) -> list[Question]:
        """Return different questions in random order; count must not exceed `count(num_images)`."""

    @abstractmethod
    def obvious(self, num_images: int, rng: np.random.Generator) -> Question:
        """Return a question about two images, one of them twice."""

    @abstractmethod
    def cells(self, answer: int | None) -> Sequence[str]:
        """Return an answer as the cells of `answer_columns`; "not sure" is a tie."""

    @abstractmethod
    def triplets(self, question: Question, answer: int) -> list[tuple[int, int, int]]:
        """Return what an answer says as (anchor, closer image, farther image)."""


def combination(rank: int, size: int) -> list[int]:
    """Return the `rank`-th set of `size` numbers from 0 on, in colexicographic order, sorted.

    Source: the combinatorial number system (Knuth, The Art of Computer Programming, 7.2.1.3).
    """
    members = []
    for k in range(size, 0, -1):
        members.append(_largest(rank, k))
        rank -= comb(members[-1], k)
    return members[::-1]


def _largest(rank: int, k: int) -> int:
    """Return the largest number with comb(number, k) <= rank."""
    high = k
    while comb(high, k) <= rank:
        high *= 2
    return bisect_right(range(high), rank, key=lambda number: comb(number, k)) - 1
