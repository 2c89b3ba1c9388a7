"""What a look at judgments tells of those that are no anchored triplets: odd-one-out choices, same or different."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from perceptinit.errors import DataError, UsageError
from perceptinit.judgments.baselines import odd_one_out_baselines
from perceptinit.judgments.ceilings import ceiling
from perceptinit.judgments.forms.odd_one_out import HasOddOneOut
from perceptinit.judgments.forms.same_pairs import HasSamePairs
from perceptinit.judgments.forms.splits import SPLITS
from perceptinit.types import Split


def other_forms(judgments: Any, scored: Collection[Split], num_workers: int) -> Iterator[str]:
    """Yield what the data set has besides anchored triplets, split by split.

    scored: splits on which trivial models are scored as well; their images can be read.
    """
    for split in SPLITS:
        try:
            if isinstance(judgments, HasOddOneOut):
                yield _odd_one_out(judgments, split, split in scored, num_workers)
            if isinstance(judgments, HasSamePairs):
                pairs = judgments.load_same_pairs(split)
                yield f'{split}: {len(pairs):,} same-or-different pairs, {pairs.base_rate:.1%} of answers "same"'
        except (DataError, UsageError):
            continue  # wrappers and sets that have this form in some splits, or around others, only


def _odd_one_out(judgments: HasOddOneOut, split: Split, is_scored: bool, num_workers: int) -> str:
    whole = judgments.load_odd_one_out(split)
    known = ceiling(whole.votes)
    people = f"human ceiling {known[0]:.3f} to {known[1]:.3f}, " if known else ""
    baselines = odd_one_out_baselines(whole, num_workers) if is_scored else ()
    trivial = "".join(f"{baseline.name} {baseline.text}, " for baseline in baselines)
    return f"{split}: {len(whole):,} odd-one-out questions, {people}{trivial}chance 0.333"
