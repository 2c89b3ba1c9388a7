"""Serve a study from one process until it is interrupted."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from threading import Thread

import uvicorn

from perceptinit.plugin import PerceptInitError, UsageError
from perceptinit_collect.aside import run_aside
from perceptinit_collect.connections import Connection
from perceptinit_collect.images import Report
from perceptinit_collect.server import Server
from perceptinit_collect.study import Study, open_study

BACKLOG = 128
EVERYBODY = ("0.0.0.0", "::")
PROXIES = ["127.0.0.1", "::1"]  # X-Forwarded-For and X-Forwarded-Proto are trusted from here only


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; UsageError if the address is unavailable."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio disables Nagle's algorithm (40 ms per reply) only for sockets with an explicit TCP protocol
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # of each connection; the system's default grows to megabytes for clients that do not read
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 17)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"{host}:{port}: cannot listen ({reason}). Choose another --port or --host"
        ) from error
    listener.listen(BACKLOG)
    return listener


def address_of(listener: socket.socket) -> str:
    """Return the URL of the first page, with the host name if the socket listens on all interfaces."""
    host, port = listener.getsockname()[:2]
    host = socket.gethostname() if host in EVERYBODY else host
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def is_on_a_network(listener: socket.socket) -> bool:
    """Return whether other machines can reach the page."""
    host = listener.getsockname()[0]
    return host in EVERYBODY or not ip_address(host).is_loopback


def make_server(study: Study, begins_per_minute: int | None = None, host: str = "") -> uvicorn.Server:
    """Return a uvicorn server for the study. host: the address to listen on, which requests may name."""
    hosts = {host.lower(), *([socket.gethostname().lower()] if host in EVERYBODY else [])}
    app = Server(study, begins_per_minute or study.settings.people.begins_per_minute, hosts).app()
    config = uvicorn.Config(
        app, http=Connection, ws="none", lifespan="off", log_level="warning", access_log=False,
        server_header=False, backlog=BACKLOG, timeout_keep_alive=65, timeout_graceful_shutdown=5,
        forwarded_allow_ips=PROXIES,
    )  # fmt: skip
    return uvicorn.Server(config)


def serve(
    folder: Path,
    listener: socket.socket,
    report: Report,
    ready: Callable[[Study], None],
    is_draft: bool = False,
    host: str = "",
) -> None:
    """Serve a study until interrupted; `ready` is called once the socket is listening.

    host: the name with which `listener` was made, see `make_server`.
    """
    with open_study(folder, report, is_draft) as study, listener:
        server = make_server(study, host=host)
        ready(study)
        if not is_draft:
            Thread(target=_copy_repeatedly, args=(study, report), daemon=True).start()
        server.run(sockets=[listener])


def _copy_repeatedly(study: Study, report: Report) -> None:
    """Copy the answers in another process, at the start and on a schedule."""
    while study.settings.people.copy_minutes:
        try:
            run_aside("copy", study.folder)
        except PerceptInitError as error:
            report(f"error: {error}")
        time.sleep(60 * study.settings.people.copy_minutes)


@contextmanager
def serve_in_thread(study: Study, begins_per_minute: int | None = None) -> Iterator[str]:
    """Context manager that serves an open study on a free local port and yields its URL.

    begins_per_minute: overrides the study's limit, for many simulated participants on one machine.
    """
    with listen("127.0.0.1", 0) as listener:
        server = make_server(study, begins_per_minute)
        thread = Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield address_of(listener)
        finally:
            server.should_exit = True
            thread.join()
