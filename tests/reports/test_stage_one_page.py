"""The page of stage 1 beside a plain loop: its rule, and its cells computed a second time."""

import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
import rebuilt_stage_one
import stage_one_page
from helpers.command_line import ROOT

FIRST, SECOND = stage_one_page.FIRST, stage_one_page.SECOND
METHODS = {
    "lite0": ("last blocks", "linear"),
    "alexnet": ("linear",),
    "random-vit": ("last blocks", "linear"),
    "random-resnet": ("linear",),
}


def make_records(lead=0.0, noise=0.01, seconds=10.0, worse=None, num_runs=20, fixed=-0.05):
    """Return records of all cells, in which the call leads by `lead`, and by -0.1 in the cell `worse`.

    The fixed loop leads the searched one by `fixed`. Random networks on materials have no fixed loop.
    """
    rng = np.random.default_rng(0)
    records = []
    for run, network, trained in itertools.product(range(num_runs), METHODS, stage_one_page.SETS):
        has_one = (network.startswith("random"), trained) == (True, "materials")
        loops = ("loop",) if has_one else ("loop", "fixed loop")
        for method in ("untouched", *loops, "default", *METHODS[network]):
            level = {"untouched": 0.6, "default": 0.7 + lead, "fixed loop": 0.7 + fixed}.get(method, 0.7)
            scores = {
                scored: [
                    level + rng.normal(0, noise) - 0.1 * ((network, trained, scored, method) == worse),
                    0.01,
                    0.2,
                ]
                for scored in stage_one_page.SETS
            }
            records.append(
                {
                    "network": network,
                    "trained": trained,
                    "split": run,
                    "seed": 10 + run,
                    "method": method,
                    "cpu_seconds": seconds if method == "default" else 10.0,
                    "scores": scores,
                    "taken_for": "random" if network.startswith("random") else "learned",
                    "loop": {"loop": [1e-3, 150], "fixed loop": [3e-4, 60]}.get(method),
                    "date": "2026-01-02",
                    "environment": {"processor": "a processor", "threads": 1, "versions": {"torch": "2.0"}},
                }
            )
    return records


@pytest.mark.parametrize(
    ("made", "word", "failing"),
    [
        ({"lead": 0.02}, "yes", []),
        ({"seconds": 5.0}, "yes", []),
        ({}, "not shown", ["in 0 of 16 cells"]),
        ({"noise": 0.1, "seconds": 5.0}, "not shown", ["the widest interval", "the mean over cells"]),
        ({"lead": -0.02, "seconds": 5.0}, "no", ["16 of 16 intervals are wholly below 0", "the mean over cells"]),
        (
            {"lead": 0.02, "worse": ("lite0", "materials", "cifar10h", "default")},
            "no",
            ["1 of 16 intervals are wholly below 0"],
        ),
    ],
)  # fmt: skip
def test_the_answer_follows_the_rule_of_the_plan(made, word, failing):
    cells = stage_one_page.cells_of(make_records(**made))
    assert stage_one_page.word(cells) == word
    wrong = [text for text, holds in stage_one_page.rules(cells).items() if not holds]
    assert [text.startswith(start) for text, start in zip(wrong, failing, strict=True)] == [True] * len(
        failing
    )
    assert stage_one_page.answer(cells).startswith(f"**{word.capitalize()}.** ")
    assert stage_one_page.answer(cells).count("* fails: ") == len(failing)


def test_an_interval_is_that_of_student_and_simultaneous_over_the_family():
    values = np.array([1.0, 2.0, 3.0])
    # standard error 3 ** -0.5; Student's 97.5 % and 99.375 % points of 2 degrees of freedom are 4.3027 and 8.8602
    assert stage_one_page.interval(values).half_width == pytest.approx(4.3027 / 3**0.5, abs=1e-4)
    assert stage_one_page.interval(values, 4).half_width == pytest.approx(8.8602 / 3**0.5, abs=1e-3)


@pytest.mark.parametrize(
    "made",
    [{}, {"lead": 0.02}, {"noise": 0.1, "seconds": 5.0, "num_runs": 3}, {"fixed": 0.05}, {"fixed": 0.0}],
)
def test_the_cells_of_a_page_are_rebuilt_by_other_formulas(made):
    records = make_records(**made)
    count, found = rebuilt_stage_one.differences(stage_one_page.page(records, FIRST), records)
    assert found == []
    # box, cells, other methods, two loops but of two networks on materials
    assert count == 4 + 16 * 11 + 24 * 7 + 14 * 6


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("| not shown |", "| yes |", "answer: yes, rebuilt not shown"),
        ("| 0.0003, 60 |", "| 0.0003, 90 |", "rate, steps: 0.0003, 90, rebuilt 0.0003, 60"),
        ("| 10 | 10 |  |", "| 10 | 10 | better |", "better, or half the CPU s: better, rebuilt "),
    ],
)
def test_a_changed_cell_is_named(old, new, message):
    records = make_records()
    page = stage_one_page.page(records, FIRST)
    assert old in page
    _, found = rebuilt_stage_one.differences(page.replace(old, new, 1), records)
    assert found[0].endswith(message)


