"""The cache of remote data and its client: size limit, least recent use, kills, flipped bits, lost connections."""

import multiprocessing
import signal
import time

import numpy as np
import pytest
from helpers.object_store import Fault, ObjectStore

from perceptinit.errors import AbsentError, RemoteError
from perceptinit.files import atomic
from perceptinit.files.cache import kept_files
from perceptinit.files.remote import copies, fetched, network, transfer
from perceptinit.files.remote.addresses import RemoteFile
from perceptinit.files.remote.copies import local_file
from perceptinit.files.remote.fetched import FetchedCache, Piece
from perceptinit.files.remote.read_ahead import ReadAhead, _Use as Use
from perceptinit.files.remote.store import match_files, read, stat
from perceptinit.files.remote.transfer import Part

pytestmark = pytest.mark.usefixtures("own_cache")

DATA = np.random.default_rng(0).bytes(100_000)


@pytest.fixture
def file(bucket, monkeypatch):
    monkeypatch.setattr(network, "_CHUNK_BYTES", 4096)
    monkeypatch.setattr(transfer, "NOTE_BYTES", 8192)
    bucket.put("/a.tar", DATA)
    return RemoteFile(f"{bucket.url}/a.tar")


def pieces_of(bucket, names):
    for name in names:
        bucket.put(f"/{name}.tar", name.encode() * 100)
    return [Piece.whole(RemoteFile(f"{bucket.url}/{name}.tar"), network.Stat(100, "")) for name in names]


def names_in(cache):
    return sorted(path.stem for path in cache.folder.rglob("*.tar"))


@pytest.fixture
def another_process(monkeypatch):
    """Return a function that clears the state of this process, like a new process."""

    def forget():
        monkeypatch.setattr(fetched, "_COMPARED", {})
        while copies._HELD:
            copies._HELD.popitem()[1].release()

    return forget


def use(cache, piece):
    """Fetch a piece if it is not cached, and release it; return whether it fits."""
    found = cache.hold(piece)
    if found:
        found[1].release()
    time.sleep(0.01)  # times of use differ
    return found is not None


def test_the_least_recently_used_piece_is_evicted(bucket, tmp_path):
    a, b, c, d = pieces_of(bucket, "abcd")
    cache = FetchedCache(300, tmp_path / "shards")
    assert all(use(cache, piece) for piece in (a, b, c, a, d))
    assert names_in(cache) == ["a", "c", "d"]


def test_held_pieces_are_not_evicted(bucket, tmp_path):
    a, b, c = pieces_of(bucket, "abc")
    ours, theirs = (FetchedCache(200, tmp_path / "shards") for _ in range(2))
    path, held = theirs.hold(a)
    assert use(ours, b)
    assert use(ours, c)
    assert names_in(ours) == ["a", "c"]
    assert ours.hold(c)
    _, also_held = ours.hold(c)
    assert not use(ours, b)
    assert names_in(ours) == ["a", "c"]
    assert path.read_bytes() == b"a" * 100
    held.release()
    assert use(ours, b)
    assert names_in(ours) == ["b", "c"]
    also_held.release()


def test_trim_evicts_the_least_recently_used_pieces(bucket, tmp_path):
    a, b, c, d = pieces_of(bucket, "abcd")
    larger = FetchedCache(400, tmp_path / "shards")
    assert all(use(larger, piece) for piece in (b, a, c, d))
    held = larger.hold(a)[1]
    FetchedCache(200, tmp_path / "shards").trim()
    assert names_in(larger) == ["a", "d"]
    FetchedCache(50, tmp_path / "shards").trim()
    assert names_in(larger) == ["a"]
    held.release()


def test_a_piece_with_a_flipped_bit_is_fetched_again(bucket, tmp_path, caplog, another_process):
    (a,) = pieces_of(bucket, "a")
    path, held = FetchedCache(150, tmp_path / "shards").hold(a)
    held.release()
    path.write_bytes(b"a" * 50 + b"b" + b"a" * 49)
    bucket.sent.clear()
    another_process()
    again, _ = FetchedCache(150, tmp_path / "shards").hold(a)
    assert again.read_bytes() == b"a" * 100
    assert bucket.sent["/a.tar"] == 100
    assert caplog.messages == [f"{path}: damaged, so it is fetched again"]


def test_an_intact_piece_is_not_fetched_again(bucket, tmp_path, another_process):
    (a,) = pieces_of(bucket, "a")
    FetchedCache(150, tmp_path / "shards").hold(a)[1].release()
    bucket.sent.clear()
    another_process()
    path, held = FetchedCache(150, tmp_path / "shards").hold(a)
    assert path.read_bytes() == b"a" * 100
    assert "/a.tar" not in bucket.sent
    held.release()


