"""Sentences of a verdict by the kinds of arms: human structure only for human votes, worth only if shown."""

from dataclasses import replace

import pytest
from helpers.judging import sentences, summary
from helpers.made_runs import JUDGMENTS, record, score, write
from helpers.made_tables import read_scores
from helpers.made_verdicts import BASE, made, trained_on

from perceptinit.analysis.compare import compare
from perceptinit.analysis.intervals import Components, estimate_two_way
from perceptinit.analysis.questions import (
    AGAINST,
    CONTROL,
    NO_PEOPLE,
    NOISE,
    SIMULATED,
    STRUCTURE,
    TAUGHT,
    WORTH,
)
from perceptinit.judgments.baselines import STRONG
from perceptinit.reports.formats import markdown_table
from perceptinit.results.runs import load_runs
from perceptinit.verdict.headline import Judged, headline_arms
from perceptinit.verdict.verdict import can_be_derived_from, verdict, verdicts

SYNTHETIC = {"use": "synthetic"}
PIXELS = {"use": "pixel-triplets", "judgments": JUDGMENTS}
ABOVE = (0.55, 0.58, 0.59)
BELOW = (0.45, 0.46, 0.49)
NEAR = (0.49, 0.53, 0.54)


def shuffled(judgments):
    return {"use": "shuffled-votes", "judgments": judgments}


def three_arms(folder, judgments, pi=ABOVE, control=BASE, **more):
    arms = {
        "random": ([], BASE),
        "pi": (trained_on(judgments), pi),
        "shuffled": (trained_on(shuffled(judgments)), control),
    }
    return made(folder, arms, **more)


def asked_of(comparison, arm):
    return [c.question for c in comparison.contrasts if c.arm == arm]


@pytest.mark.parametrize(
    ("judgments", "question"),
    [(JUDGMENTS, STRUCTURE), (SYNTHETIC, SIMULATED), (PIXELS, NO_PEOPLE)],
    ids=["people", "simulated", "pixels"],
)
def test_the_human_structure_is_tested_only_for_human_votes(tmp_path, judgments, question):
    comparison = three_arms(tmp_path, judgments)
    assert asked_of(comparison, "pi") == [WORTH, question]
    assert asked_of(comparison, "shuffled") == [CONTROL]
    assert ("the human structure" in " ".join(sentences(comparison))) == (question == STRUCTURE)


def test_the_structure_is_not_tested_without_a_shuffled_control(tmp_path):
    arms = {"random": ([], BASE), "mimetic": ([{"use": "mimetic"}], ABOVE)}
    comparison = made(tmp_path, arms)
    assert asked_of(comparison, "mimetic") == [WORTH]
    assert summary(comparison).readings == ("mimetic is worth it on these 50 images.",)


def test_two_equal_arms_measure_noise(tmp_path):
    arms = {"random": ([], BASE), "redrawn": ([{"use": "random"}], NEAR)}
    comparison = made(tmp_path, arms)
    assert asked_of(comparison, "redrawn") == [NOISE]
    assert "their difference is undecided, as expected" in summary(comparison).readings[0]


def test_a_difference_of_equal_arms_is_reported_as_noise(tmp_path):
    arms = {"random": ([], BASE), "redrawn": ([{"use": "random"}], ABOVE)}
    (text,) = summary(made(tmp_path, arms)).readings
    assert "as noise does in one of 20 such comparisons" in text
    assert "worth" not in text


def test_a_difference_of_equal_arms_gives_no_deviation_for_the_recipe(tmp_path):
    different, alike = (
        {"random": ([], BASE), "redrawn": ([{"use": "random"}], values)} for values in (ABOVE, NEAR)
    )
    assert "[verdict] noise" not in summary(made(tmp_path / "different", different)).readings[0]
    assert "[verdict] noise = " in summary(made(tmp_path / "alike", alike)).readings[0]


