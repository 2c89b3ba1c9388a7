"""Terminal, Markdown, JSON and page of experiments with a known truth: the catalogue in tests/situations."""

import html
import json
import re
from pathlib import Path

import pytest
from helpers.command_line import run_command
from helpers.views import find_unsupported, list_texts
from situations.catalogue import SITUATIONS
from situations.made import write_runs
from situations.tables import TABLES

# situations with an unsupported sentence or an omission: a ratchet, remove a name when its sentences are correct
NOT_YET = frozenset((Path(__file__).parents[1] / "situations/not_yet.txt").read_text("utf-8").splitlines())
VIEWS = {
    "terminal": ("--all",),
    "markdown": ("--all", "--format", "markdown"),
    "json": ("--format", "json"),
}


def sample():
    """Mark as slow the situations whose patterns are all those of earlier ones.

    The others have every sentence of the catalogue that must be present, and every one that must be absent.
    """
    known = set()
    for name, situation in SITUATIONS.items():
        own = {("must", p) for p in situation.must} | {("never", p) for p in situation.never}
        marks = () if own - known else pytest.mark.slow
        known |= own
        yield pytest.param(name, id=name.replace(" ", "-"), marks=marks)


def sentences(name, folder, view):
    """Return the lines of a view of a situation."""
    situation = SITUATIONS[name]
    runs = write_runs(situation, folder)
    if view == "page":
        done = run_command(
            ("report", runs, "--no-examples", "--out", folder / "page.html", *situation.options), folder
        )
        assert done.returncode == 0, done.text
        text = re.sub(r"(?s)<(style|svg|script).*?</\1>", "", (folder / "page.html").read_text("utf-8"))
        return [html.unescape(" ".join(line.split())) for line in re.split(r"(?:<[^>]+>|\n)+", text)]
    done = run_command(("compare", runs, *VIEWS[view], *situation.options), folder, COLUMNS="2000")
    found = list_texts(json.loads(done.stdout)) if view == "json" else done.stdout.splitlines()
    return [re.sub(r"^[*\-] ", "", line).strip() for line in [*found, *done.stderr.splitlines()]]


def unsupported(name, lines):
    return find_unsupported(SITUATIONS[name], lines)


@pytest.mark.parametrize("name", [*sample()])
def test_sentences_are_supported_by_the_runs(name, tmp_path, request):
    if name in NOT_YET:
        request.applymarker(pytest.mark.xfail(strict=True, reason="the verdict does not know this yet"))
    assert unsupported(name, sentences(name, tmp_path, "markdown")) == []


@pytest.mark.slow  # draws every figure of a page
@pytest.mark.parametrize("name", [each for each in sample() if not each.marks])
def test_the_page_is_supported_by_the_runs(name, tmp_path, request):
    if name in NOT_YET:
        request.applymarker(pytest.mark.xfail(reason="the verdict does not know this yet"))
    assert unsupported(name, sentences(name, tmp_path, "page")) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", [*sample()][:10])  # the terminal has the sentences of the Markdown
def test_the_terminal_is_supported_by_the_runs(name, tmp_path):
    assert unsupported(name, sentences(name, tmp_path, "terminal")) == []


@pytest.mark.slow  # two runs of a command more for each
@pytest.mark.parametrize("name", [*sample()])
def test_json_is_supported_by_the_runs(name, tmp_path, request):
    if name in NOT_YET:
        request.applymarker(pytest.mark.xfail(reason="the verdict does not know this yet"))
    assert unsupported(name, sentences(name, tmp_path, "json")) == []


def test_the_catalogue_is_large_and_has_firm_answers():
    every = {**SITUATIONS, **TABLES}
    assert len(every) >= 400
    assert len(every) == len(SITUATIONS) + len(TABLES)
    assert 3 * sum(situation.firm for situation in every.values()) >= len(every)
    assert set(every) >= NOT_YET
