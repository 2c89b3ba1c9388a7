"""`perceptinit list`: one line for each component on a terminal, full lines in a pipe."""

import io
import re

import pytest

from perceptinit.cli.list_ import align

LONG = "attention products near the identity; no data (Trockman and Kolter 2023)"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_each_component_has_one_line_of_80_columns_on_a_terminal(verbs, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    verbs("list", "initializer")
    heading, *lines = terminal.getvalue().splitlines()
    assert heading.split() == ["initializer", "from", "summary"]
    assert max(map(len, lines)) == 80
    assert [line for line in lines if line.startswith("mimetic ")] == [
        "mimetic             perceptinit  attention products near the identity; no dat..."
    ]


def test_each_component_has_one_full_line_with_tabs_in_a_pipe(cli):
    lines = cli("list", "initializer", COLUMNS="80").stdout.splitlines()
    assert f"initializer\tmimetic\tperceptinit\t{LONG}" in lines
    assert {line.count("\t") for line in lines} == {3}


def test_the_columns_of_each_kind_are_aligned_separately():
    rows = [("pairs", "csv", "perceptinit", "a table"), ("tracker", "log/wandb", "acme", "runs")]
    assert list(align(rows, 80)) == [
        "pairs  from         summary",
        "csv    perceptinit  a table",
        "",
        "tracker    from  summary",
        "log/wandb  acme  runs",
    ]


def test_a_line_that_fits_exactly_is_not_cut():
    rows = [("pairs", "csv", "core", "a table")]
    assert list(align(rows, 20))[1] == "csv    core  a table"
    assert list(align(rows, 19))[1] == "csv    core  a t..."


@pytest.mark.parametrize("name", ["triplet-hinge", "pretrain"])
def test_show_names_the_list_of_each_nested_component(cli, name):
    shown = cli("show", "initializer", name).stdout
    kinds = re.findall(r"nested table with 'use': perceptinit list (\S+)", shown)
    assert kinds
    assert {cli("list", kind).returncode for kind in kinds} == {0}
