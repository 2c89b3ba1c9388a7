"""Base class of tasks, which define the questions and the export of answers."""

from __future__ import annotations

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
    initializer: ClassVar[str]
    """The initializer of the exported recipe."""
    evaluator: ClassVar[str]
    """The evaluator of the exported recipe."""
    num_images: ClassVar[int]
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

    @abstractmethod
    def obvious(self, num_images: int, rng: np.random.Generator) -> Question:
        """Draw a question with an obvious answer: two images, one of them shown twice."""

    @abstractmethod
    def cells(self, answer: int | None) -> Sequence[str]:
        """Return the values of `answer_columns` for an answer; "not sure" is a tie."""

    @abstractmethod
    def triplets(self, question: Question, answer: int) -> list[tuple[int, int, int]]:
        """Return the triplets (anchor, closer image, farther image) that an answer implies."""


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
    """Return the largest number with comb(number, k) <= rank."""
    high = k
    while comb(high, k) <= rank:
        high *= 2
    return bisect_right(range(high), rank, key=lambda number: comb(number, k)) - 1
