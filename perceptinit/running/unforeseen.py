"""Errors that nobody foresaw: told in a sentence, with the traceback in a file that can be sent."""

from __future__ import annotations

import errno
import platform
import sys
import tempfile
import traceback

from perceptinit._version import __version__
from perceptinit.errors import PerceptInitError, WriteError, printable, without_credentials

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LONGEST = 300  # characters of an error's own message


def told(error: BaseException) -> str:
    """Return what the user reads of any error, and of what else went wrong beside it.

    The traceback of one that was not raised on purpose is written to a file, which the sentence names.
    """
    if isinstance(error, PerceptInitError):
        return "\n".join([str(error), *getattr(error, "__notes__", [])])
    if isinstance(error, OSError) and error.errno in _FULL:
        return str(WriteError(error.filename or "standard output or a file", str(error.strerror)))
    return (
        f"unforeseen {in_short(error)}. {_write_log(error)} Please report it: open an issue of the project "
        "with that text in it"
    )


def in_short(error: BaseException) -> str:
    """Return the type of an error and the first line of its message."""
    lines = str(error).strip().splitlines()
    message = lines[0][:_LONGEST].rstrip(" .") if lines else "without a message"
    return printable(without_credentials(f"{type(error).__name__}: {message}"))


def _write_log(error: BaseException) -> str:
    """Write how the error came about; return the sentence that says where, or all of it."""
    text = without_credentials(
        f"perceptinit {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
        f"command: {sys.argv}\n\n{''.join(traceback.format_exception(error))}"
    )
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", prefix="perceptinit-", suffix=".log", delete=False
        ) as file:
            file.write(text)
    except OSError:  # no room there either
        return f"Its traceback:\n{text}\n"
    return f"The traceback is in {file.name}."
