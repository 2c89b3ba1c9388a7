"""Batches of images and token ids: the same ones for a seed, however many threads make them.

Batch k of a run is a function of the seed, its epoch and its place in the epoch alone. So two arms
see the same batches, any number of threads gives the same pixels, and a run can go on at any step.
"""

from __future__ import annotations

# B batch, T tokens, S = size: height and width of the square images
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from perceptinit.errors import DataError, PerceptInitError, RemoteError
from perceptinit.pairs.augment import Augment
from perceptinit.pairs.batches import PairBatch, join_ids, stack_ids, trim_ids
from perceptinit.pairs.order import EpochOrder, epoch_order, spans
from perceptinit.pairs.texts import check_length
from perceptinit.pairs.unusable import Unusable
from perceptinit.protocols import BlockUse, HasReadAhead, Pairs
from perceptinit.types import Pair, RunContext

# samples that a thread makes at a time: many enough to be worth handing over, few enough to share
CHUNK = 16
# batches that are made ahead of the one in use
AHEAD = 2
# draws that are looked through at a time for the blocks that they need
_LOOKED_AT = 1 << 20
# draws of a replacement before the source is given up
REPLACEMENT_TRIES = 16


@dataclass(frozen=True, slots=True, eq=False)
class _Chunk:
    tokens: torch.Tensor
    keys: list[str]
    unusable: list[Unusable]


