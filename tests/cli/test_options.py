"""The number of options, the words that were replaced, and the pairs of options that are refused."""

import re

import pytest
import typer

from perceptinit.cli import create_app
from perceptinit.cli.options import REFUSED, REPLACED
from perceptinit.components.plugin_manager import build_plugin_manager

MAX_OPTIONS = 98  # of all commands of the core, without plug-ins
MAX_PER_COMMAND = 15
VALUES = {
    "--at": "end",
    "--format": "json",
    "--jobs": "2",
    "--nproc": "2",
    "--out": "elsewhere",
    "--score": "top1/x",
    "--seed": "1",
    "--set": "seeds=[0]",
    "--submit": "slurm",
    "--pooling": "mean",
}
ARGUMENTS = {"data pack": ["SOURCE", "OUT"]}


@pytest.fixture
def commands(monkeypatch):
    """The commands of the core by name."""
    monkeypatch.setenv("PERCEPTINIT_PLUGINS", "")
    root = typer.main.get_command(create_app(build_plugin_manager()))
    found = dict(root.commands)
    for name, group in root.commands.items():
        found |= {f"{name} {inner}": each for inner, each in getattr(group, "commands", {}).items()}
    return found


def options_of(command):
    return [p for p in command.params if p.param_type_name == "option" and p.name != "help"]


def test_commands_have_few_options(commands):
    counts = {name: len(options_of(command)) for name, command in commands.items()}
    assert {name: count for name, count in counts.items() if count > MAX_PER_COMMAND} == {}
    assert sum(counts.values()) <= MAX_OPTIONS
    assert counts["compare"] <= 15


def test_every_command_with_options_shows_an_example_that_it_accepts(commands):
    for name, command in commands.items():
        if not options_of(command):
            continue
        (first, *_) = re.findall(r"Example: perceptinit (.*)", command.help)
        assert first.startswith(name)
        known = {spelling for option in options_of(command) for spelling in option.opts}
        assert {*re.findall(r"--[a-z-]+", first)} <= known, first


REPLACEMENTS = [(name, old, new) for name, words in REPLACED.items() for old, new in words.items()]


@pytest.mark.parametrize(("name", "old", "new"), REPLACEMENTS)
def test_a_replaced_word_is_an_error_that_names_the_new_one(cli, name, old, new):
    done = cli(*name.split(), old)
    assert done.returncode == 2
    assert done.stderr.endswith(f"{old} was replaced by {new}\n")


def test_replacements_are_options_of_their_commands(commands):
    for name, old, new in REPLACEMENTS:
        if name:
            known = {spelling for option in options_of(commands[name]) for spelling in option.opts}
            assert old not in known
            assert {*re.findall(r"--[a-z-]+", new)} <= known, new
        else:
            assert old not in commands


def test_a_replaced_option_with_its_value_is_refused(cli):
    assert cli("run", "quickstart", "--on=slurm").stderr == (
        "error: perceptinit run: --on was replaced by --submit slurm or --submit commands\n"
    )


def words_of(wanted):
    """Return command-line words for an option of the table, which may have a value or be an argument."""
    name, _, pattern = wanted.partition(" ")
    if not name.startswith("--"):
        return [pattern.replace("*", "any")]
    if pattern and "*" not in pattern:
        return [name, pattern]
    if pattern:
        return [name, pattern.replace("*", "") + "column"]
    return [name, VALUES[name]] if name in VALUES else [name]


REFUSALS = [(name, *row) for name, rows in REFUSED.items() for row in rows]


@pytest.mark.parametrize(("name", "first", "second", "advice"), REFUSALS)
def test_refused_options_end_with_an_advice(cli, name, first, second, advice):
    arguments = [] if first.startswith("RECIPE") else ARGUMENTS.get(name, ["none.toml"])
    given = [] if second.startswith("no ") else words_of(second)
    done = cli(*name.split(), *words_of(first), *given, *arguments)
    assert done.returncode == 2
    reason = "requires" if second.startswith("no ") else "does not support"
    assert re.fullmatch(rf"error: \S+( \w+)? {reason} --[a-z-]+( \w+)?\. {re.escape(advice)}\n", done.stderr)


def test_default_values_are_not_refused(cli):
    done = cli("run", "none.toml", "--submit", "commands", "--jobs", "1")
    assert "none.toml: no such recipe" in done.stderr
