"""Captions that cannot be meant: all of them empty, or one as long as a book."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from perceptinit.errors import DataError
from perceptinit.files.remote.store import RemoteError
from perceptinit.protocols import Pairs
from perceptinit.types import Pair

NUM_LOOKED_AT = 64
# a text tower reads 77 tokens; the time to find them grows with the square of the longest word
MAX_CHARACTERS = 20_000


def check_length(pair: Pair) -> None:
    """Raise DataError for a caption of more than MAX_CHARACTERS."""
    lengths = [len(text) for text in (pair.text, *pair.others) if isinstance(text, str)]
    if max(lengths, default=0) > MAX_CHARACTERS:
        raise DataError(
            f"{pair.key}: a caption of {max(lengths):,} characters; at most {MAX_CHARACTERS:,} are read"
        )


def find_empty(pairs: Pairs) -> Iterator[str]:
    """Yield a sentence when every caption is empty, of up to NUM_LOOKED_AT spread over all pairs."""
    keys = []
    for index in np.unique(np.linspace(0, pairs.num_pairs - 1, NUM_LOOKED_AT, dtype=np.int64)):
        try:
            pair = pairs.pair(int(index))
        except RemoteError as error:
            yield str(error)
            return
        except DataError:  # replaced and counted while training
            continue
        if len(pair.text.strip() if isinstance(pair.text, str) else pair.text):
            return
        keys.append(pair.key)
    if keys:
        yield f"all of {len(keys)} captions looked at are empty, such as that of {keys[0]}"
