"""The page's figures on known effects are those of the records that are kept."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import known_effects


def test_the_page_holds_what_the_command_makes_of_the_kept_records():
    page = known_effects.PAGE.read_text(encoding="utf-8")
    assert known_effects.MARK.search(page)
    assert page == known_effects.renewed(page)
