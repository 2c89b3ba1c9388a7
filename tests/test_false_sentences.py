"""Which sentences say more than is true: the rules, and experiments of known truth; docs/calibration.md has the counts."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import calibration_runs  # noqa: E402
import false_sentences  # noqa: E402
import false_sentences_sum  # noqa: E402
import known_world  # noqa: E402
from known_kinds import KINDS  # noqa: E402
from sentence_rules import Truth, mark, page_sentences  # noqa: E402

HELPS = (3.0, 5.0)  # points
NOTHING = (0.0, 0.0)


def truth(worth, beside_shuffled=HELPS, **known):
    return Truth({("pi", "random"): worth, ("pi", "shuffled"): beside_shuffled}, **known)


def marked(sentence, known):
    return mark(sentence, "pi", "random", known, 2.0)


@pytest.mark.parametrize(
    ("sentence", "known", "excess"),
    [
        ("Is it worth it? pi is better than random by 4.0 points (3 seeds).", truth(HELPS), ""),
        ("Is it worth it? pi is better than random by 4.0 points (3 seeds).", truth(NOTHING), "better"),
        ("pi is worth it.", truth((-1.0, 9.0)), "better"),
        ("pi is worth it.", truth(HELPS, taught=True), "worth, of a task that was trained on"),
        ("Does it know the task that it was trained on? pi is better than random by 4.0 points.", truth(HELPS, taught=True), ""),
        ("Whether pi is worth it is undecided.", truth(NOTHING), ""),
        (
            "pi was trained on this task: the score says what stage 1 taught, not whether the start is worth it.",
            truth(HELPS, taught=True), "",
        ),
        ("pi is not worth it.", truth(HELPS), "worse"),
        ("Is it worth it? pi is worse than random by 4.0 points.", truth((-5.0, -3.0)), ""),
        ("pi makes no difference that matters: it is equivalent to random within 2.0 points.", truth((-0.5, 0.5)), ""),
        ("pi makes no difference that matters: it is equivalent to random within 2.0 points.", truth((1.0, 3.0)), "equivalent"),
        ("pi is worth it, and it is the human structure that helps.", truth(HELPS, cause="people"), ""),
        ("pi is worth it, and it is the human structure that helps.", truth(HELPS, NOTHING, cause="people"), "better"),
        ("pi is worth it, and it is the human structure that helps.", truth(HELPS), "because of people"),
        ("It is worth it, and it is the human structure that helps.", truth(HELPS, cause="program"), "because of people"),
        ("Is it the human structure? pi is better than shuffled by 4.0 points.", truth(HELPS), "because of people"),
        (
            "Against shuffled votes, with init.lr other than here: pi is better than shuffled by 4.0 points.",
            truth(HELPS), "",
        ),
        (
            "Is it the structure of these answers, which are not people's? pi is better than shuffled by 4.0 points.",
            truth(HELPS, cause="program"), "",
        ),
        ("pi is worth it, but whether it is the human structure that helps is undecided.", truth(HELPS), ""),
        (
            "pi is worth it, but shuffled votes do as well: it is not the human structure that helps.",
            truth(HELPS, HELPS), "equivalent",
        ),
        ("Human votes do better than shuffled ones, but a lead over the baseline is not shown: that it is worth it is not shown.",
         truth(NOTHING), "because of people"),
        ("pi and random start alike, and no difference is shown: as it should be.", truth(NOTHING), "arms that do not start alike"),
        ("Planned before the runs: baseline 32.6 against 32.8 published: valid.", truth(NOTHING), ""),
        ("pi beats everything and is the best start.", truth(HELPS), "not read"),
    ],
)  # fmt: skip
def test_a_sentence_is_held_against_what_is_true(sentence, known, excess):
    assert marked(sentence, known) == excess


def test_arms_that_start_alike_may_be_called_so():
    known = truth(NOTHING, alike=frozenset({("pi", "random")}))
    assert marked("pi and random start alike, and yet a difference is shown, as noise does.", known) == ""


def test_the_questions_of_a_page_are_read_with_their_answers():
    page = """<section aria-label="Summary"><div><p class="verdict">pi is <b>worth</b> it.</p></div>
    <div class="card contrast better">
      <div class="question">Is it worth it?</div>
      <div class="faint">pi - random</div>
    </div></section><section><p>pi is worse than random by 3.</p></section>"""
    assert page_sentences(page) == [
        "pi is worth it.", "Is it worth it? pi is better than random by the picture.",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("known") / "world"
    known_world.write_world(folder)
    return folder


@pytest.mark.parametrize("name", ["A/A", "the score is the trained task"])
def test_an_experiment_is_run_to_its_page_and_every_sentence_is_read(world, name):
    kind = next(k for k in KINDS if k.name == name)
    few = replace(kind, num_seeds=2, pretrain="epochs = 1\nlr = 3e-3")
    row = false_sentences.experiment(few, 0, world, false_sentences.in_this_process, True)
    found = false_sentences_sum.count(few, [row], false_sentences_sum.truth_of(few, [row]))
    assert found["sentences"] >= 2
    # of two seeds, equal arms may look different, and a real difference is not known
    assert set(found["excess"]) <= {"better", "worse", "equivalent"}
    assert {arm: len(values) for arm, values in row["values"].items()} == {"random": 2, kind.arm: 2}


def test_a_coin_answers_the_same_questions_by_chance(world):
    people = (world / "people.csv").read_text().splitlines()
    coin = known_world.write_coin(world, 3).read_text().splitlines()
    assert [row.split(",")[:3] for row in coin] == [row.split(",")[:3] for row in people]
    alike = sum(a == b for a, b in zip(coin, people, strict=True)) / len(people)
    assert 0.4 < alike < 0.6


def test_counts_are_those_of_marked_sentences():
    kind = next(k for k in KINDS if k.name == "the score is the trained task")
    rows = [
        {"kind": kind.name, "index": i, "values": {"random": [50.0] * 3, "pi": [54.0, 54.1, 54.2]}, "sentences": sentences}
        for i, sentences in enumerate([["pi is worth it."], ["Whether pi is worth it is undecided.", "A note."]] * 5)
    ]  # fmt: skip
    kept = false_sentences_sum.summarise({"old": rows})
    found = kept["commits"]["old"][kind.name]
    assert (found["experiments"], found["with_false"], found["sentences"], found["false"]) == (
        10,
        5,
        10,
        5,
    )
    assert found["excess"] == {"worth, of a task that was trained on": 5}
    low, high = kept["truth"][kind.name]["pi - random"]
    assert low < 4.1 < high


def test_the_page_has_the_counts_that_are_kept():
    page = (ROOT / "docs/calibration.md").read_text()
    assert page.endswith(calibration_runs.section(calibration_runs.kept()))


def test_every_kind_is_named_once_and_has_400_experiments_together():
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert sum(kind.num for kind in KINDS) >= 400
    assert sum(kind.num for kind in KINDS if re.match("A/A", kind.name)) >= 100
