"""Docstrings as Markdown: their lines of `name: what it is` become lists."""

from __future__ import annotations

import re

_NAMES = re.compile(r"(\*{0,2}[a-z_]\w*(?:, \*{0,2}[a-z_]\w*)*): ")


def as_markdown(docstring: str) -> str:
    """Return a docstring with each paragraph of `name: what it is` lines as a list."""
    return "\n\n".join(_block(block) for block in docstring.split("\n\n"))


def _block(block: str) -> str:
    if not _NAMES.match(block):
        return block
    lines = []
    for line in block.splitlines():
        match = _NAMES.match(line)
        if match:
            names = ", ".join(f"`{name}`" for name in match[1].split(", "))
            line = f"* {names}: {line[match.end() :]}"
        lines.append(line if match else f"    {line.strip()}")
    return "\n".join(lines)
