"""Ask a server for a file, without reading more of its answer than is asked for."""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping
from http.client import HTTPMessage
from typing import IO, Any


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections without reading their pages, which urllib does to the end and into memory."""

    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage
    ) -> Any:
        fp.close()
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


_opener = urllib.request.build_opener(_Redirects)


def open_url(
    url: str, headers: Mapping[str, str], timeout_seconds: float, token: str | None = None
) -> Any:
    """Return the answer to a GET request, to be closed; raises what `urllib.request.urlopen` does.

    token: shown to this server, and to none that it points to.
    """
    request = urllib.request.Request(url, headers={"User-Agent": "perceptinit", **headers})
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    return _opener.open(request, timeout=timeout_seconds)
