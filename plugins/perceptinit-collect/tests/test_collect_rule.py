"""The default exclusion rule on simulated participants: honest, random clicks, always the same position."""

import random
import re
import sqlite3
import tomllib
from dataclasses import replace
from pathlib import Path

import collect_crowd as crowd
import numpy as np
import pytest
from made_studies import make_study
from perceptinit_collect import people
from perceptinit_collect.checks import read_checked
from perceptinit_collect.design import Trial, draw_design, draw_session, num_trials
from perceptinit_collect.images import StudyImage
from perceptinit_collect.people import Answer, Origin
from perceptinit_collect.records import Given, Record, judge_records, measure
from perceptinit_collect.settings import default_design, parse_settings
from perceptinit_collect.simulate import Judge, _look
from perceptinit_collect.study import _settings_text, current_design, open_study as open_folder

COUNT = 50


class RandomClicker:
    def __init__(self, number, num_places):
        self._rng, self._places = np.random.default_rng(number), num_places

    def answer(self, looks, instruction):
        return int(self._rng.integers(self._places)), float(self._rng.uniform(0.5, 2))


class StraightLiner:
    """A simulated participant who always chooses the same position."""

    def __init__(self, number, num_places):
        self._place = number % num_places

    def answer(self, looks, instruction):
        return self._place, 1.0


def take_part(connection, study, looks, judged, worker):
    """Answer all open trials and return the number of answers, which is 0 for a finished session."""
    origin = Origin("prolific", worker)
    token = people.begin(connection, study.design, origin, keep_platform_id=False)
    person = people.read_person(connection, people.find(connection, token))
    start = people.next_position(connection, person.id)
    for position, trial in enumerate(person.trials[start:], start):
        candidates = trial.images[-study.design.task.num_candidates :]
        shown = [*trial.images[: -len(candidates)], *(candidates[c] for c in trial.order)]
        instruction = trial.order.index(trial.correct) + 1 if trial.kind == "instructed" else None
        place, seconds = judged.answer([looks[image] for image in shown], instruction)
        people.store_answer(connection, person, Answer(position, place, seconds, "key", False))
    return len(person.trials) - start


