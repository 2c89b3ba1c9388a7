"""Checks for `perceptinit data check`: leaks between splits, and the balance of collected tables.

`perceptinit collect` adds these columns to a table:

* `excluded`: reason why a row is not a judgment (practice, catch trial, excluded participant), or empty.
* `assigned_order`: the candidates in the order shown: `2 1` means second, then first.
* `answered_place`: the chosen position in that order, from 1; 0 means "not sure", empty means no answer.
"""

# N judgments or rows, M stimuli, P positions on the page
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np

from perceptinit.errors import DataError
from perceptinit.files.columns import Columns
from perceptinit.files.tables import read_table
from perceptinit.judgments.forms.named_triplets import number_questions, sort_distinct
from perceptinit.judgments.forms.splits import NO_SPLIT, SPLITS
from perceptinit.judgments.own.own_table import EXCLUDED, OwnTable
from perceptinit.types import Split, Triplets

# minimum useful test split: with fewer judgments, 2AFC has a standard error above 5 percentage points
MIN_TEST = 100


def find_repeated_questions(split: str, triplets: Triplets) -> Iterator[str]:
    """Yield a message if rows of a split repeat the question of an earlier row."""
    if triplets.unit == "group" and not (triplets.num_votes > 1).any():
        return  # each row is one person's answer, so several rows may share a question
    questions = number_questions(triplets.roles, len(triplets.stimuli))[-1]
    rows = len(triplets) - len(sort_distinct(questions))
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
        groups = sort_distinct(triplets[a].group)
        shared = np.intersect1d(groups, sort_distinct(triplets[b].group), assume_unique=True)
        if len(shared):
            yield f"leak: {len(shared):,} groups are in both '{a}' and '{b}'"
        common = [] if split_by == "person" else _find_common_questions(triplets[a], triplets[b])
        if common:
            yield (
                f"leak: {len(common):,} questions are in both '{a}' and '{b}', such as "
                f"{' / '.join(common[0])}"
            )


def find_shared_anchors(triplets: dict[Split, Triplets]) -> Iterator[str]:
    """Yield a message if two splits share anchors, which is allowed if the source splits by judgment."""
    anchors = {s: {t.stimuli.ids[i] for i in sort_distinct(t.anchor)} for s, t in triplets.items()}
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
    rows = int((judgments.splits == NO_SPLIT).sum())
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
        splits = judgments.splits_by_image()
    except DataError:  # a column assigns the splits
        yield f"{about} Assign splits by image, or remove the column 'split' and set split_by = \"image\""
        return
    counts = {name: int((splits == code).sum()) for code, name in enumerate(SPLITS)}
    listed = ", ".join(f"{count:,} {s}" for s, count in counts.items())
    few = " (small test split; raise test_share)" if counts["test"] < MIN_TEST else ""
    yield f'{about} split_by = "image" would leave {listed} of {len(splits):,} judgments{few}'


def _find_common_questions(a: Triplets, b: Triplets) -> list[list[str]]:
    """Return the image names of the questions in both splits, in alphabetical order."""
    names = sorted({*a.stimuli.ids, *b.stimuli.ids})
    place = {name: i for i, name in enumerate(names)}
    count = len(names)
    asked = []
    for t in (a, b):
        number = np.array([place[name] for name in t.stimuli.ids], np.int32)
        asked.append(sort_distinct(number_questions(number[t.roles], count)[-1]))
    common = np.intersect1d(asked[0], asked[1], assume_unique=True).tolist()
    return [[names[q // count**2], names[q // count % count], names[q % count]] for q in common]


ORDER = "assigned_order"
PLACE = "answered_place"
SUBJECT = "subject"
# deviation from an equal share, in standard errors, beyond which a position counts as preferred
MAX_Z = 4.0
# maximum imbalance over all participants, as a share of the trials
MAX_LEFT_OVER = 0.01


def check_balance(path: Path, names: str | None = None) -> Iterator[tuple[bool, str]]:
    """Yield (is_balanced, message) for the exclusions, the assigned orders and the answered positions.

    Yields nothing for a table without these columns. Raises DataError for an invalid order or position.
    """
    columns = read_table(path, names)
    if not {ORDER, PLACE, SUBJECT} <= columns.names:
        return
    if EXCLUDED in columns:
        reasons = Counter(str(cell or "").partition(":")[0] for cell in columns.cells(EXCLUDED))
        used = reasons.pop("", 0)
        listed = ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items()))
        yield True, f"{used:,} of {len(columns):,} rows are judgments; excluded: {listed or 'none'}"
    coded = columns.coded(ORDER, _check_order)
    if len({len(text.split()) for text in coded.distinct}) > 1:
        raise DataError(f"{columns.path}: {ORDER} must list the same number of candidates in all rows")
    orders = np.array([text.split() for text in coded.distinct]).astype(int)[coded.codes]
    yield _check_assigned(columns, orders)
    yield _check_answered(columns, orders.shape[1])


def _check_order(text: str) -> str:
    words = text.split()
    if set(words) != {str(number) for number in range(1, len(words) + 1)}:
        raise ValueError(f"'{text}' does not list each candidate once. Expected, for example, '2 1'")
    return text


def _check_assigned(columns: Columns, orders: np.ndarray) -> tuple[bool, str]:
    """Check that each candidate appeared equally often at each position; `orders` is (N, P), from 1."""
    people = columns.coded(SUBJECT)
    num_places = orders.shape[1]
    counts = np.zeros((len(people.distinct), num_places, num_places), dtype=np.int64)
    np.add.at(counts, (people.codes[:, None], np.arange(num_places), orders - 1), 1)
    worst = np.ptp(counts, axis=(1, 2)).max()
    total = np.ptp(counts.sum(axis=0))
    # deleted participants and revised designs cause small imbalances
    return bool(worst <= 1 and total <= max(1, MAX_LEFT_OVER * len(orders))), (
        f"assigned: each candidate appeared equally often at each position, to within {worst} trials for "
        f"each of {len(counts):,} participants and to within {total} overall ({len(orders):,} trials)"
    )


def _check_answered(columns: Columns, num_places: int) -> tuple[bool, str]:
    """Check that all positions were chosen equally often."""
    chosen = Counter(columns.coded(PLACE, partial(_check_place, num_places), fill="").texts())
    counts = [chosen[str(place)] for place in range(1, num_places + 1)]
    total = sum(counts)
    fair = 1 / num_places
    if not total:
        return True, "answered: no answers yet"
    shares = [count / total for count in counts]
    error = (fair * (1 - fair) / total) ** 0.5
    is_fair = all(abs(share - fair) <= MAX_Z * error for share in shares)
    listed = " / ".join(f"{share:.1%}" for share in shares)
    more = "" if is_fair else "; participants prefer a position, regardless of the candidate"
    return is_fair, f"answered: {listed} by position, {chosen['0']:,} not sure{more}"


def _check_place(num_places: int, text: str) -> str:
    place = text.strip()
    if place and (not place.isdigit() or int(place) > num_places):
        raise ValueError(f"'{place}' is not a position from 1 to {num_places}, or 0 (not sure)")
    return place
