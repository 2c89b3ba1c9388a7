"""Questions of contrasts in plans: keys, and the texts that six published plans store."""

import pytest

from perceptinit.analysis.questions import (
    AGAINST,
    AT_BEST,
    CONTROL,
    NO_PEOPLE,
    NOISE,
    OTHERWISE,
    SIMULATED,
    STRUCTURE,
    TAUGHT,
    WORTH,
    planned_questions,
)

# as in published plans
TEXTS = {
    "Is it worth it?": WORTH,
    "Is it the human structure?": STRUCTURE,
    "Is it the structure of the simulated judgments?": SIMULATED,
    "Is it the structure of these answers, which are not people's?": NO_PEOPLE,
    "Against shuffled votes, with init.epochs and init.lr other than here:": OTHERWISE,
    CONTROL.text: CONTROL,
    "Do equal arms differ (A/A)?": NOISE,
    "Is it better than pixels?": AGAINST,
    "Each at its best settings: is it better than random?": AT_BEST,
}


def plan_with(question, **more):
    return {"contrasts": [{"arm": "pi", "reference": "random", "question": question, **more}]}


@pytest.mark.parametrize(("text", "question"), TEXTS.items(), ids=[q.key for q in TEXTS.values()])
def test_a_plan_with_the_text_of_a_question_asks_this_question(text, question):
    (found,) = planned_questions(plan_with(text)).values()
    assert found == question
    assert str(found) == text


@pytest.mark.parametrize("question", [*TEXTS.values(), TAUGHT], ids=lambda question: question.key)
def test_a_plan_with_a_key_asks_the_question_of_this_key(question):
    (found,) = planned_questions(plan_with(question.key, text="in other words")).values()
    assert found == question
    assert str(found) == "in other words"


def test_questions_about_different_references_are_equal_and_different_questions_are_not():
    assert AGAINST.format("pixels") == AGAINST.format("labels")
    assert len({*TEXTS.values(), TAUGHT}) == 10
