"""The command `perceptinit collect`, from a folder of images to training on the table; the exclusion rule."""

import csv
import io
import itertools
import json
import re
import shutil
import socket
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from helpers import file_operations
from made_studies import fill_blanks, make_study, open_study, write_images
from perceptinit_collect import perceptinit_commands
from perceptinit_collect.checks import read_checked
from perceptinit_collect.design import Trial, draw_design
from perceptinit_collect.embedding import HeldOut, _loss, held_out_2afc
from perceptinit_collect.export import export
from perceptinit_collect.images import StudyImage
from perceptinit_collect.records import (
    Given,
    Record,
    gather,
    judge_records,
    measure,
    why_excluded,
)
from perceptinit_collect.serve import address_of, is_on_a_network, listen
from perceptinit_collect.settings import Exclusion, default_design, parse_settings
from perceptinit_collect.simulate import simulate
from perceptinit_collect.status import _agreement, show, status
from perceptinit_collect.study import create, make_or_find
from rich.console import Console

from perceptinit.companion import OddOneOutTable, Table, check_judgments, load_recipe
from perceptinit.plugin import PerceptInitError, UsageError

SPLITS = ("train", "val", "test")


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def sentences(report, severity):
    return [f.message for f in report.findings if f.severity == severity]


def table_of(folder, tmp_path, component=Table):
    path = tmp_path / "judgments.csv"
    export(folder, path)
    return component(component.Config(path=path, images=folder / "images"))


def votes_in(judgments):
    return sum(int(judgments.load(split).num_votes.sum()) for split in SPLITS)


def test_data_check_of_twenty_simulated_people_reports_balanced_sides(tmp_path):
    folder = simulate(make_study(tmp_path, questions=60, per_person=20, images=12), 20)
    table = table_of(folder, tmp_path)
    report = check_judgments(table)
    notes = sentences(report, "note")
    assert report.ok
    # five held-out judgments in this small study
    assert [
        w for w in sentences(report, "warning") if "reliable intervals require at least 20" not in w
    ] == []
    assert any(
        "equally often at each position, to within 0 trials for each of 20 participants and to within 0 overall"
        in n
        for n in notes
    )
    assert any(n.startswith("answered: ") for n in notes)
    rows = rows_of(tmp_path / "judgments.csv")
    assert Counter(row["kind"] for row in rows) == {
        "practice": 120,
        "question": 400,
        "repeat": 120,
        "catch": 80,
        "instructed": 120,
    }
    left_out = {row["subject"] for row in rows if row["excluded"].startswith("person: ")}
    assert len(left_out) == 2  # one in ten answers at random
    assert votes_in(table) == 18 * 20


@pytest.mark.parametrize("by_image", [False, True])
def test_the_recipe_holds_out_enough_judgments_and_shows_what_participants_saw(tmp_path, by_image):
    changes = [("min_median_seconds = 0.3", "")]
    folder = simulate(make_study(tmp_path, questions=240, per_person=60, images=24, changes=changes), 10)
    paths, splits, _ = export(folder, tmp_path / "judgments.csv", by_image)
    recipe = load_recipe(paths[2])
    assert recipe.backbone.config.fit == "pad"
    config = recipe.arms[1].init[0].parts["judgments"].config
    assert config.split_by == ("image" if by_image else None)
    test = recipe.arms[1].init[0].parts["judgments"].build().load("test")
    assert f"test {len(test)} judgments of {len(np.unique(test.anchor))} anchors" in splits
    if not by_image:
        assert len(test) >= 100
        assert len(np.unique(test.anchor)) >= 10


