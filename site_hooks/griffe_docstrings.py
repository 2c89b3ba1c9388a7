"""What mkdocstrings reads the source with: docstrings turned into Markdown on the way."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import griffe

sys.path.append(str(Path(__file__).parent))  # griffe loads this file by its path

from docstrings import as_markdown


class AsMarkdown(griffe.Extension):
    """Turns every docstring of a package that griffe reads into Markdown."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)
