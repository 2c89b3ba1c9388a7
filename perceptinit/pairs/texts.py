"""Extract captions, and detect empty or overlong captions."""

from collections.abc import Iterator, Sequence

import numpy as np

from perceptinit.errors import DataError, RemoteError, reading, shown
from perceptinit.files.reading import parse_json
from perceptinit.protocols import HasMaxShuffleBlocks, Pairs
from perceptinit.types import Pair

NUM_LOOKED_AT = 64
# a text tower reads 77 tokens; tokenization time grows with the square of the longest word
MAX_CHARACTERS = 20_000


def check_length(pair: Pair) -> None:
    """Raise DataError for a caption of more than MAX_CHARACTERS."""
    lengths = [len(text) for text in (pair.text, *pair.others) if isinstance(text, str)]
    if max(lengths, default=0) > MAX_CHARACTERS:
        raise DataError(
            f"{pair.key}: a caption of {max(lengths):,} characters, but the limit is {MAX_CHARACTERS:,}"
        )


def read_pair(sample: tuple[str, bytes, bytes], member: str, names: str | Sequence[str]) -> Pair:
    """Return the pair of a sample with its captions.

    Args:
        sample: Key, image and text member.
        member: Extension of the text member, for messages.
        names: JSON keys of captions; empty: the member is the caption.

    Raises:
        DataError: If the member is not UTF-8, or a key is missing or its value is not text.
    """
    key, image, data = sample
    with reading(f"{key}: the caption is not UTF-8", UnicodeDecodeError):
        text = data.decode("utf-8")
    if not names:
        return Pair(key, image, text)
    captions = []
    for name in [names] if isinstance(names, str) else names:
        try:
            value = parse_json(text)[name]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{key}: no key '{name}' in its .{member}") from error
        if not isinstance(value, str):
            raise DataError(f"{key}: '{name}' is {shown(repr(value))}, not a caption")
        captions.append(value)
    return Pair(key, image, captions[0], tuple(captions[1:]))


def find_empty(pairs: Pairs) -> Iterator[str]:
    """Yield a message if all of NUM_LOOKED_AT evenly spaced captions are empty."""
    if getattr(pairs, "runs_commands", False):
        return
    keys = []
    last = pairs.num_pairs - 1
    if isinstance(pairs, HasMaxShuffleBlocks):  # each pair from another block would load that block
        last = sum(pairs.block_sizes[: pairs.max_shuffle_blocks]) - 1
    for index in np.unique(np.linspace(0, last, NUM_LOOKED_AT, dtype=np.int64)):
        try:
            pair = pairs.pair(int(index))
        except RemoteError as error:
            yield str(error)
            return
        except DataError:  # replaced and counted during training
            continue
        if len(pair.text.strip() if isinstance(pair.text, str) else pair.text):
            return
        keys.append(pair.key)
    if keys:
        yield f"all {len(keys)} sampled captions are empty, such as the caption of {keys[0]}"
