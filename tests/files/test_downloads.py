"""Downloads from an unreliable server: a corrupt file never has the final name."""

import hashlib
import io
import tarfile
import threading
import zipfile
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from perceptinit.errors import DataError, UsageError
from perceptinit.files.archives import unpack
from perceptinit.files.downloads import Download, check_space, fetch_all

CONTENT = bytes(range(256)) * 4000  # 1 MB
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def zipped(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


class Server:
    """Serves files by path with the faults in `behaviour`, and records the requests."""

    def __init__(self):
        self.files = {"/good.bin": CONTENT}
        self.behaviour = {}
        self.requests = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"  # the connection closes at the end of a response

            def log_message(self, *arguments):
                pass

            def do_GET(self):
                server.answer(self)

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        # tests also disconnect
        self._http.handle_error = lambda request, address: None
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def close(self):
        self._http.shutdown()
        self._http.server_close()

    def answer(self, handler):
        how = self.behaviour.get(handler.path, {})
        range_ = handler.headers.get("Range")
        self.requests.append((handler.path, range_))
        count = sum(path == handler.path for path, _ in self.requests)
        if count <= how.get("fail_first", 0):
            handler.send_error(how.get("status", 503))
            return
        if "location" in how:
            handler.send_response(302)
            handler.send_header("Location", how["location"])
            handler.send_header("Content-Length", str(10**12))
            handler.end_headers()
            return
        if handler.path not in self.files:
            handler.send_error(404)
            return
        data = how.get("bytes", {}).get(count, self.files[handler.path])
        start, stop, total = 0, len(data), len(data)
        etag = how.get("etags", {}).get(count, '"v1"')
        is_current = handler.headers.get("If-Range", etag) == etag
        if range_ and is_current and not how.get("no_ranges"):
            first, _, last = range_.removeprefix("bytes=").partition("-")
            start, stop = int(first), int(last) + 1 if last else total
            if start >= total:
                handler.send_error(416)
                return
            handler.send_response(206)
            at = how.get("resumes_at", start)
            handler.send_header("Content-Range", f"bytes {at}-{stop - 1}/{total}")
        else:
            handler.send_response(200)
        if not how.get("no_length"):
            handler.send_header("Content-Length", str(stop - start))
        if not how.get("no_etag"):
            handler.send_header("ETag", etag)
        handler.end_headers()
        body = data[start:stop]
        if count <= how.get("drop_first", 0):
            body = body[: how.get("drop_after", 300_000)]
        for _ in range(how.get("times", 1)):
            handler.wfile.write(body)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr("perceptinit.files.remote.store.BACKOFF_SECONDS", 0.0)
    made = Server()
    yield made
    made.close()


def get(server, folder, path="/good.bin", **options):
    options.setdefault("urls", (server.url + path,))
    download = Download(path="file.bin", **options)
    return fetch_all([download], folder)


def left_over(folder):
    return sorted(p.name for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))


def test_a_downloaded_file_is_recorded_with_its_checksum(server, tmp_path):
    assert get(server, tmp_path, sha256=SHA256) == ["file.bin"]
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert SHA256 in (tmp_path / "downloads.json").read_text()
    assert not list(tmp_path.glob(".file*"))


def test_a_finished_download_is_not_repeated(server, tmp_path):
    get(server, tmp_path)
    assert get(server, tmp_path) == []
    assert len(server.requests) == 1


def test_a_dropped_connection_is_resumed_at_its_last_byte(server, tmp_path):
    server.behaviour["/good.bin"] = {"drop_first": 3}
    get(server, tmp_path, sha256=SHA256)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    ranges = [r for _, r in server.requests]
    assert ranges == [None, "bytes=300000-", "bytes=600000-", "bytes=900000-"]


