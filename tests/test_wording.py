"""Documentation, messages and comments use the language of the field: docs/contributing.md."""

import ast
import io
import re
import tokenize
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RULES = [
    (re.compile(pattern, re.IGNORECASE), better)
    for pattern, _, better in (
        line.partition("\t")
        for line in (Path(__file__).parent / "wording.tsv").read_text("utf-8").splitlines()
        if line and not line.startswith("#")
    )
]
FOLDERS = ("perceptinit", "plugins", "recipes", "docs", "examples", "site_hooks", "tests")
MIN_WORDS = 4  # of a string that counts as a message
# Hits per 1,000 words that are accepted. A ratchet: lower a number after texts are rewritten, never raise one.
CEILINGS = dict.fromkeys(("docstrings", "messages", "comments", "pages", "recipes", "test names"), 0.1)


def texts(path):
    """Yield kind, line and text of everything in a file that a person reads."""
    if path.suffix == ".py":
        yield from python_texts(path.read_text("utf-8"))
    elif path.suffix == ".md":
        yield "pages", 1, re.sub(r"(?s)```.*?```", blank_lines, path.read_text("utf-8"))
    elif path.suffix == ".toml":
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            comment = line.partition("#")[2] or re.sub(r'^summary = "(.*)"$|.*', r"\1", line)
            yield "recipes", number, comment


def blank_lines(match):
    return "\n" * match[0].count("\n")


def python_texts(source):
    tree = ast.parse(source)
    docstrings, inner = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if ast.get_docstring(node):
                docstrings.add(id(node.body[0].value))
        elif isinstance(node, ast.JoinedStr):
            inner |= {id(value) for value in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield "test names", node.lineno, node.name.replace("_", " ")
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) in docstrings:
                yield "docstrings", node.lineno, node.value
            elif id(node) not in inner and len(node.value.split()) >= MIN_WORDS:
                yield "messages", node.lineno, node.value
        elif isinstance(node, ast.JoinedStr):
            parts = (v.value if isinstance(v, ast.Constant) else "X" for v in node.values)
            if len((text := "".join(parts)).split()) >= MIN_WORDS:
                yield "messages", node.lineno, text
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield "comments", token.start[0], token.string


def find_wording():
    """Return the number of words and the sentences to rewrite, by kind of text."""
    words, hits = Counter(), {}
    files = [path for name in FOLDERS for path in (ROOT / name).rglob("*") if path.is_file()]
    for path in sorted([*files, *ROOT.glob("*.md")]):
        if path.name in ("CHANGELOG.md", "test_wording.py"):
            continue
        for kind, line, text in texts(path):
            words[kind] += len(text.split())
            for pattern, better in RULES:
                for match in pattern.finditer(text):
                    number = line + text[: match.start()].count("\n")
                    place = f"{path.relative_to(ROOT)}:{number}"
                    hits.setdefault(kind, []).append(f"{place}: '{match[0]}' -> {better}")
    return words, hits


def test_texts_use_the_language_of_the_field():
    words, hits = find_wording()
    assert all(words[kind] > 1000 for kind in CEILINGS), "no texts found"
    above = [
        hit
        for kind, ceiling in CEILINGS.items()
        for hit in hits.get(kind, [])
        if len(hits[kind]) > ceiling * words[kind] / 1000
    ]
    assert above == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('raise DataError(f"{path}: damage is told, and the run goes on")', "messages"),
        ("def test_damage_is_told():\n    pass", "test names"),
        ("# nobody reads it", "comments"),
    ],
)
def test_an_unusual_phrase_is_found(source, expected):
    ((kind, _, text),) = python_texts(source)
    assert kind == expected
    assert any(pattern.search(text) for pattern, _ in RULES)


def find_long_summaries():
    """Yield the place of each docstring whose first sentence does not fit into one line."""
    for path in sorted([*ROOT.glob("perceptinit/**/*.py"), *ROOT.glob("plugins/*/perceptinit_*/**/*.py")]):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            if documented and "\n" in (ast.get_docstring(node) or "").partition("\n\n")[0]:
                yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


def test_the_first_sentence_of_a_docstring_fits_in_one_line():
    assert list(find_long_summaries()) == []
