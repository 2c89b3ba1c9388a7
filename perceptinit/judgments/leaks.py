"""Leaks between splits: shared questions, groups, anchors and images."""

from __future__ import annotations

# N judgments, M stimuli
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

import numpy as np

from perceptinit.errors import DataError
from perceptinit.judgments.forms.named_triplets import number_questions
from perceptinit.judgments.forms.splits import SPLITS
from perceptinit.judgments.own.own_table import OwnTable
from perceptinit.types import Split, Triplets

# minimum useful test split: with fewer judgments, 2AFC has a standard error above 5 percentage points
MIN_TEST = 100


def find_repeated_questions(split: str, triplets: Triplets) -> Iterator[str]:
    """Yield a message if rows of a split repeat the question of an earlier row."""
    if triplets.unit == "group" and not (triplets.num_votes > 1).any():
        return  # each row is one person's answer, so several rows may share a question
    *_, questions = number_questions(triplets.roles, len(triplets.stimuli))
    rows = len(triplets) - len(np.unique(questions))
    if rows:
        yield (
            f"{split}: {rows:,} of {len(triplets):,} rows repeat a question "
            "(same anchor, same two candidates). Adding up their votes gives a more accurate human ceiling"
        )


def find_leaks(triplets: dict[Split, Triplets], split_by: str | None = None) -> Iterator[str]:
    """Yield a message if two splits share groups or questions, which inflates scores.

    Args:
        triplets: The judgments of each split.
        split_by: Unit of the splits, if known. Splits by "person" may share questions.
    """
    for a, b in combinations(triplets, 2):
        shared = np.intersect1d(triplets[a].group, triplets[b].group)
        if len(shared):
            yield f"leak: {len(shared):,} groups are in both '{a}' and '{b}'"
        common = [] if split_by == "person" else _find_common_questions(triplets[a], triplets[b])
        if common:
            first = " / ".join(common[0])
            yield f"leak: {len(common):,} questions are in both '{a}' and '{b}', such as {first}"


def find_shared_anchors(triplets: dict[Split, Triplets]) -> Iterator[str]:
    """Yield a message if two splits share anchors, which is allowed if the source splits by judgment."""
    anchors = {s: {t.stimuli.ids[i] for i in np.unique(t.anchor)} for s, t in triplets.items()}
    for a, b in combinations(anchors, 2):
        if common := anchors[a] & anchors[b]:
            yield (
                f"{len(common):,} of {len(anchors[b]):,} anchors of '{b}' are also anchors in '{a}', "
                "so scores do not measure generalization to unseen images"
            )


def find_shared_images(triplets: dict[Split, Triplets]) -> Iterator[str]:
    """Yield a message if two splits share images in any role."""
    used = {s: set(t.used_names) for s, t in triplets.items()}
    for a, b in combinations(triplets, 2):
        if common := used[a] & used[b]:
            yield f"{len(common):,} of {len(used[b]):,} images of '{b}' also occur in '{a}'"


def find_left_out(judgments: OwnTable) -> Iterator[str]:
    """Yield a message if judgments are in no split because their images are in several splits."""
    rows = int((judgments.splits == "").sum())
    if rows:
        yield (
            f"{rows:,} of {len(judgments.splits):,} judgments are excluded, because their images are in "
            'several splits (split_by = "image")'
        )


def recommend_split(judgments: OwnTable, triplets: dict[Split, Triplets]) -> Iterator[str]:
    """Yield a recommendation to split by image, if held-out judgments contain training images."""
    held_out = next((s for s in ("test", "val") if s in triplets), None)
    if judgments.config.split_by is not None or held_out is None or "train" not in triplets:
        return
    seen = set(triplets["train"].used_names)
    names = triplets[held_out].used_names
    num_seen = sum(name in seen for name in names)
    if not num_seen:
        return
    about = (
        f"{num_seen:,} of {len(names):,} images of '{held_out}' also occur in training, so scores do not "
        "measure generalization to unseen images."
    )
    try:
        splits = type(judgments)(replace(judgments.config, split_by="image")).splits
    except DataError:  # a column assigns the splits
        yield f"{about} Assign splits by image, or remove the column 'split' and set split_by = \"image\""
        return
    counts = {s: int((splits == s).sum()) for s in SPLITS}
    listed = ", ".join(f"{count:,} {s}" for s, count in counts.items())
    few = " (small test split; raise test_share)" if counts["test"] < MIN_TEST else ""
    yield f'{about} split_by = "image" would leave {listed} of {len(splits):,} judgments{few}'


def _find_common_questions(a: Triplets, b: Triplets) -> list[list[str]]:
    """Return the image names of the questions in both splits, in alphabetical order."""
    names = sorted({*a.stimuli.ids, *b.stimuli.ids})
    place, count = {name: i for i, name in enumerate(names)}, len(names)
    asked = []
    for t in (a, b):
        number = np.array([place[name] for name in t.stimuli.ids], np.int64)
        asked.append(number_questions(number[t.roles], count)[-1])
    common = np.intersect1d(asked[0], asked[1]).tolist()
    return [[names[q // count**2], names[q // count % count], names[q % count]] for q in common]