def test_a_later_call_resumes_a_failed_download(server, tmp_path):
    server.behaviour["/good.bin"] = {"drop_first": 6, "drop_after": 0}
    with pytest.raises(DataError, match="the connection ended after 0 of 1,024,000 bytes"):
        get(server, tmp_path)
    assert left_over(tmp_path) == []
    server.behaviour["/good.bin"] = {"drop_first": 7, "drop_after": 300_000}
    server.requests[:] = [("/good.bin", None)] * 6
    get(server, tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_without_range_support_the_download_restarts(server, tmp_path):
    server.behaviour["/good.bin"] = {"drop_first": 2, "no_ranges": True}
    get(server, tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert len(server.requests) == 3


def test_a_server_that_always_disconnects_leaves_no_file(server, tmp_path):
    server.behaviour["/good.bin"] = {"drop_first": 99, "no_ranges": True}
    with pytest.raises(DataError, match="the connection ended after 300,000 of 1,024,000 bytes"):
        get(server, tmp_path)
    assert left_over(tmp_path) == []


def test_content_with_a_wrong_checksum_is_deleted(server, tmp_path):
    server.files["/good.bin"] = b"x" * len(CONTENT)
    with pytest.raises(DataError, match=r"wrong content: sha256 .* published"):
        get(server, tmp_path, sha256=SHA256)
    assert left_over(tmp_path) == []
    assert not list(tmp_path.glob(".file*"))


def test_versions_of_a_file_that_changed_between_attempts_are_not_mixed(server, tmp_path):
    new = b"n" * len(CONTENT)
    server.behaviour["/good.bin"] = {
        "drop_first": 1,
        "bytes": {2: new},
        "etags": {1: '"v1"', 2: '"v2"'},
    }
    get(server, tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == new


def test_a_wrong_checksum_after_resuming_restarts_the_download(server, tmp_path):
    # the server states the same version, although the bytes differ
    server.behaviour["/good.bin"] = {"drop_first": 1, "bytes": {2: b"n" * len(CONTENT)}}
    get(server, tmp_path, sha256=SHA256)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert [r for _, r in server.requests] == [None, "bytes=300000-", None]


def test_without_a_validator_an_interrupted_download_restarts(server, tmp_path):
    server.behaviour["/good.bin"] = {"drop_first": 1, "no_etag": True}
    get(server, tmp_path)
    assert [r for _, r in server.requests] == [None, None]
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_response_of_unknown_length_requires_a_checksum(server, tmp_path):
    server.behaviour["/good.bin"] = {"no_length": True}
    with pytest.raises(DataError, match="does not state the size"):
        get(server, tmp_path)
    assert left_over(tmp_path) == []
    get(server, tmp_path, sha256=SHA256)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_size_that_differs_from_the_published_size_is_refused(server, tmp_path):
    with pytest.raises(DataError, match="received 1,024,000 bytes, but the published size is 1,024,001"):
        get(server, tmp_path, num_bytes=len(CONTENT) + 1)
    assert left_over(tmp_path) == []


def test_mirrors_are_tried_in_order_and_each_failure_is_reported(server, tmp_path):
    server.files["/bad.bin"] = b"bad"
    urls = tuple(f"{server.url}/{name}" for name in ("absent.bin", "bad.bin", "good.bin"))
    get(server, tmp_path, urls=urls, sha256=SHA256)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    with pytest.raises(DataError) as caught:
        get(server, tmp_path / "b", urls=urls[:2], sha256=SHA256)
    assert "absent.bin: no such file" in str(caught.value)
    assert "bad.bin: wrong content" in str(caught.value)


def test_a_busy_server_is_retried_and_an_unreachable_server_is_reported(server, tmp_path):
    server.behaviour["/good.bin"] = {"fail_first": 3, "status": 503}
    get(server, tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    with pytest.raises(DataError, match="refused"):
        get(server, tmp_path / "b", urls=("http://127.0.0.1:9/x.bin",))


def test_one_file_that_fails_does_not_stop_the_others(server, tmp_path):
    names = ("absent", "good")
    files = [Download(urls=(f"{server.url}/{n}.bin",), path=n) for n in names]
    with pytest.raises(DataError, match=r"1 of 2 files could not be fetched\. Rerun to retry only these"):
        fetch_all(files, tmp_path)
    assert left_over(tmp_path) == ["downloads.json", "good"]


def test_a_server_that_resumes_at_the_wrong_byte_fails(server, tmp_path):
    server.behaviour["/good.bin"] = {"drop_first": 10**9, "resumes_at": 7}
    with pytest.raises(DataError, match="the server did not resume at the requested byte"):
        get(server, tmp_path)
    assert len(server.requests) < 20
    assert left_over(tmp_path) == []


def test_a_server_that_sends_a_few_bytes_at_a_time_fails_after_the_total_attempts(
    server, tmp_path, monkeypatch
):
    monkeypatch.setattr("perceptinit.files.remote.store.ATTEMPTS_IN_ALL", 12)
    server.behaviour["/good.bin"] = {"drop_first": 10**9, "drop_after": 10}
    with pytest.raises(DataError, match="failed after 12 attempts"):
        get(server, tmp_path)
    assert len(server.requests) == 12


@pytest.mark.parametrize("says_its_length", [True, False])
def test_a_download_stops_at_the_published_size(server, tmp_path, says_its_length):
    server.behaviour["/good.bin"] = {"no_length": not says_its_length, "times": 400}
    how_much = []

    def progress(name, have, total):
        how_much.append(have)

    download = Download(urls=(server.url + "/good.bin",), path="file.bin", num_bytes=5000)
    with pytest.raises(DataError, match=r"bytes exceed the expected 5,000"):
        fetch_all([download], tmp_path, progress=progress)
    assert max(how_much, default=0) <= 5000
    assert left_over(tmp_path) == []
    assert not list(tmp_path.glob(".file*"))


def test_the_body_of_a_redirect_is_not_read(server, tmp_path):
    server.behaviour["/moved.bin"] = {"location": server.url + "/good.bin"}
    get(server, tmp_path, "/moved.bin", sha256=SHA256)  # reading it would take 1 TB of memory
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_server_below_the_minimum_speed_is_a_failed_attempt(server, tmp_path, monkeypatch):
    monkeypatch.setattr("perceptinit.files.remote.network.TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr("perceptinit.files.remote.network.SLOWEST_BYTES_PER_SECOND", 1 << 40)
    monkeypatch.setattr("perceptinit.files.remote.store.ATTEMPTS", 1)
    clock = iter(range(10**6))
    monkeypatch.setattr("perceptinit.files.remote.network.time.monotonic", lambda: float(next(clock)))
    with pytest.raises(DataError, match=r"too slow .* bytes in 1 s"):
        get(server, tmp_path)


def test_a_disk_that_is_nearly_full_is_not_filled(server, tmp_path, monkeypatch):
    monkeypatch.setattr("perceptinit.files.archives.SPARE_BYTES", 1 << 62)
    with pytest.raises(DataError, match="would remain on the disk"):
        get(server, tmp_path)
    assert len(server.requests) == 1


def test_an_archive_that_exceeds_its_unpacked_size_is_refused(server, tmp_path, monkeypatch):
    monkeypatch.setattr("perceptinit.files.downloads.SMALL_BYTES", 0)
    server.files["/good.bin"] = zipped({"zeros": bytes(10_000_000)})
    with pytest.raises(DataError, match="unpacks to more than 2,000 bytes"):
        get(server, tmp_path, unpack=True, unpacked_bytes=1000)
    most = 20 * len(server.files["/good.bin"])
    with pytest.raises(DataError, match=f"unpacks to more than {most:,} bytes"):
        get(server, tmp_path, unpack=True)
    assert left_over(tmp_path) == []
    get(server, tmp_path, unpack=True, unpacked_bytes=5_000_000)


@pytest.mark.parametrize(
    "state", ["[]", "3", "{}", '{"url": 3}', '{"url": "URL", "validator": ["x"]}',
              '{"url": "URL", "validator": "a\\r\\nX: y"}', "[" * 100_000]
)  # fmt: skip
def test_an_invalid_state_file_restarts_the_download(server, tmp_path, state):
    (tmp_path / ".file.bin.part").write_bytes(b"half")
    (tmp_path / ".file.bin.part.json").write_text(state.replace("URL", server.url + "/good.bin"))
    get(server, tmp_path, sha256=SHA256)
    assert [r for _, r in server.requests] == [None]


@pytest.mark.parametrize(
    "record", ["[]", "3", "{", '{"file.bin": 3}', '{"file.bin": {}}', "[" * 100_000, "\0",
               '{"file.bin": {"sha256": "x", "num_bytes": 1, "some_files": [3]}}']
)  # fmt: skip
def test_an_invalid_downloads_json_is_reported(server, tmp_path, record):
    (tmp_path / "downloads.json").write_text(record)
    with pytest.raises(DataError, match=r"downloads\.json: not a record of downloads"):
        get(server, tmp_path)


def test_a_folder_where_a_file_is_expected_is_reported(server, tmp_path):
    (tmp_path / "a/downloads.json").mkdir(parents=True)
    with pytest.raises(DataError, match=r"downloads\.json: .*a folder, not a file"):
        get(server, tmp_path / "a")
    (tmp_path / "b/file.bin").mkdir(parents=True)
    with pytest.raises(DataError, match=r"file\.bin: cannot be written"):
        get(server, tmp_path / "b")


def test_an_archive_is_unpacked_without_its_root_and_removed(server, tmp_path):
    server.files["/good.bin"] = zipped({"set-1.0/data/a/x.txt": "x", "set-1.0/README": "r"})
    get(server, tmp_path, unpack=True, root="set-1.0/data", into="images")
    assert (tmp_path / "images/a/x.txt").read_text() == "x"
    assert left_over(tmp_path) == ["downloads.json", "x.txt"]
    assert get(server, tmp_path, unpack=True, into="images") == []
    (tmp_path / "images/a/x.txt").unlink()
    assert get(server, tmp_path, unpack=True, into="images") == ["file.bin"]


def test_a_damaged_archive_is_deleted_and_downloaded_again(server, tmp_path):
    good = zipped({"a.txt": b"a" * 5000, "b.txt": bytes(range(256)) * 20})
    at = good.index(b"b.txt") + 30
    server.files["/good.bin"] = good[:at] + b"\xff\xff\xff" + good[at + 3 :]
    with pytest.raises(DataError, match="damaged archive"):
        get(server, tmp_path, unpack=True)
    assert left_over(tmp_path) == []
    server.files["/good.bin"] = good
    get(server, tmp_path, unpack=True)
    assert left_over(tmp_path) == ["a.txt", "b.txt", "downloads.json"]


def tar_with(path, name, *, link=None):
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo(name)
        if link:
            member.type, member.linkname = tarfile.SYMTYPE, link
            archive.addfile(member)
        else:
            member.size = 1
            archive.addfile(member, io.BytesIO(b"x"))


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt", "a/../../evil.txt", "C:\\evil.txt"])
def test_archive_members_outside_the_folder_are_refused(tmp_path, name):
    folder = tmp_path / "inside"
    tar_with(tmp_path / "set.tar.gz", name)
    (tmp_path / "set.zip").write_bytes(zipped({"good.txt": "g", name: "x"}))
    for archive in ("set.tar.gz", "set.zip"):
        with pytest.raises(DataError, match="has a path that is invalid or outside the folder"):
            unpack(tmp_path / archive, folder)
    assert left_over(tmp_path) == ["set.tar.gz", "set.zip"]


def encrypted(data):
    """Return a zip whose flags mark the first member as encrypted."""
    at = data.index(b"PK\1\2")
    return data[:6] + b"\1\0" + data[8 : at + 8] + b"\1\0" + data[at + 10 :]


def test_an_encrypted_member_is_refused(tmp_path):
    (tmp_path / "set.zip").write_bytes(encrypted(zipped({"a.txt": "a"})))
    with pytest.raises(DataError, match=r"set\.zip: refused, because member 'a\.txt' is encrypted"):
        unpack(tmp_path / "set.zip", tmp_path / "inside")


@pytest.mark.parametrize("method", ["ZIP_DEFLATED", "ZIP_BZIP2", "ZIP_LZMA"])
def test_damage_is_reported_for_each_compression_method(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "set.zip", "w", getattr(zipfile, method)) as archive:
        archive.writestr("a.txt", bytes(range(256)) * 400)
    data = bytearray((tmp_path / "set.zip").read_bytes())
    data[45:60] = bytes(15)
    (tmp_path / "set.zip").write_bytes(data)
    with pytest.raises(DataError, match=r"set\.zip: damaged archive"):
        unpack(tmp_path / "set.zip", tmp_path / "inside")
    assert list((tmp_path / "inside").iterdir()) == []


def test_a_zip_member_name_with_a_null_byte_is_refused(tmp_path):
    data = zipped({"a.txt_evil": "a"}).replace(b"a.txt_evil", b"a.txt\0evil")
    (tmp_path / "set.zip").write_bytes(data)
    with pytest.raises(DataError, match="has a name with a null byte"):
        unpack(tmp_path / "set.zip", tmp_path / "inside")


@pytest.mark.parametrize("name", ["n" * 300, "d/" * 2500 + "x"])
def test_an_archive_member_with_a_name_that_is_too_long_is_refused(tmp_path, name):
    (tmp_path / "set.zip").write_bytes(zipped({"good.txt": "g", name: "x"}))
    with pytest.raises(DataError, match=r"cannot be written \(File name too long\)") as caught:
        unpack(tmp_path / "set.zip", tmp_path / "inside")
    assert len(str(caught.value)) < 1000
    assert list((tmp_path / "inside").iterdir()) == []


def test_a_folder_that_conflicts_with_a_member_is_reported_before_files_move(tmp_path):
    (tmp_path / "set.zip").write_bytes(zipped({"a.txt": "a", "b.txt": "b"}))
    (tmp_path / "inside/b.txt").mkdir(parents=True)
    with pytest.raises(DataError, match=r"member 'b\.txt' conflicts with .*b\.txt"):
        unpack(tmp_path / "set.zip", tmp_path / "inside")
    assert [p.name for p in (tmp_path / "inside").iterdir()] == ["b.txt"]


def test_a_link_in_an_archive_is_refused(tmp_path):
    tar_with(tmp_path / "set.tar.gz", "link", link="/etc/passwd")
    with pytest.raises(DataError, match="member 'link' is not a regular file"):
        unpack(tmp_path / "set.tar.gz", tmp_path / "inside")


def test_one_member_of_a_remote_archive_is_read_by_ranges(server, tmp_path):
    import random

    noise = random.Random(0).randbytes(6_000_000)
    server.files["/good.bin"] = zipped({"set/noise.bin": noise, "set/data.csv": "id,split\n1,train\n"})
    get(server, tmp_path, member="data.csv")
    assert (tmp_path / "file.bin").read_text() == "id,split\n1,train\n"
    asked = [r.removeprefix("bytes=").split("-") for _, r in server.requests]
    assert sum(int(last) - int(first) + 1 for first, last in asked) < 3_000_000
    server.behaviour["/good.bin"] = {"no_ranges": True}
    with pytest.raises(DataError, match="the server sends the entire file, not the requested range"):
        get(server, tmp_path / "b", member="data.csv")
    assert left_over(tmp_path / "b") == []


def test_missing_disk_space_is_reported_before_the_download(tmp_path):
    huge = Download(urls=("http://127.0.0.1:9/x",), path="x", num_bytes=10**18)
    with pytest.raises(UsageError, match=r"1,000,000,000\.0 GB are needed and .* GB are free"):
        check_space([huge], tmp_path)


def test_two_downloads_into_one_folder_are_refused(server, tmp_path):
    from filelock import FileLock

    with (
        FileLock(tmp_path / ".downloads.lock"),
        pytest.raises(UsageError, match="another download"),
    ):
        get(server, tmp_path)


def test_nights_is_downloaded_as_a_table_and_200_archives():
    from perceptinit.judgments.published.nights import nights_downloads

    files = [d for d in nights_downloads() if "data" in d.parts]
    assert files[0].path == "data.csv"
    assert files[0].member == "data.csv"
    assert len(files) == 1 + 200
    assert files[1].urls == ("https://data.csail.mit.edu/nights/nights_chunked/ref/000.zip",)
    assert files[1].into == "ref"


def test_data_download_prints_the_license_and_the_next_command(server, tmp_path, cli, monkeypatch):
    plugin = tmp_path / "lab_sets.py"
    plugin.write_text(
        "from perceptinit import Component, hookimpl\n"
        "from perceptinit.types import DataCard\n"
        "from perceptinit.files.downloads import Download\n"
        "class Lab:\n"
        "    name = 'lab/set'\n"
        "    card = DataCard(title='A set', source_url='u', license='CC0', citation='c',\n"
        f"                    sha256={{'file.bin': '{SHA256}'}})\n"
        f"    downloads = (Download(urls=('{server.url}/good.bin',), path='file.bin'),)\n"
        "@hookimpl\n"
        "def perceptinit_judgments():\n"
        "    return [Component(name='lab/set', target=Lab, summary='a set of a lab')]\n"
    )
    info = tmp_path / "lab_sets-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-sets\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[perceptinit]\nlab = lab_sets\n")
    monkeypatch.syspath_prepend(tmp_path)
    download = partial(cli, "data", "download", "lab/set", "--yes", PERCEPTINIT_PLUGINS="lab")
    done = download("--out", "here")
    assert done.returncode == 0, done.stderr
    assert "CC0" in done.stdout
    assert "lab/set: downloaded to here" in done.stdout
    assert (tmp_path / "here/file.bin").read_bytes() == CONTENT
    server.files["/good.bin"] = b"other"
    done = download("--out", "there")
    assert done.returncode == 1
    assert "not the published file" in done.stderr
    assert not (tmp_path / "there/file.bin").exists()
