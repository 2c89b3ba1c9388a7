"""Local or remote tar shards of images with captions (`webdataset`), with random access through an index."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from perceptinit.configs import NEUTRAL, PositiveFloat, Share
from perceptinit.errors import DataError, problems_of, reading
from perceptinit.files.remote.addresses import Place, RemoteFile
from perceptinit.files.remote.copies import local_file
from perceptinit.pairs.local_index import index_shards, report_damage
from perceptinit.pairs.paths import expand, require_files
from perceptinit.pairs.published import need_of, source_of
from perceptinit.pairs.remote_shards import RemoteShards
from perceptinit.pairs.shard_index import Members, ShardIndex
from perceptinit.pairs.shard_samples import ShardSamples, select_local
from perceptinit.pairs.sizes import find_miscounts
from perceptinit.pairs.texts import read_pair
from perceptinit.protocols import BlockUse, Reached
from perceptinit.types import DataNeed, Pair

_NUM_SAID = 5


@dataclass(eq=False)
class WebdatasetPairs:
    """Image-text pairs in plain tar shards, the format of YFCC15M, CC3M/12M and DataComp.

    Pairs are in the order of `shards` and, within a shard, of its members. Any pair can be read directly, so
    a run can resume at any step. Local shards are scanned once, at about 10 microseconds per sample; all
    processes of the machine share the index in the user's cache folder. Shards in a bucket, on a hub or on a
    web server give the same batches. They require an index next to them (`perceptinit data index`) and are
    prefetched into a cache that the processes of the machine share.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        shards: Annotated[str | tuple[str, ...], NEUTRAL]
        """Files: a glob (`*.tar`: all shards of a folder, by name), a brace pattern (`{00000..01499}.tar`), a
        path or an address (s3://, gs://, hf://datasets/, https://), or a list of these."""
        image_members: Annotated[tuple[str, ...], NEUTRAL] = ("jpg", "jpeg", "png", "webp")
        """Extensions of images in order of preference."""
        text_member: Annotated[str, NEUTRAL] = "txt"
        """Extension of the caption, such as txt or json."""
        text_key: Annotated[str | tuple[str, ...], NEUTRAL] = ""
        """Key of the caption in a JSON text member, such as caption; empty: the member is the caption. Of
        several keys, such as title and description, one is drawn each time the image is used (SLIP)."""
        max_incomplete_share: Annotated[Share, NEUTRAL] = 0.01
        """Maximum share of samples without an image or caption, which are skipped."""
        index: str | None = None
        """Path or address of the index (remote shards: also a wids index); by default next to the shards."""
        cache_gb: PositiveFloat | None = None
        """Limit of the disk cache of remote files in 10^9 bytes; by default half of the free space."""

    config: Config

    def __getstate__(self) -> dict[str, Any]:
        if self._remote:
            raise TypeError("remote shards are fetched by one process")
        return vars(self)

    @property
    def num_pairs(self) -> int:
        return len(self._samples)

    @property
    def block_sizes(self) -> list[int]:
        """Return the number of pairs in each shard."""
        return np.diff(self._samples.stops, prepend=0).tolist()

    @property
    def file_names(self) -> list[str]:
        """Return the names of the shards."""
        return [path.name for path in self._paths]

    @property
    def max_shuffle_blocks(self) -> int:
        """Return how many shards are shuffled together: all local ones, or those that fit into the cache."""
        remote = self._remote
        return remote.reader.max_shuffle_blocks if remote else len(self.block_sizes)

    def read_ahead(self, uses: Iterable[BlockUse]) -> AbstractContextManager[Reached]:
        """Prefetch remote shards during the block."""
        remote = self._remote
        return remote.reader.read_ahead(uses) if remote else nullcontext(lambda *_: None)

    @property
    def published_num_pairs(self) -> int | None:
        """Return the published number of pairs if the folder has the name of a known source."""
        source = source_of(self.config.shards)
        return source.num_pairs if source else None

    def needs(self) -> Iterator[DataNeed]:
        """Yield a `DataNeed` for the shards, with details if the folder has the name of a known source."""
        problems = problems_of(lambda: require_files(self._paths))
        yield need_of(self.config.shards, next(problems, ""))

    def pair(self, index: int) -> Pair:
        """Return pair `index`; its key is `shard.tar/stem`.

        Raises:
            DataError: If the shard or the caption cannot be read.
        """
        return read_pair(self._samples.sample(index), self.config.text_member, self.config.text_key)

    def preflight(self) -> Iterator[str]:
        """Yield a problem for shards that are missing, truncated, miscounted or without complete samples."""
        try:
            yield from self._select()[1]
            if self._remote:
                yield from self._remote.reader.problems()
        except DataError as error:
            yield str(error)

    def warnings(self) -> Iterator[str]:
        """Yield a warning for each damaged or outdated index of local shards."""
        with suppress(DataError):  # the preflight reports missing files
            yield from report_damage(self._local_paths)

    @cached_property
    def _paths(self) -> Sequence[Place]:
        with reading("shards", DataError):
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
        """Return the samples (None if a shard is unreadable) and a message for each problem."""
        if self._remote:
            samples = ShardSamples(self._remote.shards)
            return samples, [*self._find_incomplete(samples)]
        paths = self._local_paths
        with reading("shards", DataError):
            require_files(paths)
        index = self.config.index
        results = index_shards(paths, local_file(index) if index else None)
        shards = [result for result in results if isinstance(result, ShardIndex)]
        if len(shards) < len(paths):
            damaged = [str(result) for result in results if isinstance(result, DataError)]
            if len(damaged) > _NUM_SAID:
                more = f"{len(damaged)} of {len(paths)} shards are damaged; only {_NUM_SAID} are listed"
                damaged = [*damaged[:_NUM_SAID], more]
            return None, damaged
        counts = {path: shard.num_samples for path, shard in zip(paths, shards, strict=True)}
        samples = select_local(paths, shards, self._members)
        return samples, [*find_miscounts(counts), *self._find_incomplete(samples)]

    @property
    def _local_paths(self) -> list[Path]:
        return [path for path in self._paths if isinstance(path, Path)]

    @property
    def _members(self) -> Members:
        return self.config.image_members, [self.config.text_member]

    def _find_incomplete(self, samples: ShardSamples) -> Iterator[str]:
        """Yield a message if too few samples have an image and a text."""
        num_samples = len(samples) + samples.num_incomplete
        image = f"an image (.{', .'.join(self.config.image_members)})"
        text = f"a text (.{self.config.text_member})"
        if not len(samples):
            yield (
                f"{self._paths[0]}{' and the other shards' if len(self._paths) > 1 else ''}: none of "
                f"{num_samples} samples has {image} and {text}. "
                f"Members: {', '.join(sorted(samples.extensions)) or 'none'}"
            )
        elif samples.num_incomplete > self.config.max_incomplete_share * num_samples:
            yield (
                f"{samples.num_incomplete} of {num_samples} samples lack {image} or {text}, more than "
                f"max_incomplete_share = {self.config.max_incomplete_share:g} allows. "
                f"The first is {samples.first_incomplete}"
            )