@pytest.mark.parametrize(("task", "component"), [("2afc", Table), ("odd-one-out", OddOneOutTable)])
def test_not_sure_is_a_tie_in_the_exported_table(tmp_path, task, component):
    folder = make_study(tmp_path, task=task, questions=20, not_sure=True, limits=False)
    with open_study(folder) as site:
        somebody = site.begun()
        for position in range(somebody.state()["total"]):
            assert somebody.answer(position, None)[0] == 200
    judgments = table_of(folder, tmp_path, component)
    for split in SPLITS:
        assert (judgments.load(split).p_second == 0.5).all()
    assert dict(status(folder)["summary"])["answers to questions"] == "10, of which 10 are used (10 not sure)"


def test_the_table_contains_assignments_and_answers(tmp_path):
    folder = make_study(tmp_path)
    with open_study(folder) as site:
        somebody = site.begun()
        for position in range(9):
            somebody.answer(position, position % 2)
    table_of(folder, tmp_path)
    rows = rows_of(tmp_path / "judgments.csv")
    (record,) = read_checked(folder)[0]
    assert len(rows) == len(record.trials) > 9
    for row, trial in zip(rows[:9], record.trials, strict=False):
        place = int(row["answered_place"]) - 1
        assert row["assigned_order"] == " ".join(str(candidate + 1) for candidate in trial.order)
        assert place == int(row["position"]) % 2
        assert row["p_second"] == str(trial.order[place])  # candidate 0 is first, 1 is second
    assert {row["excluded"] for row in rows[9:] if row["kind"] == "question"} == {"not answered"}
    assert {row["answered_place"] for row in rows[9:]} == {""}
    assert {row["design"] for row in rows} == {record.design.name}


def test_the_export_applies_the_exclusion_rule_with_reasons(tmp_path):
    folder = make_study(tmp_path)
    with open_study(folder) as site:
        site.begun().finish()
        hasty = site.begun()
        for position in range(hasty.state()["total"]):
            hasty.answer(position, 0, seconds=0.1)
    table_of(folder, tmp_path)
    people = rows_of(tmp_path / "judgments.people.csv")
    checks = (
        "attention checks correct 0.50 < 0.88; catch trials correct 0.50 < 0.7; "
        "instructed trials correct 0.50 < 0.7"
    )
    assert [person["excluded"] for person in people] == [checks, f"{checks}; median seconds 0.10 < 0.3"]
    questions = [row for row in rows_of(tmp_path / "judgments.csv") if row["kind"] == "question"]
    assert {row["excluded"] for row in questions} == {f"person: {p['excluded']}" for p in people}
    assert {row["p_second"] for row in questions} <= {"0", "1"}  # marked, not deleted


def made_design(**exclusion):
    tables = {"design": default_design("2afc", 20, 10, True, 0), "exclusion": exclusion}
    images = tuple(StudyImage(f"{i}.png", f"{i:064x}") for i in range(6))
    design = draw_design(1, parse_settings(tables, "study.toml"), images, {})
    return replace(design, questions=tuple(itertools.permutations(range(6), 3)))


def made_record(person, *trials, design=None, seconds=1.0):
    """Return a record of trials (kind, images, answer, more) with candidates in order."""
    made = [Trial(kind, images, (0, 1), **more) for kind, images, _, more in trials]
    answers = {i: Given(a, seconds, "key", False, 0.0) for i, (_, _, a, _) in enumerate(trials)}
    return Record(person, design or made_design(), "", None, tuple(made), answers)


def votes_of(records):
    return gather([measure(record) for record in records])[0]


def question(answer, images=(0, 1, 2)):
    return "question", images, answer, {}


def test_reliability_equals_values_computed_by_hand():
    record = made_record(
        "a",
        question(0), question(1, (3, 1, 2)), question(0, (4, 1, 2)), question(None, (5, 1, 2)),
        ("repeat", (0, 1, 2), 0, {"of": 0}),  # as before
        ("repeat", (3, 1, 2), 0, {"of": 1}),  # otherwise
        ("repeat", (4, 1, 2), None, {"of": 2}),  # not sure now: half
        ("repeat", (5, 1, 2), None, {"of": 3}),  # not sure twice: as before
        ("catch", (0, 0, 1), 0, {"correct": 0}), ("catch", (2, 2, 1), 1, {"correct": 0}),
        ("catch", (3, 3, 1), None, {"correct": 0}), ("catch", (4, 4, 1), 0, {"correct": 0}),
    )  # fmt: skip
    found = judge_records([record])["a"][0]
    assert found.repeats == (1 + 0 + 0.5 + 1) / 4
    assert found.catch == 2 / 4
    assert found.agreement is None  # no other participant answered
    assert (found.median_seconds, found.answered) == (1.0, 1.0)


