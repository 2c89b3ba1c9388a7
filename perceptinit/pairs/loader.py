"""Batches of images and token ids, independent of the number of threads or processes.

Batch k of a run depends only on the seed, its epoch and its position in the epoch. Two arms therefore see the
same batches, and a run can resume at any step.
"""

from __future__ import annotations

# B batch, T tokens, S = size: height and width of the square images
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import KW_ONLY, dataclass, fields, replace
from functools import lru_cache, partial
from typing import Any, Literal

import numpy as np
import torch

from perceptinit.errors import DataError, PerceptInitError, RemoteError
from perceptinit.pairs.augment import Augment
from perceptinit.pairs.batches import Chunk, PairBatch, Unusable, join_ids, stack_ids, trim_ids
from perceptinit.pairs.decoders import DecoderProcesses, Fill, Loaded
from perceptinit.pairs.order import EpochOrder, epoch_order, spans
from perceptinit.pairs.texts import check_length
from perceptinit.protocols import BlockUse, HasReadAhead, Pairs
from perceptinit.types import Pair, RunContext

# samples per thread job
CHUNK = 16
# batches prepared in advance
AHEAD = 2
# number of draws whose blocks are looked up at once
_LOOKED_AT = 1 << 20
# attempts to replace a pair before the run fails
REPLACEMENT_TRIES = 16
# minimum workers and samples of a run for which processes pay off; each takes 3 s of CPU time to start
_MANY_WORKERS = 8
_MANY_SAMPLES = 1_000_000

DecodeIn = Literal["threads", "processes"]


