"""A page for each component, generated from its source like `perceptinit show`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from perceptinit.components.building import PARTS
from perceptinit.components.describe import Description, Field, describe
from perceptinit.components.plugin_manager import build_plugin_manager
from perceptinit.registry import KINDS, Entry
from perceptinit.types import DataCard

# the table of each kind in a recipe
SLOTS = {
    "initializer": "[[init]]",
    "backbone": "[backbone]",
    "pretrainer": "[pretrain]",
    "judgments": "[init.judgments]",
    "pairs": "[pretrain.pairs]",
    "evaluator": "[[eval]]",
    "tracker": "[[track]]",
}


def entries() -> list[Entry]:
    """Return the built-in components, sorted by kind."""
    found = build_plugin_manager().registry.entries
    return [entry for kind in KINDS for entry in found if entry.kind == kind]


def page_name(entry: Entry) -> str:
    """Return the path of a component's page in docs/."""
    return f"reference/components/{entry.kind}/{entry.name}.md"


def component_pages() -> dict[str, str]:
    """Return the text of the listing and of every component's page, by page name."""
    pages = {page_name(entry): component_page(entry) for entry in entries()}
    return {"reference/components.md": listing_page(), **pages}


def component_page(entry: Entry) -> str:
    """Return the page of a component: documentation, example and table of keys."""
    found = describe(entry)
    lines = [f"# `{entry.name}`", "", f"{entry.kind.capitalize()}: {entry.component.summary}.", ""]
    lines += [found.doc, "", "```toml", *_example(entry, found), "```", ""]
    if found.fields:
        lines += ["| key | type | default | |", "|---|---|---|---|", *map(_row, found.fields), ""]
    else:
        lines += ["It has no keys.", ""]
    card = getattr(entry.load(), "card", None)
    if isinstance(card, DataCard):
        lines += [*_card(card), ""]
    return "\n".join(lines)


def _example(entry: Entry, found: Description) -> Iterable[str]:
    slot = SLOTS[entry.kind]
    yield slot
    yield f'use = "{entry.name}"'
    for field in found.fields:
        if field.default is None:
            yield f"# {field.name} = ...   required"
    for part in found.parts:
        yield f"[{slot.strip('[]')}.{part}]"
        yield f'use = "..."   # one of the {KINDS[PARTS[part]]}'


def _row(field: Field) -> str:
    default = "required" if field.default is None else f"`{field.default}`"
    kind = field.type.replace(" | ", " or ")  # a bar in code would end the cell
    cells = (f"`{field.name}`", f"`{kind}`", default, " ".join(field.doc.split()))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _card(card: DataCard) -> Iterable[str]:
    yield "## The data"
    yield ""
    yield f"{card.title}. License: {card.license or 'not stated'}."
    if card.citation:
        yield f"Cite: {card.citation}."
    if card.source_url:
        yield f"Source: <{card.source_url}>."
    if card.checked:
        yield f"Checked: {card.checked}."


def navigation() -> list[dict[str, Any]]:
    """Return the navigation of the component pages, sorted by kind."""
    return [
        {kind.capitalize(): [{e.name: page_name(e)} for e in entries() if e.kind == kind]} for kind in KINDS
    ]


def listing_page() -> str:
    """Return a table of the components of each kind, with links to their pages."""
    lines = ["# Components", "", "`perceptinit list` prints this list; plug-ins add more."]
    for kind in KINDS:
        lines += ["", f"## {kind.capitalize()}: `{SLOTS[kind]}`", "", "| name | does |", "|---|---|"]
        for entry in entries():
            if entry.kind == kind:
                link = f"components/{kind}/{entry.name}.md"
                lines.append(f"| [`{entry.name}`]({link}) | {entry.component.summary} |")
    return "\n".join(lines) + "\n"