def count_people(folder, seed):
    """Return the number of participants of each kind who pass the default rule, and the total number."""
    with open_folder(folder) as study:
        task, names = study.design.task, {}
        looks = [_look(study.image_path(image).read_bytes()) for image in study.design.images]
        connection = sqlite3.connect(folder / "answers.sqlite", isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        crowd = {
            "honest": lambda n: Judge(task, False, seed, 10 * n),  # every tenth participant is careless
            "random": lambda n: RandomClicker((seed, n), task.num_candidates),
            "straight": lambda n: StraightLiner(n, task.num_candidates),
        }
        for kind, make in crowd.items():
            for n in range(COUNT):
                take_part(connection, study, looks, make(n), f"{kind}{n}")
                (code,) = connection.execute("SELECT id FROM people ORDER BY slot DESC LIMIT 1").fetchone()
                names[code] = kind
        second = [take_part(connection, study, looks, crowd["random"](n), f"honest{n}") for n in range(COUNT)]
        connection.execute("COMMIT")
        connection.close()
        judged = judge_records(read_checked(folder)[0])
    counted = [names.get(code, "second session") for code, (_, why) in judged.items() if not why]
    result = {kind: counted.count(kind) for kind in (*crowd, "second session")}
    return result, len(judged), sum(second)


@pytest.mark.parametrize("task", ["2afc", "odd-one-out"])
def test_the_default_rule_keeps_honest_people_and_at_most_2_of_150_others(tmp_path, task):
    folder = make_study(tmp_path, task=task, questions=60, per_person=20, images=12)
    counted, num_people, num_second_answers = count_people(folder, seed=0)
    print(f"\n{task}, of 50 each: {counted}")  # pytest -s
    assert counted["honest"] >= COUNT - 1
    assert counted["random"] + counted["straight"] + counted["second session"] <= 2
    assert (num_people, num_second_answers) == (3 * COUNT, 0)  # a second session continues the first


def record_of(kinds, answered):
    """Return a record of trials of these kinds, of which the first `answered` have the correct answer."""
    trials = [Trial(kind, (0, 1, 2), (0, 1), None if kind == "question" else 0) for kind in kinds]
    answers = {
        position: Given(trials[position].correct, 1.0, "key", False, 0.0) for position in range(answered)
    }
    design = replace(design_of("2afc", 20), questions=((0, 1, 2),))
    return Record("a", design, "", None, tuple(trials), answers)


def test_attention_checks_without_an_answer_count_as_wrong():
    kinds = ["question", "catch", "instructed"]
    found = [measure(record_of(kinds, answered)).found for answered in (1, 2, 3)]
    assert [(f.catch, f.instructed, f.checks) for f in found] == [(0, 0, 0), (1, 0, 1), (1, 1, 1)]
    without = measure(record_of(["question"], 1)).found
    assert (without.catch, without.instructed, without.checks) == (None, None, None)


def test_a_participant_who_answers_less_than_half_of_the_questions_is_excluded_by_default(tmp_path):
    design = current_design(make_study(tmp_path, questions=60, per_person=20, images=12), print)
    trials = draw_session(design, 0)

    def why(num_answers):
        answers = {
            at: Given(t.correct or 0, 1.0, "key", False, 0.0) for at, t in enumerate(trials[:num_answers])
        }
        return judge_records([Record("a", design, "", None, tuple(trials), answers)])["a"][1]

    assert why(6).startswith("attention checks correct 0.00 < 0.88; catch trials correct 0.00 < 0.7")
    assert "questions answered 0.45 < 0.5" in why(half_of(trials) - 1)
    assert why(half_of(trials)) == ""


def half_of(trials):
    """Return after how many trials half of the 20 questions are answered."""
    positions = [position for position, trial in enumerate(trials) if trial.kind == "question"]
    return positions[9] + 1


def test_the_participants_are_drawn_by_another_program_than_the_rule():
    source = Path(crowd.__file__).read_text()
    assert "simulate" not in "".join(re.findall(r"^(?:from|import) .*", source, re.MULTILINE))
    pages = crowd.pages_of(design_of("2afc", 20), tuple(draw_session(design_of("2afc", 20), 0)))
    assert {field for page in pages for field in vars(page)} == {
        "anchor", "places", "instruction", "share", "number",
    }  # fmt: skip


def design_of(task, per_person):
    """Return a design with the default settings and rule of a new study."""
    settings = parse_settings({"design": default_design(task, 2000, per_person, False, 0)}, "study.toml")
    tables = parse_settings(tomllib.loads(_settings_text(settings)), "study.toml")
    images = tuple(StudyImage(f"{i}.png", f"{i:064x}") for i in range(60))
    return draw_design(1, tables, images, {})


@pytest.mark.parametrize("task", ["2afc", "odd-one-out"])
def test_by_default_at_most_a_quarter_of_the_trials_are_checks(task):
    for per_person in (20, 50, 100, 200):
        design = design_of(task, per_person)
        checks = design.settings.catch + design.settings.instructed
        assert checks <= num_trials(design.settings) / 4
        assert checks >= min(36, num_trials(design.settings) / 5)


@pytest.mark.parametrize("task", ["2afc", "odd-one-out"])
def test_one_in_twenty_careless_people_pass_and_one_in_twenty_honest_people_are_refused(task):
    passing = crowd.count_passing(design_of(task, 100), 150, random.Random(0))
    assert crowd.find_violations(passing, 150) == []


@pytest.mark.slow
@pytest.mark.parametrize("task", ["2afc", "odd-one-out"])
def test_the_limits_hold_for_1000_people_of_each_kind(task):
    """Slow: 19,000 sessions of 148 trials."""
    passing = crowd.count_passing(design_of(task, 100), 1000, random.Random(1))
    assert crowd.find_violations(passing, 1000) == []
    assert {name for name, kind in crowd.KINDS.items() if kind.most_passing == 0.05} >= {
        "always the same position", "alternating positions", "random clicks", "random clicks in less than 0.3 s",
        "positions copied from another participant", "honest, leaves after a third",
        "only the doubled image, random otherwise", "only the instructed trials, random otherwise",
        "70 % of the checks right", "honest, random after half",
    }  # fmt: skip


def test_someone_who_fails_the_instructed_trials_is_excluded_by_default():
    design = design_of("2afc", 100)
    assert (design.exclusion.min_catch, design.exclusion.min_instructed) == (0.7, 0.7)
    trials = tuple(draw_session(design, 0))
    answers = {
        at: Given(1 if trial.kind == "instructed" else trial.correct or 0, 1.0, "key", False, 0.0)
        for at, trial in enumerate(trials)
    }
    why = judge_records([Record("a", design, "", None, trials, answers)])["a"][1]
    assert why == "attention checks correct 0.50 < 0.88; instructed trials correct 0.00 < 0.7"
