"""What held-out judgments share with those of training: questions, groups, anchors and images."""

from __future__ import annotations

# N judgments, M stimuli
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

import numpy as np

from perceptinit.errors import DataError
from perceptinit.judgments.forms.splits import SPLITS
from perceptinit.judgments.own.own_table import OwnTable
from perceptinit.types import Split, Triplets

# judgments that a test split should have: of fewer, 2AFC has a standard error above 5 points
MIN_TEST = 100


def find_repeated_questions(split: str, triplets: Triplets) -> Iterator[str]:
    """Yield how many rows ask what an earlier row of the split asks."""
    if triplets.unit == "group" and not (triplets.num_votes > 1).any():
        return  # a row is what one person said: others may be asked the same
    count = len(triplets.stimuli)
    rows = len(triplets) - len(np.unique(_number_questions(triplets, np.arange(count), count)))
    if rows:
        yield (
            f"{split}: {rows:,} of {len(triplets):,} rows ask a question that is there already "
            "(same anchor, same two candidates); adding their votes up gives a truer ceiling"
        )


def find_leaks(triplets: dict[Split, Triplets], split_by: str | None = None) -> Iterator[str]:
    """Yield the groups and the questions that two splits share: scores on them are flattered.

    split_by: what the splits were drawn by, if a recipe states it; people may be asked the same.
    """
    for a, b in combinations(triplets, 2):
        shared = np.intersect1d(triplets[a].group, triplets[b].group)
        if len(shared):
            yield f"leak: {len(shared):,} groups are in both '{a}' and '{b}'"
        common = [] if split_by == "person" else _find_common_questions(triplets[a], triplets[b])
        if len(common):
            first = " / ".join(common[0])
            yield f"leak: {len(common):,} questions are in both '{a}' and '{b}', such as {first}"


def find_shared_anchors(triplets: dict[Split, Triplets]) -> Iterator[str]:
    """Yield how many anchors two splits share: allowed where the source splits by judgment."""
    anchors = {s: {t.stimuli.ids[i] for i in np.unique(t.anchor)} for s, t in triplets.items()}
    for a, b in combinations(anchors, 2):
        common = anchors[a] & anchors[b]
        if common:
            yield (
                f"{len(common):,} of {len(anchors[b]):,} anchors of '{b}' are anchors in '{a}' as well: scores are "
                "about these images, not about unseen ones"
            )


def find_shared_images(triplets: dict[Split, Triplets]) -> Iterator[str]:
    """Yield how many images two splits share in any role."""
    used = {s: set(t.used_names) for s, t in triplets.items()}
    for a, b in combinations(triplets, 2):
        common = used[a] & used[b]
        if common:
            yield f"{len(common):,} of {len(used[b]):,} images of '{b}' occur in '{a}' in some role"


def find_left_out(judgments: OwnTable) -> Iterator[str]:
    """Yield how many judgments are in no split, because their images are in several."""
    rows = int((judgments.splits == "").sum())
    if rows:
        yield (
            f"{rows:,} of {len(judgments.splits):,} judgments are left out: their images are in several "
            'splits (split_by = "image")'
        )


def recommend_split(judgments: OwnTable, triplets: dict[Split, Triplets]) -> Iterator[str]:
    """Yield what holding pictures out would take, where held-out judgments are about pictures seen in training."""
    held_out = [s for s in ("test", "val") if s in triplets]
    if judgments.config.split_by is not None or not held_out or "train" not in triplets:
        return
    seen = set(triplets["train"].used_names)
    names = triplets[held_out[0]].used_names
    num_seen = sum(name in seen for name in names)
    if not num_seen:
        return
    about = (
        f"{num_seen:,} of {len(names):,} pictures of '{held_out[0]}' are seen in training: scores say how well "
        "votes about these pictures are predicted. For a score about unseen pictures"
    )
    config = replace(judgments.config, split_by="image")
    try:
        splits = type(judgments)(config).splits
    except DataError:  # a column says what is held out
        yield f"{about}, say so in the column 'split' or leave it out and set split_by = \"image\""
        return
    counts = {s: int((splits == s).sum()) for s in SPLITS}
    listed = ", ".join(f"{count:,} {s}" for s, count in counts.items())
    few = " (few: raise test_share)" if counts["test"] < MIN_TEST else ""
    yield f'{about}, split_by = "image" leaves {listed} of {len(splits):,} judgments{few}'


def _number_questions(triplets: Triplets, number: np.ndarray, count: int) -> np.ndarray:
    """Return one number for each question, (N,), whatever the order of its candidates.

    number: (M,), what stimuli are called, below `count`.
    """
    anchor, first, second = number[triplets.roles]
    return (anchor * count + np.minimum(first, second)) * count + np.maximum(first, second)


def _find_common_questions(a: Triplets, b: Triplets) -> list[list[str]]:
    """Return the questions that both ask, by name, in alphabetical order."""
    names = sorted({*a.stimuli.ids, *b.stimuli.ids})
    place = {name: i for i, name in enumerate(names)}
    count = len(names)
    asked = []
    for t in (a, b):
        number = np.array([place[name] for name in t.stimuli.ids], np.int64)
        asked.append(_number_questions(t, number, count))
    common = np.intersect1d(asked[0], asked[1]).tolist()
    return [[names[q // count**2], names[q // count % count], names[q % count]] for q in common]
