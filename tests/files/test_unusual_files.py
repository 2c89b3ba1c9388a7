"""Unusual files: a pipe, device or folder where a file is expected is an error and never blocks."""

import json
import os
import signal

import pytest
from helpers.made_runs import three_by_three, write

from perceptinit import build
from perceptinit.errors import DataError, shown
from perceptinit.files.reading import open_regular, read_json, require_file
from perceptinit.images.decoding import decode, load_square
from perceptinit.results.record import read_record
from perceptinit.results.runs import load_runs
from perceptinit.types import Fit


@pytest.fixture(autouse=True)
def patience():
    """Fail a test that blocks on a pipe."""

    def out_of_patience(signum, frame):
        raise AssertionError("still waiting after 10 s")

    signal.signal(signal.SIGALRM, out_of_patience)
    signal.alarm(10)
    yield
    signal.alarm(0)


@pytest.fixture(params=["pipe", "device", "folder"])
def no_file(request, tmp_path):
    """Return the path of a pipe, device or folder."""
    path = tmp_path / "odd.png"
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    return path


def test_a_regular_file_is_opened(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    with open_regular(tmp_path / "a") as file:
        assert file.read() == b"x"


def test_a_pipe_device_or_folder_is_refused(no_file):
    with pytest.raises(OSError, match=r"not a (regular )?file"):
        open_regular(no_file)
    with pytest.raises(DataError, match=r"odd\.png: .*not a (regular )?file"):
        require_file(no_file)


@pytest.mark.parametrize("name", ["n" * 300, "p/" * 2500 + "x", "a\0b"])
def test_an_invalid_file_name_is_refused_with_a_short_message(tmp_path, name):
    with pytest.raises(DataError, match=r"name") as caught:
        require_file(tmp_path / name)
    assert len(str(caught.value)) < 600


def test_an_image_that_is_not_a_regular_file_is_reported(no_file):
    for read in (decode, lambda path, key: load_square(path, key, 8, Fit())):
        with pytest.raises(DataError, match=r"odd: cannot be read .*not a (regular )?file"):
            read(no_file, "odd")


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".tar", ".npy", ".mat"])
def test_a_table_or_shard_that_is_not_a_regular_file_is_reported(no_file, suffix):
    path = no_file.rename(no_file.with_suffix(suffix))
    folder = str(path.parent)
    tables = {
        ".csv": ("judgments", {"use": "table", "path": str(path)}),
        ".parquet": ("pairs", {"use": "parquet", "files": str(path)}),
        ".tar": ("pairs", {"use": "webdataset", "shards": str(path)}),
    }
    matrix = {"use": "rdm", "path": str(path), "kind": "similarity", "images": folder}
    kind, table = tables.get(suffix, ("judgments", matrix))
    (problem,) = build(kind, table).preflight()
    assert f"odd{suffix}: " in problem
    assert "file" in problem


@pytest.mark.parametrize(
    ("text", "what"),
    [("[]", "an array"), ("3", "got 3"), ("null", "null"), ("{", "Expecting"), ("[" * 10**5, "too deeply"),
     ("\udcff", "utf-8"), ("9" * 5000, "digits")],
)  # fmt: skip
def test_invalid_json_is_reported_with_the_reason(tmp_path, text, what):
    path = tmp_path / "a.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=rf"a\.json: not counts .*{what}"):
        read_json(path, dict, "counts")


def test_json_larger_than_the_maximum_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("perceptinit.files.reading.MAX_JSON_BYTES", 1 << 20)
    path = tmp_path / "a.json"
    path.write_text("{}".ljust(1 << 20))
    assert read_json(path, dict, "counts") == {}
    path.write_text("{}".ljust((1 << 20) + 1))
    with pytest.raises(DataError, match=r"a\.json: not counts \(larger than 1 MB\)"):
        read_json(path, dict, "counts")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"status": "x"}, "status: should be 'running', .*got 'x'"),
        ({"scores": {}}, "scores: expected an array, got a table"),
        ({"scores": [{"name": "top1"}]}, r"scores\[0\]\.stage: required, but not given"),
        ({"seed": True}, "seed: expected an integer, got True"),
        ({"arm": {"name": "pi"}}, r"arm\.summary: required, but not given"),
        ({"recipe": []}, "recipe: expected a table, got an array"),
    ],
)
def test_an_invalid_record_is_reported_and_the_other_runs_are_compared(tmp_path, change, what):
    folder = write(tmp_path, three_by_three())
    odd = folder / "pi/seed1/record.json"
    odd.write_text(json.dumps(json.loads(odd.read_text()) | change))
    with pytest.raises(DataError, match=rf"record\.json: not a record \({what}"):
        read_record(odd)
    runs = load_runs([folder])
    assert [run.title for run in runs.runs if run.state == "unreadable"] == ["pi, seed 1"]
    assert len(runs.finished) == 8


def test_a_folder_where_a_record_is_expected_is_reported(tmp_path):
    folder = write(tmp_path, three_by_three())
    (folder / "pi/seed1/record.json").unlink()
    (folder / "pi/seed1/record.json").mkdir()
    (run,) = [run for run in load_runs([folder]).runs if run.state == "unreadable"]
    assert run.reason.endswith("record.json: not a record (a folder, not a file)")


def test_a_long_value_is_shortened_to_its_ends_and_length():
    assert shown("short") == "short"
    assert shown("a" * 500 + "b" * 500, 20) == "aaaaaaaaaa... (1,000 characters) ...bbbbbbbbbb"