@dataclass(eq=False)
class PairLoader:
    """Read, decode, augment and tokenize pairs in threads or processes, ahead of use.

    Each epoch has a new order and drops the last incomplete batch (`num_left_over` pairs). A pair that cannot
    be read or decoded is reported in `PairBatch.unusable` and replaced by a random pair, because each step
    needs the same number of negatives. The replacements are the same in all arms.

    Args:
        pairs: The source.
        batch_size: Pairs per step over all processes.
        image_size: Height and width of the images, pixels.
        tokenize: Returns the token ids (B, T) of texts.
        context_length: Maximum number of ids, for sources that provide ids.
        ctx: Provides the generators and the device.
        augment: Returns a view of an image.
        num_workers: Number of threads or processes; 0 uses the calling thread.
        decode_in: None uses processes for at least 8 workers and 1,000,000 samples. Pairs that cannot be sent
            to a process are decoded in threads, with a warning.
        shuffle_blocks: See `order.epoch_order`.
        samples_per_epoch: See `num_drawn` in `order.epoch_order`.
        rank: Rank of this process.
        world_size: Number of processes. Each loads an equal part of a batch. Concatenated by rank, the parts
            equal the batch of a single process.
        num_views: Crops of each image, consecutive in a batch.

    Raises:
        DataError: If the pairs do not fill one batch.
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
    decode_in: DecodeIn | None = None
    shuffle_blocks: int = 0
    samples_per_epoch: int = 0
    rank: int = 0
    world_size: int = 1
    num_views: int = 1

    def __post_init__(self) -> None:
        self._share, rest = divmod(self.batch_size, self.world_size)
        if rest:
            raise ValueError(f"a batch of {self.batch_size} is not divisible by {self.world_size} processes")
        num_pairs = self.pairs.num_pairs and (self.samples_per_epoch or self.pairs.num_pairs)
        self.num_batches, self.num_left_over = divmod(num_pairs, self.batch_size)
        if not self.num_batches:
            raise DataError(too_few_pairs(num_pairs, self.batch_size))
        self._order = lru_cache(maxsize=2)(self._draw_order)  # the current and the next epoch

    def batches(self, start: int, stop: int) -> Generator[PairBatch]:
        """Yield batches `start` to `stop` - 1 of the run, counted from 0 over all epochs.

        Raises:
            PerceptInitError: If loading fails although the data is readable. The message names the pair.
            DataError: If 16 consecutive replacements are unusable.
        """
        pairs = self.pairs
        uses = self._block_uses(start, stop)
        ahead = pairs.read_ahead(uses) if isinstance(pairs, HasReadAhead) else nullcontext()
        with closing(self._make_batches(start, stop)) as batches, ahead as report:
            for number in range(start, stop):
                if report is not None:
                    report(number * self.batch_size, (number + 1) * self.batch_size)
                yield next(batches)

    def _make_batches(self, start: int, stop: int) -> Generator[PairBatch]:
        begun: deque[Callable[[], Loaded]] = deque()
        ahead = AHEAD if self.num_workers else 0
        with closing(self._open_pool((stop - start) * self._share)) as pool:
            for number in range(start, stop + ahead):
                if number < stop:
                    begun.append(pool.begin(*self._draws(number)))
                if number >= start + ahead:
                    yield _join(*begun.popleft()())

    def _open_pool(self, num_samples: int) -> _Threads | DecoderProcesses:
        shape = (self._share, self.num_views, self.image_size, self.image_size, 3)
        is_on_gpu = self.ctx.device.startswith("cuda")
        are_many = self.num_workers >= _MANY_WORKERS and num_samples >= _MANY_SAMPLES
        if self.num_workers and (self.decode_in or (are_many and "processes")) == "processes":
            try:
                return DecoderProcesses(self._fill, self.num_workers, shape, is_on_gpu)
            except TypeError as error:
                self.ctx.warn(
                    f"images are decoded in threads, because the pairs cannot be sent to processes: {error}"
                )
        return _Threads(self._fill, self.num_workers, shape, is_on_gpu)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state that a decoding process needs."""
        ctx = RunContext(seed=self.ctx.seed, stage=self.ctx.stage)
        return {field.name: getattr(self, field.name) for field in fields(self)} | {"ctx": ctx}

    def _block_uses(self, start: int, stop: int) -> Iterator[BlockUse]:
        """Yield each block that batches `start` to `stop` - 1 need, with its first and last use, in order."""
        stops = np.cumsum(np.asarray(self.pairs.block_sizes, dtype=np.int64))
        for epoch in range(start // self.num_batches, -(-stop // self.num_batches)):
            before = epoch * self.num_batches * self.batch_size
            first = max(0, start * self.batch_size - before)
            last = min(self.num_batches, stop - epoch * self.num_batches) * self.batch_size
            order = self._order(epoch)
            for begin, end in spans(order.stops, first, last):
                for block, *uses in _first_and_last(order, begin, end, stops):
                    yield block, before + uses[0], before + uses[1]

    def _draws(self, number: int) -> tuple[int, list[int]]:
        """Return the epoch of a batch, and the indices of its pairs on this rank."""
        epoch, place = divmod(number, self.num_batches)
        first = place * self.batch_size + self.rank * self._share
        return epoch, self._order(epoch)[first : first + self._share].tolist()

    def _draw_order(self, epoch: int) -> EpochOrder:
        pairs = self.pairs
        return epoch_order(
            pairs.num_pairs,
            pairs.block_sizes,
            self.shuffle_blocks,
            self.ctx.rng("order", epoch),
            self.samples_per_epoch,
        )

    def _fill(self, images: Iterable[np.ndarray], epoch: int, indices: Sequence[int]) -> Chunk:
        unusable: list[Unusable] = []
        pairs = [
            self._usable_pair(views, epoch, index, unusable)
            for views, index in zip(images, indices, strict=True)
        ]
        if all(isinstance(pair.text, str) for pair in pairs):
            tokens = self.tokenize([str(pair.text) for pair in pairs])
        else:
            tokens = stack_ids([trim_ids(np.asarray(pair.text), self.context_length) for pair in pairs])
        return Chunk(tokens.numpy(), [pair.key for pair in pairs], unusable)

    def _usable_pair(self, views: np.ndarray, epoch: int, index: int, unusable: list[Unusable]) -> Pair:
        for candidate in self._candidates(epoch, index):
            try:
                return self._load(views, epoch, candidate)
            except RemoteError:  # never replaced, so batches stay reproducible
                raise
            except DataError as error:
                unusable.append(Unusable(candidate, str(error)))
        raise DataError(
            f"{REPLACEMENT_TRIES} consecutive random replacements are unusable. "
            f"Last error: {unusable[-1].reason}"
        )

    def _candidates(self, epoch: int, index: int) -> Iterator[int]:
        yield index
        rng = self.ctx.rng("replacement", epoch, index)  # created on demand, because creation is slow
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


class _Threads:
    """A pool of threads with the interface of `DecoderProcesses`; without threads, loads on request."""

    def __init__(self, fill: Fill, num_threads: int, shape: tuple[int, ...], is_pinned: bool) -> None:
        self._fill = fill
        self._shape = shape
        self._is_pinned = is_pinned
        self._pool = ThreadPoolExecutor(num_threads, thread_name_prefix="pairs") if num_threads else None

    def begin(self, epoch: int, indices: list[int]) -> Callable[[], Loaded]:
        images = torch.empty(self._shape, dtype=torch.uint8, pin_memory=self._is_pinned)
        views = images.permute(0, 1, 4, 2, 3).numpy()
        batch = images.flatten(0, 1).permute(0, 3, 1, 2)
        parts = [slice(first, first + CHUNK) for first in range(0, len(indices), CHUNK)]
        jobs = [partial(self._fill, views[part], epoch, indices[part]) for part in parts]
        if self._pool is None:
            return lambda: (batch, [job() for job in jobs])
        begun = [self._pool.submit(job) for job in jobs]
        return lambda: (batch, [future.result() for future in begun])

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


def _first_and_last(order: EpochOrder, start: int, stop: int, block_stops: np.ndarray) -> list[list[int]]:
    """Return [block, first position, last position] for the blocks in a range, by first position."""
    first_use, last_use = np.full((2, len(block_stops)), -1, dtype=np.int64)
    # in parts, to save memory
    for at in range(start, stop, _LOOKED_AT):
        drawn = order[at : min(at + _LOOKED_AT, stop)]
        blocks = np.searchsorted(block_stops, drawn, side="right")
        places = np.arange(at, at + len(drawn))
        last_use[blocks] = places  # for repeated indices, the last value counts
        new = np.flatnonzero(first_use[blocks] < 0)[::-1]
        first_use[blocks[new]] = places[new]
    needed = np.flatnonzero(first_use >= 0)
    needed = needed[np.argsort(first_use[needed])]
    return np.stack([needed, first_use[needed], last_use[needed]], axis=1).tolist()


def _join(images: torch.Tensor, chunks: Sequence[Chunk]) -> PairBatch:
    keys = tuple(key for chunk in chunks for key in chunk.keys)
    unusable = tuple(item for chunk in chunks for item in chunk.unusable)
    tokens = join_ids([torch.from_numpy(chunk.tokens) for chunk in chunks])
    return PairBatch(images, tokens, keys, unusable)


def too_few_pairs(num_pairs: int, batch_size: int) -> str:
    """Return the message for a source that does not fill one batch."""
    return f"batch_size = {batch_size}, but there are only {num_pairs} pairs. Lower batch_size or add pairs"
