"""`perceptinit data check`: validate human judgments or test sets before they are used."""

from pathlib import Path
from typing import Annotated, Any

import typer

from perceptinit.cli.common import Overrides
from perceptinit.progress import Bars


def check(
    ctx: typer.Context,
    target: Annotated[
        str,
        typer.Argument(
            metavar="DATA[,KEY=VALUE...]",
            help="Judgments, test set, suite or recipe: a name, path or address, with its keys.",
        ),
    ],
    set_: Overrides = None,
    sheet: Annotated[Path | None, typer.Option(help="Write example triplets to this .png file.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Do not decode images or score baselines.")] = False,
) -> None:
    """Check judgments: counts, files, duplicates, leaks between splits, votes and human ceiling.

    For test sets: whether they are complete, have the published size and can be decoded. For a recipe: all
    judgments of its stages and evaluators, with its split settings.

    Exit code 1: an error makes training or scores invalid.

    Example: perceptinit data check judgments.csv,images=photographs --sheet examples.png

    Example: perceptinit data check s3://bucket/judgments.csv,images=s3://bucket/photographs

    Example: perceptinit data check choices.csv,use=odd-one-out,images=photographs

    Example: perceptinit data check own_judgments.toml
    """
    from perceptinit.cli.data.test_sets import check_test_sets
    from perceptinit.errors import UsageError
    from perceptinit.evaluating.asked import judgments_table, read_asked
    from perceptinit.judgments.sources import build_judgments
    from perceptinit.recipe.reading import load_recipe

    registry = ctx.obj.registry
    (asked,) = read_asked([target], registry)
    if set_ and asked.kind != "recipe":
        raise UsageError(f"{target}: --set is for recipes. Add the key to the name: {target},{set_[0]}")
    if asked.kind == "test set":
        is_good = check_test_sets(asked, decode=not quick)
    elif asked.kind == "recipe":
        from perceptinit.running.readiness import find_judgments  # imports torch

        found = find_judgments(load_recipe(asked.name, [*asked.keys, *(set_ or ())]))
        if not found:
            raise UsageError(
                f"{asked.name}: the recipe uses no judgments. To check its other data: perceptinit validate"
            )
        sheets = [sheet, *[None] * (len(found) - 1)]
        checked = [_check(f.build(), s, decode=not quick) for f, s in zip(found, sheets, strict=True)]
        is_good = all(checked)
    else:
        table, split, problems = judgments_table(asked, registry)
        if split:
            raise UsageError(f"{target}: all splits are checked. Omit split={split}")
        judgments = build_judgments(table, registry, problems)
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