def test_the_opponent_is_the_better_loop_on_unseen_images_of_the_training_set():
    searched, fixed = (stage_one_page.cells_of(make_records(fixed=lead)) for lead in (-0.05, 0.05))
    assert {each.setting for each in searched} == {"0.001, 150"}
    assert {each.setting for each in fixed if each.network == "lite0"} == {"0.0003, 60"}
    (first,) = (
        each for each in fixed if (each.network, each.trained, each.scored) == ("lite0",) + ("materials",) * 2
    )
    assert first.lead(1).mean == pytest.approx(-5, abs=1)


def test_weights_that_the_call_takes_for_another_kind_are_stated():
    records = make_records(num_runs=2)
    sentence = "The call takes the weights of AlexNet trunk, BAPPS for random ones"
    assert sentence not in stage_one_page.page(records, FIRST)
    for record in records:
        record["taken_for"] = "random" if record["network"] == "alexnet" else record["taken_for"]
    assert sentence in stage_one_page.page(records, FIRST)


def test_missing_runs_are_stated():
    records = make_records(num_runs=4)
    assert "20 runs of 16 cells were planned; each of 16 has at least 4." in stage_one_page.page(
        records, FIRST
    )
    assert "were planned; each" not in stage_one_page.page(make_records(), FIRST)


def test_the_mean_over_cells_uses_the_runs_that_all_cells_have():
    records = make_records(num_runs=5)
    cells = stage_one_page.cells_of(records)
    part = [each for each in records if (each["network"], each["seed"]) != ("alexnet", 10)]
    fewer = stage_one_page.cells_of(part)
    assert stage_one_page.mean_lead(cells).num == 5
    assert stage_one_page.mean_lead(fewer).num == 4
    assert {len(each.units) for each in fewer if each.network == "lite0"} == {5}


def make_second_records(**made):
    """Return records of the second study: CIFAR-10H has two seeds a unit, and there is one loop and no other method."""
    records = []
    for record in make_records(**made):
        if record["method"] in ("untouched", "loop", "default"):
            seeds = (90, 190) if record["trained"] == "cifar10h" else (90,)
            records += [{**record, "seed": seed + record["seed"]} for seed in seeds]
    for record in records:
        sign = 1 if record["seed"] >= 200 else -1
        of_two = record["trained"] == "cifar10h"
        record["scores"] = {
            name: [values[0] + 0.2 * sign * of_two, *values[1:]] for name, values in record["scores"].items()
        }
    return records


def test_the_seeds_of_a_split_are_averaged():
    first, second = stage_one_page.cells_of(make_records()), stage_one_page.cells_of(make_second_records())
    for each, other in zip(first, second, strict=True):
        for method in ("untouched", "loop", "default"):
            np.testing.assert_allclose(each.scores[method], other.scores[method])
    assert stage_one_page.mean_lead(second).num == 20


def test_a_unit_without_one_of_its_runs_does_not_count():
    records = make_second_records(num_runs=5)
    part = [
        each
        for each in records
        if (each["network"], each["seed"], each["method"]) != ("alexnet", 202, "loop")
    ]
    cells = stage_one_page.cells_of(part)
    assert {len(each.units) for each in cells if each.network == "alexnet"} == {4, 5}
    page = stage_one_page.page(part, SECOND)
    assert "20 units of 16 cells were planned; each of 16 has at least 4." in page
    assert rebuilt_stage_one.differences(page, part) == (4 + 16 * 11, [])
    assert "4 units; worse in " in page


def test_a_study_with_one_loop_and_no_other_methods_has_the_box_and_one_table():
    page = stage_one_page.page(make_second_records(), SECOND)
    assert "**Loops**" not in page
    assert "**Other methods**" not in page
    assert page.count("\n|---") + page.count("\n| ---") == 2


@pytest.mark.parametrize("study", [FIRST, SECOND], ids=lambda study: study.page)
def test_every_cell_of_a_published_page_is_that_of_the_records(study):
    page = stage_one_page.PAGES / study.page
    records = stage_one_page.read(study)
    if not page.is_file():
        pytest.skip("the study is not finished")
    text = page.read_text("utf-8")
    assert json.loads(rebuilt_stage_one.PAGES[page].read_text("utf-8").splitlines()[0]) == records[0]
    count, found = rebuilt_stage_one.differences(text, records)
    assert found == []
    assert count > 10
    assert text == stage_one_page.page(records, study)


def test_the_scripts_do_not_import_the_package():
    code = "import rebuilt_stage_one, stage_one_page, sys; print([m for m in sys.modules if m.startswith('perceptinit')])"
    folder = ROOT / "benchmarks/studies"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
