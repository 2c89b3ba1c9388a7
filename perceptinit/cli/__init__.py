"""The command line: one file per verb, made into an app here. Nothing heavy is imported at start."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from perceptinit.cli.group import Group
from perceptinit.cli.terminal import accept_any_encoding
from perceptinit.components.plugin_manager import Plugins, build_plugin_manager
from perceptinit.errors import PerceptInitError, UsageError, describe_error

EPILOG = "Start with: perceptinit run quickstart"


def create_app(plugins: Plugins) -> typer.Typer:
    """Return the app with the core's verbs and those that plug-ins add.

    A plug-in whose verbs clash with others, or that raises, is reported and left out.
    """
    from perceptinit.cli import (
        cache,
        compare,
        data,
        eval_,
        export,
        init,
        list_,
        new,
        preregister,
        report,
        run,
        show,
        status,
        tune,
        validate,
    )
    from perceptinit.cli import plugins as plugins_

    app = typer.Typer(
        cls=Group,
        help=(
            "Perceptual initialization: start a vision tower from human similarity judgments, "
            "pretrain it, and measure whether it helped."
        ),
        epilog=EPILOG,
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for verb in (
        run.run,
        tune.tune,
        validate.validate,
        preregister.preregister,
        init.init,
        export.export,
        eval_.eval_,
        compare.compare,
        report.report,
        status.status,
        list_.list_,
        show.show,
        plugins_.plugins,
    ):
        app.command(verb.__name__.rstrip("_"))(verb)
    for name, group in {"data": data.create_group(), "cache": cache.app, "new": new.app}.items():
        app.add_typer(group, name=name)
    _add_plugin_verbs(app, plugins)
    return app


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
            is_eager=True,  # before the missing verb is complained about
        ),
    ] = False,
) -> None:
    pass


def _add_plugin_verbs(app: typer.Typer, plugins: Plugins) -> None:
    for name, plugin in plugins.manager.list_name_plugin():
        commands, groups = list(app.registered_commands), list(app.registered_groups)
        try:
            plugins.call("perceptinit_commands", plugin, app=app)
            verbs = _verbs(app)
            twice = [verb for verb in verbs if verbs.count(verb) > 1]
            if twice:
                raise UsageError(f"the verb '{twice[0]}' exists already")
        except Exception as error:  # a plug-in may raise anything
            app.registered_commands, app.registered_groups = commands, groups
            module = getattr(plugin, "__name__", "")
            distribution = next((p.distribution for p in plugins.loaded if p.module == module), "")
            plugins.fail(name, distribution, error)


def _verbs(app: typer.Typer) -> list[str]:
    commands = [c.name or getattr(c.callback, "__name__", "") for c in app.registered_commands]
    return [*commands, *(g.name or "" for g in app.registered_groups if isinstance(g.name, str))]


def main() -> None:
    """Run the command line; every error ends it in a sentence, see `describe_error`."""
    accept_any_encoding()
    try:
        plugins = build_plugin_manager()
        create_app(plugins)(obj=plugins)
    except Exception as error:
        print(f"error: {describe_error(error)}", file=sys.stderr)
        sys.exit(error.exit_code if isinstance(error, PerceptInitError) else 1)
