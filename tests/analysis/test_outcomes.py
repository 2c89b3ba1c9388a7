"""The outcomes of a difference: one enum, and all texts in one module."""

import ast
import re
from pathlib import Path

import pytest

import perceptinit
from perceptinit.analysis import questions
from perceptinit.analysis.questions import DECIDED, Case, Outcome, choose

ROOT = Path(perceptinit.__file__).parents[1]
TEXTS = Path(questions.__file__)
# an outcome alone or as a heading, or a sentence about one
WORD = re.compile(rf"^\W*({'|'.join(Outcome)})\W*$", re.IGNORECASE)
PHRASE = re.compile(
    r"\b(is|are) (better|worse) than\b|\bis undecided\b|not shown to differ|\bas published, within|\bas re-runs\b"
)


def constants_of(path):
    """Yield the strings of a module with their lines, without docstrings."""
    tree = ast.parse(path.read_text("utf-8"))
    documented = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented:
            yield node.lineno, node.value


def is_text_of_outcome(text):
    return bool(WORD.match(text) or PHRASE.search(text))


def test_texts_of_outcomes_are_in_one_module():
    modules = [*ROOT.glob("perceptinit/**/*.py"), *ROOT.glob("plugins/*/perceptinit_*/**/*.py")]
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for path in modules
        if path != TEXTS
        for line, text in constants_of(path)
        if is_text_of_outcome(text)
    ]
    assert len(modules) > 300
    assert found == []


@pytest.mark.parametrize("text", ["better", "Worse:", "pi is better than random", "not shown to differ"])
def test_a_text_of_an_outcome_is_found(text):
    assert is_text_of_outcome(text)


def test_there_are_four_outcomes():
    assert [str(outcome) for outcome in Outcome] == ["equivalent", "better", "worse", "undecided"]
    assert {*DECIDED, Outcome.UNDECIDED} == set(Outcome)


def test_a_case_has_its_own_sentence_or_that_of_its_outcome():
    sentences = {Outcome.EQUIVALENT: "as well", Outcome.UNDECIDED: "open", Case.ONE_SEED: "one"}
    assert choose(sentences, Outcome.UNDECIDED, Case.ONE_SEED) == "one"
    assert choose(sentences, Outcome.EQUIVALENT, Case.EQUAL) == "as well"
    assert choose(sentences, Outcome.BETTER) == "open"