def test_agreement_with_the_others_does_not_depend_on_the_order_of_candidates():
    mine = made_record("a", question(0), question(0, (3, 1, 2)), question(1, (4, 1, 2)))
    others = [
        made_record("b", question(1, (0, 2, 1)), question(1, (3, 1, 2)), question(0, (4, 1, 2))),  # 1; 2; 1
        made_record("c", question(0), question(1, (3, 1, 2)), question(1, (4, 1, 2))),  # 1; 2; 2
    ]
    # agrees with both others, disagrees with both, and the others tie
    assert judge_records([mine, *others])["a"][0].agreement == 1 / 2


def test_a_limit_without_data_excludes_no_one():
    found = judge_records([made_record("a", question(0))])["a"][0]
    assert why_excluded(found, Exclusion(min_catch=1.0, min_agreement=1.0)) == ""
    assert why_excluded(found, Exclusion(min_median_seconds=1.5)) == "median seconds 1.00 < 1.5"
    half = replace(found, answered=0.5)
    assert why_excluded(half, Exclusion(min_answered=0.6)) == "questions answered 0.50 < 0.6"


def test_each_person_is_excluded_by_the_rule_of_their_design():
    strict, lax = made_design(min_median_seconds=2.0), made_design(min_median_seconds=0.5)
    records = [made_record("a", question(0), design=strict), made_record("b", question(0), design=lax)]
    judged = judge_records(records)
    assert [bool(why) for _, why in judged.values()] == [True, False]


def test_the_ceiling_is_the_majority_share_with_the_pair_agreement():
    answers = {"a": 0, "b": 0, "c": 0, "d": 1}
    records = [made_record(person, question(answer)) for person, answer in answers.items()]
    alone = made_record("e", question(0, (3, 1, 2)))
    found = dict(_agreement(votes_of([*records, alone])))
    assert found["ceiling (majority)"].startswith("75.0%")
    assert found["agreement of two participants"].startswith("50.0% (on 1 ")  # three of the six pairs agree
    assert dict(_agreement(votes_of([alone]))) == {
        "ceiling": "unknown, because no question has two answers yet"
    }


def points_and_answers(count, noise):
    """Return answers about twelve points on a line, of which a share `noise` is random."""
    rng = np.random.default_rng(0)
    triplets = np.array([rng.choice(12, 3, replace=False) for _ in range(count)])
    is_wrong = abs(triplets[:, 0] - triplets[:, 1]) > abs(triplets[:, 0] - triplets[:, 2])
    is_wrong ^= (rng.random(count) < noise) & (rng.random(count) < 0.5)
    triplets[is_wrong] = triplets[is_wrong][:, [0, 2, 1]]
    return triplets


def test_the_small_embedding_predicts_structured_answers_only():
    seen = held_out_2afc(points_and_answers(400, noise=0.0), np.arange(400), 12)
    blind = held_out_2afc(points_and_answers(400, noise=1.0), np.arange(400), 12)
    assert seen.accuracy > 0.9
    assert abs(blind.accuracy - 0.5) < 2 * blind.half_width
    assert seen.half_width == pytest.approx(
        1.96 * np.sqrt(seen.accuracy * (1 - seen.accuracy) / 400), rel=0.01
    )
    assert held_out_2afc(points_and_answers(4, 0.0), np.arange(4), 12) is None


