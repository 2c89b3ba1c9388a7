"""The HTTP routes: consent, trials, images, answers, and the owner's page.

| route | requires | response |
|---|---|---|
| `GET /` | nothing | the consent form, or a redirect to the trials |
| `POST /begin` | consent; rate-limited | the session cookie |
| `GET /trials`, `/state`, `/image/KEY` | a session | the trials |
| `POST /answer` | a session | the next position, once the answer is on disk |
| `GET /done` | a session | the debriefing and the completion link |
| `POST /withdraw` | the session of the consent | a confirmation, once the participant is deleted |
| `GET /owner` | nothing | an empty page that asks for the token |
| `GET /owner/status`, `/owner/export` | the owner's token | the progress, and the table |
"""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Callable, Collection
from functools import lru_cache, partial
from mimetypes import guess_type
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from perceptinit_collect import people
from perceptinit_collect.checks import forget
from perceptinit_collect.design import Design, Trial
from perceptinit_collect.limits import PeerLimit, RateLimit, SafeHeaders, peer_of, read_body
from perceptinit_collect.owner import Owner, templates
from perceptinit_collect.people import Person
from perceptinit_collect.store import StoreError
from perceptinit_collect.study import Study
from perceptinit_collect.texts import direction, fill_in, html_of, labels_of

COOKIE_SECONDS = 60 * 60 * 24 * 30
# per participant; the page prefetches four trials
REQUESTS_PER_SECOND, REQUESTS_AT_ONCE = 20, 200
PIECE_BYTES = 1 << 16
MAX_SESSIONS = 512  # participants whose trials stay in memory, 40 kB each
IMAGE_KEY = re.compile(r"[0-9a-f]{20}")


