"""Limits of size and rate, and the headers that every reply carries."""

from __future__ import annotations

import time
from collections import OrderedDict

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from perceptinit.plugin import PerceptInitError

MAX_BODY_BYTES = 4096
MAX_ADDRESS_BYTES = 2048
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; img-src 'self'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), browsing-topics=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class TooLargeError(PerceptInitError):
    """A request with more bytes than any of the page's own has."""


async def read_body(request: Request) -> bytes:
    """Return a request's body; TooLargeError as soon as it is more than MAX_BODY_BYTES."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise TooLargeError(f"more than {MAX_BODY_BYTES} bytes")
    return body


def address(request: Request) -> str:
    """Return where a request comes from, to limit its rate; never stored."""
    return request.client.host if request.client else "unknown"


class SafeHeaders:
    """Middleware: the headers on every reply, nothing kept by caches unless a route says so, no endless addresses."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        if _is_odd(scope):
            await PlainTextResponse("no such address", 404)(scope, receive, send_with_headers)
            return
        await self.app(scope, receive, send_with_headers)


def _is_odd(scope: Scope) -> bool:
    """Tell whether an address is longer than any of the page's, or has a zero byte, on which file systems stumble."""
    length = len(scope.get("raw_path", b"")) + len(scope["query_string"])
    return length > MAX_ADDRESS_BYTES or "\0" in scope["path"]


class RateLimit:
    """A bucket per key that holds `burst` requests and is filled by `per_second`.

    Keys that are full again are forgotten first, then the oldest: memory stays bounded.
    """

    MAX_KEYS = 10_000

    def __init__(self, per_second: float, burst: int) -> None:
        self.per_second, self.burst = per_second, burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, key: str) -> bool:
        """Count a request and tell whether it is within the limit."""
        now = time.monotonic()
        left, before = self._buckets.pop(key, (float(self.burst), now))
        left = min(self.burst, left + (now - before) * self.per_second)
        self._buckets[key] = (left - 1 if left >= 1 else left, now)
        while len(self._buckets) > self.MAX_KEYS:
            self._buckets.popitem(last=False)
        return left >= 1