@pytest.mark.parametrize(("last", "is_worth_it"), [(-0.001, False), (0.016, True)])
def test_the_interval_and_the_sign_flip_test_must_agree(last, is_worth_it):
    leads = (0.02, 0.021, 0.019, 0.02, 0.0205, last)  # one of six below 0: p = 0.0625
    own = {"random": {i: 0.5 + 0.001 * i for i in range(6)}}
    own["pi"] = {i: own["random"][i] + lead for i, lead in enumerate(leads)}
    comparison = compare(read_scores(own))
    (found,) = comparison.primary.differences
    assert found.value.low > 0
    assert (found.p_signs <= 0.05) == is_worth_it
    answer = " ".join(summary(comparison).answer)
    assert answer.startswith("pi is better than random" if is_worth_it else "Whether pi is ")


def test_a_baseline_trained_on_judgments_cannot_show_the_value_of_a_start(tmp_path):
    arms = {"all": (trained_on(JUDGMENTS), BASE), "half": (trained_on(SYNTHETIC), ABOVE)}
    comparison = made(tmp_path, arms, baseline="all")
    assert asked_of(comparison, "half") == [AGAINST.format("all")]
    assert summary(comparison).readings == ()


def test_a_shuffled_baseline_tests_only_the_structure(tmp_path):
    arms = {
        "shuffled": (trained_on(shuffled(JUDGMENTS)), BASE),
        "pi": (trained_on(JUDGMENTS), ABOVE),
    }
    comparison = made(tmp_path, arms, baseline="shuffled")
    assert asked_of(comparison, "pi") == [STRUCTURE]


@pytest.mark.parametrize("name", ["2afc/nights", "2afc/nights-val", "mine/nights"])
def test_a_task_that_an_arm_was_trained_on_never_shows_its_value(tmp_path, name):
    comparison = three_arms(tmp_path, JUDGMENTS, name=name, extra={})
    found = summary(comparison)
    assert {v.question for v in found.answers} == {TAUGHT}
    assert found.readings == (
        "pi was trained on this task: the score shows what remains of stage 1 after pretraining, "
        "not whether the initialization is worth it.",
    )
    assert "Is it worth it?" not in " ".join(sentences(comparison))


@pytest.mark.parametrize(("share", "words"), [(0.0, "other"), (0.5, "50 % of these"), (1.0, "the same")])
def test_training_images_in_a_score_are_reported_next_to_it(tmp_path, share, words):
    extra = {"seen_in_stage_1": share}
    comparison = three_arms(tmp_path, JUDGMENTS, name="2afc/nights", extra=extra)
    phrase = f"with {words} images"
    assert f"pi was trained on this task, {phrase}: the score" in " ".join(sentences(comparison))
    assert f"the task of stage 1 in pi and shuffled, {phrase}" in markdown_table(
        Judged.of(comparison), comparison.scores
    )


def test_judgments_of_another_set_can_show_the_value_of_an_arm(tmp_path):
    rows = {"name": "2afc/bapps", "num_examples": 10_000, "with_items": True}
    trivial = {name: {"value": 0.3, "stderr": 0.01} for name in ("pixels", *STRONG)}
    pixels = {"baselines": trivial, "seen_in_stage_1": 0.0}
    comparison = three_arms(tmp_path, JUDGMENTS, extra=pixels, **rows)
    assert summary(comparison).readings == ("pi is worth it, and it is the human structure that helps.",)


@pytest.mark.parametrize(
    ("trivial", "words"),
    [
        (0.1, "nothing shows whether pixels scores less on other judgments"),
        (0.9, "pixels is not shown to score less without training"),
    ],
)
def test_a_correlation_without_values_by_item_has_no_interval_over_trivial_models(tmp_path, trivial, words):
    rows = {name: {"value": trivial - 0.2, "stderr": 0.01} for name in STRONG}
    rows["pixels"] = {"value": trivial, "stderr": 0.01}
    extra = {"baselines": rows, "held_out": "image", "num_units": 60, "seen_in_stage_1": 0.0}
    comparison = three_arms(tmp_path, JUDGMENTS, name="rsa_spearman/objects", chance=0.0, extra=extra)
    (score,) = comparison.scores
    best, lead = score.find_lead("pi")
    assert (best.name, lead.low) == ("pixels", None)
    assert lead.mean == pytest.approx(score.arm("pi").value.mean - trivial)
    text = " ".join(sentences(comparison))
    assert words in text
    shown = f"pixels {trivial:.3f} ({lead.mean:+.3f}, without an interval)"
    assert (
        f"pi is not shown to be above pixels, a trivial model: {score.arm('pi').value.mean:.3f}, {shown}"
        in text
    )


