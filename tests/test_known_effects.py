"""The figures of docs/results/ are those of the records in its folders."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import known_effects
import pytest


@pytest.mark.parametrize("page", known_effects.pages(), ids=lambda page: page.stem)
def test_a_page_has_what_the_command_makes_of_the_records(page):
    text = page.read_text(encoding="utf-8")
    assert text == known_effects.renewed(text)


def test_every_experiment_with_records_is_on_a_page():
    marks = {
        name for page in known_effects.pages() for _, name, _ in known_effects.MARK.findall(page.read_text())
    }
    assert {"structure", "few-pairs", "levers", "margin", "pairs", "aa-few-pairs"} <= marks
