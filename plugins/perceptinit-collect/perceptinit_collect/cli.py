"""`perceptinit collect`: a page that asks people, from a folder of images to a table of judgments."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perceptinit.plugin import UsageError

if TYPE_CHECKING:
    from perceptinit_collect.study import Study


def collect(
    folder: Annotated[Path, typer.Argument(help="A folder of images, or a study made before.")],
    task: Annotated[str | None, typer.Option(help="For a new study: 2afc or odd-one-out.")] = None,
    questions: Annotated[
        int | None, typer.Option(min=1, help="For a new study: different questions in all.")
    ] = None,
    per_person: Annotated[
        int | None,
        typer.Option(min=1, help="For a new study: questions for a person. [default: 100]"),
    ] = None,
    not_sure: Annotated[
        bool, typer.Option("--not-sure", help='For a new study: offer "not sure", kept as a tie.')
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="For a new study: names the draw of questions.")] = 0,
    out: Annotated[Path, typer.Option(help="For a new study: its folder.")] = Path("study"),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Show how far the study is, and end.")] = False,
    export: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Write the judgments and a recipe, and end.")
    ] = None,
    simulate: Annotated[
        int | None,
        typer.Option(min=1, help="Let this many simulated people walk the page, and end."),
    ] = None,
    close: Annotated[bool, typer.Option("--close", help="Take nobody in any more, for good.")] = False,
    forget: Annotated[
        str | None, typer.Option(metavar="ID", help="Delete a person, by code or platform id.")
    ] = None,
) -> None:
    """Ask people which images look alike, on a page of your own, and keep their answers safe.

    Texts are in STUDY/texts, everything else in STUDY/study.toml.

    Example: perceptinit collect photographs/ --task 2afc --questions 2000 --out study/

    Example: perceptinit collect study/ --export judgments.csv
    """
    from perceptinit_collect.study import is_study, made_of

    if not is_study(folder):
        folder = made_of(folder, out, task, questions, per_person, not_sure, seed, _tell)
    elif task is not None or questions is not None or per_person is not None or not_sure or seed:
        raise UsageError(
            f"{folder}: is a study; change {folder}/study.toml, which makes a new version of its design"
        )
    wants_end = [_forget(folder, forget), _close(folder, close), _simulate(folder, simulate)]
    wants_end += [_export(folder, export), _show_status(folder, status)]
    if not any(wants_end):
        _serve(folder, host, port, open_)


def _tell(message: str) -> None:
    typer.echo(message, err=True)


def _forget(folder: Path, code: str | None) -> bool:
    from perceptinit_collect.study import forget

    if code is not None:
        typer.echo(f"deleted a person with {forget(folder, code)} answers")
    return code is not None


def _close(folder: Path, wanted: bool) -> bool:
    from perceptinit_collect.study import close

    if wanted:
        close(folder)
        typer.echo("closed: nobody new is taken in; who has begun may finish")
    return wanted


def _simulate(folder: Path, count: int | None) -> bool:
    if count is None:
        return False
    from perceptinit_collect.simulate import simulate

    made = simulate(folder, count)
    typer.echo(
        f"{count} simulated people walked the page, from consent to debriefing. Their answers are a study of their own:\n"
        f"  perceptinit collect {made} --status\n"
        f"  perceptinit collect {made} --export simulated.csv"
    )
    return True


def _export(folder: Path, table: Path | None) -> bool:
    if table is None:
        return False
    from perceptinit_collect.export import check_command, export

    for path in export(folder, table):
        typer.echo(f"wrote {path}")
    typer.echo(f"next: {check_command(folder, table)}\n      perceptinit run {table.with_suffix('.toml')}")
    return True


def _show_status(folder: Path, wanted: bool) -> bool:
    if not wanted:
        return False
    from rich.console import Console

    from perceptinit_collect.status import show, status

    show(status(folder), Console(highlight=False))
    return True


def _serve(folder: Path, host: str, port: int, open_page: bool) -> None:
    from perceptinit_collect.serve import address_of, is_on_a_network, listen, serve

    listener = listen(host, port)

    def ready(study: Study) -> None:
        import webbrowser

        address = address_of(listener)
        typer.echo(f"people:  {address}")
        typer.echo(f"owner:   {address}owner#{study.token}")
        typer.echo(f"answers: {folder / 'answers.sqlite'}   design {study.design.name}   (stop with Ctrl-C)")
        if study.has_example_consent:
            _tell("attention: texts/consent.md is still the example text; people should read your own")
        if is_on_a_network(listener):
            _tell(
                "attention: others on the network can reach the page, unencrypted; docs/collect.md says how to put it "
                "behind a proxy with TLS"
            )
        if open_page:
            webbrowser.open(address)

    try:
        serve(folder, listener, _tell, ready)
    except KeyboardInterrupt:
        _tell(f"stopped; go on with: perceptinit collect {folder}")