def test_a_test_set_with_the_name_of_the_judgments_is_not_a_trained_task(tmp_path):
    comparison = three_arms(tmp_path, JUDGMENTS, name="top1/nights")
    assert comparison.primary.taught == frozenset()


def test_judgment_names_of_the_record_take_precedence(tmp_path):
    records = [record(a, s, [score(0.5, name="2afc/mine")]) for a in ("random", "pi") for s in (0, 1)]
    for one in records:
        one["arm"]["taught_by"] = ["mine"] if one["arm"]["name"] == "pi" else []
    (found,) = compare(load_runs([write(tmp_path, records)])).scores
    assert found.taught == {"pi"}


def test_the_primary_score_is_one_that_no_arm_was_trained_on(tmp_path):

    def rows(v):
        return [score(v, name="2afc/nights"), score(v, name="jnd_ap/bapps")]

    records = [record(arm, s, rows(0.5)) for arm in ("random", "pi") for s in (0, 1)]
    assert compare(load_runs([write(tmp_path, records)])).primary.name == "jnd_ap/bapps"


def test_runs_without_pretraining_do_not_show_a_value_for_pretraining(tmp_path):
    comparison = three_arms(tmp_path, JUDGMENTS, samples_seen=0)
    found = summary(comparison)
    assert [v.question for v in found.answers] == [AGAINST.format("random"), STRUCTURE]
    assert found.readings == (
        "Nothing was pretrained, so these runs do not show the value of pi for pretraining.",
    )


@pytest.mark.parametrize(
    ("pi", "control", "expected"),
    [
        (ABOVE, BASE, "pi is worth it, and it is the human structure that helps."),
        (
            ABOVE,
            (0.54, 0.59, 0.59),
            "but whether the human structure helps is undecided.",
        ),
        (
            ABOVE,
            (0.60, 0.62, 0.65),
            "but shuffled votes do better still: the human structure does not explain it.",
        ),
        (ABOVE, ABOVE, "but shuffled votes do as well: the human structure does not explain it."),
        (
            BELOW,
            (0.40, 0.41, 0.45),
            "pi is not worth it, although votes as given do better",
        ),
        (
            BELOW,
            BASE,
            "pi is not worth it, and shuffled votes do better than those given.",
        ),
        (BELOW, (0.44, 0.47, 0.49), "pi is not worth it."),
        (NEAR, BELOW, "Whether pi is worth it is undecided, although votes as given do better"),
        (NEAR, ABOVE, "Whether pi is worth it is undecided, and shuffled votes do better"),
        (
            NEAR,
            BASE,
            "is undecided, and so is whether votes as given do better than shuffled ones.",
        ),
        (
            BASE,
            BELOW,
            "pi scores exactly as random does in every seed, although votes as given do better",
        ),
    ],
)
def test_each_pair_of_answers_is_one_sentence(tmp_path, pi, control, expected):
    comparison = three_arms(tmp_path, JUDGMENTS, pi, control, num_examples=10_000, with_items=True)
    (text,) = summary(comparison).readings
    assert expected in text


def test_an_undecided_difference_asks_for_images_or_people_if_they_limit_it(tmp_path):
    score = three_arms(tmp_path, JUDGMENTS, (0.52, 0.54, 0.57)).primary
    difference = score.differences[0]
    sentences = []
    for images, people in ((4e-4, 1e-4), (1e-9, 0.0), (1e-4, 4e-4)):
        parts = Components(0.023, 1e-5, images, 0.0, 3, 100, people, 10)
        wide = replace(difference, two_way=estimate_two_way(parts, 0.999))
        made = replace(score, components={difference.contrast: parts}, differences=(wide,))
        sentences.append(verdict(made, difference.contrast).sentence)
    assert sentences[0].endswith("would not decide it with 80 % chance: use more images, not more seeds.")
    assert "more images" not in sentences[1]
    assert sentences[2].endswith("chance: use more people, not more seeds.")


