"""`perceptinit data check`: validate human judgments or test sets before they are used."""

from pathlib import Path
from typing import Annotated, Any

import typer

from perceptinit.cli.common import SetsRoot, Texts
from perceptinit.cli.data import test_sets
from perceptinit.progress import Bars


def check(
    ctx: typer.Context,
    target: Annotated[
        str, typer.Argument(help="Judgments, test set, suite or recipe: a name, path or address.")
    ],
    images: Annotated[Path | None, typer.Option(help="Folder with the images of a judgments file.")] = None,
    use: Annotated[
        str | None, typer.Option(help="Component that reads the file. [default: table; rdm for a matrix]")
    ] = None,
    set_: Annotated[
        Texts,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Set a key of the judgments or the recipe; may be repeated."
        ),
    ] = None,
    sheet: Annotated[Path | None, typer.Option(help="Write example triplets to this .png file.")] = None,
    root: SetsRoot = "data/eval",
    quick: Annotated[bool, typer.Option("--quick", help="Do not decode images or score baselines.")] = False,
) -> None:
    """Check judgments: counts, files, duplicates, leaks between splits, votes and human ceiling.

    For test sets: whether they are complete, have the published size and can be decoded. For a recipe: all
    judgments of its stages and evaluators, with its split settings.

    Exit code 1: an error makes training or scores invalid.

    Example: perceptinit data check judgments.csv --images photographs --sheet examples.png

    Example: perceptinit data check s3://bucket/judgments.csv --images s3://bucket/photographs

    Example: perceptinit data check materials --set root=data/materials

    Example: perceptinit data check own_judgments.toml
    """
    from perceptinit.errors import UsageError
    from perceptinit.files.remote.addresses import is_remote
    from perceptinit.judgments.sources import as_table, build_judgments, is_judgments_file
    from perceptinit.recipe.reading import load_recipe
    from perceptinit.recipe.shipped import list_shipped
    from perceptinit.recipe.tables import apply_overrides
    from perceptinit.test_sets.sets import is_test_set

    if is_test_set(target) or (is_remote(target) and not is_judgments_file(target)):
        is_good = test_sets.check_test_sets(target, root, decode=not quick)
    elif target.endswith(".toml") or target in list_shipped():
        if images is not None or use:
            raise UsageError(f"{target}: a recipe specifies its files. Omit --images and --use")
        from perceptinit.running.readiness import find_judgments  # imports torch

        found = find_judgments(load_recipe(target, set_ or ()))
        if not found:
            raise UsageError(
                f"{target}: the recipe uses no judgments. To check its other data: perceptinit validate"
            )
        sheets = [sheet, *[None] * (len(found) - 1)]
        checked = [_check(f.build(), s, decode=not quick) for f, s in zip(found, sheets, strict=True)]
        is_good = all(checked)
    else:
        registry = ctx.obj.registry
        table = as_table(target, registry, use)
        if images is not None:
            table["images"] = str(images)
        judgments = build_judgments(table, registry, apply_overrides(table, set_ or ()))
        is_good = _check(judgments, sheet, decode=not quick)
    if not is_good:
        raise typer.Exit(1)


def _check(judgments: Any, sheet: Path | None, decode: bool) -> bool:
    """Print the report on judgments, and return whether it has no errors."""
    from perceptinit.cli.data.check_report import print_report
    from perceptinit.judgments.data_check import check_judgments

    with Bars() as bars:
        report = check_judgments(
            judgments,
            decode=decode,
            progress=lambda done, total: bars.update("reading images", done, total),
        )
    print_report(judgments, report, sheet)
    return report.ok
