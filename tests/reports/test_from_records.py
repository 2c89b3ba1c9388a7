"""Differences that a study computes from records alone equal those of the package."""

import re
from dataclasses import replace

import beyond_labels
import drawings
import few_pairs_peak
import fewer_pairs
import from_records
import ladder
import ladder_frozen
import no_answers
import numpy as np
import pytest
import rebuilt_pages
import simulated_share
import when_pairs
from helpers.made_runs import record, score
from scipy import stats

from perceptinit.analysis.decisions import level_of_looks
from perceptinit.analysis.emergence import find_emergence
from perceptinit.analysis.intervals import estimate_two_way, find_components, max_t_p
from perceptinit.results.items import write_items
from perceptinit.results.record import write_record
from perceptinit.types import Items

SCORE = "cross-entropy/shares"
OTHERS = ("accuracy/shares", "calibration_error/shares", "2afc/ties", "2afc/people")


def write_runs(folder, leads, num_seeds=6, num_images=40):
    """Write runs with values of images that are those of the first arm plus a lead and noise."""
    rng = np.random.default_rng(0)
    level = rng.normal(2.0, 0.5, num_images)
    for arm, lead in leads.items():
        for seed in range(num_seeds):
            values = (level + lead + rng.normal(0, 0.05, num_images)).astype(np.float32)
            path = folder / arm / f"seed{seed}"
            write_items(path, {SCORE: Items(values, np.arange(num_images)[:, None])})
            scores = [score(float(values.mean()), name=name) for name in (SCORE, *OTHERS)]
            write_record(path / "record.json", record(arm, seed, scores))
    return from_records.read_runs(folder)


def test_an_interval_over_seeds_and_images_equals_that_of_compare(tmp_path):
    runs = write_runs(tmp_path, {"labels": 0.0, "people": -0.02})
    found = from_records.difference(from_records.paired(runs, "people", "labels"), SCORE, num_family=3)
    values = np.array([runs["people", s].items[SCORE] - runs["labels", s].items[SCORE] for s in range(6)])
    expected = estimate_two_way(find_components(values, np.arange(40)[:, None]), 1 - 0.05 / 3)
    assert (found.mean, found.low, found.high) == pytest.approx(
        (expected.mean, expected.low, expected.high), abs=1e-6
    )
    assert found.p == pytest.approx(max_t_p([values.mean(axis=1).tolist()])[0])


def test_a_score_without_values_of_images_has_the_interval_over_its_seeds(tmp_path):
    runs = write_runs(tmp_path, {"labels": 0.0, "people": -0.02})
    for (arm, seed), run in runs.items():
        runs[arm, seed] = replace(run, scores={"other": float(seed) if arm == "people" else 0.0})
    found = from_records.difference(from_records.paired(runs, "people", "labels"), "other")
    # seeds 0 to 5: mean 2.5, standard error 1.8708 / 6 ** 0.5, and 2.5706 is Student's 97.5 % point of 5 degrees
    assert (found.mean, found.low, found.high) == pytest.approx((2.5, 0.5367, 4.4633), abs=1e-4)


def test_values_of_zero_and_one_are_read_from_bits(tmp_path):
    values = np.array([1, 0, 1, 1, 0, 0, 0, 0, 1.0])
    write_items(tmp_path / "arm/seed0", {SCORE: Items(values, np.arange(9)[:, None])})
    np.testing.assert_array_equal(from_records.read_items(tmp_path / "arm/seed0")[SCORE], values)


@pytest.mark.parametrize(
    ("soft", "people", "sentence"),
    [
        (0.0, -0.2, "Void: soft labels are not shown to lower the cross-entropy"),
        (-0.2, 0.2, "No. "),
        (-0.2, 0.0, "Undecided. "),
        (-0.2, -0.2, "Yes. "),
    ],
)
def test_the_answer_follows_the_plan(tmp_path, soft, people, sentence):
    runs = write_runs(tmp_path / "a", {"random": 0.0, "people": people, "classes": 0.0})
    control = write_runs(tmp_path / "b", {"random": soft})
    text = beyond_labels.answer({"beyond-labels": runs, "beyond-labels-soft": control})
    assert text.startswith(sentence)


