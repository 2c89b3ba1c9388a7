"""Tar shards that can only be streamed (`webdataset-stream`), through the `webdataset` package."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from perceptinit.configs import PositiveInt
from perceptinit.errors import DataError, RemoteError, problems_of, without_credentials
from perceptinit.pairs.held import HeldBlocks
from perceptinit.pairs.paths import expand_braces
from perceptinit.pairs.texts import captions_in
from perceptinit.types import Pair

PROMISES = (
    "shards are streamed: the order within a shard is the one that it comes in, nothing tells whether a shard has "
    "changed, and a run that goes on streams its shard anew from the start"
)


Sample = tuple[str, bytes, bytes]  # key, image and caption


class WebdatasetStreamPairs:
    """Image-text pairs out of a command or a protocol that `webdataset` opens, such as `pipe:aws s3 cp ... -`.

    Its promises are weaker than those of `webdataset`, which reads what lies on a disk, in a bucket, on a hub or on
    the web: the order within a shard is the one that it comes in, nothing tells whether a shard has changed, and a
    run that goes on streams its shard anew from the start. A shard is held in memory as a whole, and streamed again when
    it is needed after it has left. Of every shard the first `samples_per_shard` samples with image and caption are used;
    one with fewer, or a command that fails, stops the run. Commands of a recipe are run by the shell: run recipes
    that you trust.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        shards: str | tuple[str, ...]
        """What to stream, a name per shard: `pipe:COMMAND`, with braces (`{00000..01499}`), or a list of these."""
        samples_per_shard: PositiveInt
        """Samples with image and caption that each shard has at least; what is beyond is left out."""
        image_members: tuple[str, ...] = ("jpg", "jpeg", "png", "webp")
        """Extensions of images; of several in a sample, the first named here is used."""
        text_member: str = "txt"
        """Extension of the caption, such as txt or json."""
        text_key: str | tuple[str, ...] = ""
        """Key of the caption in a JSON text member; empty: the member is the caption. Of several keys one is drawn."""
        cached_shards: PositiveInt = 2
        """Shards held in memory; half of them may be shuffled into each other, as the others come."""

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
        """Return how many shards may be shuffled into each other."""
        return max(1, self.config.cached_shards // 2)

    def pair(self, index: int) -> Pair:
        """Return pair `index`; its key is `shard/stem`. Raises RemoteError when its shard does not come whole."""
        shard, place = divmod(index, self.config.samples_per_shard)
        key, image, caption = self._shards[shard][place]
        first, *others = captions_in(caption, key, self.config.text_member, self.config.text_key)
        return Pair(key, image, first, tuple(others))

    def preflight(self) -> Iterator[str]:
        """Yield what is wrong with the names, or with the first shard."""
        return problems_of(self.pair, 0)

    def warnings(self) -> Iterator[str]:
        """Yield what streaming does not promise."""
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

        name, wanted, found = self._names[number], self.config.samples_per_shard, list[Sample]()
        said = without_credentials(name)
        short = said.rstrip("'\" -").rpartition("/")[2]
        try:
            for sample in webdataset.WebDataset(name, shardshuffle=False, empty_check=False):
                image = next((m for m in self.config.image_members if m in sample), None)
                if image and self.config.text_member in sample and len(found) < wanted:
                    key = f"{short}/{sample['__key__']}"
                    found.append((key, sample[image], sample[self.config.text_member]))
        except Exception as error:  # of commands, protocols and tar alike
            raise RemoteError(f"{said}: cannot be streamed ({error})") from error
        if len(found) < wanted:
            raise RemoteError(
                f"{said}: {len(found):,} samples with an image and a .{self.config.text_member}, fewer than "
                f"samples_per_shard = {wanted:,}"
            )
        return found
