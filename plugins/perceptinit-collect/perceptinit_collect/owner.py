"""The owner's page: the study's progress and a download of the table, protected by a token."""

import asyncio
import secrets
from functools import partial
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from perceptinit.plugin import PerceptInitError
from perceptinit_collect.aside import run_aside
from perceptinit_collect.limits import RateLimit, peer_of


def templates() -> Environment:
    """Return the page templates, with autoescaping."""
    return Environment(
        loader=PackageLoader("perceptinit_collect"), autoescape=True, undefined=StrictUndefined
    )


class Owner:
    """Routes of the owner's page, which loads empty and then fetches its content with the token.

    The token is in the URL fragment (`#`), which browsers do not send to the server. A separate process
    computes the status and the export, so that participants do not wait.
    """

    def __init__(self, folder: Path, token: str) -> None:
        self._folder, self._token = folder, token
        self._wrong_tokens = RateLimit(per_second=0.2, burst=10)
        self._one_at_a_time = asyncio.Lock()

    def routes(self) -> list[Route]:
        return [
            Route("/owner", self.page),
            Route("/owner/status", partial(self.reply, what="status", kind="application/json")),
            Route("/owner/export", partial(self.reply, what="export", kind="text/csv")),
        ]

    async def page(self, request: Request) -> Response:
        return HTMLResponse(templates().get_template("owner.html").render())

    async def reply(self, request: Request, what: str, kind: str) -> Response:
        self._require_token(request)
        try:
            async with self._one_at_a_time:
                return Response(await run_in_threadpool(run_aside, what, self._folder), media_type=kind)
        except PerceptInitError as error:
            return PlainTextResponse(str(error), 409)

    def _require_token(self, request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme == "Bearer" and secrets.compare_digest(token.encode(), self._token.encode()):
            return
        if not self._wrong_tokens.allows(peer_of(request.client)):
            raise HTTPException(429, "Too many requests with a wrong token. Try again in a minute.")
        raise HTTPException(401, "The owner's token is missing or wrong.", {"www-authenticate": "Bearer"})
