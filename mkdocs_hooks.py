"""Pages that are made from the code when the site is built, and links to files outside of docs/.

mkdocs calls the functions named `on_...`. A link to a file of the repository, such as a recipe,
leads to a page that shows the file, so that the site is whole without a repository host.
"""

from __future__ import annotations

import dataclasses
import inspect
import os
import posixpath
import re
from pathlib import Path
from typing import Any

os.environ["PERCEPTINIT_PLUGINS"] = (
    ""  # the site describes perceptinit, not what is installed beside it
)

ROOT = Path(__file__).parent
LINK = re.compile(r"\]\((\.\./[^)#\s]+)(#[^)\s]*)?\)")
LANGUAGES = {".py": "python", ".toml": "toml", ".yml": "yaml", ".csv": "csv"}


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages."""
    from mkdocs.structure.files import File

    pages = {
        "reference/cli.md": cli_page(),
        "reference/hookspecs.md": hookspecs_page(),
        "reference/api.md": api_page(),
        "reference/changelog.md": (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
        **{file_page(path): shown(path) for path in linked_files()},
    }
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Lead links that leave docs/ to the page that shows the file."""
    here = posixpath.dirname(page.file.src_uri)

    def replaced(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join("docs", here, match[1]))
        return f"]({posixpath.relpath(file_page(path), here or '.')})"

    return LINK.sub(replaced, markdown)


def linked_files() -> list[str]:
    """Return the repository's files that pages link to, outside of docs/, sorted."""
    found = set()
    for page in sorted((ROOT / "docs").glob("*.md")):
        for match in LINK.finditer(page.read_text(encoding="utf-8")):
            found.add(posixpath.normpath(posixpath.join("docs", match[1])))
    return sorted(found)


def file_page(path: str) -> str:
    """Return the page that shows a file of the repository."""
    return f"files/{path.removesuffix('.md')}.md"


def shown(path: str) -> str:
    """Return a file as a page: Markdown without its links, which lead elsewhere; a folder as a list."""
    full = ROOT / path
    if full.is_dir():
        names = sorted(p.name for p in full.iterdir() if not p.name.startswith((".", "__")))
        return f"# {path}\n\n" + "\n".join(f"* `{name}`" for name in names) + "\n"
    text = full.read_text(encoding="utf-8")
    if full.suffix == ".md":
        return re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]+\)", r"\1", text)
    return f"# {path}\n\n```{LANGUAGES.get(full.suffix, '')}\n{text}```\n"


def cli_page() -> str:
    """Return every verb with its arguments, options and example, as `--help` tells them."""
    import typer.main

    from perceptinit.cli import create_app
    from perceptinit.components.plugin_manager import build_plugin_manager

    root = typer.main.get_command(create_app(build_plugin_manager()))
    lines = ["# Command line, verb by verb", ""]
    for name, command in sorted(verbs(root, "perceptinit")):
        lines += [f"## `{name}`", "", inspect.cleandoc(command.help or ""), ""]
        lines += ["| | |", "|---|---|", *map(parameter_row, command.params), ""]
    return "\n".join(lines)


def verbs(group: Any, path: str) -> list[tuple[str, Any]]:
    """Return (command line, command) of all verbs below a group."""
    found = []
    for name, command in group.commands.items():
        below = f"{path} {name}"
        found += verbs(command, below) if hasattr(command, "commands") else [(below, command)]
    return found


def parameter_row(parameter: Any) -> str:
    names = (
        ", ".join(parameter.opts)
        if parameter.param_type_name == "option"
        else parameter.name.upper()
    )
    text = (getattr(parameter, "help", "") or "").replace("|", "\\|")
    return f"| `{names}` | {text} |"


def hookspecs_page() -> str:
    """Return every hook's specification."""
    from perceptinit import hookspecs

    lines = ["# Hook specifications", "", *paragraphs(hookspecs), ""]
    for name, function in vars(hookspecs).items():
        if name.startswith("perceptinit_"):
            lines += [f"## `{name}{inspect.signature(function)}`", "", *paragraphs(function), ""]
    return "\n".join(lines)


def api_page() -> str:
    """Return the public functions, the data types, the protocols and the contract classes."""
    import perceptinit
    from perceptinit import protocols, testing, types

    sections = {
        "perceptinit": [getattr(perceptinit, n) for n in perceptinit.__all__ if n != "__version__"],
        "perceptinit.types": own_classes(types),
        "perceptinit.protocols": own_classes(protocols),
        "perceptinit.testing": [getattr(testing, name) for name in testing.__all__],
    }
    lines = ["# Python API", ""]
    for title, members in sections.items():
        lines += [f"## `{title}`", ""]
        for member in members:
            lines += described(member)
    return "\n".join(lines)


def own_classes(module: Any) -> list[type]:
    return [
        m for m in vars(module).values() if inspect.isclass(m) and m.__module__ == module.__name__
    ]


def described(member: Any) -> list[str]:
    if not (inspect.isclass(member) or inspect.isfunction(member)):
        return [f"### `{member!r}`".replace("HookimplMarker", "hookimpl"), ""]
    signature = (
        ""
        if inspect.isclass(member) and not dataclasses.is_dataclass(member)
        else arguments(member)
    )
    lines = [f"### `{member.__name__}{signature}`", "", *paragraphs(member), ""]
    if inspect.isclass(member):
        for name, method in vars(member).items():
            if (
                inspect.isfunction(method)
                and not name.startswith(("_", "test_"))
                and method.__doc__
            ):
                lines += [
                    f"#### `{member.__name__}.{name}{arguments(method)}`",
                    "",
                    *paragraphs(method),
                    "",
                ]
    return lines


def arguments(member: Any) -> str:
    return str(inspect.signature(member)).replace("'", "")


def paragraphs(member: Any) -> list[str]:
    """Return a docstring as it is written: indented lines stay apart, as code."""
    text = inspect.getdoc(member) or ""
    return ["```text", *text.splitlines(), "```"] if text else []
