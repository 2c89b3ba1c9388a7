"""Each page of results begins with a box, which says what docs/results.md and the README say."""

import re

import known_effects
import pytest
import rebuilt_cells
from helpers.command_line import ROOT

LISTING = (ROOT / "docs/results.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
HEAD = ["question", "answer", "number [95 % interval]", "what would change it"]
NUMBER = re.compile(r"(?:[-+]\d+\.\d+(?: points| nats)?|\d+ %) \[[^]]*\]")


def box_of(page):
    """Return the rows of the first table of a page if it is a box, else an empty list."""
    _, (head, _, *rows) = next(rebuilt_cells.tables(page.read_text("utf-8")), ("", [[], []]))
    return rows if head == HEAD else []


BOXES = {page.stem: rows for page in known_effects.pages() if (rows := box_of(page))}


def without_unit(text):
    return re.sub(r" (?:points|nats) \[", " [", text)


def test_every_page_of_results_begins_with_a_box():
    assert {page.stem for page in known_effects.pages()} == BOXES.keys()
    for page in BOXES:
        lines = (ROOT / f"docs/results/{page}.md").read_text("utf-8").splitlines()
        assert lines.index(f"| {' | '.join(HEAD)} |") <= 4, page


@pytest.mark.parametrize("page", BOXES)
def test_a_box_has_word_and_number_of_the_list_of_results(page):
    (line,) = (line for line in LISTING.splitlines() if f"](results/{page}.md) |" in line)
    answer = line.strip("|").split("|")[2].strip()
    assert re.match(rf"{BOXES[page][0][1]}\b", answer)
    for question, word, number, change in BOXES[page]:
        assert re.search(rf"\b{word}\b", answer), (question, word)
        figures = NUMBER.findall(number) or re.findall(r"\d[\d.e-]*\d", number)[-1:]
        assert without_unit(figures[0]) in without_unit(line), question
        assert change


def test_differences_of_the_readme_are_those_of_boxes_with_the_same_word():
    words = {NUMBER.search(row[2])[0]: row[1] for rows in BOXES.values() for row in rows if "[" in row[2]}
    shown = [line.strip("| ").split(" | ") for line in README.splitlines() if NUMBER.search(line)]
    rows = [cells for cells in shown if len(cells) == 3]
    assert len(rows) == 5
    for question, number, answer in rows:
        assert re.match(rf"{words[number]}\b", answer), question
