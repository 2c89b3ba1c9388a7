"""Errors for users. A message states the problem, its location and what to do next."""

import errno
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from perceptinit._version import __version__

T = TypeVar("T")

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# EX_TEMPFAIL of sysexits.h: not an error; a rerun of the command resumes the run
EXIT_CODE = 75
MOST_NAMED = 20  # names of a group that a sentence lists in full
_LONGEST = 300  # characters shown of the message of an unexpected error
_WITHOUT_TEXT = {int, float, bool, type(None)}
# control characters except line ends and tabs, and characters that change the text direction
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

# `Path` replaces the two slashes of a URL by one
_USER = re.compile(r"(?<=\w:/)(/?)[^/\s?#@\"'<>]+@")
_PARAMETER = re.compile(
    r"([?&][\w.%-]*(?:sig|token|key|secret|cred|passw|pwd|auth|policy|session|x-amz-|x-goog-)[\w.%-]*=)"
    r"[^&#\s\"'<>]+",
    re.IGNORECASE,
)
# tokens of Hugging Face, IDs of AWS keys and bearer tokens; below: keys and tokens after their names
_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{16,}|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|(?<=\bBearer )[\w.~+/=-]{8,}")
_SPELT = re.compile(
    r"((?:aws_)?(?:secret_access_key|session_token|access_token|api_key|password)[\"']?\s*[=:]\s*[\"']?)"
    r"[^\s\"',&)]+",
    re.IGNORECASE,
)


def without_credentials(text: str) -> str:
    """Return a text without passwords, signatures and tokens."""
    if ":/" in text:
        text = _PARAMETER.sub(r"\1...", _USER.sub(r"\1...@", text))
    return _SPELT.sub(r"\1...", _TOKEN.sub("...", text))


def map_texts(change: Callable[[str], str], value: Any) -> Any:
    """Return a value from JSON or TOML with `change` applied to every string and key in it."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(key): map_texts(change, item) for key, item in value.items()}
    if isinstance(value, list) and not _WITHOUT_TEXT.issuperset(map(type, value)):
        return [map_texts(change, item) for item in value]
    return value


def printable(text: str) -> str:
    """Return a text with control characters escaped, so that file names cannot control the terminal."""
    return text if text.isprintable() else _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


def read_name(text: str) -> str:
    """Return a name from data with control characters escaped; ValueError if it contains a line break."""
    if text.splitlines() not in ([], [text]):
        raise ValueError(f"contains a line break: {shown(repr(text))}. Remove it")
    return printable(text)


def message_of(error: BaseException) -> str:
    """Return the message of an error; the errors of plug-ins may fail in `__str__`."""
    try:
        return str(error)
    except BaseException as failure:
        return f"its message cannot be read ({type(failure).__name__} in __str__)"


class Stopped(SystemExit):
    """Raised after a stop signal. The process exits with code 75.

    Not a subclass of Exception, so handlers of failed runs do not catch it.
    """

    def __init__(self, message: str) -> None:
        super().__init__(EXIT_CODE)
        self.message = message

    def __str__(self) -> str:
        return self.message


# errors of which the user or the system is the cause, and not the code that was called
STOPS = (KeyboardInterrupt, Stopped)


class PerceptInitError(Exception):
    """Base class of expected errors. The CLI prints them without a traceback."""

    exit_code = 1

    def __str__(self) -> str:
        return printable(without_credentials(super().__str__()))


class DataError(PerceptInitError):
    """A file, row, image or shard is missing or invalid."""


class RemoteError(DataError):
    """A remote read failed. The sample is never replaced, so batches stay reproducible."""


class AbsentError(RemoteError):
    """A remote file does not exist."""


class EmptySplitError(DataError):
    """A split has no judgments, which is valid for a set that is only used for evaluation."""


class CheckpointError(PerceptInitError):
    """A checkpoint cannot be written or read, or its weights do not fit the model."""


class InitializerError(PerceptInitError):
    """An initializer failed, for example because it changed no weight."""


class TrainingError(PerceptInitError):
    """Training must stop, for example because the loss is not finite."""


class WriteError(PerceptInitError, OSError):
    """A file cannot be written.

    Args:
        path: The file.
        reason: Message of the operating system, such as "No space left on device".
    """

    def __init__(self, path: Path | str, reason: str) -> None:
        self.reason = reason
        is_full = any(os.strerror(number) in reason for number in (errno.ENOSPC, errno.EDQUOT))
        advice = "Free disk space or choose another path" if is_full else "Choose another path"
        super().__init__(f"{path}: cannot be written ({reason}). {advice}, then rerun the command")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Convert an OSError raised in the block to a WriteError for `path`."""
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        raise WriteError(path, error.strerror or str(error)) from error


