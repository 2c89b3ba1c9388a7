"""Downloads from arbitrary servers after arbitrary earlier state: the correct file or no file."""

import hashlib
import json
import random
import shutil
import socket
import threading

import pytest
from harness import fuzz, outcome
from hypothesis import given, strategies as st

from perceptinit.files.downloads import Download, fetch_all
from perceptinit.files.remote import store

CONTENT = random.Random(0).randbytes(3000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NUMBERS = ("0", "10", "3000", "3001", "99999999999", "-1", "x", "", "²", "9" * 30, "1e3")
TAGS = ('"v1"', '"v2"', 'W/"v1"', "", "\x7f", "é")
NOTES = ("[]", "{}", "3", "{", "null", "[" * 20_000, '{"url": 3, "validator": []}', '{"url": "URL", "validator": "a\\nb"}',
         '{"url": "URL", "validator": 7}', '{"url": "URL", "validator": "\\"v1\\"", "num_bytes": "x"}')  # fmt: skip
RECORDS = ("[]", "{}", "3", "{", '{"file.bin": 3}', '{"file.bin": {"sha256": 3, "num_bytes": 3}}', '{"": {}}',
           '{"file.bin": {"sha256": "SUM", "num_bytes": 3000}}', '{"file.bin": {"sha256": "SUM", "num_bytes": "x"}}')  # fmt: skip


class Server:
    """Sends the next of `answers` to each connection, and then repeats the last."""

    def __init__(self):
        self.answers = [b""]
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/x"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed at the end of the tests
                return
            with connection:
                connection.settimeout(5)
                try:
                    while not connection.recv(65536).endswith(b"\r\n\r\n"):
                        pass
                    connection.sendall(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
                except OSError:  # the client disconnected, which is allowed
                    continue

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


@pytest.fixture(scope="module")
def server():
    made = Server()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "BACKOFF_SECONDS", 0.0)
        yield made
    made.close()


@st.composite
def answers(draw):
    """Draw a response of a server, mostly almost correct."""
    if draw(st.integers(0, 19)) == 0:
        return draw(st.binary(max_size=200))
    status = draw(
        st.sampled_from(
            (
                "200 OK",
                "200 OK",
                "206 Partial",
                "302 Found",
                "404 No",
                "416 No",
                "429 Wait",
                "503 Wait",
                "999",
                "abc",
            )
        )
    )
    start = draw(st.sampled_from((0, 0, 1000, 2999, 3000)))
    body = CONTENT[start : start + draw(st.sampled_from((3000, 3000, 1000, 0)))]
    if draw(st.integers(0, 4)) == 0:
        body = draw(st.sampled_from((b"x" * 3000, body * 3, b"3\r\nabc\r\n0\r\n\r\n", b"zz\r\n")))
    headers = {}
    if draw(st.integers(0, 3)):
        headers["Content-Length"] = draw(st.sampled_from((str(len(body)), str(len(body)), *NUMBERS)))
    if status.startswith("206") or draw(st.integers(0, 9)) == 0:
        total = draw(st.sampled_from(("3000", "3000", "*", *NUMBERS)))
        headers["Content-Range"] = f"bytes {draw(st.sampled_from((start, 0, 1000, 'x')))}-2999/{total}"
    if draw(st.booleans()):
        headers["ETag"] = draw(st.sampled_from(('"v1"', *TAGS)))
    if draw(st.integers(0, 9)) == 0:
        headers["Transfer-Encoding"] = draw(st.sampled_from(("chunked", "gzip", "x")))
    if status.startswith("302"):
        headers["Location"] = draw(
            st.sampled_from(
                (
                    "",
                    "/x",
                    "file:///etc/passwd",
                    "http://",
                    "http://\u00df",
                    "x:y",
                    "http://127.0.0.1:1/",
                )
            )
        )
    lines = [
        f"HTTP/1.1 {status}",
        *(f"{name}: {value}" for name, value in headers.items()),
        "Connection: close",
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body


@fuzz(20)
@given(
    st.lists(answers(), min_size=1, max_size=4),
    st.sampled_from((None, *NOTES)),
    st.sampled_from((None, None, *RECORDS)),
    st.sampled_from(({"sha256": SHA256}, {"num_bytes": 3000}, {}, {"sha256": SHA256, "num_bytes": 3000})),
)
def test_a_download_gives_the_correct_file_or_no_file(place, server, given_answers, note, record, published):
    server.answers = list(given_answers)
    shutil.rmtree(place)
    place.mkdir()
    if note is not None:
        (place / ".file.bin.part").write_bytes(CONTENT[:1000])
        (place / ".file.bin.part.json").write_text(note.replace("URL", server.url))
    if record is not None:
        (place / "downloads.json").write_text(record.replace("SUM", SHA256))
    download = Download(urls=(server.url,), path="file.bin", **published)
    fetched = outcome(
        "download",
        lambda: fetch_all([download], place, num_workers=1),
        ["file.bin", "downloads.json"],
    )
    if fetched is None:
        assert not (place / "file.bin").exists()
        return
    data = (place / "file.bin").read_bytes()
    if "sha256" in published:
        assert data == CONTENT
    if "num_bytes" in published:
        assert len(data) == 3000
    line = json.loads((place / "downloads.json").read_text())["file.bin"]
    assert line["sha256"] == hashlib.sha256(data).hexdigest()
