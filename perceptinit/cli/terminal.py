"""What a terminal gets: characters that it has, and no commands hidden in names."""

from __future__ import annotations

import codecs
import sys
import unicodedata

_NEAREST = {"±": "+-", "×": "x", "–": "-", "—": "-", "→": "->", "…": "...", "≥": ">=", "≤": "<="}


def accept_any_encoding() -> None:
    """Have standard output and error write what their encoding lacks in the nearest ASCII, instead of failing."""
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
