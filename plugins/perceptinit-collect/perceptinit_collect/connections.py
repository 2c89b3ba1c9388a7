"""HTTP connections with timeouts and a limit on their number."""

import asyncio
from collections import Counter
from typing import cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from perceptinit_collect.limits import is_local, peer_of

REQUEST_SECONDS = 15.0  # for the headers and the body of a request
WRITE_SECONDS = 120.0  # without progress of a response
STALLED_SECONDS = 3.0  # without progress, after which a full server closes the connection
MAX_CONNECTIONS = 800  # plus the backlog, below the usual limit of 1,024 open files per process
MAX_CONNECTIONS_PER_PEER = 200  # enough for a class of thirty behind one router, without a proxy


class Connection(H11Protocol):
    """An HTTP connection with timeouts for headers, body and response.

    When MAX_CONNECTIONS are open, a new connection closes another one: of the peer with most connections that
    stalled while they received a response, or else the one that has been idle longest. Connections that never
    sent a request are closed first. Connections with a pending response stay open.
    """

    _request_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _heard = 0.0
    _unsent = 0
    _seconds_stalled = -1
    peer = ""
    """Rate-limit key of the connected client; proxy headers are ignored."""

    @property
    def is_answering(self) -> bool:
        """Whether the response to a complete request is pending."""
        is_replied = self.cycle is None or self.cycle.response_complete
        return not is_replied and self.conn.their_state is not h11.SEND_BODY

    @property
    def is_stalled(self) -> bool:
        """Whether the client does not read the response."""
        return self._write_timer is not None and self._seconds_stalled >= STALLED_SECONDS

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.peer = peer_of(self.client)
        self._heard = self.loop.time()
        self._request_timer = self.loop.call_later(REQUEST_SECONDS, self.abort)
        others = cast(set[Connection], self.connections)
        if not is_local(self.peer) and sum(c.peer == self.peer for c in others) > MAX_CONNECTIONS_PER_PEER:
            self.abort()
        elif len(others) > MAX_CONNECTIONS:
            stalled = Counter(c.peer for c in others if c.is_stalled)
            waiting = (c for c in others if c.is_stalled or not c.is_answering)
            min(
                waiting, key=lambda c: (-stalled[c.peer] * c.is_stalled, c.cycle is not None, c._heard)
            ).abort()

    def data_received(self, data: bytes) -> None:
        self._heard = self.loop.time()
        if self._request_timer is None:
            self._request_timer = self.loop.call_later(REQUEST_SECONDS, self.abort)
        super().data_received(data)
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._stop_request_timer()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unsent = -1
        self._watch_writing()

    def _watch_writing(self) -> None:
        """Count the seconds without progress; close the connection after WRITE_SECONDS."""
        unsent = self.transport.get_write_buffer_size()
        self._seconds_stalled = self._seconds_stalled + 1 if unsent == self._unsent else 0
        self._unsent = unsent
        self._write_timer = self.loop.call_later(
            1, self.abort if self._seconds_stalled >= WRITE_SECONDS else self._watch_writing
        )

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_request_timer()
        super().connection_lost(exc)
        self.resume_writing()

    def abort(self) -> None:
        """Close immediately, after a timeout or to make room for another connection."""
        self.connections.discard(self)
        self.transport.abort()

    def _stop_request_timer(self) -> None:
        if self._request_timer is not None:
            self._request_timer.cancel()
            self._request_timer = None
