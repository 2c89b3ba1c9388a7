"""Terminal, Markdown, JSON and page of tables with a known truth: tests/situations/tables.py."""

import html
import json
import re
from pathlib import Path

import pytest
from helpers.command_line import run_command
from helpers.views import find_unsupported, list_texts
from situations.tables import TABLES

NOT_YET = frozenset((Path(__file__).parents[1] / "situations/not_yet.txt").read_text("utf-8").splitlines())
EXPORTS = Path(__file__).parents[1] / "results/tables"
VIEWS = {
    "terminal": ("--all",),
    "markdown": ("--all", "--format", "markdown"),
    "json": ("--format", "json"),
    "short": (),
}
FIRM = r"(?<![Ww]hether )(?<!that )\b\w+ (is (not )?worth it|makes no difference that matters)"
EVERY = [pytest.param(name, id=name.replace(" ", "-")) for name in TABLES]


def write_table(table, folder):
    """Write the files of a table, preregister its plan, and return the arguments that name table and options."""
    path = folder / table.file if table.text else EXPORTS / table.file
    for name, text in {**(table.more or {}), **({table.file: table.text} if table.text else {})}.items():
        (folder / name).write_text(text)
    if not table.plan:
        return [str(path), *table.options]
    (folder / "results.toml").write_text(table.plan)
    done = run_command(("preregister", "results.toml"), folder)
    assert done.returncode == 0, done.text
    return [str(path), "--plan", "runs/results/plan.json", *table.options]


def show(table, folder, view):
    """Return the lines of a view of a table."""
    given = write_table(table, folder)
    if view == "page":
        done = run_command(("report", *given, "--out", folder / "page.html"), folder, COLUMNS="2000")
        found = folder / "page.html"
        text = found.read_text("utf-8") if found.exists() else ""
        text = re.sub(r"(?s)<(style|svg|script).*?</\1>", "", text)
        lines = [html.unescape(" ".join(line.split())) for line in re.split(r"(?:<[^>]+>|\n)+", text)]
        lines += done.stderr.splitlines()
    else:
        done = run_command(("compare", *given, *VIEWS[view]), folder, COLUMNS="2000")
        is_json = view == "json" and done.returncode == 0
        found = list_texts(json.loads(done.stdout)) if is_json else done.stdout.splitlines()
        lines = [re.sub(r"^[*\-] ", "", line).strip() for line in [*found, *done.stderr.splitlines()]]
    assert (done.returncode != 0) == table.is_refused, done.text
    return lines


@pytest.mark.parametrize("name", EVERY)
def test_sentences_are_supported_by_the_table(name, tmp_path, request):
    if name in NOT_YET:
        request.applymarker(pytest.mark.xfail(strict=True, reason="the reader does not know this yet"))
    assert find_unsupported(TABLES[name], show(TABLES[name], tmp_path, "markdown")) == []


@pytest.mark.parametrize("name", [name for name in TABLES if "arms" in name])
def test_the_short_answer_names_what_it_assumes(name, tmp_path):
    assert_assumptions(TABLES[name], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_every_short_answer_names_what_it_assumes(name, tmp_path):
    assert_assumptions(TABLES[name], tmp_path)


def assert_assumptions(table, folder):
    """Assert that a firm word is printed with the assumptions that a table cannot show."""
    lines = show(table, folder, "short")
    assert [p for p in table.never for line in lines if re.search(p, line)] == []
    is_firm = any(re.search(FIRM, line) for line in lines)
    assert any("This assumes that" in line for line in lines) or not is_firm


@pytest.mark.slow  # three further views of each table
@pytest.mark.parametrize("view", ["terminal", "json", "page"])
@pytest.mark.parametrize("name", EVERY)
def test_each_view_is_supported_by_the_table(name, view, tmp_path, request):
    if name in NOT_YET:
        request.applymarker(pytest.mark.xfail(reason="the reader does not know this yet"))
    assert find_unsupported(TABLES[name], show(TABLES[name], tmp_path, view)) == []


def test_the_tables_have_firm_answers():
    assert 3 * sum(table.firm for table in TABLES.values()) >= len(TABLES)
