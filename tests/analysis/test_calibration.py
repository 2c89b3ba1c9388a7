"""Error rates of the verdict on simulated differences; docs/calibration-tables.md reports 10,000 experiments a rate."""

import json
import re
from pathlib import Path

import calibration
import calibration_designs
import calibration_images
import calibration_models
import calibration_seeds
import home_made_rules
import pytest
from calibration_counts import Cells
from scipy.stats import spearmanr

ROOT = Path(__file__).parents[2]
NUM = 2000
MOST = NUM * 0.025 + 3 * (NUM * 0.025 * 0.975) ** 0.5  # three standard errors above nominal
PAGE = (ROOT / "docs/calibration-tables.md").read_text()


@pytest.mark.parametrize(("num_seeds", "first"), [(5, 0), (6, 0), (8, 3)], ids=["5", "6", "until decided"])
def test_false_answers_stay_below_their_nominal_rate(num_seeds, first):
    none, edge = (
        calibration_seeds.answers_at(Cells(num=NUM), "normal", num_seeds, truth, delta, first)
        for truth, delta in ((0.0, None), (1.0, 1.0))
    )
    assert max(none["better"], none["worse"], edge["worth"], edge["equivalent"]) < MOST
    assert none["covered"] > NUM * 0.95 - 3 * (NUM * 0.05 * 0.95) ** 0.5


def test_a_large_difference_is_detected_in_most_experiments():
    found = calibration_seeds.answers_at(Cells(num=NUM), "normal", 5, 2.0, 1.0)
    assert found["better"] > 0.85 * NUM


def test_wider_intervals_control_false_answers_when_seeds_are_added_by_hand():
    rng = calibration_seeds.np.random.default_rng(0)
    counts = calibration_designs._count_by_hand(rng, 500, 3, 8, None)
    assert counts["added"] < 500 * 0.05 + 3 * (500 * 0.05 * 0.95) ** 0.5 < counts["added_without"] + 20


def test_at_most_5_percent_of_tables_with_ten_equal_arms_contain_a_false_answer():
    counts = calibration_designs._count_tables(calibration_designs.np.random.default_rng(0), 200, "normal", 6)
    assert counts["better"] < counts["better_each"]
    assert max(counts["better"], counts["worth"]) < 200 * 0.05 + 3 * (200 * 0.05 * 0.95) ** 0.5


def test_the_interval_over_images_covers_the_difference_on_new_images():
    rng = calibration_images.np.random.default_rng(0)
    counts = calibration_images.count(rng, 300, num_seeds=10, num_images=100, effect=1.0)
    assert counts["covered"] > 0.93 * 300 > counts["covered_seeds"]


def test_the_true_difference_on_images_equals_the_mean_of_a_large_sample():
    rng = calibration_images.np.random.default_rng(0)
    drawn = calibration_images.draw_differences(rng, 2, 200_000, 1.0).mean()
    assert drawn == pytest.approx(calibration_images.true_difference(1.0), abs=0.004)


@pytest.mark.parametrize("measure", ["2afc", "odd_one_out"])
def test_intervals_of_a_model_cover_its_score_for_new_images_and_people(measure):
    rng = calibration_models.np.random.default_rng(0)
    counts = calibration_models.count_answers(rng, 200, measure, num_images=20, num_people=20)
    assert min(counts["score"], counts["difference"]) > 200 * 0.95 - 3 * (200 * 0.05 * 0.95) ** 0.5


def test_intervals_of_rsa_cover_the_score_for_new_images_and_people():
    rng = calibration_models.np.random.default_rng(0)
    counts = calibration_models.count_matrices(rng, 200, num_images=20, num_people=5)
    assert min(counts["score"], counts["difference"]) > 200 * 0.95 - 3 * (200 * 0.05 * 0.95) ** 0.5


def test_rsa_without_an_image_equals_rsa_of_the_others():
    (model, _), people = calibration_models.draw_matrices(calibration_models.np.random.default_rng(0), 9, 2)
    ranked = [calibration_models.rank_without(values, 9) for values in (model, *people)]
    whole, without = calibration_models.correlate(ranked[0], ranked[1:])
    pairs = calibration_models.np.triu_indices(9, 1)
    kept = (pairs[0] != 4) & (pairs[1] != 4)
    assert whole[1] == pytest.approx(spearmanr(model, people[1]).statistic, abs=1e-6)
    assert without[4, 1] == pytest.approx(spearmanr(model[kept], people[1][kept]).statistic, abs=1e-6)


def test_cached_counts_are_reused_until_their_study_is_removed(tmp_path):
    calls = []

    def count(rng, num):
        calls.append(num)
        return {"better": 1}

    path = tmp_path / "counts.json"
    for _ in range(2):
        Cells(path).find("seeds/5", 7, count)
    assert calls == [7]
    cells = Cells(path)
    cells.forget("seeds")
    cells.find("seeds/5", 7, count)
    assert calls == [7, 7]
    assert json.loads(path.read_text())["seeds/5"]["num"] == 7


def test_the_calibration_page_shows_the_tables_of_the_cached_counts():
    cells = Cells(calibration.KEPT)
    known = set(cells.counts)
    assert calibration.fill(PAGE, lambda name: calibration.make_table(name, cells)) == PAGE
    assert set(cells.counts) == known
    assert set(re.findall(r"<!-- made: ([\w-]+) -->", PAGE)) == set(calibration.STUDIES)


@pytest.mark.slow  # 1.4 million simulated experiments
def test_the_page_has_the_rates_of_home_made_rules():
    assert home_made_rules.write_table(100_000) in (ROOT / "docs/calibration.md").read_text()
