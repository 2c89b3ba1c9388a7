"""Unexpected errors and limited terminals: the user reads a sentence and never a traceback."""

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
import typer
from helpers.local_trackers import tracker_source
from helpers.made_runs import three_by_three, write
from helpers.tiny_recipes import RECIPE

from perceptinit import cli as cli_module
from perceptinit.cli import create_app, main
from perceptinit.components.plugin_manager import build_plugin_manager

ERRORS = [
    RuntimeError("boom\nand more lines"),
    KeyError("root"),
    MemoryError(),
    RecursionError("maximum recursion depth exceeded"),
    OSError(errno.EBADF, "Bad file descriptor"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
]


def verbs(group, path=()):
    """Yield every command as a tuple of words."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group) or hasattr(command, "commands"):
            yield from verbs(command, (*path, name))
        else:
            yield *path, name


def group():
    return typer.main.get_command(create_app(build_plugin_manager()))


VERBS = list(verbs(group()))


def invoke(capsys, monkeypatch, *arguments):
    """Run the command line in this process; returns exit code, standard output and standard error."""
    monkeypatch.setattr(sys, "argv", ["perceptinit", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code, *capsys.readouterr()


def check(code, text, error):
    """Check the sentence and the log file that it names; returns the text of the file."""
    assert code == 1
    assert "Traceback" not in text
    found = re.search(
        rf"unexpected {type(error).__name__}: .*\. The traceback is in (.*\.log)\. Please open an issue",
        text,
    )
    assert found, text
    log = Path(found[1])
    content = log.read_text()
    log.unlink()
    assert "Traceback (most recent call last)" in content
    assert "perceptinit" in content.splitlines()[0]
    return content


@pytest.mark.parametrize(
    ("verb", "error"),
    [*((verb, ERRORS[0]) for verb in VERBS), *((VERBS[0], error) for error in ERRORS[1:])],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else type(value).__name__,
)
def test_every_command_ends_with_a_sentence_for_any_error(capsys, monkeypatch, verb, error):
    def fail(*args, **kwargs):
        raise error

    command = group()
    leaf = command
    for word in verb:
        leaf = leaf.commands[word]
    leaf.callback, leaf.params = fail, []
    monkeypatch.setattr(cli_module, "create_app", lambda plugins: command)
    code, _, err = invoke(capsys, monkeypatch, *verb)
    check(code, err, error)


def test_the_traceback_is_printed_if_the_log_cannot_be_written(capsys, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    def fail(plugins):
        raise ValueError("boom")

    monkeypatch.setattr("tempfile.NamedTemporaryFile", full)
    monkeypatch.setattr(cli_module, "create_app", fail)
    code, _, text = invoke(capsys, monkeypatch, "list")
    assert code == 1
    assert text.startswith("error: unexpected ValueError: boom. Its traceback:\n")
    assert "Traceback (most recent call last)" in text


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_reported_without_a_traceback(capsys, monkeypatch, number):
    def fail(plugins):
        raise OSError(number, os.strerror(number), "sheet.png")

    monkeypatch.setattr(cli_module, "create_app", fail)
    code, _, text = invoke(capsys, monkeypatch, "list")
    assert code == 1
    assert text.startswith(f"error: sheet.png: cannot be written ({os.strerror(number)}). Free disk space")


def test_a_full_output_device_is_reported():
    code = "import sys; sys.argv = ['perceptinit', 'list']; from perceptinit.cli import main; main()"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "cannot be written (No space left on device)" in done.stderr


LOCAL = tracker_source(
    """
    if event.arm == "pi" and event.kind == "scores":
        raise TypeError("unsupported")
    """
)


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_an_unexpected_error_in_one_run_keeps_the_other_runs_and_their_table(
    capsys, monkeypatch, tmp_path, jobs
):
    (tmp_path / "local.py").write_text(LOCAL)
    (tmp_path / "tiny.toml").write_text(RECIPE.replace("seeds = [0, 1]", "seeds = [0]"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    code, out, err = invoke(capsys, monkeypatch, "run", "tiny.toml", "--jobs", jobs)
    assert 'raise TypeError("unsupported")' in check(code, err, TypeError())
    assert "2afc" in out  # the table of the finished runs
    record = json.loads((tmp_path / "runs/tiny/pi/seed0/record.json").read_text())
    assert record["error"] == "TypeError: unsupported"
    other = json.loads((tmp_path / "runs/tiny/random/seed0/record.json").read_text())
    assert other["status"] == "finished"


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_the_table_is_printed_in_any_encoding(cli_process, tmp_path, encoding):
    folder = write(tmp_path, three_by_three())
    done = cli_process("compare", folder, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert ("±" if encoding != "ascii" else "?") in done.stdout
