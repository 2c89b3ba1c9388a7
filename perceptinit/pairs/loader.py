"""Batches of images and token ids, independent of the number of threads.

Batch k of a run depends only on the seed, its epoch and its place in the epoch. Two arms therefore see the
same batches, and a run resumes at any step.
"""

from __future__ import annotations

# B batch, T tokens, S = size: height and width of the square images
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import KW_ONLY, dataclass, replace
from functools import lru_cache, partial

import numpy as np
import torch

from perceptinit.errors import DataError, PerceptInitError, RemoteError
from perceptinit.pairs.augment import Augment
from perceptinit.pairs.batches import PairBatch, Unusable, join_ids, stack_ids, trim_ids
from perceptinit.pairs.order import EpochOrder, epoch_order, spans
from perceptinit.pairs.texts import check_length
from perceptinit.protocols import BlockUse, HasReadAhead, Pairs
from perceptinit.types import Pair, RunContext

# samples per job of a thread
CHUNK = 16
# batches that are prepared in advance
AHEAD = 2
# draws per search for the blocks that they need
_LOOKED_AT = 1 << 20
# draws of a replacement before the run fails
REPLACEMENT_TRIES = 16


@dataclass(frozen=True, slots=True, eq=False)
class _Chunk:
    tokens: torch.Tensor
    keys: list[str]
    unusable: list[Unusable]


