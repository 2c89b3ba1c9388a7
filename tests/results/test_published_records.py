"""Every committed plan, record and item file is read by this version, whichever version wrote it."""

from pathlib import Path

import pytest

from perceptinit.analysis import questions
from perceptinit.analysis.questions import Question, planned_questions
from perceptinit.results.items import read_items
from perceptinit.results.preregistration import read_plan
from perceptinit.results.record import read_record

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "docs/results"
RECORDS = sorted(PUBLISHED.rglob("record.json"))
PLANS = sorted([*PUBLISHED.rglob("plan*.json"), *(ROOT / "recipes").rglob("plans/*.json")])
KEYS = {question.key for question in vars(questions).values() if isinstance(question, Question)}


def has_texts(plan):
    return any(contrast["question"] not in KEYS for contrast in plan["contrasts"])


@pytest.mark.parametrize("path", PLANS, ids=lambda path: "/".join(path.parts[-2:]))
def test_the_questions_of_a_committed_plan_are_known(path):
    plan = read_plan(path.parent, path.name)
    asked = planned_questions(plan)
    assert len(asked) == len(plan["contrasts"])
    assert {question.key for question in asked.values()} <= KEYS


def test_some_committed_plans_have_texts_in_place_of_keys():
    """Otherwise, the table of texts in `questions` can go."""
    assert sum(has_texts(read_plan(path.parent, path.name)) for path in PLANS) > 0


@pytest.mark.parametrize(
    "folder", sorted({path.parents[2] for path in RECORDS}), ids=lambda folder: folder.name
)
def test_the_records_and_items_of_a_published_experiment_are_read(folder):
    records = [path for path in RECORDS if folder in path.parents]
    for path in records:
        record = read_record(path)
        assert record["status"] == "finished"
        assert isinstance(record["arm"]["by_people"], bool)
        names = {score["name"] for score in record["scores"]}
        assert read_items(path.parent).keys() <= names
