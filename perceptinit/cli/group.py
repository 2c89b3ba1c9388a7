"""The classes of commands and groups: literal brackets in help, messages of options and file errors."""

import errno
import os
import re
import sys
from inspect import cleandoc
from typing import Any

from typer.core import TyperCommand, TyperGroup

from perceptinit.cli.options import refuse_pairs, refuse_replaced
from perceptinit.errors import MissingPackageError, PerceptInitError, UsageError, shown
from perceptinit.registry import missing_companion, unknown

# a name that is too long, circular links, a file instead of a folder or the reverse, no permission
_WRONG_PLACE = (
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
    *(errno.EROFS, errno.EACCES, errno.EPERM),
)
_NO_OUTPUT = (errno.ENOSPC, errno.EIO)
_LINE_END = re.compile(r"(?<!\n)\n(?![\n*]) *")  # inside a paragraph or an item of a list


class Command(TyperCommand):
    """A command of the core, which refuses options that were replaced, and pairs of options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words after the command; UsageError for a refused one."""
        if ctx.resilient_parsing:
            return super().parse_args(ctx, args)
        name = ctx.command_path.removeprefix(ctx.find_root().command_path).strip()
        refuse_replaced(name, args)
        rest = super().parse_args(ctx, args)
        refuse_pairs(name, ctx)
        return rest


class Group(TyperGroup):
    """A group of commands.

    Brackets in help texts, such as `[tune]`, are not markup. Operating system errors about invalid paths and
    full disks become messages.
    """

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command.

        Returns None for an unknown word that shell completion passes, or that starts with a dash.

        Raises:
            MissingPackageError: If the command belongs to a companion that is not installed.
            UsageError: If the command does not exist.
        """
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            _prepare_help(command)
            return command
        registry = getattr(ctx.obj, "registry", None)
        group = f"{ctx.info_name} " if ctx.parent else ""
        verb = group + cmd_name
        if missing := missing_companion("verb", verb, registry.left_out if registry else {}):
            raise MissingPackageError(missing)
        if ctx.resilient_parsing or cmd_name.startswith("-"):
            return None
        refuse_replaced(group.strip(), [cmd_name])
        known = [group + name for name in self.list_commands(ctx)]
        raise UsageError(unknown("no command called", verb, known))

    def main(self, *args: Any, **options: Any) -> Any:
        """Run a command, and convert operating system errors."""
        try:
            try:
                return super().main(*args, **options)
            finally:
                sys.stdout.flush()  # here, because Python ignores errors at exit
        except OSError as error:
            raise _translate(error) from error


def _prepare_help(command: Any) -> None:
    """Escape brackets and join the lines of each paragraph in the help of a command."""
    from rich.markup import escape

    if getattr(command, "has_prepared_help", False):
        return
    command.has_prepared_help = True
    for part in (command, *command.params):
        if text := getattr(part, "help", None):
            part.help = escape(join_lines(text))
    for inner in getattr(command, "commands", {}).values():
        _prepare_help(inner)


def join_lines(text: str) -> str:
    """Return a docstring with the lines of each paragraph and item joined, for terminals of any width."""
    return _LINE_END.sub(" ", cleandoc(text))


def _translate(error: OSError) -> Exception:
    if isinstance(error, PerceptInitError):
        return error
    if error.errno in _WRONG_PLACE and error.filename is not None:
        return UsageError(f"{shown(error.filename)}: {error.strerror}")
    if error.errno in _NO_OUTPUT and error.filename is None:
        # otherwise, Python flushes the buffered output again at exit
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        return PerceptInitError(f"the output cannot be written ({error.strerror})")
    return error
