"""Invalid paths on the command line give one sentence and exit code 2."""

import errno
import os
import sys

import pytest

from perceptinit.errors import PerceptInitError, UsageError

LONG = {"a name of 300": "n" * 300, "a path of 5,000": "p/" * 2500 + "x"}


@pytest.mark.parametrize("place", LONG.values(), ids=LONG.keys())
@pytest.mark.parametrize(
    "words",
    [
        ("validate", "PLACE"),
        ("run", "RECIPE", "--smoke", "--out", "PLACE"),
        ("status", "PLACE"),
        ("compare", "PLACE"),
        ("report", "PLACE"),
        ("export", "PLACE", "timm", "--out", "x"),
        ("export", "x", "timm", "--out", "PLACE"),
        ("eval", "PLACE", "--on", "a,root=b"),
        ("data", "check", "PLACE"),
        ("data", "download", "materials", "--yes", "--out", "PLACE"),
    ],
    ids=" ".join,
)
def test_a_path_that_is_too_long_is_reported(verbs, tmp_path, monkeypatch, recipes_folder, words, place):
    monkeypatch.chdir(tmp_path)
    given = {"PLACE": place, "RECIPE": str(recipes_folder / "quickstart.toml")}
    with pytest.raises(UsageError, match="File name too long") as error:
        verbs(*(given.get(word, word) for word in words))
    assert len(str(error.value)) < 600
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [("export", "x", "timm", "--out", "FILE"), ("data", "download", "materials", "--yes", "--out", "FILE"),
     ("status", "FILE"), ("compare", "FILE")],
    ids=" ".join,
)  # fmt: skip
def test_a_file_where_a_folder_is_expected_is_reported(verbs, tmp_path, words):
    file = tmp_path / "a-file"
    file.write_text("x")
    with pytest.raises(UsageError, match="a-file: "):
        verbs(*(str(file) if word == "FILE" else word for word in words))
    assert file.read_text() == "x"


@pytest.mark.parametrize("words", [("list",), ("--help",), ("show", "judgments", "table")])
def test_a_full_standard_output_is_reported(verbs, monkeypatch, words):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(
            PerceptInitError, match=r"the output cannot be written \(No space left on device\)"
        ):
            verbs(*words)


def test_a_read_only_disk_is_reported(cli, tmp_path, monkeypatch):
    def write(name, kind, parent):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "acme-texture/README.md")

    monkeypatch.setattr("perceptinit.components.scaffold.new_plugin", write)
    done = cli("new", "plugin", "initializer", "acme-texture")
    assert (done.returncode, done.stderr) == (2, "error: acme-texture/README.md: Read-only file system\n")
