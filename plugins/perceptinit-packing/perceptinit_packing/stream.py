"""Tar shards that can only be streamed (`webdataset-stream`), through the `webdataset` package."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from perceptinit.plugin import (
    DataError,
    HeldBlocks,
    Pair,
    PositiveInt,
    RemoteError,
    captions_in,
    expand_braces,
    problems_of,
    without_credentials,
)

PROMISES = (
    "shards are streamed in the order of their members; changes of a shard are not detected, and a resumed "
    "run streams its current shard again from the start"
)
Sample = tuple[str, bytes, bytes]  # key, image and caption


class WebdatasetStreamPairs:
    """Image-text pairs from a command or protocol of the `webdataset` package, such as `pipe:`.

    The component `webdataset`, for local disks, buckets, hubs and web servers, guarantees more. Here the
    order within a shard is that of the stream, changes of a shard are not detected, and a resumed run streams
    its shard again from the start. Whole shards are held in memory and streamed again after eviction. The
    first `samples_per_shard` samples with image and caption of each shard are used; a shard with fewer, or a
    failed command, stops the run. The shell executes the commands of a recipe, so run only recipes that you
    trust.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        shards: str | tuple[str, ...]
        """One name per shard: `pipe:COMMAND`, with braces (`{00000..01499}`), or a list of these."""
        samples_per_shard: PositiveInt
        """Number of samples with image and caption that are used of each shard."""
        image_members: tuple[str, ...] = ("jpg", "jpeg", "png", "webp")
        """Extensions of images, in the order of preference."""
        text_member: str = "txt"
        """Extension of the caption, such as txt or json."""
        text_key: str | tuple[str, ...] = ""
        """Key of the caption in a JSON text member; empty: the whole member. One of several keys is drawn."""
        cached_shards: PositiveInt = 2
        """Shards in memory; half of them may be shuffled together while the others are streamed."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._shards = HeldBlocks(self._stream, config.cached_shards)

    @property
    def num_pairs(self) -> int:
        return len(self._names) * self.config.samples_per_shard

    @property
    def block_sizes(self) -> list[int]:
        """Return the number of pairs in each shard."""
        return [self.config.samples_per_shard] * len(self._names)

    @property
    def max_shuffle_blocks(self) -> int:
        """Return how many shards may be shuffled together."""
        return max(1, self.config.cached_shards // 2)

    def pair(self, index: int) -> Pair:
        """Return pair `index`; its key is `shard/stem`. RemoteError if its shard is not complete."""
        shard, place = divmod(index, self.config.samples_per_shard)
        key, image, caption = self._shards[shard][place]
        first, *others = captions_in(caption, key, self.config.text_member, self.config.text_key)
        return Pair(key, image, first, tuple(others))

    def preflight(self) -> Iterator[str]:
        """Yield problems of the names and of the first shard."""
        return problems_of(self.pair, 0)

    def warnings(self) -> Iterator[str]:
        """Yield the limits of streaming."""
        yield PROMISES

    @cached_property
    def _names(self) -> list[str]:
        shards = self.config.shards
        given = [shards] if isinstance(shards, str) else shards
        names = [name for pattern in given for name in expand_braces(pattern)]
        if not names:
            raise DataError("no shards are named")
        return names

    def _stream(self, number: int) -> list[Sample]:
        import webdataset

        url, wanted, found = self._names[number], self.config.samples_per_shard, list[Sample]()
        name = without_credentials(url)
        short = name.rstrip("'\" -").rpartition("/")[2]
        try:
            for sample in webdataset.WebDataset(url, shardshuffle=False, empty_check=False):
                image = next((m for m in self.config.image_members if m in sample), None)
                if image and self.config.text_member in sample and len(found) < wanted:
                    key = f"{short}/{sample['__key__']}"
                    found.append((key, sample[image], sample[self.config.text_member]))
        except Exception as error:  # of commands, protocols and tar alike
            raise RemoteError(f"{name}: cannot be streamed ({error})") from error
        if len(found) < wanted:
            raise RemoteError(
                f"{name}: {len(found):,} samples with an image and a .{self.config.text_member}, fewer than "
                f"samples_per_shard = {wanted:,}"
            )
        return found
