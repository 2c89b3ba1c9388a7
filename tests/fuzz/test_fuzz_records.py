"""Folders with invalid records or plans: commands report them and use the valid runs."""

import copy
import io
import json
import shutil
from contextlib import redirect_stdout

import pytest
from harness import damaged, fuzz, outcome
from helpers.made_runs import three_by_three, write
from hypothesis import given, strategies as st

from perceptinit.recipe.reading import load_recipe
from perceptinit.verdict.plan import make_plan

ODD = (
    None, True, 0, -1, 10**30, 1.5, "", "x", "[" * 50, [], [None], ["x"], {}, {"a": 1}, "finished", "running", "../x",
    "n" * 300, [[]], [{}], "\x1b[31m", "\x00",
)  # fmt: skip
DEEP = "[" * 20_000


@st.composite
def records(draw):
    """Draw the bytes of a record with up to three replaced values, or arbitrary JSON."""
    return _with_odd_places(draw, copy.deepcopy(three_by_three()[draw(st.integers(0, 8))]))


@st.composite
def plans(draw, plan):
    """Draw the bytes of a plan, like `records` for a record."""
    return _with_odd_places(draw, copy.deepcopy(plan))


def _with_odd_places(draw, record):
    for _ in range(draw(st.integers(0, 3))):
        table, key = _place(draw, record)
        if draw(st.booleans()):
            table[key] = copy.deepcopy(draw(st.sampled_from(ODD)))
        else:
            del table[key]
    text = (
        json.dumps(record)
        if draw(st.integers(0, 9))
        else draw(st.sampled_from((DEEP, "[]", "", "nan", "9" * 5000)))
    )
    return draw(damaged(text.encode())) if draw(st.integers(0, 3)) == 0 else text.encode()


def _place(draw, value):
    """Return a nested table or array of a value, and a key of it."""
    while True:
        keys = sorted(value) if isinstance(value, dict) else range(len(value))
        key = draw(st.sampled_from(list(keys)))
        inner = value[key]
        if not isinstance(inner, (dict, list)) or not inner or draw(st.integers(0, 2)) == 0:
            return value, key
        value = inner


@st.composite
def other_files(draw):
    """Draw the files next to a record: none, or invalid notes and events."""
    event = {
        "kind": "step",
        "time": 1.0,
        "stage": "pretrain",
        "step": 3,
        "total_steps": 9,
        "metrics": {"loss": 1.0},
    }
    for _ in range(draw(st.integers(0, 2))):
        event[draw(st.sampled_from(sorted(event)))] = draw(st.sampled_from(ODD))
    holder = draw(
        st.sampled_from(("[]", "{}", "3", DEEP, '{"pid": "x", "host": 3}', '{"pid": 1, "host": "h"}'))
    )
    return draw(
        st.sampled_from(({}, {"events.jsonl": json.dumps(event) + "\n[]\n3\n{", ".run.json": holder}))
    )


@fuzz(12)
@given(
    records(),
    other_files(),
    st.sampled_from(("file", "file", "file", "folder")),
    st.sampled_from(("status", "compare")),
)
def test_an_invalid_record_is_reported_and_the_valid_runs_are_used(place, verbs, record, others, kind, verb):
    shutil.rmtree(place / "made", ignore_errors=True)
    root = write(place, three_by_three()[:-1])
    folder = root / "shuffled/seed2"
    folder.mkdir()
    if kind == "folder":
        (folder / "record.json").mkdir()
    else:
        (folder / "record.json").write_bytes(record)
    for name, text in others.items():
        (folder / name).write_text(text)
    output = io.StringIO()

    def tell():
        with redirect_stdout(output):
            verbs(verb, root)
        return output.getvalue()

    # a valid record of a shorter run is reported by its arm
    named = ["record.json", "made", "ended after different numbers of samples"]
    text = outcome("record", tell, named, place)
    if text is not None:
        assert "random" in text


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    """The plan of a recipe with three arms, used for the generated runs."""
    recipe = load_recipe("quickstart")
    return make_plan(recipe, tmp_path_factory.mktemp("plan"))


@fuzz(12)
@given(st.data())
def test_an_invalid_plan_is_reported_and_the_runs_are_compared(place, verbs, plan, data):
    shutil.rmtree(place / "made", ignore_errors=True)
    root = write(place, three_by_three())
    (root / "plan.json").write_bytes(data.draw(plans(plan)))
    output = io.StringIO()

    def tell():
        with redirect_stdout(output):
            verbs("compare", root)
        return output.getvalue()

    text = outcome("plan", tell, ["plan.json"], place)
    assert text is not None
    assert "Not as planned" in text