@pytest.mark.parametrize(
    ("arm", "lead", "sentence"),
    [
        (
            "labels",
            -0.2,
            "Not shown. Cross-entropy of people minus",
        ),
        (
            "labels",
            0.0,
            "Yes. Cross-entropy of people minus",
        ),
        (
            "table",
            -0.2,
            "Not shown. Cross-entropy of people minus",
        ),
    ],
)
def test_the_answer_is_yes_if_people_are_better_than_each_control(tmp_path, arm, lead, sentence):
    runs = write_runs(tmp_path / "a", {"random": 0.0, "people": -0.2, "classes": 0.0, arm: lead})
    control = write_runs(tmp_path / "b", {"random": -0.2})
    text = beyond_labels.answer({"beyond-labels": runs, "beyond-labels-soft": control})
    assert text.startswith(sentence)


def test_the_page_has_a_row_for_each_arm_and_the_control(tmp_path):
    leads = dict.fromkeys(beyond_labels.ARMS, 0.0)
    found = {
        "beyond-labels": write_runs(tmp_path / "a", leads),
        "beyond-labels-soft": write_runs(tmp_path / "b", {"random": -0.1}),
    }
    page = beyond_labels.page(found)
    assert all(f"\n| {arm} |" in page for arm in beyond_labels.ARMS)
    assert "* Positive control, soft labels - random: -0." in page


def test_the_page_of_the_ladder_has_a_row_for_each_arm(tmp_path):
    rng = np.random.default_rng(0)
    for arm in ladder.ARMS:
        for seed in range(3):
            correct = (rng.random(50) < 0.5).astype(float)
            path = tmp_path / arm / f"seed{seed}"
            write_items(path, {ladder.SCORE: Items(correct, np.arange(50)[:, None])})
            judged = score(0.6, name="2afc/materials")
            judged["extra"] = {"baselines": {"pixels 32 x 32": {"value": 0.66, "stderr": 0.04}}}
            accuracies = [
                score(float(correct.mean()), name=ladder.SCORE + end) for end in ("", "-as-trained")
            ]
            made = record(arm, seed, [*accuracies, judged])
            write_record(path / "record.json", made)
    page = ladder.page(from_records.read_runs(tmp_path))
    assert all(f"\n| {arm} |" in page for arm in ladder.ARMS)
    assert "pixels 32 x 32 66.0" in page


def write_frozen(folder, leads, two_afc, noise=3):
    """Write seven runs of each arm of the ladder with frozen statistics, with accuracies of 0.5 plus a lead."""
    rng = np.random.default_rng(0)
    for arm in ladder_frozen.ARMS:
        for seed in range(7):
            num = round(1000 * (0.5 + leads.get(arm, 0.0))) + int(rng.integers(-noise, noise + 1))
            correct = (np.arange(1000) < num).astype(float)
            path = folder / arm / f"seed{seed}"
            write_items(path, {ladder_frozen.AS_TRAINED: Items(correct, np.arange(1000)[:, None])})
            judged = score(two_afc + 0.001 * seed, name=ladder_frozen.TWO_AFC)
            judged["extra"] = {"baselines": {ladder_frozen.GRAY: {"value": 0.71, "stderr": 0.04}}}
            own = score(float(correct.mean()), name=ladder_frozen.AS_TRAINED)
            write_record(path / "record.json", record(arm, seed, [own, judged]))
    return from_records.read_runs(folder)


@pytest.mark.parametrize(
    ("leads", "two_afc", "sentences"),
    [
        (
            {"people": 0.1},
            0.75,
            ["Yes: at 64 pixels, stage 1 on people's", "People's answers do better than those of pixels"],
        ),
        (
            {"people": -0.1},
            0.75,
            ["No: at 64 pixels, stage 1 on people's judgments lowers", "do worse than those of pixels"],
        ),
        (
            {"people": -0.1, "pixels": -0.1},
            0.75,
            ["lowers", "pixels differ by less than 1 point: people - pixels"],
        ),
        ({"people": 0.1}, 0.70, ["Not answered: stage 1 did not learn"]),
    ],
)
def test_the_answer_of_the_frozen_ladder_follows_its_gate_and_its_order(tmp_path, leads, two_afc, sentences):
    runs = write_frozen(tmp_path, leads, two_afc)
    text = ladder_frozen.answer(runs)
    assert all(sentence in text for sentence in sentences)
    page = ladder_frozen.page(runs, runs)
    assert all(f"\n| {arm} |" in page for arm in ladder_frozen.ARMS)
    assert f"**{text} {ladder_frozen.answer_larger(runs)}**" in page


def test_people_minus_pixels_has_no_answer_if_the_first_contrast_is_undecided(tmp_path):
    runs = write_frozen(tmp_path, {"people": 0.01, "pixels": -0.1}, 0.75, noise=40)
    first, *_ = ladder_frozen.besides(runs)
    assert first.endswith("not tested by the plan, because people - imagenet is undecided")
    assert "People - pixels is not tested" in ladder_frozen.answer(runs)


