"""`perceptinit show`: the documentation of a component, and the JSON Schema of recipes."""

import json
from typing import Annotated

import typer

from perceptinit.cli.common import RECIPE, new_console
from perceptinit.cli.group import join_lines
from perceptinit.errors import UsageError
from perceptinit.registry import KINDS, Registry, unknown


def show(
    ctx: typer.Context,
    kind: Annotated[str, typer.Argument(help="Kind, such as initializer. It may be left out.")],
    name: Annotated[str, typer.Argument(help="Name (perceptinit list).")] = "",
    schema: Annotated[
        bool, typer.Option("--schema", help="With recipe: the JSON Schema with which editors check recipes.")
    ] = False,
) -> None:
    """Show the documentation of a component, its recipe keys with defaults, and its plug-in.

    Editors complete recipes whose first line is `#:schema FILE`; the schema contains all installed plug-ins.

    Example: perceptinit show triplet-hinge

    Example: perceptinit show pairs synthetic

    Example: perceptinit show recipe --schema > recipe.schema.json
    """
    if schema or kind == RECIPE:
        _print_schema(ctx.obj.registry, kind, name, schema)
        return
    from rich.markup import escape
    from rich.padding import Padding

    from perceptinit.components.building import PARTS
    from perceptinit.components.describe import describe

    if not name:
        kind, name = find_kind(ctx.obj.registry, kind), kind
    if kind not in KINDS:
        raise UsageError(unknown("no kind called", kind, KINDS))
    entry = ctx.obj.registry.get(kind, name)
    description = describe(entry)
    console = new_console()
    origin = " ".join(part for part in (entry.distribution, entry.version) if part)
    console.print(f"[bold]{escape(entry.title)}[/bold]: {escape(entry.component.summary)}")
    console.print(f"from plug-in {escape(entry.plugin)} ({escape(origin)})", style="dim")
    console.print(escape(description.location), style="dim", soft_wrap=True)
    console.print(f"\n{escape(join_lines(description.doc))}\n")
    console.print(f'use = "{escape(entry.name)}"')
    for field in description.fields:
        value = "required" if field.default is None else field.default
        console.print(f"[bold]{escape(field.name)}[/bold] = {escape(value)}  [dim]{escape(field.type)}[/dim]")
        if field.doc:
            console.print(Padding(escape(join_lines(field.doc)), (0, 0, 0, 4)))
    for part in description.parts:
        console.print(f"\\[.{part}] a nested table with 'use': perceptinit list {PARTS[part]}")


def _print_schema(registry: Registry, kind: str, name: str, is_asked: bool) -> None:
    """Print the JSON Schema of recipes; UsageError for other arguments."""
    from perceptinit.recipe.schema import recipe_schema

    if (kind, name, is_asked) != (RECIPE, "", True):
        raise UsageError("the schema is that of recipes. Run: perceptinit show recipe --schema")
    typer.echo(json.dumps(recipe_schema(registry), indent=1))


def find_kind(registry: Registry, name: str) -> str:
    """Return the only kind that has a component with a name; UsageError otherwise."""
    if name in KINDS:
        raise UsageError(f"show {name}: add a name. List them with: perceptinit list {name}")
    kinds = [entry.kind for entry in registry.entries if entry.name == name]
    if not kinds:
        raise UsageError(unknown("no component called", name, [entry.name for entry in registry.entries]))
    if len(kinds) > 1:
        raise UsageError(f"several kinds have a component '{name}'. Add one: {', '.join(sorted(kinds))}")
    return kinds[0]
