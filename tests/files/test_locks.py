"""File systems without locks, and disks that are full outside of checkpoints."""

import errno
import fcntl
import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.photographs import photographs
from helpers.runs_here import run_recipe_here

from perceptinit.errors import WriteError
from perceptinit.files.atomic import file_lock, remove_abandoned
from perceptinit.files.cache import Cache
from perceptinit.files.downloads import fetch_all
from perceptinit.images.store import ImageStore, StoreUnusableError
from perceptinit.results.locks import HOLDER_FILE, is_locked, lock
from perceptinit.types import RunContext


@pytest.fixture(params=[errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def without_locks(monkeypatch, request):
    def refuse(descriptor, operation):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refuse)
    return os.strerror(request.param)


def test_a_file_system_without_locks_is_reported_without_waiting(without_locks, tmp_path):
    with pytest.raises(WriteError) as error, lock(tmp_path / "run"):
        pass
    path = tmp_path / "run/.run.lock"
    assert str(error.value).startswith(
        f"{path}: cannot be written (locking failed: {without_locks}; flock works on NFS 4"
    )
    with pytest.raises(WriteError, match="locking failed"):
        run_recipe_here(tmp_path / "runs")
    with pytest.raises(WriteError, match="locking failed"), Cache(tmp_path / "cache").locked("key"):
        pass
    with pytest.raises(WriteError, match="locking failed"):
        fetch_all([], tmp_path / "data")


def test_an_image_store_without_locks_cannot_be_used(without_locks, tmp_path):
    stimuli = photographs(tmp_path / "photographs")
    with pytest.raises(StoreUnusableError, match="locking failed"):
        ImageStore(tmp_path / "store", 4, RunContext()).open(stimuli, np.arange(len(stimuli)))


def test_without_locks_the_holder_file_decides_whether_a_run_is_locked(without_locks, tmp_path):
    (tmp_path / ".run.lock").touch()
    assert not is_locked(tmp_path)
    (tmp_path / HOLDER_FILE).write_text('{"host": "there", "pid": 7}')
    assert is_locked(tmp_path)


def test_a_lock_that_another_process_holds_is_not_granted(tmp_path):
    with file_lock(tmp_path / "one", timeout=0) as is_mine:
        assert is_mine
        queue = multiprocessing.get_context("fork").SimpleQueue()

        def look():
            with file_lock(tmp_path / "one", timeout=0) as is_theirs:
                queue.put(is_theirs)

        process = multiprocessing.get_context("fork").Process(target=look)
        process.start()
        process.join()
        assert queue.get() is False


def test_a_run_continues_if_the_holder_file_cannot_be_written(tmp_path):
    (tmp_path / HOLDER_FILE).symlink_to("/dev/full")
    with lock(tmp_path) as is_mine:
        assert is_mine


def test_a_full_disk_for_events_is_reported_with_the_file(tmp_path):
    events = tmp_path / "tiny/pi/seed0/events.jsonl"
    events.parent.mkdir(parents=True)
    events.symlink_to("/dev/full")
    with pytest.raises(WriteError) as error:
        run_recipe_here(tmp_path)
    assert str(error.value) == (
        f"{events}: cannot be written (No space left on device). Free disk space or choose another path, then "
        "rerun the command"
    )


@pytest.mark.parametrize("name", ["record.json", "init.safetensors", "final.safetensors"])
def test_a_full_disk_for_any_file_of_a_run_is_reported_and_the_run_resumes_later(tmp_path, monkeypatch, name):
    replace = Path.replace

    def full(path, target):
        if Path(target).name == name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(WriteError, match=rf"{name}: cannot be written \(No space left"):
            run_recipe_here(tmp_path)
    assert run_recipe_here(tmp_path)["status"] == "finished"
    assert not list((tmp_path / "tiny").rglob("*.tmp"))


def test_advice_about_disk_space_requires_a_full_disk():
    full = [WriteError("x", os.strerror(number)) for number in (errno.ENOSPC, errno.EDQUOT)]
    assert all("Free disk space or choose another path" in str(error) for error in full)
    denied = WriteError("x", os.strerror(errno.EACCES))
    assert (
        str(denied) == "x: cannot be written (Permission denied). Choose another path, then rerun the command"
    )


def test_temporary_files_of_others_are_kept_by_a_process_whose_clock_is_ahead(tmp_path, monkeypatch):
    new, old = tmp_path / ".a.1-ab.tmp", tmp_path / ".b.1-ab.tmp"
    new.touch()
    old.touch()
    os.utime(old, (time.time() - 7200,) * 2)
    later = time.time() + 86_400
    monkeypatch.setattr(time, "time", lambda: later)
    remove_abandoned(tmp_path)
    assert (new.exists(), old.exists()) == (True, False)
