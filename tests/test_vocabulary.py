"""One word for one idea: the terms of docs/glossary.md, and the words that they replace."""

import io
import re
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import typer
from test_wording import python_texts

from perceptinit.cli import create_app
from perceptinit.components.plugin_manager import build_plugin_manager

ROOT = Path(__file__).parents[1]
MAX_TERMS = 30
PAGES = ("README.md", "docs/index.md")
CODE = ("perceptinit/**/*.py", "plugins/*/perceptinit_*/**/*.py")


def terms():
    """Return the terms of perceptinit, in the order of the glossary."""
    own = (ROOT / "docs/glossary.md").read_text("utf-8").partition("## Terms of the field")[0]
    return re.findall(r"^\| (?!term |---)([^|]+) \|", own, re.MULTILINE)


def replaced():
    """Return the patterns of words that went, with the term that replaces each."""
    lines = (Path(__file__).parent / "vocabulary.tsv").read_text("utf-8").splitlines()
    pairs = [line.split("\t") for line in lines if not line.startswith("#")]
    return [(re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE), term) for pattern, term in pairs]


def find_replaced(place, text):
    """Return the words of a text that went, with its place and the term to write instead."""
    found = [(pattern.search(text), term) for pattern, term in replaced()]
    return [f"{place}: '{match[0]}' -> {term}" for match, term in found if match]


def test_users_meet_few_terms():
    assert len(terms()) <= MAX_TERMS
    assert terms() == sorted(terms(), key=str.lower)


def test_a_word_that_went_has_a_term_of_the_glossary():
    assert {term for _, term in replaced()} <= {*terms()}


@pytest.mark.parametrize("page", PAGES)
def test_a_front_page_uses_the_terms(page):
    lines = (ROOT / page).read_text("utf-8").splitlines()
    assert [
        hit for number, line in enumerate(lines, 1) for hit in find_replaced(f"{page}:{number}", line)
    ] == []


def test_help_uses_the_terms(monkeypatch):
    monkeypatch.setenv("TERMINAL_WIDTH", "200")
    root = typer.main.get_command(create_app(build_plugin_manager()))
    groups = {name: getattr(command, "commands", {}) for name, command in root.commands.items()}
    paths = [(), *((name,) for name in groups), *((name, verb) for name in groups for verb in groups[name])]
    hits = []
    for words in paths:
        output = io.StringIO()
        with redirect_stdout(output):
            root([*words, "--help"], standalone_mode=False)
        hits += find_replaced(" ".join(("perceptinit", *words)), " ".join(output.getvalue().split()))
    assert len(paths) > 20
    assert hits == []


def test_printed_sentences_use_the_terms():
    hits = []
    for path in (path for pattern in CODE for path in sorted(ROOT.glob(pattern))):
        for kind, line, text in python_texts(path.read_text("utf-8")):
            if kind == "messages":
                hits += find_replaced(f"{path.relative_to(ROOT)}:{line}", text)
    assert hits == []


def test_a_word_that_went_is_found():
    (hit,) = find_replaced("line 1", "random is off its yardstick")
    assert hit == "line 1: 'yardstick' -> published score"
