"""Serve a study: one process, one address, until it is interrupted."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from threading import Thread

import uvicorn
from starlette.types import ASGIApp

from perceptinit.plugin import UsageError
from perceptinit_collect.aside import aside
from perceptinit_collect.owner import Owner
from perceptinit_collect.pictures import Tell
from perceptinit_collect.server import Server
from perceptinit_collect.study import Study, opened

MAX_CONNECTIONS = 900  # below the 1,024 open files that most systems allow a process
BACKLOG = 512
EVERYBODY = ("0.0.0.0", "::")


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; UsageError when the address is taken or not this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches Nagle's delay off only for sockets that say TCP: 40 ms a reply
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"{host}:{port}: cannot listen there ({reason}); choose another --port or --host"
        ) from error
    listener.listen(BACKLOG)
    return listener


def address_of(listener: socket.socket) -> str:
    """Return the address of the first page; by the machine's name when it listens to everybody."""
    host, port = listener.getsockname()[:2]
    host = socket.gethostname() if host in EVERYBODY else host
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def is_on_a_network(listener: socket.socket) -> bool:
    """Tell whether other machines can reach the page."""
    host = listener.getsockname()[0]
    return host in EVERYBODY or not ip_address(host).is_loopback


def make_app(study: Study, begins_per_minute: int | None = None) -> ASGIApp:
    """Return the application; the owner's numbers are worked out in other processes, away from people who wait."""
    owner = Owner(
        study.token,
        status=lambda: aside("status", study.folder),
        export=lambda: aside("export", study.folder),
    )
    return Server(study, owner, begins_per_minute or study.settings.people.begins_per_minute).app()


def make_server(study: Study, begins_per_minute: int | None = None) -> uvicorn.Server:
    """Return the server, to be run on a socket."""
    config = uvicorn.Config(
        make_app(study, begins_per_minute), log_level="warning", access_log=False, server_header=False,
        limit_concurrency=MAX_CONNECTIONS, timeout_keep_alive=65, timeout_graceful_shutdown=5,
    )  # fmt: skip
    return uvicorn.Server(config)


def serve(folder: Path, listener: socket.socket, tell: Tell, ready: Callable[[Study], None]) -> None:
    """Serve until interrupted; `ready` is called when people can come."""
    with opened(folder, tell) as study, listener:
        server = make_server(study)
        ready(study)
        server.run(sockets=[listener])


@contextmanager
def served(folder: Path, begins_per_minute: int | None = None) -> Iterator[str]:
    """Serve a study in a thread for the block, on a free port of this machine; gives the address.

    begins_per_minute: in place of the study's limit, for many people from this one machine.
    """
    with opened(folder) as study, running(study, begins_per_minute) as address:
        yield address


@contextmanager
def running(study: Study, begins_per_minute: int | None = None) -> Iterator[str]:
    """Serve an open study as `served` does."""
    with listen("127.0.0.1", 0) as listener:
        server = make_server(study, begins_per_minute)
        thread = Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield address_of(listener)
        finally:
            server.should_exit = True
            thread.join()
