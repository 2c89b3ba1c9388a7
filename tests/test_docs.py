"""The documentation names every hook, kind, verb, recipe key and built-in, and its recipes are valid."""

import re
from pathlib import Path

import pytest

from perceptinit import hookspecs
from perceptinit.cli import create_app
from perceptinit.plugin_manager import build_plugin_manager
from perceptinit.recipe import ROOT_KEYS, read_recipe
from perceptinit.registry import KINDS, hook_name

ROOT = Path(__file__).parent.parent
DOCS = {path.name: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}
README = (ROOT / "README.md").read_text()
PLUGINS = build_plugin_manager()
TOML_BLOCKS = [
    pytest.param(text, id=f"{name}-{i}")
    for name, source in {**DOCS, "README.md": README}.items()
    for i, text in enumerate(re.findall(r"```toml\n(.*?)```", source, re.DOTALL))
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_on_the_map(kind):
    for text in (README, DOCS["index.md"]):
        assert f"| {kind} |" in text


@pytest.mark.parametrize("hook", [*(hook_name(kind) for kind in KINDS), "perceptinit_commands"])
def test_every_hook_is_documented_and_specified(hook):
    assert f"`{hook}`" in DOCS["hooks.md"]
    assert "Since " in (getattr(hookspecs, hook).__doc__ or "")


@pytest.mark.parametrize("entry", PLUGINS.registry.entries, ids=lambda e: f"{e.kind}-{e.name}")
def test_every_built_in_is_documented(entry):
    assert f"`{entry.name}`" in DOCS["components.md"]


@pytest.mark.parametrize("key", ROOT_KEYS)
def test_every_recipe_key_is_documented(key):
    assert f"`{key}`" in DOCS["recipes.md"]


def test_every_verb_is_documented():
    app = create_app(PLUGINS)
    verbs = [c.name for c in app.registered_commands] + [g.name for g in app.registered_groups]
    missing = [verb for verb in verbs if f"perceptinit {verb}" not in DOCS["cli.md"]]
    assert missing == []


@pytest.mark.parametrize("text", TOML_BLOCKS)
def test_recipes_in_the_documentation_are_valid(text):
    if "schema = 1" in text:
        read_recipe(text)
    else:
        import tomllib

        tomllib.loads(text)


def test_links_between_pages_resolve():
    for name, text in {**{f"docs/{n}": t for n, t in DOCS.items()}, "README.md": README}.items():
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert ((ROOT / name).parent / target).exists(), f"{name}: {target}"