def write_top_1(folder, leads, num_seeds=8, num_images=200):
    """Write runs with top-1 before and after training, 0.3 plus a lead at the end, and whether each image is correct."""
    rng = np.random.default_rng(1)
    for arm, lead in leads.items():
        for seed in range(num_seeds):
            correct = np.zeros(num_images)
            correct[: round(num_images * (0.3 + lead + rng.normal(0, 0.01)))] = 1
            path = folder / arm / f"seed{seed}"
            write_items(path, {fewer_pairs.SCORE: Items(correct, np.arange(num_images)[:, None])})
            values = {0: 0.1, 100: correct.mean()}
            scores = [score(float(value), seen, name=fewer_pairs.SCORE) for seen, value in values.items()]
            write_record(path / "record.json", record(arm, seed, scores))
    return from_records.read_runs(folder)


@pytest.mark.parametrize(
    ("people", "labels", "sentence"),
    [
        (0.2, 0.0, "Yes: with 250 pairs, people - random is +"),
        (0.2, 0.0, "It helps more than class labels: people - labels"),
        (0.2, 0.4, "It helps less than class labels: people - labels"),
        (0.0, -0.2, "People - labels is not tested."),
        (-0.2, 0.0, "No, it costs accuracy: with 250 pairs"),
    ],
)
def test_labels_are_compared_only_if_people_differ_from_fresh_weights(tmp_path, people, labels, sentence):
    runs = write_top_1(tmp_path, {"random": 0.0, "people": people, "labels": labels})
    assert sentence in fewer_pairs.answer(runs)


def test_the_page_of_fewer_pairs_has_a_row_for_each_arm_size_and_planted_share(tmp_path):
    leads = dict.fromkeys(fewer_pairs.ARMS, 0.0) | {"people": 0.2}
    names = (*fewer_pairs.SIZES.values(), fewer_pairs.CAPTIONED)
    found = {name: write_top_1(tmp_path / name, leads, num_images=50) for name in names}
    simulated = {"random": 0.0, "people": 0.2} | {f"labels-{share}": 0.0 for share in fewer_pairs.SHARES}
    found[fewer_pairs.SIMULATED] = write_top_1(tmp_path / "simulated", simulated)
    page = fewer_pairs.page(found, tmp_path)
    rows = [*fewer_pairs.ARMS, "captioned", "1,000", *(f"{share} %" for share in fewer_pairs.SHARES)]
    assert [row for row in rows if f"\n| {row} |" not in page] == []
    assert "* people - random: emerged by 100" in page
    assert "* labels - random: not emerged" in page
    assert "not run" not in page
    del found[fewer_pairs.CAPTIONED]
    assert "not run for want of time: no stage 1 but its 7,000 images" in fewer_pairs.page(found, tmp_path)


def test_the_chart_of_leads_has_a_line_for_each_arm_and_names_that_do_not_overlap(tmp_path):
    write_top_1(tmp_path, dict.fromkeys(fewer_pairs.ARMS, 0.0))
    image = from_records.line_plot(fewer_pairs.leads(tmp_path), "leads")
    ends = sorted(float(y) for y in re.findall(r'<text x="566" y="([0-9.]+)"', image))
    assert len(ends) == image.count("<polygon") == len(fewer_pairs.ARMS) - 1
    assert min(np.diff(ends)) >= 14


@pytest.mark.parametrize(
    ("leads", "sentence"),
    [
        ({0: 0.0, 50: -0.2}, "better with planted shares of 50 % (0 % undecided)."),
        ({0: 0.0, 50: 0.0}, "not shown to be better with any share (0 % undecided, 50 % undecided)."),
        ({0: -0.2, 50: -0.2}, "of 0 %, 50 %, although nothing is planted with 0 %."),
    ],
)
def test_the_planted_shares_that_are_found_are_named(tmp_path, leads, sentence):
    found = {}
    for share, lead in leads.items():
        found[share] = write_runs(tmp_path / str(share), {"people": lead, "classes": 0.0})
    assert simulated_share.answer_against(found, "classes").endswith(sentence)


def test_the_page_of_the_simulated_shares_has_a_row_for_each_share(tmp_path):
    found = {}
    for share in (0, 20):
        leads = dict.fromkeys(simulated_share.ARMS, 0.0)
        runs = write_runs(tmp_path / str(share), leads)
        measured = {"2afc_val_before": 0.5, "2afc_val_after": 0.6}
        found[share] = {key: replace(run, stage_1=measured) for key, run in runs.items()}
    page = simulated_share.page(found)
    assert all(f"\n| {share} % |" in page for share in (0, 20))
    assert "50.0 ± 0.0, 60.0 ± 0.0" in page
    assert "Not finished: people at 5 % (0 of 5), classes at 5 % (0 of 5), table at 5 % (0 of 5)" in page


