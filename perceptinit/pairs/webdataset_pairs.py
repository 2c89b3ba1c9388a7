"""Tar shards of images with captions (`webdataset`), read at random places through an index."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from perceptinit.configs import Share
from perceptinit.errors import DataError, shown
from perceptinit.files.reading import parse_json
from perceptinit.pairs.paths import expand, missing
from perceptinit.pairs.published import need_of, source_of
from perceptinit.pairs.shard_samples import ShardSamples
from perceptinit.pairs.sizes import find_miscounts
from perceptinit.pairs.tar_index import TarIndex, index_tars, sample_key
from perceptinit.types import DataNeed, Pair

_NUM_SAID = 5


class WebdatasetPairs:
    """Image-text pairs in plain tar shards on a local disk, as YFCC15M, CC3M/12M and DataComp come.

    Each shard is scanned once (about 10 microseconds a sample) and remembered in the user's cache
    folder, so any pair can be read at once and a run can go on at any step. The order is that of
    `shards` and, in a shard, of its members.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        shards: str | tuple[str, ...]
        """Files: a path, a brace pattern (`{00000..01499}.tar`), a glob (`*.tar`), or a list of these."""
        image_members: tuple[str, ...] = ("jpg", "jpeg", "png", "webp")
        """Extensions of images; of several in a sample, the first named here is used."""
        text_member: str = "txt"
        """Extension of the caption, such as txt or json."""
        text_key: str | tuple[str, ...] = ""
        """Key of the caption in a JSON text member, such as caption; empty: the member is the caption. Of several
        keys, such as title and description, one is drawn each time the image is seen (SLIP)."""
        max_incomplete_share: Share = 0.01
        """Largest share of samples without an image or caption; they are left out and counted."""

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
    def published_num_pairs(self) -> int | None:
        """The number of a source that is known by the name of its folder, such as `yfcc15m`."""
        source = source_of(self.config.shards)
        return source.num_pairs if source else None

    def needs(self) -> Iterator[DataNeed]:
        """Yield the shards, with what is known of a source of their folder's name."""
        try:
            problem = missing(expand(self.config.shards))
        except DataError as error:
            problem = str(error)
        yield need_of(self.config.shards, problem or "")

    def pair(self, index: int) -> Pair:
        """Return pair `index`; its key is `shard.tar/stem`.

        Raises DataError when the caption cannot be read.
        """
        key, image, caption = self._samples.sample(index)
        first, *others = self._captions(caption, key)
        return Pair(key, image, first, tuple(others))

    def preflight(self) -> Iterator[str]:
        """Yield what is missing, truncated, miscounted or empty among the shards."""
        try:
            paths = expand(self.config.shards)
        except DataError as error:
            yield str(error)
            return
        absent = missing(paths)
        if absent:
            yield absent
            return
        results = index_tars(paths)
        damaged = [str(result) for result in results if isinstance(result, DataError)]
        yield from damaged[:_NUM_SAID]
        if len(damaged) > _NUM_SAID:
            yield f"{len(damaged)} of {len(paths)} shards are damaged; the first {_NUM_SAID} are named"
        if not damaged:
            indexes = [result for result in results if isinstance(result, TarIndex)]
            yield from self._complaints(indexes, self._select(indexes))

    def summary(self) -> str:
        """Return one sentence on how much there is."""
        samples = self._samples
        left_out = len(samples.incomplete)
        extra = f"; {left_out:,} samples without an image or caption left out" if left_out else ""
        return f"{len(samples):,} pairs in {len(samples.paths):,} shards{extra}"

    @cached_property
    def _samples(self) -> ShardSamples:
        paths = expand(self.config.shards)
        absent = missing(paths)
        if absent:
            raise DataError(absent)
        indexes = []
        for result in index_tars(paths):
            if isinstance(result, DataError):
                raise result
            indexes.append(result)
        samples = self._select(indexes)
        for complaint in self._complaints(indexes, samples):
            raise DataError(complaint)
        return samples

    def _select(self, indexes: list[TarIndex]) -> ShardSamples:
        return ShardSamples.select(indexes, self.config.image_members, [self.config.text_member])

    def _complaints(self, indexes: list[TarIndex], samples: ShardSamples) -> Iterator[str]:
        yield from find_miscounts(indexes)
        num_samples = len(samples) + len(samples.incomplete)
        wanted = f"an image (.{', .'.join(self.config.image_members)}) and a text (.{self.config.text_member})"
        if not len(samples):
            there = sorted({extension for index in indexes for extension in index.extensions})
            yield (
                f"{indexes[0].path}{' and the rest' if len(indexes) > 1 else ''}: none of {num_samples} samples "
                f"has {wanted}; members there are: {', '.join(there) or 'none'}"
            )
        elif len(samples.incomplete) > self.config.max_incomplete_share * num_samples:
            yield (
                f"{len(samples.incomplete)} of {num_samples} samples lack {wanted}, more than "
                f"max_incomplete_share = {self.config.max_incomplete_share:g} allows; "
                f"the first is {sample_key(*samples.incomplete[0])}"
            )

    def _captions(self, data: bytes, key: str) -> list[str]:
        keys = self.config.text_key
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{key}: the caption is not UTF-8 ({error})") from error
        if not keys:
            return [text]
        return [
            self._value(text, name, key) for name in ([keys] if isinstance(keys, str) else keys)
        ]

    def _value(self, text: str, name: str, key: str) -> str:
        try:
            value: Any = parse_json(text)[name]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{key}: no key '{name}' in its .{self.config.text_member}") from error
        if not isinstance(value, str):
            raise DataError(f"{key}: '{name}' is {shown(repr(value))}, not a caption")
        return value