def test_the_gradient_of_the_embedding_matches_finite_differences():
    from scipy.optimize import check_grad

    triplets, point = points_and_answers(30, 0.1), np.random.default_rng(1).standard_normal(24)
    loss, gradient = (lambda x, i=i: _loss(x, triplets, 12)[i] for i in (0, 1))
    assert check_grad(loss, gradient, point) < 1e-5


def test_repeated_answers_to_one_question_do_not_narrow_the_interval():
    once = points_and_answers(200, 0.2)
    one = held_out_2afc(once, np.arange(200), 12)
    doubled = held_out_2afc(np.repeat(once, 2, axis=0), np.repeat(np.arange(200), 2), 12)
    assert doubled.half_width == pytest.approx(one.half_width, rel=0.1)


def test_halving_an_interval_requires_four_times_the_answers():
    assert HeldOut(0.7, 0.02).answers_until(0.01, 1000) == 3000
    assert HeldOut(0.7, 0.009).answers_until(0.01, 1000) == 0


def test_simulated_people_do_not_change_the_study(tmp_path):
    folder = make_study(tmp_path)
    copy = simulate(folder, 3)
    assert (read_checked(folder)[0], len(read_checked(copy)[0])) == ([], 3)
    assert all(record.is_finished for record in read_checked(copy)[0])
    assert len(read_checked(simulate(folder, 2))[0]) == 2  # simulated again from the beginning


def test_image_names_that_a_spreadsheet_would_execute_are_escaped(tmp_path):
    images = write_images(tmp_path / "photographs", 5)
    (images / "00.png").rename(images / "=1+1.png")
    (images / "01.png").rename(images / "-x.png")
    design = default_design("2afc", 20, 10, False, 0)
    create(images, tmp_path / "study", design, lambda message: None)
    fill_blanks(tmp_path / "study")
    settings = tmp_path / "study/study.toml"
    settings.write_text(settings.read_text().replace("min_", "# min_"))
    with open_study(tmp_path / "study") as site:
        site.begun().finish()
    table = table_of(tmp_path / "study", tmp_path)
    cells = {
        row[name] for row in rows_of(tmp_path / "judgments.csv") for name in ("anchor", "first", "second")
    }
    assert {"./=1+1.png", "./-x.png"} < cells
    assert not [cell for cell in cells if cell[0] in "=+-@"]
    assert list(table.preflight()) == []


def test_an_edited_recipe_is_not_overwritten(tmp_path, collect):
    folder = make_study(tmp_path)
    with open_study(folder) as site:
        site.begun().finish()
    first = collect(folder, "--export", "judgments.csv")
    assert "perceptinit run judgments.toml" in first.stdout
    recipe = tmp_path / "judgments.toml"
    made = recipe.read_text()
    assert "judgments-2" not in collect(folder, "--export", "judgments.csv").output
    recipe.write_text(made.replace("epochs = 8", "epochs = 80"))
    again = collect(folder, "--export", "judgments.csv")
    assert "epochs = 80" in recipe.read_text()
    assert (tmp_path / "judgments-2.toml").read_text() == made.replace(
        "run judgments.toml", "run judgments-2.toml"
    )
    assert "perceptinit run judgments-2.toml" in again.stdout
    assert "wrote judgments-2.toml" in again.stdout
    collect(folder, "--export", "judgments.csv")
    assert not (tmp_path / "judgments-3.toml").exists()


@pytest.mark.parametrize("task", ["2afc", "odd-one-out"])
def test_the_codebook_and_the_metadata_describe_every_column(tmp_path, task):
    folder = make_study(tmp_path, task=task, questions=12, per_person=12)
    with open_study(folder) as site:
        site.begun().finish()
    paths = export(folder, tmp_path / "judgments.csv")[0]
    columns = {name for path in paths[:2] for name in rows_of(path)[0]}
    codebook = rows_of(paths[3])
    assert sorted(row["column"] for row in codebook) == sorted(columns)
    assert all(row["values"] and row["description"] for row in codebook)
    described = json.loads(paths[4].read_text())
    assert (described["@context"], described["@type"]) == ("https://schema.org", "Dataset")
    assert (described["name"], bool(described["description"])) == ("judgments", True)
    assert {variable["name"] for variable in described["variableMeasured"]} == columns
    assert {variable["@type"] for variable in described["variableMeasured"]} == {"PropertyValue"}
    assert all(variable["description"] for variable in described["variableMeasured"])