def test_the_power_of_seven_seeds_is_that_of_the_t_test():
    # mean and deviation 1: Student's t with 6 degrees of freedom shows a shift of 7 ** 0.5 with 60 %
    runs = {}
    for seed, value in enumerate((0.0, 1.0, 2.0)):
        for arm, own in (("people", 0.0), ("classes", value)):
            made = record(arm, seed, [])
            runs[arm, seed] = from_records.Run(arm, seed, {SCORE: own}, {}, {}, made)
    assert simulated_share.power(runs, "classes") == pytest.approx(0.60, abs=0.02)


@pytest.mark.parametrize("num_seeds", [5, 7])
def test_when_leads_emerge_is_recomputed_without_the_package(num_seeds):
    rng = np.random.default_rng(num_seeds)
    found = []
    for _ in range(60):
        means = rng.choice((0.0, 0.01, 0.03), 6)
        values = means[:, None] + rng.normal(0, 0.008, (6, num_seeds))
        lead = when_pairs.Lead(np.arange(1, 7), values)
        expected = find_emergence(dict(enumerate(values.tolist(), start=1)))
        found.append((when_pairs.emerged_by(lead), when_pairs.fades_from(lead)))
        assert found[-1] == (expected.emerged, expected.peak)
    assert len(set(found)) > 5


def test_the_published_page_of_the_simulated_shares_is_computed_from_its_records():
    published = (simulated_share.KEPT / f"{simulated_share.PAGE}.md").read_text(encoding="utf-8")
    assert simulated_share.page(simulated_share.load()) == published


def test_the_published_page_of_fewer_pairs_is_computed_from_its_records():
    published = (fewer_pairs.KEPT / f"{fewer_pairs.PAGE}.md").read_text(encoding="utf-8")
    assert fewer_pairs.page(fewer_pairs.load(), fewer_pairs.KEPT) == published


@pytest.mark.parametrize("script", [few_pairs_peak, no_answers])
def test_the_published_page_of_an_experiment_is_computed_from_its_records(script):
    published = (script.KEPT / f"{script.PAGE}.md").read_text(encoding="utf-8")
    assert script.page(from_records.read_runs(script.KEPT / script.PAGE)) == published


@pytest.mark.parametrize("num_seeds", [6, 11, 20])
def test_the_sign_flip_test_has_the_share_of_all_signs(num_seeds):
    values = np.random.default_rng(num_seeds).normal(0.3, 1, num_seeds)
    expected = max_t_p([values.tolist()])[0] if num_seeds < 12 else rebuilt_pages.sign_flips(values)
    assert from_records.sign_test(values) == pytest.approx(expected)


def test_the_published_page_of_the_drawings_is_computed_from_its_records():
    published = (drawings.KEPT / f"{drawings.NAME}.md").read_text(encoding="utf-8")
    runs, *others = (
        from_records.read_runs(drawings.KEPT / name) for name in (drawings.NAME, *drawings.AGAIN)
    )
    assert drawings.page(runs, dict(zip(drawings.AGAIN, others, strict=True))) == published


def write_shares(folder, gains, noise):
    """Write seven runs of each arm whose cross-entropy is 1 minus a gain, with noise over seeds."""
    rng = np.random.default_rng(3)
    for arm, gain in gains.items():
        for seed in range(7):
            values = np.full(50, 1 - gain + rng.normal(0, noise), np.float32)
            path = folder / arm / f"seed{seed}"
            write_items(path, {SCORE: Items(values, np.arange(50)[:, None])})
            scores = [score(float(values.mean()), name=name) for name in (SCORE, "accuracy/shares")]
            write_record(path / "record.json", record(arm, seed, scores))
    return from_records.read_runs(folder)


GAINS = {"random": 0.0, "people": 0.2, "shuffled": 0.1, "views": 0.0, "pixels": 0.21}


def test_limits_of_a_share_are_where_students_t_is_critical(tmp_path):
    runs = write_shares(tmp_path, GAINS, 0.01)
    found = no_answers.share(runs, "shuffled")
    part, whole = no_answers.gain(runs, "shuffled"), no_answers.gain(runs, "people")
    assert found.value == pytest.approx(part.mean() / whole.mean())
    for limit in (found.low, found.high):
        rest = part - limit * whole
        assert abs(rest.mean()) / stats.sem(rest) == pytest.approx(stats.t.ppf(1 - 0.025 / 3, 6))


