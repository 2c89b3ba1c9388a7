"""Large parts of files on web servers: chunk after chunk, and on where a connection broke off."""

import numpy as np
import pytest
from object_store import Fault, ObjectStore

from perceptinit.files.remote import streams
from perceptinit.files.remote.addresses import RemoteFile
from perceptinit.files.remote.store import AbsentError, RemoteError
from perceptinit.files.remote.streams import stream

pytestmark = pytest.mark.usefixtures("own_cache")

DATA = np.random.default_rng(0).bytes(100_000)


@pytest.fixture
def file(bucket, monkeypatch):
    monkeypatch.setattr(streams, "_CHUNK_BYTES", 4096)
    bucket.put("/a.tar", DATA)
    return RemoteFile(f"{bucket.url}/a.tar")


def test_a_part_comes_in_one_answer(bucket, file):
    chunks = list(stream(file, 1000, 51_000))
    assert b"".join(chunks) == DATA[1000:51_000]
    assert len(chunks) == 13
    assert bucket.requests["/a.tar"] == 1


def test_no_bytes_cost_no_request(bucket, file):
    assert list(stream(file, 7, 7)) == []
    assert not bucket.requests


def test_after_a_connection_broke_off_it_goes_on_with_the_next_byte(bucket, file):
    bucket.faults.append(Fault(keep=0.5, times=3))
    assert b"".join(stream(file, 0, len(DATA))) == DATA
    assert bucket.sent["/a.tar"] == len(DATA)
    assert bucket.requests["/a.tar"] == 4


def test_progress_counts_as_an_answer(bucket, file):
    bucket.faults.append(Fault(keep=0.3, times=20))  # more often than a request is tried
    assert b"".join(stream(file, 0, len(DATA))) == DATA


def test_a_file_that_is_another_after_a_connection_broke_off_is_told(bucket, file):
    bucket.faults.append(Fault(keep=0.5, times=1))
    chunks = stream(file, 0, len(DATA))
    assert next(chunks) == DATA[:4096]
    bucket.put("/a.tar", DATA[::-1])
    with pytest.raises(RemoteError, match=r"a\.tar: has changed while it was fetched"):
        list(chunks)


@pytest.mark.parametrize(
    ("fault", "error", "sentence"),
    [
        (Fault(status=404), AbsentError, "a.tar: no such file"),
        (Fault(status=403), RemoteError, r"a.tar: access denied \(HTTP 403 Forbidden\)"),
        (Fault(status=503), RemoteError, "a.tar: HTTP 503 Service Unavailable; asked 6 times"),
        (Fault(keep=0.0), RemoteError, r"a.tar: .*asked 6 times"),
    ],
)
def test_what_does_not_pass_is_said(bucket, file, fault, error, sentence):
    bucket.faults.append(fault)
    with pytest.raises(error, match=sentence):
        list(stream(file, 0, len(DATA)))


def test_a_server_that_sends_whole_files_is_good_for_whole_files_only(bucket, file):
    bucket.knows_ranges = False
    assert b"".join(stream(file, 0, len(DATA))) == DATA
    for start, stop in ((0, 10), (10, len(DATA))):
        with pytest.raises(RemoteError, match="the server sends whole files, not the part"):
            list(stream(file, start, stop))


def test_a_server_that_is_gone_is_told_without_the_signature(own_cache):
    with ObjectStore() as gone:
        url = f"{gone.url}/a.tar?X-Amz-Signature=secret"
    with pytest.raises(RemoteError, match=r"a\.tar.*: .*asked 6 times") as caught:
        list(stream(RemoteFile(url), 0, 10))
    assert "secret" not in str(caught.value)
    assert "refused" in str(caught.value)


def test_the_password_of_an_address_and_the_netrc_file_are_used(
    bucket, file, tmp_path, monkeypatch
):
    asked = []

    def noted(handler, has_body):
        asked.append(handler.headers["Authorization"])
        answer(handler, has_body)

    answer = bucket.answer
    monkeypatch.setattr(bucket, "answer", noted)
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password word\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    list(stream(file, 0, 10))
    list(stream(RemoteFile(file.url.replace("//", "//you:pass@")), 0, 10))
    assert asked == ["Basic bWU6d29yZA==", "Basic eW91OnBhc3M="]
