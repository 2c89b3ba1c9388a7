"""The command line: one file for each command. Heavy packages are imported inside the commands."""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from functools import partial
from typing import Annotated

import typer

from perceptinit.cli.common import accept_any_encoding
from perceptinit.cli.group import Command, Group
from perceptinit.components.light_imports import import_lightly
from perceptinit.components.output import guard_process
from perceptinit.components.plugin_manager import WITHOUT, Plugins, build_plugin_manager
from perceptinit.errors import PerceptInitError, UsageError, describe_error
from perceptinit.running.interruption import INTERRUPT_EXIT_CODE

EPILOG = "Start with: perceptinit run quickstart"


def create_app(plugins: Plugins) -> typer.Typer:
    """Return the app with the commands of the core and of plug-ins.

    A plug-in that raises an error or adds an existing command is skipped and reported.
    """
    from perceptinit.cli import data, new

    app = typer.Typer(
        cls=Group,
        help=(
            "Perceptual initialization: initialize a vision tower from human similarity judgments, "
            "pretrain it, and test whether it helps."
        ),
        epilog=EPILOG,
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for name, command in _import_commands().items():
        app.command(name, cls=Command)(command)
    for name, group in {"data": data.create_group(), "new": new.app}.items():
        app.add_typer(group, name=name)
    _add_plugin_commands(app, plugins)
    return app


def _import_commands() -> dict[str, Callable[..., None]]:
    """Return the commands by name, in the order of --help."""
    from perceptinit.cli import (
        cache,
        compare,
        eval_,
        export,
        init,
        list_,
        preregister,
        report,
        run,
        show,
        status,
        tune,
        validate,
    )

    return {
        "run": run.run,
        "tune": tune.tune,
        "validate": validate.validate,
        "preregister": preregister.preregister,
        "init": init.init,
        "export": export.export,
        "eval": eval_.eval_,
        "compare": compare.compare,
        "report": report.report,
        "status": status.status,
        "list": list_.list_,
        "show": show.show,
        "cache": cache.cache,
    }


def _print_version(wanted: bool) -> None:
    if wanted:
        from perceptinit._version import __version__

        typer.echo(f"perceptinit {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version and exit.",
            callback=_print_version,
            is_eager=True,  # before the error about a missing command
        ),
    ] = False,
    without_plugin: Annotated[
        list[str] | None,
        typer.Option("--without-plugin", metavar="NAME", help="Do not load a plug-in; may be repeated."),
    ] = None,
) -> None:
    pass


def _add_plugin_commands(app: typer.Typer, plugins: Plugins) -> None:
    for name, plugin in plugins.manager.list_name_plugin():
        commands = list(app.registered_commands)
        groups = list(app.registered_groups)
        known = len(plugins.failures)
        module = getattr(plugin, "__name__", "")
        distribution = next((p.distribution for p in plugins.loaded if p.module == module), "")
        with guard_process(name, partial(plugins.fail, name, distribution)):
            plugins.call("perceptinit_commands", plugin, app=app)
            names = _command_names(app)
            for added in names:
                if names.count(added) > 1:
                    raise UsageError(f"the command '{added}' already exists")
        if len(plugins.failures) > known:
            app.registered_commands = commands
            app.registered_groups = groups


def _command_names(app: typer.Typer) -> list[str]:
    commands = [c.name or getattr(c.callback, "__name__", "") for c in app.registered_commands]
    return [*commands, *(g.name or "" for g in app.registered_groups if isinstance(g.name, str))]


def _exclude_plugins(words: list[str]) -> None:
    """Exclude the plug-ins of `--without-plugin`, also in child processes; plug-ins define commands."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--without-plugin", action="append", default=[])
    if names := parser.parse_known_args(words)[0].without_plugin:
        os.environ[WITHOUT] = ",".join(names)


def main() -> None:
    """Run the command line. Each error becomes a message and an exit code; see `describe_error`."""
    accept_any_encoding()
    try:
        import_lightly()
        _exclude_plugins(sys.argv[1:])
        plugins = build_plugin_manager()
        create_app(plugins)(obj=plugins)
    except KeyboardInterrupt:
        sys.exit(INTERRUPT_EXIT_CODE)
    except Exception as error:
        print(f"error: {describe_error(error)}", file=sys.stderr)
        sys.exit(error.exit_code if isinstance(error, PerceptInitError) else 1)