def test_more_images_are_not_asked_for_while_seeds_vary_more(tmp_path):
    score = three_arms(tmp_path, JUDGMENTS, (0.55, 0.49, 0.55)).primary
    difference = score.differences[0]
    sentences = []
    for images in (2e-5, 1e-4):  # 20 more seeds leave a squared standard error of 7e-5
        parts = Components(0.0097, 8e-4, images, 0.0, 3, 100, 0.0, 10)
        wide = replace(difference, two_way=estimate_two_way(parts, 0.999))
        made = replace(score, components={difference.contrast: parts}, differences=(wide,))
        sentences.append(verdict(made, difference.contrast).sentence)
    assert sentences[0].endswith("Even 20 more seeds would not decide it with 80 % chance.")
    assert sentences[1].endswith("use more images, not more seeds.")


def test_the_sentence_mentions_the_simulated_world(tmp_path):
    comparison = three_arms(tmp_path, SYNTHETIC, num_examples=10_000, with_items=True)
    assert summary(comparison).readings == (
        "In the simulated world pi is worth it, and it is the structure of the simulated judgments that "
        "helps.",
    )


def test_only_the_images_are_reported_as_simulated_for_real_votes(tmp_path):
    records = [record(arm, s, 0.5 + s / 100) for arm in ("random", "pi") for s in (0, 1)]
    for one in records:
        one["arm"]["resolved"]["pretrain"]["pairs"] = SYNTHETIC
    limits = summary(compare(load_runs([write(tmp_path, records)]))).limits
    assert any(limit.startswith("Images or captions are simulated") for limit in limits)


def test_controls_are_not_in_the_headline(tmp_path):
    arms = {
        "random": ([], BASE),
        "pixels": (trained_on(PIXELS), ABOVE),
        "shuffled": (trained_on(shuffled(JUDGMENTS)), BASE),
    }
    assert headline_arms(made(tmp_path, arms)) == ["pixels"]
    assert headline_arms(three_arms(tmp_path / "pi", JUDGMENTS)) == ["pi"]


def test_figures_are_derived_from_decided_differences_of_five_seeds_only(tmp_path):
    def is_derived(folder, pi):
        arms = {"random": ([], (0.50, 0.51, 0.52, 0.53, 0.54)[: len(pi)]), "pi": ([], pi)}
        comparison = made(tmp_path / folder, arms)
        return can_be_derived_from(comparison.primary, comparison.contrasts[0])

    assert is_derived("five", (0.60, 0.62, 0.62, 0.64, 0.64))
    assert not is_derived("four", (0.60, 0.62, 0.62, 0.64))
    assert not is_derived("undecided", (0.60, 0.42, 0.62, 0.44, 0.54))


def test_the_relative_difference_is_reported_from_five_seeds_on(tmp_path):
    arms = {
        "random": ([], [0.5] * 5),
        "pi": (trained_on(JUDGMENTS), (0.60, 0.61, 0.59, 0.60, 0.60)),
    }
    comparison = made(tmp_path, arms)
    (found,) = verdicts(comparison, comparison.primary)
    assert "(20.0 % of random's score; 95 % interval" in found.sentence


def test_equal_scores_in_one_seed_are_undecided(tmp_path):
    arms = {"random": ([], BASE[:1]), "mimetic": ([{"use": "mimetic"}], BASE[:1])}
    comparison = made(tmp_path, arms)
    assert summary(comparison).readings == ("Whether mimetic is worth it is undecided.",)
    (answer,) = summary(comparison).answers
    assert answer.sentence == (
        "mimetic scores exactly as random in the only common seed; one seed has no interval."
    )
