"""Hooks of mkdocs, which generate reference pages from the code."""

from __future__ import annotations

import os
from typing import Any

os.environ["PERCEPTINIT_PLUGINS"] = ""  # the site describes only perceptinit

from api_pages import api_page, plugin_page, protocols_page, testing_page
from command_pages import cli_page, hookspecs_page
from component_pages import component_pages, navigation
from links import ROOT, file_page, linked_files, shown, with_links


def on_config(config: Any) -> Any:
    """Add the pages of the components to the navigation."""
    sections = {title: pages for item in config.nav for title, pages in item.items()}
    sections["Components"].extend(navigation())
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages."""
    from mkdocs.structure.files import File

    for name, text in generated_pages().items():
        files.append(File.generated(config, name, content=text))
    return files


def generated_pages() -> dict[str, str]:
    """Return the text of every page that is not a file in docs/, by page name."""
    return {
        "reference/cli.md": cli_page(),
        "reference/hookspecs.md": hookspecs_page(),
        "reference/api.md": api_page(),
        "reference/plugin.md": plugin_page(),
        "reference/protocols.md": protocols_page(),
        "reference/testing.md": testing_page(),
        "reference/changelog.md": (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
        **component_pages(),
        **{file_page(path): shown(path) for path in linked_files()},
    }


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Link files outside docs/ to their generated pages."""
    return with_links(markdown, page.file.src_uri)