class PairLoader:
    """Reads, decodes, augments and tokenizes pairs, in threads, ahead of their use.

    batch_size: pairs of a step over all processes; `rank` takes its part of `world_size` equal
    ones, so that the parts in the order of ranks are the batch of a single process.
    tokenize: ids (B, T) of texts. context_length: most ids of a text that comes as ids.
    ctx: names the draws and the device. num_workers: threads; 0 works in the caller's.
    shuffle_blocks, samples_per_epoch: see `order.epoch_order`.
    num_views: different crops of each image, which lie one after another in a batch.

    Each epoch draws a new order and leaves out what does not fill its last batch (`num_left_over`).
    A pair that cannot be read or decoded is replaced by one drawn from a generator named after it,
    and told in `PairBatch.unusable`. Dropping it instead would change the number of negatives of
    that step. A bad file is bad in every arm, so the arms stay equal.

    Raises DataError when there is not one whole batch.
    """

    def __init__(
        self,
        pairs: Pairs,
        *,
        batch_size: int,
        image_size: int,
        tokenize: Callable[[Sequence[str]], torch.Tensor],
        context_length: int,
        ctx: RunContext,
        augment: Augment,
        num_workers: int = 0,
        shuffle_blocks: int = 0,
        samples_per_epoch: int = 0,
        rank: int = 0,
        world_size: int = 1,
        num_views: int = 1,
    ) -> None:
        if batch_size % world_size:
            raise ValueError(f"a batch of {batch_size} cannot be shared by {world_size} processes")
        num_pairs = (samples_per_epoch or pairs.num_pairs) if pairs.num_pairs else 0
        self.num_batches, self.num_left_over = divmod(num_pairs, batch_size)
        if not self.num_batches:
            raise DataError(too_few_pairs(num_pairs, batch_size))
        self._pairs = pairs
        self._batch_size = batch_size
        self._share = batch_size // world_size
        self._offset = rank * self._share
        self._image_size = image_size
        self._tokenize = tokenize
        self._context_length = context_length
        self._ctx = ctx
        self._augment = augment
        self._num_workers = num_workers
        self._shuffle_blocks = shuffle_blocks
        self._samples_per_epoch = samples_per_epoch
        self._num_views = num_views
        self._order = lru_cache(maxsize=2)(self._draw_order)  # an epoch, and the next one ahead

    def batches(self, start: int, stop: int) -> Generator[PairBatch]:
        """Yield batches `start` to `stop` - 1 of the run, counted from 0 over all epochs.

        Raises PerceptInitError, naming the pair, when making it fails in another way than by an
        unreadable pair, and DataError when 16 replacements in a row are unreadable too.
        """
        pairs, uses = self._pairs, self._block_uses(start, stop)
        ahead = pairs.read_ahead(uses) if isinstance(pairs, HasReadAhead) else nullcontext(_ignore)
        with closing(self._made(start, stop)) as batches, ahead as reached:
            for number in range(start, stop):
                reached(number * self._batch_size, (number + 1) * self._batch_size)
                yield next(batches)

    def _made(self, start: int, stop: int) -> Generator[PairBatch]:
        if self._num_workers == 0:
            for number in range(start, stop):
                yield self._finish(*self._begin(number, lambda work, *args: work(*args)))
            return
        pool = ThreadPoolExecutor(self._num_workers, thread_name_prefix="pairs")
        begun: deque[tuple[torch.Tensor, list[Future[_Chunk]]]] = deque()
        try:
            for number in range(start, stop + AHEAD):
                if number < stop:
                    begun.append(self._begin(number, pool.submit))
                if number >= start + AHEAD:
                    images, futures = begun.popleft()
                    yield self._finish(images, [future.result() for future in futures])
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _block_uses(self, start: int, stop: int) -> Iterator[BlockUse]:
        """Yield which blocks the batches `start` to `stop` - 1 need, in order; draws count from 0 over all epochs."""
        stops = np.cumsum(np.asarray(self._pairs.block_sizes, dtype=np.int64))
        for epoch in range(start // self.num_batches, -(-stop // self.num_batches)):
            before = epoch * self.num_batches * self._batch_size
            first = max(0, start * self._batch_size - before)
            last = min(self.num_batches, stop - epoch * self.num_batches) * self._batch_size
            order = self._order(epoch)
            for begin, end in spans(order.stops, first, last):
                for block, *uses in _first_and_last(order, begin, end, stops):
                    yield block, before + uses[0], before + uses[1]

    def _begin(self, number: int, submit: Callable[..., Any]) -> tuple[torch.Tensor, list[Any]]:
        epoch, place = divmod(number, self.num_batches)
        first = place * self._batch_size + self._offset
        indices = self._order(epoch)[first : first + self._share].tolist()
        is_pinned = self._ctx.device.startswith("cuda")  # the copy to the GPU then takes no time
        views = self._num_views
        shape = (self._share * views, 3, self._image_size, self._image_size)
        images = torch.empty(
            shape, dtype=torch.uint8, memory_format=torch.channels_last, pin_memory=is_pinned
        )
        parts = range(0, self._share, CHUNK)
        return images, [
            submit(
                self._fill,
                images[i * views : (i + CHUNK) * views].numpy(),
                epoch,
                indices[i : i + CHUNK],
            )
            for i in parts
        ]

    def _finish(self, images: torch.Tensor, chunks: Sequence[_Chunk]) -> PairBatch:
        keys = tuple(key for chunk in chunks for key in chunk.keys)
        unusable = tuple(item for chunk in chunks for item in chunk.unusable)
        return PairBatch(images, join_ids([chunk.tokens for chunk in chunks]), keys, unusable)

    def _draw_order(self, epoch: int) -> EpochOrder:
        pairs, rng = self._pairs, self._ctx.rng("order", epoch)
        return epoch_order(
            pairs.num_pairs, pairs.block_sizes, self._shuffle_blocks, rng, self._samples_per_epoch
        )

    def _fill(self, images: np.ndarray, epoch: int, indices: Sequence[int]) -> _Chunk:
        unusable: list[Unusable] = []
        pairs = [
            self._usable_pair(views, epoch, index, unusable)
            for views, index in zip(np.split(images, len(indices)), indices, strict=True)
        ]
        return _Chunk(self._tokens([p.text for p in pairs]), [p.key for p in pairs], unusable)

    def _usable_pair(
        self, views: np.ndarray, epoch: int, index: int, unusable: list[Unusable]
    ) -> Pair:
        for candidate in self._candidates(epoch, index):
            try:
                return self._load(views, epoch, candidate)
            except RemoteError:  # the same bytes come later: nothing takes their place
                raise
            except DataError as error:
                unusable.append(Unusable(candidate, str(error)))
        raise DataError(
            f"{REPLACEMENT_TRIES} pairs in a row, drawn at random to replace another, cannot be used; "
            f"the last: {unusable[-1].reason}"
        )

    def _candidates(self, epoch: int, index: int) -> Iterator[int]:
        yield index
        rng = self._ctx.rng("replacement", epoch, index)
        for _ in range(REPLACEMENT_TRIES):
            yield int(rng.integers(self._pairs.num_pairs))

    def _load(self, views: np.ndarray, epoch: int, index: int) -> Pair:
        key = ""
        try:
            pair = self._pairs.pair(index)
            key = pair.key
            check_length(pair)
            rng = self._ctx.rng("augment", epoch, index)
            for view in views:
                view[...] = self._augment(pair.image, self._image_size, rng, key)
            return self._with_one_text(pair, epoch, index)
        except PerceptInitError:
            raise
        except Exception as error:  # from any thread, so the message has to name the sample
            name = f"pair {index} ({key})" if key else f"pair {index}"
            raise PerceptInitError(f"{name}: {type(error).__name__}: {error}") from error

    def _with_one_text(self, pair: Pair, epoch: int, index: int) -> Pair:
        if not pair.others:
            return pair
        texts = (pair.text, *pair.others)
        drawn = self._ctx.rng("caption", epoch, index).integers(len(texts))
        return replace(pair, text=texts[drawn])

    def _tokens(self, texts: Sequence[str | np.ndarray]) -> torch.Tensor:
        if all(isinstance(text, str) for text in texts):
            return self._tokenize([str(text) for text in texts])
        return stack_ids([trim_ids(np.asarray(ids), self._context_length) for ids in texts])


def _first_and_last(
    order: EpochOrder, start: int, stop: int, block_stops: np.ndarray
) -> list[list[int]]:
    """Return the blocks that the places of an order need, with the first and last place, in the order of the first."""
    first_use, last_use = np.full((2, len(block_stops)), -1, dtype=np.int64)
    # in parts: as a whole, this would take as much memory as the order
    for at in range(start, stop, _LOOKED_AT):
        drawn = order[at : min(at + _LOOKED_AT, stop)]
        blocks = np.searchsorted(block_stops, drawn, side="right")
        places = np.arange(at, at + len(drawn))
        last_use[blocks] = places  # of several that are written, the last one stays
        new = np.flatnonzero(first_use[blocks] < 0)[::-1]
        first_use[blocks[new]] = places[new]
    needed = np.flatnonzero(first_use >= 0)
    needed = needed[np.argsort(first_use[needed])]
    return np.stack([needed, first_use[needed], last_use[needed]], axis=1).tolist()


def _ignore(done: int, needed: int) -> None:
    """Take no note of how far the draws are."""


def too_few_pairs(num_pairs: int, batch_size: int) -> str:
    """Return the sentence for a source that does not fill one batch."""
    return (
        f"batch_size = {batch_size}, but there are only {num_pairs} pairs: not one whole batch. "
        "Lower batch_size or give more pairs"
    )
