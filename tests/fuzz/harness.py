"""The property of all fuzz tests: a correct result or one sentence, no written file, bounded time and memory.

PERCEPTINIT_FUZZ_EXAMPLES=10000   examples of each test (`make fuzz`); a few fixed examples by default
PERCEPTINIT_FUZZ_SURVEY=FILE      continue after a defect and append it to FILE as a line of JSON
"""

import faulthandler
import json
import os
import resource
import signal
import traceback
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, settings, strategies as st

from perceptinit.errors import PerceptInitError

EXAMPLES = int(os.environ.get("PERCEPTINIT_FUZZ_EXAMPLES", "0"))
SURVEY = os.environ.get("PERCEPTINIT_FUZZ_SURVEY")
SECONDS = 20
MEMORY_BYTES = 1536 << 20  # beyond the memory of the process when the function is called
MESSAGE_CHARACTERS = 10_000


def fuzz(short):
    """Return hypothesis settings: `short` fixed examples, or EXAMPLES new ones."""
    return settings(
        max_examples=EXAMPLES or short,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def outcome(sort, door, named, folder=None):
    """Return the result of `door()`, or None if it refuses its file with a valid error.

    named: words of which an error must contain one, such as the file name. folder: must stay unchanged.
    """
    before = listing(folder) if folder else []
    value, complaint = None, ""
    try:
        with bounded():
            value = door()
    except PerceptInitError as error:
        complaint = _complaint(error, named)
    except Exception as error:
        complaint = f"{type(error).__name__} at {_place(error)}: {str(error)[:300]}"
    except OutOfTimeError as error:
        complaint = f"no answer in {SECONDS} s at {_place(error)}"
    if folder and not complaint and listing(folder) != before:
        complaint = f"files changed: {sorted(set(listing(folder)) ^ set(before))}"
    if complaint:
        defect(sort, complaint)
    return value


def defect(sort, complaint):
    """Fail with a complaint, or append it to the survey."""
    if not SURVEY:
        raise AssertionError(f"{sort}: {complaint}")
    with Path(SURVEY).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"sort": sort, "complaint": complaint}) + "\n")


def listing(folder):
    """Return all paths below a folder with their sizes and times."""
    found = []
    for entry in os.scandir(folder):
        stat = entry.stat(follow_symlinks=False)
        found.append((entry.path, stat.st_size, stat.st_mtime_ns))
        if entry.is_dir(follow_symlinks=False):
            found += listing(entry.path)
    return sorted(found)


def _complaint(error, named):
    """Return the defect of a deliberate error, if any."""
    text = str(error)
    if error.exit_code not in (1, 2):
        return f"exit code {error.exit_code}: {text[:300]}"
    if not any(word in text for word in named):
        return f"a sentence that does not name the file ({_place(error)}): {text[:300]}"
    if len(text) > MESSAGE_CHARACTERS:
        return f"a sentence of {len(text)} characters ({_place(error)}): {text[:300]}"
    return ""


def _place(error):
    """Return the innermost frame of perceptinit in a traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "/perceptinit/" in f.filename and "/tests/" not in f.filename]
    frame = (own or frames)[-1]
    return f"{frame.filename.rpartition('/perceptinit/')[2]}:{frame.lineno}"


class OutOfTimeError(BaseException):
    """Not an Exception, so that no reader handles it as an error of its file."""


@contextmanager
def bounded():
    """Limit a block to SECONDS of CPU time and MEMORY_BYTES; end the process if the signal is not handled."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    timers = {
        signal.SIGPROF: (signal.ITIMER_PROF, SECONDS),
        signal.SIGALRM: (
            signal.ITIMER_REAL,
            10 * SECONDS,
        ),  # for blocking calls; other processes may be running
    }
    before = {number: signal.signal(number, _out_of_time) for number in timers}
    faulthandler.dump_traceback_later(20 * SECONDS, exit=True)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY_BYTES, hard))
    for timer, seconds in timers.values():
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for timer, _ in timers.values():
            signal.setitimer(timer, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        faulthandler.cancel_dump_traceback_later()
        for number, handler in before.items():
            signal.signal(number, handler)


def _out_of_time(signum, frame):
    raise OutOfTimeError


_EDITS = ("cut", "set", "insert", "remove", "repeat")


@st.composite
def damaged(draw, data, most=4):
    """Draw `data` with a few edits, often none."""
    for _ in range(draw(st.sampled_from((0, 1, 1, *range(2, most + 1))))):
        edit = draw(st.sampled_from(_EDITS))
        at = draw(st.integers(0, max(0, len(data) - 1)))
        if edit == "cut":
            data = data[:at]
        elif edit == "remove":
            data = data[:at] + data[at + draw(st.integers(1, 64)) :]
        elif edit == "repeat":
            data = data[:at] + data[at : at + draw(st.integers(1, 600))] + data[at:]
        else:
            new = draw(st.binary(min_size=1, max_size=8) | st.sampled_from(_TOKENS))
            data = data[:at] + new + data[at + (len(new) if edit == "set" else 0) :]
    return data


_TOKENS = (
    b"\x00",
    b"\xff" * 4,
    b"\xff" * 8,
    b"\x7f" * 8,
    b"nan",
    b"-1",
    b"1e999",
    b'"',
    b"\n",
    b"{",
)
