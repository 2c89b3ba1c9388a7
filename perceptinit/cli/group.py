"""What all verbs have in common: their help is shown as it is written, and wrong places and full outputs end one in a sentence."""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

from typer.core import TyperGroup

from perceptinit.companions import missing_companion
from perceptinit.errors import MissingPackageError, PerceptInitError, UsageError, shown

# too long a name, links in a circle, a file where a folder belongs and the other way round
_WRONG_PLACE = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EEXIST)
_NO_OUTPUT = (errno.ENOSPC, errno.EIO)


class Group(TyperGroup):
    """The verbs; they may leave these errors of the operating system to be told here.

    Brackets in their help are brackets, such as those of `[tune]`, and no markup.
    """

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a verb, None when there is none of that name.

        Raises MissingPackageError for a verb of a companion that is not installed.
        """
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            _spell_brackets(command)
            return command
        registry = getattr(ctx.obj, "registry", None)
        verb = f"{ctx.info_name} {cmd_name}" if ctx.parent else cmd_name
        missing = missing_companion("verb", verb, registry.left_out if registry else {})
        if missing:
            raise MissingPackageError(missing)
        return None

    def main(self, *args: Any, **options: Any) -> Any:
        """Run the verb that was asked for."""
        try:
            try:
                return super().main(*args, **options)
            finally:
                sys.stdout.flush()  # here, and not when Python ends, where nobody could tell
        except OSError as error:
            raise _told(error) from error


def _spell_brackets(command: Any) -> None:
    """Have rich show the brackets in the help of a command, and of those in it; done once."""
    if getattr(command, "has_spelt_brackets", False):
        return
    command.has_spelt_brackets = True
    for part in (command, *command.params):
        text = getattr(part, "help", None) or ""
        if "[" in text:
            from rich.markup import escape

            part.help = escape(text)
    for inner in getattr(command, "commands", {}).values():
        _spell_brackets(inner)


def _told(error: OSError) -> Exception:
    if isinstance(error, PerceptInitError):
        return error
    if error.errno in _WRONG_PLACE and error.filename is not None:
        return UsageError(f"{shown(error.filename)}: {error.strerror}")
    if error.errno in _NO_OUTPUT and error.filename is None:
        _drop_output()
        return PerceptInitError(f"the output cannot be written ({error.strerror})")
    return error


def _drop_output() -> None:
    """Send what is still buffered to nowhere, or Python would try again at its end and complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