def test_pieces_that_are_planned_at_once_fit_the_cache(bucket, tmp_path):
    pieces = pieces_of(bucket, "abc")
    uses = [Use(piece, first=0, last=1) for piece in pieces]
    ahead = ReadAhead(
        FetchedCache(250, tmp_path / "shards"), 250, uses, lambda piece, path: path.read_bytes()
    )
    ahead.reached(0, 1)
    assert [ahead.get(piece) for piece in pieces] == [b"a" * 100, b"b" * 100, None]
    ahead.reached(2, 3)  # the first two are not needed again
    ahead.close()


@pytest.mark.parametrize("damage", [b"", b"{}", b"[3]", b'{"a.tar": 1}'])
def test_a_piece_with_a_damaged_seal_is_fetched_again(bucket, tmp_path, damage, another_process):
    (a,) = pieces_of(bucket, "a")
    path, held = FetchedCache(150, tmp_path / "shards").hold(a)
    held.release()
    (path.parent / "seal.json").write_bytes(damage)
    another_process()
    assert FetchedCache(150, tmp_path / "shards").hold(a)[0].read_bytes() == b"a" * 100


def test_a_copy_with_a_flipped_bit_is_fetched_again(bucket, another_process):
    bucket.put("/table.csv", b"a,b\n1,2\n")
    path = local_file(f"{bucket.url}/table.csv")
    path.write_bytes(b"a,b\n1,3\n")
    another_process()
    assert local_file(f"{bucket.url}/table.csv").read_bytes() == b"a,b\n1,2\n"


def test_clearing_the_cache_keeps_only_lock_files(bucket):
    (a,) = pieces_of(bucket, "a")
    cache = FetchedCache()
    assert use(cache, a)
    (kept,) = kept_files()
    assert (kept.title, kept.num_bytes) == ("remote shards", 126)  # with the seal
    kept.clear()
    assert [path.name for path in cache.folder.iterdir()] == ["locks"]
    assert kept_files() == []
    assert use(cache, a)


def hold_one(piece, folder):
    FetchedCache(10**6, folder).hold(piece)


def test_a_piece_is_resumed_after_a_kill(bucket, file, tmp_path):
    bucket.bytes_per_second = 20_000  # the rest takes 3 s, also on a busy machine
    piece = Piece.whole(file, network.Stat(len(DATA), ""))
    process = multiprocessing.get_context("fork").Process(target=hold_one, args=(piece, tmp_path / "shards"))
    process.start()
    part = tmp_path / "shards" / piece.key / ".a.tar.part"
    while process.is_alive() and (not part.exists() or part.stat().st_size < 40_000):
        time.sleep(0.005)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    # left by a kill during the write of the state file
    (part.parent / f"..a.tar.part.json.{process.pid}-{atomic._machine()}0123abcd.tmp").touch()
    bucket.sent.clear()
    bucket.bytes_per_second = 0
    path, _ = FetchedCache(10**6, tmp_path / "shards").hold(piece)
    assert path.read_bytes() == DATA
    assert bucket.sent["/a.tar"] <= len(DATA) - 30_000
    assert sorted(p.name for p in path.parent.iterdir()) == ["a.tar", "seal.json"]


def part_of(file, tmp_path, **options):
    return Part(tmp_path / "a.tar", file, **options)


def test_a_damaged_part_is_fetched_from_the_start(bucket, file, tmp_path):
    bucket.faults.append(Fault(keep=0.5, times=1))
    bucket.faults.append(Fault(status=403))
    with pytest.raises(RemoteError):
        part_of(file, tmp_path).fetch()
    damaged = tmp_path / ".a.tar.part"
    data = bytearray(damaged.read_bytes())
    data[777] ^= 1
    damaged.write_bytes(data)
    bucket.faults.clear()
    assert part_of(file, tmp_path).fetch().read_bytes() == DATA


def test_a_lost_connection_is_resumed_at_the_next_byte(bucket, file, tmp_path):
    bucket.faults.append(Fault(keep=0.5, times=3))
    assert part_of(file, tmp_path).fetch().read_bytes() == DATA
    assert bucket.sent["/a.tar"] == len(DATA)
    assert bucket.requests["/a.tar"] == 4


def test_attempts_with_progress_do_not_count_as_failures(bucket, file, tmp_path):
    bucket.faults.append(Fault(keep=0.3, times=20))  # more than ATTEMPTS
    assert part_of(file, tmp_path).fetch().read_bytes() == DATA


