"""Terminal output of all commands: tables, console and encoding."""

from __future__ import annotations

import codecs
import sys
import unicodedata
from collections.abc import Collection
from typing import TYPE_CHECKING

from perceptinit.errors import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console
    from rich.table import Table

_NEAREST = {"±": "+-", "×": "x", "–": "-", "—": "-", "→": "->", "…": "...", "≥": ">=", "≤": "<="}


def new_console(*, markup: bool = True) -> Console:
    """Return a console on standard output without automatic highlighting."""
    from rich.console import Console

    return Console(highlight=False, markup=markup)


def new_table(headings: Collection[str], *, right: Collection[str] = ()) -> Table:
    """Return an empty table whose cells wrap. The columns in `right` are right-aligned."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=any(headings))
    for heading in headings:
        justify = "right" if heading in right else "left"
        table.add_column(heading, overflow="fold", justify=justify)  # type: ignore[arg-type]
    return table


def print_warnings(warnings: Iterable[object]) -> None:
    """Print warnings to standard error."""
    for warning in warnings:
        print(f"warning: {printable(str(warning))}", file=sys.stderr)


def accept_any_encoding() -> None:
    """Replace characters that standard output or error cannot encode with similar ASCII."""
    codecs.register_error("perceptinit", _nearest)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="perceptinit")


def _nearest(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    missing = error.object[error.start : error.end]
    return "".join(map(_ascii, missing)), error.end


def _ascii(character: str) -> str:
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return _NEAREST.get(character) or plain or "?"
