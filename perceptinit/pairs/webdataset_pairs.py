"""Tar shards of images with captions (`webdataset`), here or at an address, read at random places through an index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from perceptinit.configs import PositiveFloat, Share
from perceptinit.errors import DataError
from perceptinit.files.remote.addresses import Place, RemoteFile
from perceptinit.pairs.local_index import index_shards, report_damage
from perceptinit.pairs.paths import expand, require_files
from perceptinit.pairs.published import need_of, source_of
from perceptinit.pairs.remote_shards import RemoteShards
from perceptinit.pairs.shard_index import Members, ShardIndex
from perceptinit.pairs.shard_samples import ShardSamples, select_local
from perceptinit.pairs.sizes import find_miscounts
from perceptinit.pairs.texts import captions_in
from perceptinit.protocols import BlockUse, Reached
from perceptinit.types import DataNeed, Pair

_NUM_SAID = 5


class WebdatasetPairs:
    """Image-text pairs in plain tar shards, as YFCC15M, CC3M/12M and DataComp come.

    On a local disk each shard is scanned once (about 10 microseconds a sample); an index in the user's cache folder, which
    all processes of the machine map, has what lies where, so any pair can be read at once and a run can go on at any
    step. The order is that of `shards` and, in a shard, of its members. Shards in a bucket, on a hub or a web server give the same
    batches: an index beside them says what lies where (`perceptinit data index`), and they are fetched in the order
    of need into a cache that the processes of a machine share.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        shards: str | tuple[str, ...]
        """Files: a path or an address (s3://, gs://, hf://datasets/, https://), a brace pattern
        (`{00000..01499}.tar`), a glob (`*.tar`), or a list of these."""
        image_members: tuple[str, ...] = ("jpg", "jpeg", "png", "webp")
        """Extensions of images; of several in a sample, the first named here is used."""
        text_member: str = "txt"
        """Extension of the caption, such as txt or json."""
        text_key: str | tuple[str, ...] = ""
        """Key of the caption in a JSON text member, such as caption; empty: the member is the caption. Of several
        keys, such as title and description, one is drawn each time the image is seen (SLIP)."""
        max_incomplete_share: Share = 0.01
        """Largest share of samples without an image or caption; they are left out and counted."""
        index: str | None = None
        """Of addresses: path or address of their index, ours or of wids; by default it stands beside them."""
        cache_gb: PositiveFloat | None = None
        """Of addresses: most disk that shards take on this machine, in 10^9 bytes; by default half of what is free."""

    def __init__(self, config: Config) -> None:
        self.config = config

    @property
    def num_pairs(self) -> int:
        return len(self._samples)

    @property
    def block_sizes(self) -> list[int]:
        """Return the number of pairs in each shard."""
        return np.diff(self._samples.stops, prepend=0).tolist()

    @property
    def max_shuffle_blocks(self) -> int:
        """Return how many shards may be shuffled into each other: as many as the cache holds, but one that is next."""
        remote = self._remote
        return remote.reader.max_shuffle_blocks if remote else len(self.block_sizes)

    def read_ahead(self, uses: Iterable[BlockUse]) -> AbstractContextManager[Reached]:
        """Fetch shards during the block in the order of need; local ones are there already."""
        remote = self._remote
        return remote.reader.read_ahead(uses) if remote else nullcontext(lambda *_: None)

    @property
    def published_num_pairs(self) -> int | None:
        """The number of a source that is known by the name of its folder, such as `yfcc15m`."""
        source = source_of(self.config.shards)
        return source.num_pairs if source else None

    def needs(self) -> Iterator[DataNeed]:
        """Yield the shards, with what is known of a source of their folder's name."""
        problem = ""
        try:
            require_files(self._paths)
        except DataError as error:
            problem = str(error)
        yield need_of(self.config.shards, problem)

    def pair(self, index: int) -> Pair:
        """Return pair `index`; its key is `shard.tar/stem`.

        Raises DataError when the caption cannot be read.
        """
        key, image, caption = self._samples.sample(index)
        first, *others = captions_in(caption, key, self.config.text_member, self.config.text_key)
        return Pair(key, image, first, tuple(others))

    def preflight(self) -> Iterator[str]:
        """Yield what is missing, truncated, miscounted or empty among the shards."""
        try:
            yield from self._select()[1]
            if self._remote:
                yield from self._remote.reader.problems()
        except DataError as error:
            yield str(error)

    def warnings(self) -> Iterator[str]:
        """Yield that the index of local shards was found damaged, where it was."""
        with suppress(DataError):  # what is not there the preflight tells
            yield from report_damage(self._local_paths)

    def summary(self) -> str:
        """Return one sentence on how much there is."""
        samples = self._samples
        left_out = samples.num_incomplete
        extra = f"; {left_out:,} samples without an image or caption left out" if left_out else ""
        return f"{len(samples):,} pairs in {len(samples.shards):,} shards{extra}"

    @cached_property
    def _paths(self) -> Sequence[Place]:
        return expand(self.config.shards)

    @cached_property
    def _remote(self) -> RemoteShards | None:
        files = [path for path in self._paths if isinstance(path, RemoteFile)]
        if not files:
            return None
        config = self.config
        return RemoteShards(files, self._members, config.index or "", config.cache_gb)

    @cached_property
    def _samples(self) -> ShardSamples:
        samples, problems = self._select()
        if samples is None or problems:
            raise DataError(problems[0])
        return samples

    def _select(self) -> tuple[ShardSamples | None, list[str]]:
        """Return the samples, None where shards cannot be read, and a sentence for each problem."""
        if self._remote:
            samples = self._remote.samples
            return samples, [*self._find_incomplete(samples, self._remote.extensions)]
        paths = self._local_paths
        require_files(paths)
        results = index_shards(paths)
        shards = [result for result in results if isinstance(result, ShardIndex)]
        if len(shards) < len(paths):
            damaged = [str(result) for result in results if isinstance(result, DataError)]
            if len(damaged) > _NUM_SAID:
                more = f"{len(damaged)} of {len(paths)} shards are damaged; the first {_NUM_SAID} are named"
                damaged = [*damaged[:_NUM_SAID], more]
            return None, damaged
        counts = {path: shard.num_samples for path, shard in zip(paths, shards, strict=True)}
        samples = select_local(paths, shards, self._members)
        extensions = {extension for shard in shards for extension in shard.used_extensions}
        return samples, [*find_miscounts(counts), *self._find_incomplete(samples, extensions)]

    @property
    def _local_paths(self) -> list[Path]:
        return [path for path in self._paths if isinstance(path, Path)]

    @property
    def _members(self) -> Members:
        return self.config.image_members, [self.config.text_member]

    def _find_incomplete(self, samples: ShardSamples, extensions: set[str]) -> Iterator[str]:
        """Yield a sentence if no sample, or too few, have an image and a text. extensions: those there are."""
        num_samples = len(samples) + samples.num_incomplete
        wanted = (
            f"an image (.{', .'.join(self.config.image_members)}) and a text (.{self.config.text_member})"
        )
        if not len(samples):
            yield (
                f"{self._paths[0]}{' and the rest' if len(self._paths) > 1 else ''}: none of {num_samples} samples "
                f"has {wanted}; members there are: {', '.join(sorted(extensions)) or 'none'}"
            )
        elif samples.num_incomplete > self.config.max_incomplete_share * num_samples:
            yield (
                f"{samples.num_incomplete} of {num_samples} samples lack {wanted}, more than "
                f"max_incomplete_share = {self.config.max_incomplete_share:g} allows; "
                f"the first is {samples.first_incomplete}"
            )
