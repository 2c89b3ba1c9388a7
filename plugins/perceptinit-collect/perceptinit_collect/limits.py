"""Limits on request size, rate and concurrency, and the security headers of responses."""

import re
import time
from collections import Counter, OrderedDict
from collections.abc import Collection
from ipaddress import IPv6Address, IPv6Network, ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([\w.-]+))(?::\d+)?")
MAX_BODY_BYTES = 4096
MAX_ADDRESS_BYTES = 2048
MAX_REQUESTS_PER_PEER = 100  # concurrent; a browser sends about six
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


async def read_body(request: Request) -> bytes:
    """Return the body of a request; HTTPException if it exceeds MAX_BODY_BYTES."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(413, f"request body exceeds {MAX_BODY_BYTES} bytes")
    return body


def peer_of(client: tuple[str, int] | None) -> str:
    """Return the rate-limit key of a client: its IPv4 address or IPv6 /64 network.

    client: host and port, from the headers of a trusted proxy if there is one. The key is never stored.
    """
    host = client[0] if client else "unknown"
    try:
        number = ip_address(host)
    except ValueError:
        return host
    if isinstance(number, IPv6Address):
        return str(number.ipv4_mapped or IPv6Network((int(number), 64), strict=False))
    return host


def is_local(peer: str) -> bool:
    """Return whether a peer is this machine, such as a local proxy that does not forward addresses."""
    return peer == "unknown" or peer.startswith("127.") or peer == "::/64"


class PeerLimit:
    """Middleware that responds with 429 while a peer has too many requests in progress.

    Requests from this machine are not limited.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._in_progress: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        peer = peer_of(scope.get("client"))
        if is_local(peer):
            await self.app(scope, receive, send)
            return
        if self._in_progress[peer] >= MAX_REQUESTS_PER_PEER:
            await PlainTextResponse("too many concurrent requests", 429)(scope, receive, send)
            return
        self._in_progress[peer] += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self._in_progress -= Counter([peer])  # drops a count of 0


class SafeHeaders:
    """Middleware that adds `HEADERS`, disables caching by default, and rejects invalid URLs and hosts.

    hosts: names in the `Host` header that are accepted, besides those of this machine; see `_is_own_host`.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self.app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        # an address that is too long, or contains a null byte, which file systems reject
        length = len(scope.get("raw_path", b"")) + len(scope["query_string"])
        if length > MAX_ADDRESS_BYTES or "\0" in scope["path"]:
            await PlainTextResponse("no such address", 404)(scope, receive, send_with_headers)
            return
        if not _is_own_host(scope, self._hosts):
            message = "not the address of the study. Its owner can set [people] address in study.toml"
            await PlainTextResponse(message, 400)(scope, receive, send_with_headers)
            return
        await self.app(scope, receive, send_with_headers)


def _is_own_host(scope: Scope, hosts: Collection[str]) -> bool:
    """Return whether the `Host` header is a known name, a loopback name, or the address of the connection."""
    found = _HOST.fullmatch(Headers(scope=scope).get("host", ""))
    own = {*hosts, "localhost", "127.0.0.1", "::1", scope["server"][0].removeprefix("::ffff:")}
    return found is not None and (found[1] or found[2]).lower() in own


class RateLimit:
    """Token-bucket rate limiter: `burst` requests per key, refilled at `per_second`.

    At most MAX_KEYS keys are tracked; the least recently used key is dropped first.
    """

    MAX_KEYS = 10_000

    def __init__(self, per_second: float, burst: int) -> None:
        self.per_second, self.burst = per_second, burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, key: str) -> bool:
        """Count a request and return whether it is within the limit."""
        now = time.monotonic()
        left, before = self._buckets.pop(key, (float(self.burst), now))
        left = min(self.burst, left + (now - before) * self.per_second)
        self._buckets[key] = (left - 1 if left >= 1 else left, now)
        while len(self._buckets) > self.MAX_KEYS:
            self._buckets.popitem(last=False)
        return left >= 1
