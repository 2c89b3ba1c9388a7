"""What users see when something is wrong: each error says what, where and what next."""

from __future__ import annotations

import errno
import platform
import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perceptinit._version import __version__

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LONGEST = 300  # characters of an error's own message
# control characters but for line ends and tabs, and those that turn the direction of writing
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

# paths make one slash of two
_USER = re.compile(r"(?<=\w:/)(/?)[^/\s?#@\"'<>]+@")
_PARAMETER = re.compile(
    r"([?&][\w.%-]*(?:sig|token|key|secret|cred|passw|pwd|auth|policy|session|x-amz-|x-goog-)[\w.%-]*=)"
    r"[^&#\s\"'<>]+",
    re.IGNORECASE,
)
# Hugging Face's tokens, AWS's key names, what follows `Bearer`, keys and tokens that are spelt out
_TOKEN = re.compile(r"\bhf_\w{16,}|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|(?<=\bBearer )[\w.~+/=-]{8,}")
_SPELT = re.compile(
    r"((?:aws_)?(?:secret_access_key|session_token|access_token|api_key|password)[\"']?\s*[=:]\s*[\"']?)"
    r"[^\s\"',&)]+",
    re.IGNORECASE,
)


def without_credentials(text: str) -> str:
    """Return a text whose addresses have lost passwords, signatures and tokens: for whatever is kept or shown."""
    if ":/" in text:
        text = _PARAMETER.sub(r"\1...", _USER.sub(r"\1...@", text))
    return _SPELT.sub(r"\1...", _TOKEN.sub("...", text))


def stripped(value: Any) -> Any:
    """Return a value of tables, lists and texts `without_credentials`."""
    if isinstance(value, str):
        return without_credentials(value)
    if isinstance(value, dict):
        return {key: stripped(item) for key, item in value.items()}
    return [stripped(item) for item in value] if isinstance(value, list) else value


def printable(text: str) -> str:
    """Return a text whose control characters are spelt out, so that a name in a file cannot command a terminal."""
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


class PerceptInitError(Exception):
    """Base of every error raised on purpose. The CLI prints it without a traceback."""

    exit_code = 1

    def __str__(self) -> str:
        return printable(without_credentials(super().__str__()))


class DataError(PerceptInitError):
    """A file, row, image or shard that cannot be used."""


class RemoteError(DataError):
    """A remote read failed. A sample is never replaced for it, so batches stay reproducible."""


class AbsentError(RemoteError):
    """There is no such file at an address."""


class EmptySplitError(DataError):
    """A split without judgments: wrong for who needs it, right for a set that is for measuring only."""


class CheckpointError(PerceptInitError):
    """Weights that do not fit the model they are meant for."""


class InitializerError(PerceptInitError):
    """An initializer that could not do its work, such as one that changed nothing."""


class TrainingError(PerceptInitError):
    """Training that must stop, such as a loss that is not finite."""


class WriteError(PerceptInitError, OSError):
    """A file that cannot be written: no room, no permission, a disk that went away. `reason` says which."""

    def __init__(self, path: Path | str, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"{path}: cannot be written ({reason}). Make room or choose another place, and give the same "
            "command again"
        )


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise what the operating system says about the block as a WriteError of `path`."""
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        raise WriteError(path, error.strerror or str(error)) from error


class UsageError(PerceptInitError):
    """A request that cannot be met as it stands: the caller changes it and asks again."""

    exit_code = 2


class MissingPackageError(UsageError):
    """A component or a verb whose package is not installed."""


def shown(value: object, limit: int = 200) -> str:
    """Return a value for a message, its middle left out where it is longer than `limit` characters."""
    text = str(value)
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}... ({len(text):,} characters) ...{text[-half:]}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a recipe: `where` is a TOML path such as `init.judgments.root`."""

    where: str
    message: str

    def __str__(self) -> str:
        message = shown(self.message, 2000)
        return f"{self.where}: {message}" if self.where else message


class RecipeError(UsageError):
    """Everything wrong in a recipe, reported at once."""

    def __init__(self, problems: Iterable[Problem], source: str = "") -> None:
        self.problems = tuple(problems)
        self.source = source
        super().__init__(self._text())

    def _text(self) -> str:
        at = f" in {self.source}" if self.source else ""
        if len(self.problems) == 1:
            return f"{self.source}: {self.problems[0]}" if self.source else str(self.problems[0])
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        return f"{len(self.problems)} problems{at}:\n{lines}"


def problems_of(check: Callable[..., object], *args: Any) -> Iterator[str]:
    """Yield the message of the PerceptInitError that `check(*args)` raises, if any; for `preflight`."""
    try:
        check(*args)
    except PerceptInitError as error:
        yield str(error)


def describe_error(error: BaseException) -> str:
    """Return what the user reads of any error, and of what else went wrong beside it.

    The traceback of an error that was not raised on purpose is written to a file, which the sentence names.
    """
    if isinstance(error, PerceptInitError):
        return "\n".join([str(error), *getattr(error, "__notes__", [])])
    if isinstance(error, OSError) and error.errno in _FULL:
        return str(WriteError(error.filename or "standard output or a file", str(error.strerror)))
    return (
        f"unforeseen {summarize_error(error)}. {_write_log(error)} Please report it: open an issue of the project "
        "with that text in it"
    )


def summarize_error(error: BaseException) -> str:
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
