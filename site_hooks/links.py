"""Pages for repository files to which docs/ links, such as recipes.

The site therefore needs no repository host.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from notebooks import as_page

ROOT = Path(__file__).parents[1]
LANGUAGES = {".py": "python", ".toml": "toml", ".yml": "yaml", ".csv": "csv"}
_LINK = re.compile(r"\]\((\.\./[^)#\s]+)(#[^)\s]*)?\)")


def linked_files() -> list[str]:
    """Return the files outside docs/ to which pages link, sorted."""
    found = set()
    for page in (ROOT / "docs").rglob("*.md"):
        folder = page.parent.relative_to(ROOT).as_posix()
        for match in _LINK.finditer(page.read_text(encoding="utf-8")):
            found.add(posixpath.normpath(posixpath.join(folder, match[1])))
    return sorted(path for path in found if not path.startswith("docs/"))


def file_page(path: str) -> str:
    """Return the page that shows a file of the repository."""
    return f"files/{path.removesuffix('.md')}.md"


def with_links(markdown: str, page: str) -> str:
    """Return the text of a page, with links out of docs/ replaced by links to the pages of the files."""
    here = posixpath.dirname(page)

    def replaced(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join("docs", here, match[1]))
        if path.startswith("docs/"):
            return match[0]
        return f"]({posixpath.relpath(file_page(path), here or '.')})"

    return _LINK.sub(replaced, markdown)


def shown(path: str) -> str:
    """Return a file as a page: Markdown without relative links, a notebook with outputs, a folder as a list."""
    full = ROOT / path
    if full.is_dir():
        names = sorted(p.name for p in full.iterdir() if not p.name.startswith((".", "__")))
        return f"# {path}\n\n" + "\n".join(f"* `{name}`" for name in names) + "\n"
    text = full.read_text(encoding="utf-8")
    if full.suffix == ".ipynb":
        return as_page(text)
    if full.suffix == ".md":
        return re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]+\)", r"\1", text)
    return f"# {path}\n\n```{LANGUAGES.get(full.suffix, '')}\n{text}```\n"
