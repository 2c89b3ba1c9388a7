"""The files that a kill at any one file operation leaves on disk.

The operations on files below a folder are: open for writing, rename, remove, create and remove folders, change
modes, sync, and write, which a kill may interrupt.

PERCEPTINIT_FUZZ_EXAMPLES=N   test every operation (`make fuzz`); by default one of six
"""

import builtins
import hashlib
import io
import multiprocessing
import os
import re
import shutil
import signal
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import safetensors.torch

from perceptinit.files import checkpoints
from perceptinit.files.atomic import remove_abandoned

# audit hooks of Python: event, and the position of its path argument
_EVENTS = {
    "os.rename": 1,
    "os.remove": 0,
    "os.mkdir": 0,
    "os.rmdir": 0,
    "os.chmod": 0,
    "shutil.rmtree": 0,
}
_STRIDE = 1 if "PERCEPTINIT_FUZZ_EXAMPLES" in os.environ else 6
_FOR_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_NAME_OF_PROCESS = re.compile(r"\.\d+-[0-9a-f]{8,16}\.tmp")


def die_at(number, folder):
    """Kill (-9) this process at its file operation of this number in `folder`, counted from 1."""
    count = [0]

    def kill(name):
        count[0] += 1
        if count[0] == number:
            os.kill(os.getpid(), signal.SIGKILL)

    _watch(str(folder), kill)


def states(folder, function, *args, at_least=1):
    """Yield copies of `folder` at the file operations of `function(*args)` as (name, copy), equal ones once.

    Fails unless at least `at_least` states differ.
    """
    copies = folder.with_name(f"{folder.name}-states")
    copies.mkdir()
    folder.mkdir(exist_ok=True)
    count = [0]

    def copy(name):
        count[0] += 1
        _copy_folder(folder, copies / f"{count[0]:04d} {name}")

    def work():
        _watch(str(folder), copy)
        function(*args)

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
    assert process.exitcode == 0
    seen = set()
    for state in sorted(copies.iterdir()):
        content = _content(state)
        if content in seen:
            continue
        if len(seen) % _STRIDE == 0:
            remove_abandoned.cache_clear()  # as in a new process
            yield state.name, state
        seen.add(content)
    assert len(seen) >= at_least


def _copy_folder(source, target):
    try:
        shutil.copytree(source, target, copy_function=_copy)
    except (shutil.Error, OSError):  # another thread is within an operation
        shutil.rmtree(target)
        _copy_folder(source, target)


def _copy(source, target):
    # a file with its final name is large and never changes
    is_done = source.endswith(".safetensors") and not Path(source).name.startswith(".")
    (os.link if is_done else shutil.copyfile)(source, target)


def _content(folder):
    return tuple(
        (
            _NAME_OF_PROCESS.sub("", str(path.relative_to(folder))),
            path.is_file() and _digest(path),
        )
        for path in sorted(folder.rglob("*"))
    )


def _digest(path):
    data = path.read_bytes()
    # a resumed process appends, so only the completeness of the last line matters
    return data[-1:] if path.suffix == ".jsonl" else hashlib.sha256(data).digest()


def _watch(folder, meet):
    """Call `meet(name)` before each file operation of this process and within each write."""
    opened, sync, lock, own = io.open, os.fsync, threading.Lock(), threading.local()

    @contextmanager
    def uncounted():
        own.is_busy = True
        yield
        own.is_busy = False

    def at(name, path):
        path = os.fsdecode(path)
        if path.startswith(folder) and not getattr(own, "is_busy", False):
            with lock, uncounted():
                meet(f"{name} {Path(path).name}")

    def audit(event, arguments):
        if event == "open" and arguments[2] & _FOR_WRITING and not isinstance(arguments[0], int):
            at("open", arguments[0])
        elif event in _EVENTS:
            at(event, arguments[_EVENTS[event]])

    def open_(path, mode="r", *args, **kwargs):
        file = opened(path, mode, *args, **kwargs)
        if not set(mode) & set("wax+") or isinstance(path, int):
            return file
        return _InTwoHalves(file, lambda: at("write", path))

    def save_file(tensors, path, metadata=None):
        half = Path(path).with_name(".tmpBvZE8r")  # like safetensors
        data = safetensors.torch.save(tensors, metadata)
        with uncounted():
            half.write_bytes(data[: len(data) // 2])
        at("save", path)
        with uncounted():
            half.unlink()
        safetensors.torch.save_file(tensors, path, metadata)

    def fsync(descriptor):
        at("fsync", Path(f"/proc/self/fd/{descriptor}").readlink())
        sync(descriptor)

    builtins.open = io.open = open_
    checkpoints.save_file = save_file
    os.fsync = fsync
    sys.addaudithook(audit)


class _InTwoHalves:
    """A file that calls `between` within each write."""

    def __init__(self, file, between):
        self._file, self._between = file, between

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        self._file.__enter__()
        return self

    def __exit__(self, *error):
        return self._file.__exit__(*error)

    def write(self, data):
        middle = len(data) // 2
        self._file.write(data[:middle])
        self._file.flush()
        self._between()
        return middle + self._file.write(data[middle:])
