"""Convert notebooks to pages, with text, code and stored outputs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any


def as_page(notebook: str) -> str:
    """Return the Markdown of a notebook from the text of its file."""
    parts = [part for cell in json.loads(notebook)["cells"] for part in _cell(cell)]
    return "\n\n".join(parts) + "\n"


def _cell(cell: Mapping[str, Any]) -> Iterable[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield source
        return
    yield f"```python\n{source}\n```"
    for output in cell["outputs"]:
        yield _output(output)


def _output(output: Mapping[str, Any]) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        png = "".join(data["image/png"]).replace("\n", "")
        return f"![output](data:image/png;base64,{png})"
    text = "".join(output.get("text", data.get("text/plain", "")))
    return f"```text\n{text.rstrip()}\n```"
