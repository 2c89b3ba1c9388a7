"""Rules that detect unsupported sentences, on simulated experiments; docs/calibration-tables.md reports the counts."""

import html
import re

import false_sentences
import pytest
from calibration_counts import Cells
from known_kinds import KINDS
from sentence_rules import Truth, find_cards, mark
from situations.made import write_runs

from perceptinit.analysis.compare import compare
from perceptinit.reports.report import render
from perceptinit.results.runs import load_runs
from perceptinit.verdict.headline import Judged

HELPS = (3.0, 5.0)  # points
NOTHING = (0.0, 0.0)
FAILS = {("pi", "random"): (-4.0, -4.0)}


def truth(lead, beside_shuffled=HELPS, **known):
    return Truth({("pi", "random"): lead, ("pi", "shuffled"): beside_shuffled}, **known)


@pytest.mark.parametrize(
    ("sentence", "known", "excess"),
    [
        ("Is it worth it? pi is better than random by 4.0 points (3 seeds).", truth(HELPS), ""),
        ("Is it worth it? pi is better than random by 4.0 points (3 seeds).", truth(NOTHING), "better"),
        ("Is it worth it? pi is worse than random by 4.0 points.", truth((-5.0, -3.0)), ""),
        ("pi is worth it.", truth((-1.0, 9.0)), "worth"),
        ("pi is worth it.", truth((1.0, 1.5)), "worth"),  # above 0, not beyond delta
        ("pi is better than random, not shown to be by more than 2.0 points.", truth((1.0, 1.5)), ""),
        ("pi is worth it.", truth(HELPS, taught=True), "worth, of a task that was trained on"),
        ("pi is worth it on these 85 images.", truth(HELPS, worth=FAILS), "worth"),
        ("Does it know the task that it was trained on? pi is better than random by 4.0 points.", truth(HELPS, taught=True), ""),
        ("Whether pi is worth it is undecided.", truth(NOTHING), ""),
        ("pi was trained on this task: the score shows what remains of stage 1.", truth(HELPS, taught=True), ""),
        ("pi was trained on this task: the score shows what remains of stage 1.", truth(HELPS), "a task that was not trained on"),
        ("pi is not worth it.", truth(HELPS), "not worth"),
        ("pi makes no difference that matters: it is equivalent to random within 2.0 points.", truth((-0.5, 0.5)), ""),
        ("pi makes no difference that matters: it is equivalent to random within 2.0 points.", truth((1.0, 3.0)), "equivalent"),
        ("pi is worth it, and it is the human structure that helps.", truth(HELPS, structure="people"), ""),
        ("pi is worth it, and it is the human structure that helps.", truth(HELPS, NOTHING, structure="people"), "better"),
        ("pi is worth it, and it is the human structure that helps.", truth(HELPS), "because of people"),
        ("pi is worth it, and it is the human structure that helps.", truth(HELPS, structure="program"), "because of people"),
        ("pi is worth it, but whether the human structure helps is undecided.", truth(HELPS), ""),
        ("pi is worth it, but pixels does as well: it is not shown to be the human structure.", truth(HELPS), ""),
        (
            "pi is worth it, but shuffled votes do as well: the human structure does not explain it.",
            truth(HELPS, HELPS), "equivalent",
        ),
        ("CARD pi - shuffled: Is it the human structure? Yes:", truth(HELPS), "because of people"),
        ("CARD pi - random: Is it worth it? Yes:", truth(NOTHING), "worth"),
        ("CARD pi - random: Is it worth it? Better:", truth((1.0, 1.5)), ""),
        ("pi and random have the same initialization, and their difference is undecided, as expected.", truth(NOTHING), "arms that do not have the same initialization"),
        ("pi beats everything and is the best start.", truth(HELPS), "not read"),
    ],
)  # fmt: skip
def test_a_sentence_that_exceeds_the_truth_is_marked(sentence, known, excess):
    assert mark(sentence, "random", known, 2.0) == excess


def test_a_true_sentence_about_equal_starts_is_not_marked():
    known = truth(NOTHING, alike=frozenset({("pi", "random")}))
    sentence = "pi and random have the same initialization, but a difference is shown, as noise does in one of 20 such comparisons."
    assert mark(sentence, "random", known, 2.0) == ""


def test_the_collected_cards_and_sentences_are_on_the_page(tmp_path):
    situation, _ = find_kind("pixels do as well").make(false_sentences.generator(0, "test"))
    page = render(Judged.of(compare(load_runs([write_runs(situation, tmp_path)]))), with_examples=False)
    shown = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())
    cards, others = (
        [s for s in false_sentences.sentences_of(situation) if s.startswith("CARD") == is_card]
        for is_card in (True, False)
    )
    assert find_cards(page) == cards
    assert [s for s in others if s not in shown] == []


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(
            kind,
            id=kind.name.replace(" ", "-"),
            marks=pytest.mark.slow if kind.name == "ten arms, one effect" else (),
        )
        for kind in KINDS
    ],
)
def test_every_sentence_of_a_kind_matches_a_rule(kind):
    counts = Cells().find(kind.name, 1, false_sentences.count, kind)
    assert counts["sentences"] >= 2
    assert "not read" not in counts["excess"]


def find_kind(name):
    return next(kind for kind in KINDS if kind.name == name)


def test_the_structure_is_not_confirmed_if_pixels_score_as_well():
    rng = false_sentences.generator(0, "test")
    situation, known = find_kind("pixels do as well").make(rng)
    marks = false_sentences.mark(situation, known)
    assert "CARD people - shuffled: Is it the human structure? Better:" in marks
    assert not any(marks.values())


def test_the_value_of_an_arm_is_not_confirmed_if_its_runs_failed():
    make = find_kind("a lead, but runs fail").make
    drawn = (make(false_sentences.generator(0, "test", seed)) for seed in range(20))
    situation, _ = next(made for made in drawn if None in made[0].arms["people"])
    assert "CARD people - random: Is it worth it? Better:" in false_sentences.sentences_of(situation)


def test_kinds_have_unique_names_and_at_least_400_experiments():
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert sum(kind.num for kind in KINDS) >= 400
