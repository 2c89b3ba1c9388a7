"""`perceptinit collect`: serve a web page that collects similarity judgments."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perceptinit.plugin import UsageError

if TYPE_CHECKING:
    from perceptinit_collect.study import Study

DRAFT = "draft"


def collect(
    folder: Annotated[Path, typer.Argument(help="Folder of images, or folder of a study.")],
    task: Annotated[str | None, typer.Option(help="New study: 2afc or odd-one-out.")] = None,
    questions: Annotated[
        int | None, typer.Option(min=1, help="New study: number of distinct questions.")
    ] = None,
    per_person: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="New study: questions per participant, without practice, repeats and checks. [default: 100]",
        ),
    ] = None,
    not_sure: Annotated[
        bool, typer.Option("--not-sure", help='New study: offer "not sure", stored as a tie.')
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="New study: random seed of the questions.")] = 0,
    out: Annotated[Path, typer.Option(help="New study: output folder.")] = Path("study"),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 selects a free port.")] = 8000,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    draft: Annotated[
        bool, typer.Option("--draft", help="Try the page. Answers are stored in STUDY/draft.")
    ] = False,
    status: Annotated[bool, typer.Option("--status", help="Print the study's progress and exit.")] = False,
    export: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Write the judgments and a recipe, and exit.")
    ] = None,
    simulate: Annotated[
        int | None,
        typer.Option(min=1, help="Simulate this many participants in STUDY/simulated, and exit."),
    ] = None,
    split_by_image: Annotated[
        bool,
        typer.Option("--split-by-image", help="With --export: the recipe holds out images in any role."),
    ] = False,
    close: Annotated[
        bool, typer.Option("--close", help="Permanently close the study to new participants.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --close: do not ask.")] = False,
    forget: Annotated[
        str | None, typer.Option(metavar="ID", help="Delete a participant by code or platform id.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Verify the checksums of all answers, and exit.")
    ] = False,
    restore: Annotated[
        bool, typer.Option("--restore", help="Restore damaged participants from the copy, and exit.")
    ] = False,
) -> None:
    """Serve a web page that asks people which images look alike.

    Edit the texts in STUDY/texts and the settings in STUDY/study.toml.

    Example: perceptinit collect photographs/ --task 2afc --questions 2000 --out study/

    Example: perceptinit collect study/ --export judgments.csv
    """
    from perceptinit_collect import checks
    from perceptinit_collect.study import copy_study, is_study, make_or_find

    if not is_study(folder):
        folder = make_or_find(folder, out, task, questions, per_person, not_sure, seed, _report)
    elif task is not None or questions is not None or per_person is not None or not_sure or seed:
        raise UsageError(
            f"{folder}: already a study. Edit {folder}/study.toml instead to create a new design version"
        )
    if restore:
        _report("\n".join(checks.restore(folder)))
    if restore or check:
        _check(folder)
    if forget is not None:
        typer.echo(f"deleted one participant and {checks.forget(folder, forget)} answers")
    if close:
        if not yes:
            typer.confirm(f"{folder}: close to new participants? It cannot be opened again", abort=True)
        _report(checks.close(folder))
        typer.echo("closed to new participants. Participants who started can finish")
    if simulate is not None:
        _simulate(folder, simulate)
    if export is not None:
        _export(folder, export, split_by_image)
    if status:
        _show_status(folder)
    is_done = restore or check or close or status
    if not is_done and forget is None and simulate is None and export is None:
        _serve(copy_study(folder, DRAFT) if draft else folder, host, port, open_, draft)


def _report(message: str) -> None:
    typer.echo(message, err=True)


def _check(folder: Path) -> None:
    from perceptinit_collect.checks import read_checked

    records, problems = read_checked(folder)
    typer.echo(f"intact: {len(records)} participants with {sum(len(r.answers) for r in records)} answers")
    _report_damage(folder, problems)


def _report_damage(folder: Path, problems: list[str]) -> None:
    """Print the problems, and exit with code 1 if there is one."""
    if problems:
        _report("\n".join([*problems, f"Restore them from the copy: perceptinit collect {folder} --restore"]))
        raise typer.Exit(1)


def _simulate(folder: Path, count: int) -> None:
    from perceptinit_collect.simulate import simulate

    made = simulate(folder, count)
    typer.echo(
        f"simulated {count} participants. Their answers are in a separate study:\n"
        f"  perceptinit collect {made} --status\n"
        f"  perceptinit collect {made} --export simulated.csv"
    )


def _export(folder: Path, table: Path, split_by_image: bool) -> None:
    from perceptinit_collect.export import check_command, export

    paths, splits, problems = export(folder, table, split_by_image)
    for path in paths:
        typer.echo(f"wrote {path}")
    typer.echo(f"splits of the recipe: {splits}")
    typer.echo(f"next: {check_command(folder, table)}\n      perceptinit run {paths[2]}")
    _report_damage(folder, problems)


def _show_status(folder: Path) -> None:
    from rich.console import Console

    from perceptinit_collect.status import MAX_PRINTED, show, status

    show(status(folder, MAX_PRINTED), Console(highlight=False))


def _serve(folder: Path, host: str, port: int, open_page: bool, is_draft: bool) -> None:
    from perceptinit_collect.serve import address_of, is_on_a_network, listen, serve
    from perceptinit_collect.status import describe_trials

    listener = listen(host, port)

    def ready(study: Study) -> None:
        import webbrowser

        address = address_of(listener)
        typer.echo(f"people:  {address}")
        typer.echo(f"owner:   {address}owner#{study.token}")
        typer.echo(f"trials:  {describe_trials(study.design.settings)} per participant")
        typer.echo(f"answers: {folder / 'answers.sqlite'}   design {study.design.name}   (stop with Ctrl-C)")
        if is_draft:
            _report("draft: answers are not part of the study, and the next --draft deletes them")
        if is_on_a_network(listener):
            _report("warning: the page is served without encryption. docs/collect.md describes a TLS proxy")
        if open_page:
            webbrowser.open(address)

    try:
        serve(folder, listener, _report, ready, is_draft, host)
    except KeyboardInterrupt:
        _report(f"stopped. To resume: perceptinit collect {folder.parent if is_draft else folder}")
