"""Prefetch pieces of remote files, in the order in which a run needs them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Generic, NamedTuple, TypeVar

from perceptinit.errors import RemoteError
from perceptinit.files.remote.fetched import FetchedCache, Held, Piece
from perceptinit.protocols import BlockUse, Reached

H = TypeVar("H")
NUM_FETCHERS = 4
# batches that a loader prepares in addition to the current batch
_BATCHES_STARTED = 3


class _Use(NamedTuple):
    """A piece, and the first and last draw that need it, counted over the entire run."""

    piece: Piece
    first: int
    last: int


class ReadAhead(Generic[H]):
    """Prefetches and opens pieces for all threads of one loader.

    Pieces stay locked in the cache until their last use. Prefetched pieces take at most half of the cache,
    which leaves space for other processes.

    Args:
        cache: The cache of pieces.
        max_bytes: Maximum total size of the pieces.
        uses: The future uses in the order of `first`.
        open_: Called with a piece and its file, in the thread that fetched it; `get` returns its result.
    """

    def __init__(
        self, cache: FetchedCache, max_bytes: int, uses: Iterable[_Use], open_: Callable[[Piece, Path], H]
    ) -> None:
        self._cache = cache
        self._max_bytes = max_bytes
        self._uses = iter(uses)
        self._open = open_
        self._next = next(self._uses, None)
        self._planned: dict[_Use, Future[tuple[H, Held] | None]] = {}
        self._by_piece: dict[Piece, Future[tuple[H, Held] | None]] = {}
        self._queue: SimpleQueue[_Use | None] = SimpleQueue()
        for number in range(NUM_FETCHERS):
            Thread(target=self._work, name=f"read-ahead-{number}", daemon=True).start()

    def close(self) -> None:
        """Release all pieces and stop the threads."""
        planned = self._planned
        self._planned = {}
        for future in planned.values():
            _release(future)
            with suppress(InvalidStateError):
                future.set_exception(RemoteError("the loader has ended"))
        for _ in range(NUM_FETCHERS):
            self._queue.put(None)

    def reached(self, done: int, needed: int) -> None:
        """Release the pieces last used before draw `done`, and plan the pieces that the next draws need."""
        for use in [use for use in self._planned if use.last < done]:
            _release(self._planned.pop(use))
        for use, future in list(self._planned.items()):
            if future.done() and (future.exception() or not future.result()):
                self._plan(use)  # an attempt that failed or found no space may succeed now
        self._extend(done, needed + _BATCHES_STARTED * (needed - done))
        # if a piece has several uses, the first one counts
        self._by_piece = {use.piece: self._planned[use] for use in reversed(self._planned)}

    def get(self, piece: Piece) -> H | None:
        """Wait for a piece and return the result of `open_`; None if it is not planned or does not fit.

        Raises the error if fetching or opening it failed.
        """
        future = self._by_piece.get(piece)
        opened = future.result() if future else None
        return opened[0] if opened else None

    def _extend(self, done: int, started: int) -> None:
        """Plan the uses before draw `started`, then those to prefetch."""
        room = sum(use.piece.room for use in self._planned)
        ahead = sum(use.piece.room for use in self._planned if use.first >= started)
        while (use := self._next) is not None:
            size = use.piece.room
            is_too_far = use.first >= started and ahead and ahead + size > self._max_bytes // 2
            if is_too_far or room + size > self._max_bytes:
                return
            self._next = next(self._uses, None)
            if use.last >= done:
                self._plan(use)
                room += size
                ahead += size * (use.first >= started)

    def _plan(self, use: _Use) -> None:
        self._planned[use] = Future()
        self._queue.put(use)

    def _work(self) -> None:
        while (use := self._queue.get()) is not None:
            if (future := self._planned.get(use)) is not None:
                self._fetch(use.piece, future)
            del future  # this reference would keep the piece locked

    def _fetch(self, piece: Piece, future: Future[tuple[H, Held] | None]) -> None:
        try:
            found = self._cache.hold(piece)
            result = None if found is None else (self._open(piece, found[0]), found[1])
            with suppress(InvalidStateError):
                future.set_result(result)
        except BaseException as error:
            with suppress(InvalidStateError):
                future.set_exception(error)


def _release(future: Future[tuple[H, Held] | None]) -> None:
    if future.done() and not future.exception() and (result := future.result()):
        result[1].release()


class PieceReader(Generic[H]):
    """Reads the pieces of a source, one per block.

    Args:
        pieces: The pieces.
        open_: Called with a piece and its file; `get` returns its result.
        cache_gb: Upper bound on the size of the cache in 10^9 bytes; None: half of the free space.
        needs_spare: Whether the cache reserves space for one piece that was not planned.
    """

    def __init__(
        self,
        pieces: Sequence[Piece],
        open_: Callable[[Piece, Path], H],
        cache_gb: float | None,
        needs_spare: bool = False,
    ) -> None:
        self.pieces = pieces
        self._open = open_
        self._cache_gb = cache_gb
        self._needs_spare = needs_spare
        self._ahead: ReadAhead[H] | None = None

    @cached_property
    def cache(self) -> FetchedCache:
        return FetchedCache(None if self._cache_gb is None else int(self._cache_gb * 1e9))

    @cached_property
    def _num_held(self) -> int:
        """Return how many of the largest pieces fit into the cache together."""
        rooms = accumulate(sorted((piece.room for piece in self.pieces), reverse=True))
        return sum(room <= self.cache.max_bytes for room in rooms)

    @property
    def max_shuffle_blocks(self) -> int:
        """Return how many pieces may be shuffled together, with cache space left to prefetch one more."""
        return max(1, self._num_held - 1) if self._num_held < len(self.pieces) else self._num_held

    def problems(self) -> Iterator[str]:
        """Yield a message if the largest piece does not fit into the cache."""
        if not self._num_held:
            yield (
                f"cache_gb: the cache in {self.cache.folder} may take {self.cache.max_bytes / 1e9:g} GB, but "
                f"the largest piece of the data takes {self._largest / 1e9:g} GB"
            )

    @contextmanager
    def read_ahead(self, uses: Iterable[BlockUse]) -> Iterator[Reached]:
        """Prefetch pieces during the block; see `HasReadAhead`."""
        self.cache.trim()
        planned = (_Use(self.pieces[number], first, last) for number, first, last in uses)
        spare = self._largest if self._needs_spare and self._num_held > 1 else 0
        ahead = self._ahead = ReadAhead(self.cache, self.cache.max_bytes - spare, planned, self._open)
        try:
            yield ahead.reached
        finally:
            self._ahead = None
            ahead.close()

    def get(self, piece: Piece) -> H | None:
        """Wait for a piece and return the result of `open_`; None if it is not planned or does not fit."""
        return self._ahead.get(piece) if self._ahead else None

    @property
    def _largest(self) -> int:
        return max(piece.room for piece in self.pieces)