def test_the_page_of_shares_says_what_each_control_keeps(tmp_path):
    runs = write_shares(tmp_path, GAINS, 0.01)
    words = {row.question: row.word for row in no_answers.box(runs)}
    assert list(words.values()) == ["a part", "undecided", "a part or all"]
    page = no_answers.page(runs)
    assert all(f"\n| {arm} |" in page for arm in no_answers.ARMS)
    assert no_answers.share(runs, "people", "pixels").text in page


def test_shares_are_not_read_if_peoples_gain_is_undecided(tmp_path):
    runs = write_shares(tmp_path, GAINS | {"people": 0.001}, 0.05)
    assert [row.word for row in no_answers.box(runs)] == ["undecided"]
    page = no_answers.page(runs)
    assert "so the shares are not read" in page
    assert "From the images" not in page
    assert no_answers.share(runs, "shuffled").text.endswith("[unbounded]")


@pytest.mark.parametrize("people", [0.2, 0.001])
def test_the_page_of_shares_is_rebuilt_with_other_formulas(tmp_path, monkeypatch, people):
    runs = write_shares(tmp_path / "no-answers", GAINS | {"people": people}, 0.01 if people > 0.1 else 0.05)
    (tmp_path / "no-answers.md").write_text(no_answers.page(runs), encoding="utf-8")
    monkeypatch.setattr(rebuilt_pages, "KEPT", tmp_path)
    rebuilt_pages.runs.cache_clear()
    count, found = rebuilt_pages.differences("no-answers")
    rebuilt_pages.runs.cache_clear()
    assert found == []
    assert count > 40


def write_peaks(folder, leads, num_seeds=10, num_images=200):
    """Write runs whose top-1 at the peak is 0.3 plus a lead, and 0.25 plus half of it at the end."""
    rng = np.random.default_rng(4)
    places = np.arange(num_images)[:, None]
    for arm, lead in leads.items():
        for seed in range(num_seeds):
            noise = rng.normal(0, 0.01)
            shares = {few_pairs_peak.PEAK: 0.3 + lead + noise, few_pairs_peak.END: 0.25 + lead / 2 + noise}
            items = {
                name: Items((np.arange(num_images) < num_images * share).astype(float), places)
                for name, share in shares.items()
            }
            path = folder / arm / f"seed{seed}"
            write_items(path, items)
            scores = [score(float(each.values.mean()), 200, name=name) for name, each in items.items()]
            scores[0]["extra"]["chosen_at"] = 100 + seed
            write_record(path / "record.json", record(arm, seed, scores))
    return from_records.read_runs(folder)


@pytest.mark.parametrize(
    ("leads", "tested", "sentence"),
    [
        ({"people": 0.1}, ["better"] * 4, "Yes: at the peak, people - random is +"),
        ({"people": 0.1, "shuffled": 0.1}, ["better", "undecided"], "people - shuffled is undecided"),
        ({"people": 0.1, "pixels": 0.2}, ["better", "better", "worse", "better"], "people - pixels is worse"),
        ({}, ["undecided"], "The other contrasts are not tested."),
        ({"people": -0.1}, ["worse"] * 4, "No, it costs accuracy: at the peak"),
    ],
)
def test_contrasts_at_the_peak_are_tested_in_order_until_one_is_undecided(tmp_path, leads, tested, sentence):
    runs = write_peaks(tmp_path, dict.fromkeys(few_pairs_peak.ARMS, 0.0) | leads)
    assert list(few_pairs_peak.tested(runs).values()) == tested
    assert sentence in few_pairs_peak.answer(runs)
    page = few_pairs_peak.page(runs)
    assert page.count("| not tested |") == 4 - len(tested)
    assert all(f"\n| {arm} |" in page for arm in few_pairs_peak.ARMS)
    assert page.count("| 104 (100 to 109) |") == len(few_pairs_peak.ARMS)


def test_intervals_at_the_peak_have_the_level_of_all_looks(tmp_path):
    runs = write_peaks(tmp_path, {"random": 0.0, "people": 0.1})
    assert few_pairs_peak.level() == pytest.approx(level_of_looks(10, 24), abs=1e-3)
    values = np.array(
        [
            runs["people", s].items[few_pairs_peak.PEAK] - runs["random", s].items[few_pairs_peak.PEAK]
            for s in range(10)
        ]
    )
    expected = estimate_two_way(find_components(values, np.arange(200)[:, None]), few_pairs_peak.level())
    found = few_pairs_peak.contrast(runs, "people", "random")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-6)