def test_a_kill_at_any_operation_of_the_export_leaves_nothing_after_the_next_export(tmp_path, monkeypatch):
    folder, out = make_study(tmp_path), tmp_path / "out"
    with open_study(folder) as site:
        site.begun().finish()
    monkeypatch.setattr(file_operations, "_STRIDE", 1)
    names = [
        f"judgments.{end}"
        for end in ("codebook.csv", "csv", "dataset_description.json", "people.csv", "toml")
    ]
    num_unfinished = 0
    for _, copy in file_operations.states(out, export, folder, out / "judgments.csv", at_least=8):
        num_unfinished += any(path.name.endswith(".tmp") for path in copy.iterdir())
        shutil.rmtree(out)
        shutil.copytree(copy, out)
        export(folder, out / "judgments.csv")
        assert sorted(path.name for path in out.iterdir()) == names
    assert num_unfinished >= 5


def test_a_kill_at_any_operation_of_a_new_study_leaves_nothing_after_the_next_start(tmp_path, monkeypatch):
    photographs, out = write_images(tmp_path / "photographs", 4), tmp_path / "out"
    design = default_design("2afc", 12, 12, False, 0)
    create(photographs, tmp_path / "whole", design, print)
    names = sorted(path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*"))
    monkeypatch.setattr(file_operations, "_STRIDE", 1)
    for _, copy in file_operations.states(out, create, photographs, out, design, print, at_least=20):
        make_or_find(photographs, copy, "2afc", 12, 12, False, 0, print)
        assert sorted(path.relative_to(copy) for path in copy.rglob("*")) == names


def test_an_odd_one_out_study_can_be_exported_and_used_in_a_recipe(tmp_path, collect, cli):
    folder = make_study(tmp_path, task="odd-one-out", questions=30, per_person=12, images=12)
    assert collect(folder, "--simulate", 4).exit_code == 0
    done = collect(folder / "simulated", "--export", "judgments.csv")
    (check,) = (line for line in done.stdout.splitlines() if "data check" in line)
    checked = cli(*check.partition("perceptinit ")[2].split())
    assert checked.returncode == 0, checked.stdout
    assert "within 0 trials for each of 4 participants" in checked.stdout
    valid = cli("validate", "judgments.toml")
    assert valid.returncode == 0, valid.stdout
    assert "arm pi" in valid.stdout


@pytest.mark.slow
def test_the_documented_commands_lead_from_images_to_stage_one(tmp_path, collect, cli):
    """Slow, because it trains. Runs the commands of docs/collect.md with a smaller study and model."""
    write_images(tmp_path / "photographs", 24)
    study = ("--task", "2afc", "--questions", 60, "--per-person", 20, "--out", "study")
    made = collect("photographs", *study, "--simulate", 20)
    assert "simulated 20 participants" in made.stdout
    shown = collect("study/simulated", "--status").stdout
    assert "20 started, 20 finished" in shown
    assert "held-out 2AFC of a small embedding" in shown
    assert collect("study/simulated", "--export", "judgments.csv").exit_code == 0
    checked = cli("data", "check", "judgments.csv,images=study/simulated/images")
    assert "No errors." in checked.stdout
    smaller = (
        "seeds=[0,1]",
        "init.epochs=2",
        "backbone.image_size=16",
        "backbone.model_args.depth=1",
    )
    run = cli("run", "judgments.toml", *(f"--set={key}" for key in smaller))
    assert run.returncode == 0, run.stdout
    assert "2afc/judgments" in run.stdout
    compared = cli("compare", "runs/judgments", "--format", "markdown")
    assert "over 2 seeds, images and people)" in compared.stdout


def test_the_status_prints_complete_codes_on_a_narrow_terminal(tmp_path):
    folder = simulate(make_study(tmp_path), 2)
    console = Console(width=80, file=io.StringIO())
    show(status(folder), console)
    for record in read_checked(folder)[0]:
        assert record.person in console.file.getvalue()


COLLECT = ("photographs", "--task", "2afc", "--questions", "12", "--out", "study")


def test_invalid_arguments_of_collect_are_reported(tmp_path, collect):
    write_images(tmp_path / "photographs", 5)
    (tmp_path / "empty").mkdir()

    def said(*arguments):
        error = collect(*arguments).exception
        assert isinstance(error, PerceptInitError), error
        return str(error)

    assert "photographs: not a study (study.toml not found). To create one, add --task" in said("photographs")
    assert "empty: 0 images found" in said("empty", *COLLECT[1:])
    assert "nowhere: not a folder" in said("nowhere", *COLLECT[1:])
    assert "unknown task '2af'. Did you mean '2afc'?" in said(*COLLECT[:2], "2af", *COLLECT[3:])
    assert "5 images allow only 30 different 2afc questions" in said(*COLLECT[:4], "31", *COLLECT[5:])
    assert collect(*COLLECT, "--status").exit_code == 0
    assert "nothing to export, because no participant has started" in said(
        "study", "--export", "judgments.csv"
    )
    assert "Choose a name that ends in .csv" in said("study", "--export", "judgments.parquet")
    assert "no participant has the code or platform id 'xyz'" in said("study", "--forget", "xyz")
    assert "already a study. Edit study/study.toml" in said("study", "--questions", "12")
    assert "already a study with other settings (questions, per_person)" in said(
        *COLLECT[:4], "13", *COLLECT[5:]
    )
    settings = tmp_path / "study/study.toml"
    settings.write_text(settings.read_text().replace("per_person = 12", "per_persn = 12"))
    assert "design.per_persn: unknown key; did you mean 'per_person'?" in said("study", "--simulate", "1")


def test_a_port_in_use_is_reported(tmp_path, cli):
    make_study(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = cli("collect", "study", "--port", taken.getsockname()[1])
    assert done.returncode == 2
    assert "cannot listen (Address already in use)" in done.stderr


@pytest.mark.parametrize(("host", "is_open"), [("127.0.0.1", False), ("::1", False), ("0.0.0.0", True)])
def test_the_printed_address_of_a_public_page_contains_the_host_name(host, is_open):
    try:
        listener = listen(host, 0)
    except UsageError as error:  # a machine without IPv6
        pytest.skip(str(error))
    with listener:
        assert is_on_a_network(listener) == is_open
        assert "0.0.0.0" not in address_of(listener)
        assert (socket.gethostname() in address_of(listener)) == is_open


def test_collect_does_not_import_torch(tmp_path, cli):
    make_study(tmp_path)
    done = cli("collect", "study", "--simulate", 1, PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0, done.stderr
    names = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert {"starlette", "uvicorn", "numpy"} <= names
    assert sorted(names & {"torch", "torchvision", "open_clip", "timm", "pyarrow"}) == []


def test_the_documented_commands_exist_with_their_options():
    page = (Path(__file__).parents[3] / "docs" / "collect.md").read_text()
    lines = re.findall(r"^perceptinit collect .*", page, re.MULTILINE)
    app = typer.Typer()
    perceptinit_commands(app)
    known = {name for option in typer.main.get_command(app).params for name in option.opts}
    used = {word.partition("=")[0] for line in lines for word in line.split() if word[0] == "-"}
    assert len(lines) >= 4
    assert used <= known