class Server:
    """The pages of participants and of the study's owner."""

    def __init__(self, study: Study, begins_per_minute: int, hosts: Collection[str] = ()) -> None:
        self.study, self._owner = study, Owner(study.folder, study.token)
        self._hosts = {study.settings.people.address.lower(), *hosts}
        self._begins = RateLimit(begins_per_minute / 60, begins_per_minute)
        self._requests = RateLimit(REQUESTS_PER_SECOND, REQUESTS_AT_ONCE)
        self._session = lru_cache(maxsize=MAX_SESSIONS)(partial(people.read_person, study.store.reader))
        self._templates = templates()
        # images are never removed, so the newest design contains the images of all versions
        self._images = {image.key: image for image in study.design.images}

    def app(self) -> ASGIApp:
        """Return the ASGI application."""
        app = Starlette(
            routes=[
                Route("/", self.consent),
                Route("/begin", self.begin, methods=["POST"]),
                Route("/trials", self.trials),
                Route("/state", self.state),
                Route("/image/{key}", self.image),
                Route("/answer", self.answer, methods=["POST"]),
                Route("/done", self.done),
                Route("/withdraw", self.withdraw, methods=["POST"]),
                *self._owner.routes(),
                Mount("/static", StaticFiles(packages=[("perceptinit_collect", "static")])),
            ],
            exception_handlers={
                ClientDisconnect: lambda request, error: PlainTextResponse("the connection was lost", 408),
                people.NoWayBackError: self._no_way_back,
                StoreError: self._not_stored,
            },
        )
        return SafeHeaders(PeerLimit(app), self._hosts)  # outermost, so that error pages have the headers too

    async def consent(self, request: Request) -> Response:
        """Show the consent form, or redirect to the trials if a session exists."""
        parameters = dict(request.query_params)
        origin = people.read_origin(parameters)
        people.require_way_back(self.study.store.reader, origin, self.study.has_way_back)
        person = self._person(request)
        if person is not None and not origin.platform_id:
            return RedirectResponse("/trials", 303)
        if self.study.is_closed and not origin.platform_id:
            return self._page("text.html", text="closed", status_code=403)
        name, value = people.MTURK_PREVIEW
        people_settings = self.study.settings.people
        stored_of_platform = ["stored_id" if people_settings.stores_platform_ids else "stored_hash"]
        is_from_platform = bool(people_settings.platform or origin.platform)
        return self._page(
            "consent.html",
            parameters={**people.parameters_of(origin), "ticket": secrets.token_urlsafe(24)},
            is_preview=parameters.get(name) == value,
            stored=["stored", *stored_of_platform * is_from_platform],
        )

    async def begin(self, request: Request) -> Response:
        """Start a session after consent; resubmitting the same form does not start another."""
        self._refuse_other_sites(request)
        fields = dict(parse_qsl((await read_body(request)).decode("utf-8", "replace")))
        if fields.get("agree") != "yes":
            raise HTTPException(400, "consent is required to take part")
        origin = people.read_origin(fields)
        if not origin.platform_id and self._person(request) is not None:
            return RedirectResponse("/trials", 303)
        if not self._begins.allows(peer_of(request.client)):
            return self._page("text.html", text="busy", status_code=429)
        study = self.study
        try:
            token = await self._write(
                lambda c: people.begin(
                    c, study.design, origin, keep_platform_id=study.settings.people.stores_platform_ids,
                    ticket=fields.get("ticket", ""), held=self._token(request),
                    has_way_back=study.has_way_back,
                )
            )  # fmt: skip
        except people.ClosedError:
            return self._page("text.html", text="closed", status_code=403)
        response = RedirectResponse("/trials", 303)
        response.set_cookie(
            study.cookie,
            token,
            max_age=COOKIE_SECONDS,
            httponly=True,
            samesite="lax",
            secure=request.scope["scheme"] == "https",
        )
        return response

    async def trials(self, request: Request) -> Response:
        """Show the trial page, which fetches `/state`."""
        person = self._person(request)
        if person is None:
            return RedirectResponse("/", 303)
        if people.next_position(self.study.store.reader, person.id) >= len(person.trials):
            return RedirectResponse("/done", 303)
        task = self.study.design_of(person.design).task
        return self._page(
            "trials.html",
            person=person,
            can_withdraw=self._own(request) is not None,
            num_candidates=task.num_candidates,
            has_anchor=len(task.image_columns) > task.num_candidates,
            not_sure=self.study.design_of(person.design).settings.not_sure,
        )

    async def state(self, request: Request) -> Response:
        """Return the image keys of the unanswered trials; catch trials and repeats are not marked."""
        person = self._require_person(request)
        design = self.study.design_of(person.design)
        position = people.next_position(self.study.store.reader, person.id)
        s = design.settings
        first = s.practice
        breaks = range(first + s.break_every, len(person.trials), s.break_every) if s.break_every else ()
        return JSONResponse(
            {
                "next": position,
                "total": len(person.trials),
                "practice": first,
                "breaks": list(breaks),
                "trials": [_shown(design, trial) for trial in person.trials[position:]],
            }
        )

    async def image(self, request: Request) -> Response:
        """Send an image of the design by its key."""
        self._require_person(request)
        key = request.path_params["key"]
        image = self._images.get(key) if IMAGE_KEY.fullmatch(key) else None
        if image is None:
            raise HTTPException(404, "no such image")
        path = self.study.image_path(image)
        size = path.stat().st_size
        headers = {"cache-control": "private, max-age=31536000, immutable", "content-length": f"{size}"}
        if size <= 2 * PIECE_BYTES:
            data = await run_in_threadpool(path.read_bytes)
            return Response(data, 200, headers, guess_type(path.name)[0])
        return StreamingResponse(_pieces(path, size), 200, headers, guess_type(path.name)[0])

    async def answer(self, request: Request) -> Response:
        """Store an answer and reply once it is on disk."""
        self._refuse_other_sites(request)
        person = self._require_person(request)
        design = self.study.design_of(person.design)
        body = await read_body(request)
        try:
            answer = people.read_answer(body, person, design)
            next_position, is_correct = await self._write(lambda c: people.store_answer(c, person, answer))
        except people.RefusedError as error:
            return JSONResponse({"error": str(error), "next": error.next_position}, error.status)
        return JSONResponse({"next": next_position, "correct": is_correct})

    async def done(self, request: Request) -> Response:
        """Show the debriefing and the completion link after the last trial."""
        person = self._person(request)
        if person is None:
            return RedirectResponse("/", 303)
        if people.next_position(self.study.store.reader, person.id) < len(person.trials):
            return RedirectResponse("/trials", 303)
        url = self.study.settings.people.completion_url
        return self._page(
            "done.html",
            person=person,
            can_withdraw=self._own(request) is not None,
            completion_url=url.replace("{platform_id}", person.platform_id or ""),
        )

    async def withdraw(self, request: Request) -> Response:
        """Delete the participant with all answers, as `--forget` does, from the browser of the consent."""
        self._refuse_other_sites(request)
        code = self._own(request)
        if code is None:
            self._require_person(request)
            return self._page("text.html", text="withdraw_elsewhere", status_code=403)
        await run_in_threadpool(forget, self.study.folder, f"code:{code}")
        response = self._page("text.html", text="withdrawn")
        response.delete_cookie(self.study.cookie)
        return response

    async def _write(self, write: Callable[[Any], Any]) -> Any:
        return await asyncio.wrap_future(self.study.store.submit(write))

    def _token(self, request: Request) -> str:
        return request.cookies.get(self.study.cookie, "")

    def _own(self, request: Request) -> str | None:
        """Return the code of the participant whom this browser can delete."""
        return people.find_own(self.study.store.reader, self._token(request))

    def _person(self, request: Request) -> Person | None:
        """Return the session's participant, read each time because the participant may have been deleted."""
        code = people.find(self.study.store.reader, self._token(request))
        return None if code is None else self._session(code)

    def _require_person(self, request: Request) -> Person:
        person = self._person(request)
        if person is None:
            raise HTTPException(410, "no session. Open the study's first page")
        if not self._requests.allows(person.id):
            raise HTTPException(429, "too many requests. Wait a few seconds")
        return person

    def _refuse_other_sites(self, request: Request) -> None:
        """Refuse a cross-site request."""
        origin = request.headers.get("origin")
        if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
            raise HTTPException(403, "cross-site request refused")

    def _not_stored(self, request: Request, error: Exception) -> Response:
        print(f"error: {error}", flush=True)
        if request.scope["path"] == "/begin":
            return self._page("text.html", text="busy", status_code=503)
        return JSONResponse({"error": "The answer was not stored. Try again"}, 503)

    def _no_way_back(self, request: Request, error: Exception) -> Response:
        print(
            "error: a Prolific participant was refused. Set [people] completion_url in study.toml",
            flush=True,
        )
        return PlainTextResponse(str(error), 503)

    def _page(
        self, name: str, *, person: Person | None = None, status_code: int = 200, **values: Any
    ) -> HTMLResponse:
        """Render a page with the texts of the participant's design, or of the newest design."""
        design = self.study.design if person is None else self.study.design_of(person.design)
        language = design.settings.language
        page = self._templates.get_template(name).render(
            language=language,
            direction=direction(language),
            labels=labels_of(design.texts["labels"]),
            texts={key: html_of(fill_in(text, design.settings)) for key, text in design.texts.items()},
            person=person,
            **values,
        )
        return HTMLResponse(page, status_code)


async def _pieces(path: Path, size: int) -> AsyncIterator[bytes]:
    """Yield a file in pieces, each read once the client has received most of the one before.

    The file is opened for each piece, so that slow clients do not occupy descriptors.
    """
    for start in range(0, size, PIECE_BYTES):
        yield (await run_in_threadpool(np.fromfile, path, np.uint8, PIECE_BYTES, "", start)).tobytes()


def _shown(design: Design, trial: Trial) -> dict[str, Any]:
    keys = [design.images[image].key for image in trial.images]
    candidates = keys[-design.task.num_candidates :]
    return {
        "anchor": keys[0] if len(keys) > len(candidates) else None,
        "places": [candidates[candidate] for candidate in trial.order],
        "instruction": trial.order.index(trial.correct) + 1 if trial.kind == "instructed" else None,
    }