def test_only_the_requested_ranges_are_fetched(bucket, file, tmp_path):
    bucket.faults.append(Fault(keep=0.5, times=1))
    ranges = ((10, 20_000), (90_000, 100_000))
    data = part_of(file, tmp_path, ranges=ranges).fetch().read_bytes()
    assert data == bytes(10) + DATA[10:20_000] + bytes(70_000) + DATA[90_000:]
    assert bucket.sent["/a.tar"] == 29_990


def test_a_file_that_changes_during_the_fetch_is_not_mixed(bucket, file, tmp_path):
    now = stat(file)
    bucket.faults.append(Fault(keep=0.5, times=1))
    assert now == network.Stat(len(DATA), "v1")

    def replace(have, total):
        if 0 < have < 5000:
            bucket.put("/a.tar", DATA[::-1])

    with pytest.raises(RemoteError, match=r"a\.tar: has changed \("):
        part_of(file, tmp_path, wanted=now, report=replace).fetch()
    assert part_of(file, tmp_path).fetch().read_bytes() == DATA[::-1]


@pytest.mark.parametrize(
    ("fault", "error", "sentence"),
    [
        (Fault(status=404), AbsentError, "a.tar: no such file"),
        (Fault(status=403), RemoteError, r"a.tar: access denied \(HTTP 403 Forbidden\)"),
        (
            Fault(status=503),
            RemoteError,
            r"a\.tar: failed after 6 attempts \(HTTP 503 Service Unavailable\)\. Rerun the command",
        ),
        (
            Fault(keep=0.0),
            RemoteError,
            r"a\.tar: failed after \d+ attempts \(the connection ended after 0 of 10 bytes\)",
        ),
    ],
)
def test_a_persistent_error_is_raised_with_its_reason(bucket, file, fault, error, sentence):
    bucket.faults.append(fault)
    with pytest.raises(error, match=sentence):
        read(file, 0, 10)


def test_a_server_without_ranges_supports_whole_files_only(bucket, file, tmp_path):
    bucket.knows_ranges = False
    assert read(file, 0, len(DATA)) == DATA
    bucket.faults.append(Fault(keep=0.5, times=1))
    assert part_of(file, tmp_path).fetch().read_bytes() == DATA
    for start, stop in ((0, 10), (10, len(DATA))):
        with pytest.raises(RemoteError, match="the server sends the entire file, not the requested range"):
            read(file, start, stop)


def test_an_empty_range_sends_no_request(bucket, file):
    assert read(file, 7, 7) == b""
    assert not bucket.requests


def test_an_unreachable_server_is_reported_without_the_signature(own_cache):
    with ObjectStore() as gone:
        url = f"{gone.url}/a.tar?X-Amz-Signature=secret"
    with pytest.raises(RemoteError, match=r"a\.tar.* failed after 6 attempts \(.*refused\)") as caught:
        read(RemoteFile(url), 0, 10)
    assert "secret" not in str(caught.value)


def test_a_glob_on_the_web_matches_the_links_of_the_folder_page(bucket):
    links = ("0.tar", "/set/1.tar", "notes.txt", "../2.tar", "https://elsewhere/3.tar")
    bucket.put("/set/", "".join(f'<a href="{link}">' for link in links).encode())
    found = match_files(RemoteFile(f"{bucket.url}/set/*.tar"))
    assert [file.url for file in found] == [f"{bucket.url}/set/{i}.tar" for i in (0, 1)]


@pytest.fixture
def authorizations(bucket, monkeypatch):
    """Return the Authorization headers that a bucket receives, in order."""
    seen = []
    answer = bucket.answer

    def note(handler, has_body):
        seen.append(handler.headers["Authorization"])
        answer(handler, has_body)

    monkeypatch.setattr(bucket, "answer", note)
    return seen


def test_the_password_of_an_address_and_the_netrc_file_are_used(file, authorizations, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password word\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    read(file, 0, 10)
    read(RemoteFile(file.url.replace("//", "//you:pass@")), 0, 10)
    assert authorizations == ["Basic bWU6d29yZA==", "Basic eW91OnBhc3M="]


def test_a_token_is_not_sent_to_redirect_targets(file, authorizations):
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    first = []

    class Redirect(BaseHTTPRequestHandler):
        def do_GET(self):
            first.append(self.headers["Authorization"])
            self.send_response(302)
            self.send_header("Location", file.url)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Redirect) as server:
        Thread(target=server.handle_request, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/a"
        assert read(RemoteFile(url, token="secret"), 0, 10) == DATA[:10]
    assert (first, authorizations) == (["Bearer secret"], [None])
    assert "secret" not in repr(RemoteFile(url, token="secret"))
