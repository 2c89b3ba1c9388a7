"""Where runs come from: capabilities and words, which other modules use without asking for the source."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.made_tables import read_scores

import perceptinit
from perceptinit.analysis.compare import compare
from perceptinit.analysis.intervals import Components
from perceptinit.analysis.statistics import Estimate
from perceptinit.reports.account import compared_sentence
from perceptinit.reports.formats import latex_table, markdown_table
from perceptinit.reports.report import render, write_methods
from perceptinit.results import source
from perceptinit.results.runs import LoadedRun, RunSet
from perceptinit.results.source import MODELS, RECORDS, TABLE, Fact, Progress, Source
from perceptinit.verdict.headline import Judged
from perceptinit.verdict.verdict import verdict

ROOT = Path(perceptinit.__file__).parents[1]
VALUES = {name for name, value in vars(source).items() if isinstance(value, Source)}
# where an expression decides what is executed
DECIDING = (ast.If, ast.IfExp, ast.While, ast.Assert)


def list_questions(text):
    """Yield the lines of a module that ask which source runs come from."""
    for node in ast.walk(ast.parse(text)):
        asked = []
        if isinstance(node, DECIDING):
            asked = [node.test]
        elif isinstance(node, (ast.Compare, ast.BoolOp, ast.match_case)):
            asked = list(ast.iter_child_nodes(node))[:3]
        elif isinstance(node, ast.comprehension):
            asked = node.ifs
        elif isinstance(node, ast.Dict):
            asked = [key for key in node.keys if key]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("isinstance", "getattr"):
            asked = node.args
        for part in asked:
            names = {getattr(n, "id", getattr(n, "attr", "")) for n in ast.walk(part)}
            is_bare = isinstance(part, ast.Attribute) and ast.unparse(part).endswith("runs.source")
            if VALUES & names or "Source" in names or is_bare:
                yield getattr(part, "lineno", 0)


def modules_with_sources():
    for path in sorted([*ROOT.glob("perceptinit/**/*.py"), *ROOT.glob("plugins/*/perceptinit_*/**/*.py")]):
        text = path.read_text("utf-8")
        if "results.source import" in text or ".source." in text or "results.runs import" in text:
            yield path, text


def test_no_module_asks_which_source_runs_come_from():
    found = dict(modules_with_sources())
    asking = [f"{path}:{line}" for path, text in found.items() for line in list_questions(text)]
    assert len(found) > 20
    assert asking == []


@pytest.mark.parametrize(
    "text",
    [
        "if runs.source is TABLE: pass",
        "x = 1 if runs.source == RECORDS else 2",
        "x = {TABLE: 1}[runs.source]",
        "x = isinstance(runs.source, Source)",
        "x = [a for a in b if a.source is not source.MODELS]",
        "while runs.source and y: pass",
        "match runs.source:\n    case source.TABLE: pass",
    ],
)
def test_a_question_about_the_source_is_found(text):
    assert list(list_questions(text))


def test_a_capability_is_not_a_question_about_the_source():
    assert list(list_questions("x = 1 if Fact.DIFFER in runs.source.shows else f(source=TABLE)")) == []


def test_records_show_every_fact_and_a_table_none():
    assert (set(Fact) - RECORDS.shows, TABLE.shows) == (set(), frozenset())


def test_only_runs_with_records_can_still_get_a_score():
    assert [each.pending for each in (RECORDS, TABLE, MODELS)] == [
        {"running", "not started"},
        frozenset(),
        frozenset(),
    ]


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (Progress.along("step"), "steps"),
        (Progress.along("samples_seen", "images"), "images seen"),
        (Progress.along("samples_seen"), "samples seen"),
        (Progress.along(""), ""),
    ],
)
def test_progress_in_words(progress, words):
    assert progress.seen == words


def test_delta_is_in_points_for_shares_and_in_the_unit_of_other_scores_of_a_table():
    factors = [each.units_of_delta(is_share) for each in (RECORDS, TABLE) for is_share in (True, False)]
    assert factors == [100, 100, 100, 1]


def models(scores):
    """Return the runs of models that were measured once, given their scores."""
    row = {"name": "acc/x", "samples_seen": 0, "num_examples": 50, "chance": None, "extra": {}}
    runs = [
        LoadedRun(name, 0, Path(), "finished", scores=({**row, "value": value},))
        for name, value in scores.items()
    ]
    return RunSet("models", "", "random", tuple(scores), tuple(runs), source=MODELS)


def answer(mean, low, high, num_people=0, components=True):
    """Return the verdict on the model `a` against `random`, given its interval over items."""
    score = compare(models({"random": 0.5, "a": 0.5 + mean})).scores[0]
    (found,) = score.differences
    parts = Components(mean, 0.0, 1e-4, 0.0, num_seeds=1, num_images=50, num_people=num_people)
    two_way = Estimate(mean, 0.01, low, high, 1, 49.0)
    if components:
        score = replace(
            score,
            components={found.contrast: parts},
            differences=(replace(found, two_way=two_way),),
        )
    return verdict(score, found.contrast)


def test_an_interval_over_images_decides_between_models_that_were_measured_once():
    found = answer(0.1, 0.05, 0.15)
    assert found.outcome == "better"
    assert found.sentence == "a is better than random by 0.100 (95 % interval +0.050 to +0.150 over images)."


def test_the_sentence_names_people_if_the_interval_covers_them():
    assert "over images and people)" in answer(-0.1, -0.15, -0.05, num_people=9).sentence


def test_an_undecided_difference_of_models_asks_for_more_images():
    found = answer(0.1, -0.05, 0.25)
    assert found.outcome == "undecided"
    assert found.sentence.endswith("Only more images can decide it.")


def test_models_without_values_by_image_are_not_compared():
    found = answer(0.1, None, None, components=False)
    assert "one score each without values by image does not decide" in found.sentence


def test_models_are_asked_which_is_better():
    (contrast,) = compare(models({"random": 0.5, "a": 0.6})).contrasts
    assert str(contrast.question) == "Is it better than random?"


def test_three_models_are_a_family():
    comparison = compare(models({"random": 0.5, "a": 0.6, "b": 0.7}))
    assert {contrast.num_family for contrast in comparison.contrasts} == {2}


def test_texts_about_models_do_not_mention_seeds():
    judged = Judged.of(compare(models({"random": 0.5, "a": 0.6, "b": 0.7})))
    scores = judged.comparison.scores
    assert "3 models were measured: a, b against the baseline random." in compared_sentence(
        judged.comparison.runs
    )
    assert "seed" not in markdown_table(judged, scores)
    assert "seed" not in latex_table(judged, scores)
    assert "seed" not in write_methods(judged)


def test_the_page_shows_models():
    html = render(Judged.of(compare(models({"random": 0.5, "a": 0.6}))), with_examples=False)
    assert "2 models were measured: a against the baseline random." in html
    assert "standard error over seeds" not in html


def test_a_table_states_its_layout():
    runs = read_scores({"random": {0: 0.5, 1: 0.6}, "a": {0: 0.6, 1: 0.7}})
    assert runs.source.layout.startswith("Read: acc (higher is better, in percent); paired by seed (")
