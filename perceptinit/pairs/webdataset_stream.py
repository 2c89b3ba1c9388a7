"""Stream tar shards with the `webdataset` package (`webdataset-stream`)."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from perceptinit.configs import NEUTRAL, PositiveInt
from perceptinit.errors import DataError, RemoteError, problems_of, without_credentials
from perceptinit.pairs.parquet_table import HeldBlocks
from perceptinit.pairs.paths import expand_braces
from perceptinit.pairs.texts import read_pair
from perceptinit.types import Pair

PROMISES = (
    "samples are read in stream order and changed shards are not detected. A resumed run streams its current "
    "shard again from the start"
)
Sample = tuple[str, bytes, bytes]  # key, image and caption


class WebdatasetStreamPairs:
    """Image-text pairs from a command or protocol of the `webdataset` package, such as `pipe:`.

    The component `webdataset`, for local disks, buckets, hubs and web servers, gives stronger guarantees.
    Here, samples are read in stream order, changed shards are not detected, and a resumed run streams its
    current shard again from the start. Complete shards are cached in memory and streamed again after
    eviction. Of each shard, the first `samples_per_shard` samples with image and caption are used. A shard
    with fewer samples, or a failed command, stops the run. The shell executes the commands of a recipe, so
    run only recipes that you trust. `validate` does not execute them.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        shards: Annotated[str | tuple[str, ...], NEUTRAL]
        """Shard address `pipe:COMMAND`, which may contain braces (`{00000..01499}`), or a list of these."""
        samples_per_shard: PositiveInt
        """Number of samples with image and caption to use from each shard."""
        image_members: Annotated[tuple[str, ...], NEUTRAL] = ("jpg", "jpeg", "png", "webp")
        """Image extensions in order of preference."""
        text_member: Annotated[str, NEUTRAL] = "txt"
        """Caption extension, such as txt or json."""
        text_key: Annotated[str | tuple[str, ...], NEUTRAL] = ""
        """JSON key of the caption, empty for the entire text; of several keys, one is drawn each time."""
        cached_shards: PositiveInt = 2
        """Number of shards in memory; half of them are shuffled together while the others are streamed."""

    runs_commands = True  # checks before a run read no pair

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
        """Return how many shards are shuffled together."""
        return max(1, self.config.cached_shards // 2)

    def pair(self, index: int) -> Pair:
        """Return pair `index`, with key `shard/stem`; RemoteError if its shard is incomplete."""
        shard, place = divmod(index, self.config.samples_per_shard)
        return read_pair(self._shards[shard][place], self.config.text_member, self.config.text_key)

    def preflight(self) -> Iterator[str]:
        """Yield problems with the shard names. No shard is read, because that executes a command."""
        return problems_of(lambda: self._names)

    def warnings(self) -> Iterator[str]:
        """Yield a warning about the weaker guarantees of streaming."""
        yield PROMISES

    @cached_property
    def _names(self) -> list[str]:
        shards = self.config.shards
        given = [shards] if isinstance(shards, str) else shards
        names = [name for pattern in given for name in expand_braces(pattern)]
        if not names:
            raise DataError("shards: the list is empty. Name at least one shard")
        return names

    def _stream(self, number: int) -> list[Sample]:
        """Return the samples of a shard; RemoteError if the stream fails or has too few."""
        from webdataset.tariterators import tarfile_samples

        url = self._names[number]
        name = without_credentials(url)
        short = name.rstrip("'\" -").rpartition("/")[2]
        wanted = self.config.samples_per_shard
        text = self.config.text_member
        found: list[Sample] = []
        try:
            for sample in tarfile_samples([{"url": url}]):
                image = next((m for m in self.config.image_members if m in sample), None)
                if image and text in sample and len(found) < wanted:
                    found.append((f"{short}/{sample['__key__']}", sample[image], sample[text]))
        except Exception as error:  # commands, protocols and tar raise different types
            raise RemoteError(f"{name}: cannot be streamed ({error})") from error
        if len(found) < wanted:
            raise RemoteError(
                f"{name}: {len(found):,} samples with an image and a .{text}, fewer than "
                f"samples_per_shard = {wanted:,}"
            )
        return found
