"""Every committed plan, record and item file is read by this version, whichever version wrote it."""

from pathlib import Path

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


def test_the_questions_of_committed_plans_are_known():
    for path in PLANS:
        plan = read_plan(path.parent, path.name)
        asked = planned_questions(plan)
        assert len(asked) == len(plan["contrasts"]), path
        assert {question.key for question in asked.values()} <= KEYS, path


def test_some_committed_plans_have_texts_in_place_of_keys():
    """Otherwise, the table of texts in `questions` can go."""
    assert sum(has_texts(read_plan(path.parent, path.name)) for path in PLANS) > 0


def test_published_records_and_items_are_read():
    for path in RECORDS:
        record = read_record(path)
        assert record["status"] == "finished", path
        assert isinstance(record["arm"]["by_people"], bool), path
        names = {score["name"] for score in record["scores"]}
        assert read_items(path.parent).keys() <= names, path