@contextmanager
def reading(what: str, *errors: type[Exception]) -> Iterator[None]:
    """Convert an error of these types in the block to a DataError: `what`, and the error in parentheses.

    A PerceptInitError is converted only if DataError is one of the types.
    """
    try:
        yield
    except errors as error:
        if isinstance(error, PerceptInitError) and DataError not in errors:
            raise
        raise DataError(f"{what} ({shown(str(error) or type(error).__name__)})") from error


class UsageError(PerceptInitError):
    """A request is invalid. The caller must change it."""

    exit_code = 2


class MissingPackageError(UsageError):
    """The package of a component or a command is not installed."""


def shown(value: object, limit: int = 200) -> str:
    """Return a value as text; the middle of a text longer than `limit` characters is left out."""
    text = str(value)
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}... ({len(text):,} characters) ...{text[-half:]}"


def count(num: int, name: str) -> str:
    """Return a number with a name in the singular or plural, such as `1 seed` or `1,000 steps`."""
    return f"{num:,} {name}{'' if num == 1 else 's'}"


def list_some(names: Sequence[str], most: int = 3) -> str:
    """Return up to `most` names, or else the first three, such as `a.png, b.png, c.png and 4 more`."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:3])} and {len(names) - 3:,} more"


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem in a recipe.

    Args:
        where: TOML path, such as `init.judgments.root`.
        message: What is wrong.
    """

    where: str
    message: str

    def __str__(self) -> str:
        message = shown(self.message, 2000)
        return f"{self.where}: {message}" if self.where else message


class RecipeError(UsageError):
    """A recipe is invalid. All problems are reported at once.

    Args:
        problems: The problems.
        source: Path of the recipe.
    """

    def __init__(self, problems: Iterable[Problem], source: str = "") -> None:
        self.problems = tuple(problems)
        self.source = source
        text = "\n".join(f"  {problem}" for problem in self.problems)
        if len(self.problems) > 1:
            place = f" in {source}" if source else ""
            super().__init__(f"{len(self.problems)} problems{place}:\n{text}")
        else:
            super().__init__(f"{source}: {text.strip()}" if source else text.strip())


def require_valid(
    found: tuple[T | None, Sequence[Problem]], problems: Sequence[Problem] = (), source: str = ""
) -> T:
    """Return the value of `read_config` or `read_spec`; RecipeError with all problems, if there are any."""
    value, more = found
    if value is None or problems:
        raise RecipeError([*problems, *more], source)
    return value


def problems_of(check: Callable[..., object], *args: Any) -> Iterator[str]:
    """Yield the message of a PerceptInitError raised by `check(*args)`, for `preflight`."""
    try:
        check(*args)
    except PerceptInitError as error:
        yield str(error)


def describe_error(error: BaseException) -> str:
    """Return the message of an error for the user, with its notes.

    The traceback of an unexpected error is written to a file, and the message names the file.
    """
    if isinstance(error, PerceptInitError):
        return "\n".join([message_of(error), *getattr(error, "__notes__", [])])
    if isinstance(error, OSError) and error.errno in _FULL:
        return str(WriteError(error.filename or "standard output or a file", str(error.strerror)))
    return f"unexpected {summarize_error(error)}. {_write_log(error)} Please open an issue with the traceback"


def summarize_error(error: BaseException) -> str:
    """Return the type of an error and the first line of its message."""
    lines = message_of(error).strip().splitlines()
    message = lines[0][:_LONGEST].rstrip(" .") if lines else "without a message"
    return printable(without_credentials(f"{type(error).__name__}: {message}"))


def _write_log(error: BaseException) -> str:
    """Write the traceback to a file; return a sentence with its path, or the traceback."""
    import platform
    import tempfile

    text = without_credentials(
        f"perceptinit {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
        f"command: {sys.argv}\n\n{''.join(traceback.format_exception(error))}"
    )
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", prefix="perceptinit-", suffix=".log", delete=False
        ) as file:
            file.write(text)
    except OSError:  # for example, the disk is full
        return f"Its traceback:\n{text}\n"
    return f"The traceback is in {file.name}."
