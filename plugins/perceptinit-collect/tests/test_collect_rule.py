"""The default exclusion rule on simulated participants: honest, random clicks, always the same position."""

import sqlite3

import numpy as np
import pytest
from made_studies import make_study
from perceptinit_collect import people
from perceptinit_collect.checks import read_checked
from perceptinit_collect.design import Trial, draw_session
from perceptinit_collect.people import Answer, Origin
from perceptinit_collect.records import Given, Record, judge, measure
from perceptinit_collect.simulate import Judge, _look
from perceptinit_collect.study import current_design, open_study as open_folder

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
        judged = judge(read_checked(folder)[0])
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
    return Record("a", None, "", None, tuple(trials), answers)


def test_attention_checks_without_an_answer_count_as_wrong():
    kinds = ["question", "catch", "instructed"]
    found = [measure(record_of(kinds, answered), {}) for answered in (1, 2, 3)]
    assert [(f.catch, f.instructed, f.checks) for f in found] == [(0, 0, 0), (1, 0, 1), (1, 1, 1)]
    without = measure(record_of(["question"], 1), {})
    assert (without.catch, without.instructed, without.checks) == (None, None, None)


def test_a_participant_who_answers_less_than_half_of_the_questions_is_excluded_by_default(tmp_path):
    design = current_design(make_study(tmp_path, questions=60, per_person=20, images=12), print)
    trials = draw_session(design, 0)

    def why(num_answers):
        answers = {
            at: Given(t.correct or 0, 1.0, "key", False, 0.0) for at, t in enumerate(trials[:num_answers])
        }
        return judge([Record("a", design, "", None, tuple(trials), answers)])["a"][1]

    assert why(6).startswith("attention checks correct 0.00 < 0.8; catch trials correct 0.00 < 0.8")
    assert "questions answered 0.45 < 0.5" in why(half_of(trials) - 1)
    assert why(half_of(trials)) == ""


def half_of(trials):
    """Return after how many trials half of the 20 questions are answered."""
    positions = [position for position, trial in enumerate(trials) if trial.kind == "question"]
    return positions[9] + 1