@dataclass(eq=False)
class PairLoader:
    """Read, decode, augment and tokenize pairs in threads, ahead of use.

    Each epoch has a new order and skips the remainder that does not fill a batch (`num_left_over`). A pair
    that cannot be read or decoded is reported in `PairBatch.unusable` and replaced by one drawn from a
    generator named after it, because each step needs the same number of negatives. All arms replace the same
    pairs.

    Args:
        pairs: The source.
        batch_size: Pairs per step over all processes.
        image_size: Height and width of the images, pixels.
        tokenize: Returns ids (B, T) of texts.
        context_length: Largest number of ids, for sources that provide ids.
        ctx: Provides the generators and the device.
        augment: Returns a view of an image.
        num_workers: Number of threads; 0 uses the calling thread.
        shuffle_blocks: See `order.epoch_order`.
        samples_per_epoch: See `order.epoch_order`.
        rank: This process.
        world_size: Number of processes. Each loads an equal part of a batch; the parts, in the order of
            ranks, are the batch of a single process.
        num_views: Crops of each image, consecutive in a batch.

    Raises:
        DataError: If there is not one complete batch.
    """

    pairs: Pairs
    _: KW_ONLY
    batch_size: int
    image_size: int
    tokenize: Callable[[Sequence[str]], torch.Tensor]
    context_length: int
    ctx: RunContext
    augment: Augment
    num_workers: int = 0
    shuffle_blocks: int = 0
    samples_per_epoch: int = 0
    rank: int = 0
    world_size: int = 1
    num_views: int = 1

    def __post_init__(self) -> None:
        self._share, rest = divmod(self.batch_size, self.world_size)
        if rest:
            raise ValueError(f"a batch of {self.batch_size} cannot be shared by {self.world_size} processes")
        num_pairs = self.pairs.num_pairs and (self.samples_per_epoch or self.pairs.num_pairs)
        self.num_batches, self.num_left_over = divmod(num_pairs, self.batch_size)
        if not self.num_batches:
            raise DataError(too_few_pairs(num_pairs, self.batch_size))
        self._order = lru_cache(maxsize=2)(self._draw_order)  # an epoch, and the next one ahead

    def batches(self, start: int, stop: int) -> Generator[PairBatch]:
        """Yield batches `start` to `stop` - 1 of the run, counted from 0 over all epochs.

        Raises:
            PerceptInitError: If loading a pair fails for another reason than unreadable data; names the pair.
            DataError: If 16 replacements in a row are unreadable.
        """
        pairs, uses = self.pairs, self._block_uses(start, stop)
        ahead = pairs.read_ahead(uses) if isinstance(pairs, HasReadAhead) else nullcontext()
        with closing(self._make_batches(start, stop)) as batches, ahead as report:
            for number in range(start, stop):
                if report is not None:
                    report(number * self.batch_size, (number + 1) * self.batch_size)
                yield next(batches)

    def _make_batches(self, start: int, stop: int) -> Generator[PairBatch]:
        if self.num_workers == 0:
            for images, jobs in map(self._plan, range(start, stop)):
                yield _join(images, [job() for job in jobs])
            return
        pool = ThreadPoolExecutor(self.num_workers, thread_name_prefix="pairs")
        begun: deque[tuple[torch.Tensor, list[Future[_Chunk]]]] = deque()
        try:
            for number in range(start, stop + AHEAD):
                if number < stop:
                    images, jobs = self._plan(number)
                    begun.append((images, [pool.submit(job) for job in jobs]))
                if number >= start + AHEAD:
                    images, chunks = begun.popleft()
                    yield _join(images, [chunk.result() for chunk in chunks])
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _block_uses(self, start: int, stop: int) -> Iterator[BlockUse]:
        """Yield the blocks that batches `start` to `stop` - 1 need, in order."""
        stops = np.cumsum(np.asarray(self.pairs.block_sizes, dtype=np.int64))
        for epoch in range(start // self.num_batches, -(-stop // self.num_batches)):
            before = epoch * self.num_batches * self.batch_size
            first = max(0, start * self.batch_size - before)
            last = min(self.num_batches, stop - epoch * self.num_batches) * self.batch_size
            order = self._order(epoch)
            for begin, end in spans(order.stops, first, last):
                for block, *uses in _first_and_last(order, begin, end, stops):
                    yield block, before + uses[0], before + uses[1]

    def _plan(self, number: int) -> tuple[torch.Tensor, list[Callable[[], _Chunk]]]:
        """Return the uninitialized images of a batch and the jobs that fill them."""
        epoch, place = divmod(number, self.num_batches)
        first = place * self.batch_size + self.rank * self._share
        indices = self._order(epoch)[first : first + self._share].tolist()
        images = torch.empty(
            (self._share * self.num_views, 3, self.image_size, self.image_size),
            dtype=torch.uint8,
            memory_format=torch.channels_last,
            pin_memory=self.ctx.device.startswith("cuda"),  # makes the copy to the GPU asynchronous
        )
        views = images.numpy().reshape(self._share, self.num_views, *images.shape[1:])
        return images, [
            partial(self._fill, views[i : i + CHUNK], epoch, indices[i : i + CHUNK])
            for i in range(0, self._share, CHUNK)
        ]

    def _draw_order(self, epoch: int) -> EpochOrder:
        pairs, rng = self.pairs, self.ctx.rng("order", epoch)
        return epoch_order(
            pairs.num_pairs, pairs.block_sizes, self.shuffle_blocks, rng, self.samples_per_epoch
        )

    def _fill(self, images: Iterable[np.ndarray], epoch: int, indices: Sequence[int]) -> _Chunk:
        unusable: list[Unusable] = []
        pairs = [
            self._usable_pair(views, epoch, index, unusable)
            for views, index in zip(images, indices, strict=True)
        ]
        if all(isinstance(pair.text, str) for pair in pairs):
            tokens = self.tokenize([str(pair.text) for pair in pairs])
        else:
            rows = [trim_ids(np.asarray(pair.text), self.context_length) for pair in pairs]
            tokens = stack_ids(rows)
        return _Chunk(tokens, [pair.key for pair in pairs], unusable)

    def _usable_pair(self, views: np.ndarray, epoch: int, index: int, unusable: list[Unusable]) -> Pair:
        for candidate in self._candidates(epoch, index):
            try:
                return self._load(views, epoch, candidate)
            except RemoteError:  # never replaced, so batches stay reproducible
                raise
            except DataError as error:
                unusable.append(Unusable(candidate, str(error)))
        raise DataError(
            f"{REPLACEMENT_TRIES} replacements in a row, drawn at random, are unusable; "
            f"the last: {unusable[-1].reason}"
        )

    def _candidates(self, epoch: int, index: int) -> Iterator[int]:
        yield index
        rng = self.ctx.rng("replacement", epoch, index)  # created on demand, because it is slow
        for _ in range(REPLACEMENT_TRIES):
            yield int(rng.integers(self.pairs.num_pairs))

    def _load(self, views: np.ndarray, epoch: int, index: int) -> Pair:
        key = ""
        try:
            pair = self.pairs.pair(index)
            key = pair.key
            check_length(pair)
            rng = self.ctx.rng("augment", epoch, index)
            for view in views:
                view[...] = self.augment(pair.image, self.image_size, rng, key)
            if not pair.others:
                return pair
            texts = (pair.text, *pair.others)
            drawn = self.ctx.rng("caption", epoch, index).integers(len(texts))
            return replace(pair, text=texts[drawn])
        except PerceptInitError:
            raise
        except Exception as error:  # the traceback of a thread does not name the sample
            name = f"pair {index} ({key})" if key else f"pair {index}"
            raise PerceptInitError(f"{name}: {type(error).__name__}: {error}") from error


def _first_and_last(order: EpochOrder, start: int, stop: int, block_stops: np.ndarray) -> list[list[int]]:
    """Return the blocks that places of an order need, with the first and last place, by first place."""
    first_use, last_use = np.full((2, len(block_stops)), -1, dtype=np.int64)
    # in parts, to save memory
    for at in range(start, stop, _LOOKED_AT):
        drawn = order[at : min(at + _LOOKED_AT, stop)]
        blocks = np.searchsorted(block_stops, drawn, side="right")
        places = np.arange(at, at + len(drawn))
        last_use[blocks] = places  # of repeated indices, the last value is kept
        new = np.flatnonzero(first_use[blocks] < 0)[::-1]
        first_use[blocks[new]] = places[new]
    needed = np.flatnonzero(first_use >= 0)
    needed = needed[np.argsort(first_use[needed])]
    return np.stack([needed, first_use[needed], last_use[needed]], axis=1).tolist()


def _join(images: torch.Tensor, chunks: Sequence[_Chunk]) -> PairBatch:
    keys = tuple(key for chunk in chunks for key in chunk.keys)
    unusable = tuple(item for chunk in chunks for item in chunk.unusable)
    return PairBatch(images, join_ids([chunk.tokens for chunk in chunks]), keys, unusable)


def too_few_pairs(num_pairs: int, batch_size: int) -> str:
    """Return the message for a source that does not fill one batch."""
    return (
        f"batch_size = {batch_size}, but there are only {num_pairs} pairs: not one complete batch. "
        "Lower batch_size or add pairs"
    )
