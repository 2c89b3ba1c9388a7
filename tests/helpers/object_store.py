"""A local web server like a bucket: it stores files, counts sent bytes and simulates faults."""

import gzip
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Fault:
    """A fault of the first `times` requests, after `after` others, whose path ends with `path`."""

    path: str = ""
    status: int = 0
    seconds: float = 0.0
    keep: float = 1.0  # share of the body that is sent
    times: int = 10**9
    after: int = 0
    seen: int = 0

    def hits(self, path):
        if not path.endswith(self.path):
            return False
        self.seen += 1
        return self.after < self.seen <= self.after + self.times


@dataclass
class ObjectStore:
    """files: content by path, `/a/0.tar`. sent: bytes of bodies by path; requests: number by path."""

    files: dict = field(default_factory=dict)
    faults: list = field(default_factory=list)
    sent: Counter = field(default_factory=Counter)
    requests: Counter = field(default_factory=Counter)
    bytes_per_second: float = 0.0
    latency: float = 0.0
    versions: Counter = field(default_factory=Counter)
    queries: list = field(default_factory=list)
    is_down: bool = False
    knows_ranges: bool = True
    compresses: bool = False

    def __enter__(self):
        store = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments):
                pass

            def do_GET(self):
                store.answer(self, self.command == "GET")

            do_HEAD = do_GET  # noqa: N815

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._http.handle_error = lambda request, address: None  # clients that disconnect
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        return self

    def __exit__(self, *exception):
        self.is_down = True  # also for keep-alive connections
        self._http.shutdown()
        self._http.server_close()

    def put(self, path, content):
        self.files[path] = content
        self.versions[path] += 1

    def put_folder(self, path, folder):
        """Store all files of a local folder below `path`."""
        for file in folder.rglob("*"):
            if file.is_file():
                self.put(f"{path}/{file.relative_to(folder)}", file.read_bytes())

    def answer(self, handler, has_body):
        if self.is_down:
            handler.close_connection = True
            return
        path, _, query = handler.path.partition("?")
        self.requests[path] += 1
        self.queries.append(query)
        time.sleep(self.latency)
        fault = next((fault for fault in self.faults if fault.hits(path)), Fault())
        time.sleep(fault.seconds)
        if fault.status or path not in self.files:
            self._head(handler, fault.status or 404, {"Content-Length": "0"})
            return
        data, total = self.files[path], len(self.files[path])
        headers = {"ETag": f'"v{self.versions[path]}"', "Accept-Ranges": "bytes"}
        range_ = handler.headers.get("Range") if self.knows_ranges else None
        if range_:
            first, _, last = range_.removeprefix("bytes=").partition("-")
            stop = min(int(last) + 1, total) if last else total
            data = data[int(first) : stop]
            headers["Content-Range"] = f"bytes {first}-{stop - 1}/{total}"
        if self.compresses:
            data, headers["Content-Encoding"] = gzip.compress(data), "gzip"
        headers["Content-Length"] = str(len(data))
        self._head(handler, 206 if range_ else 200, headers)
        if has_body:
            self._body(handler, path, data[: int(len(data) * fault.keep)])
            if fault.keep < 1:
                handler.close_connection = True

    def _head(self, handler, status, headers):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()

    def _body(self, handler, path, data):
        self.sent[path] += len(data)
        if not self.bytes_per_second:
            handler.wfile.write(data)
            return
        step = max(1, int(self.bytes_per_second / 20))
        for start in range(0, len(data), step):
            handler.wfile.write(data[start : start + step])
            time.sleep(step / self.bytes_per_second)
