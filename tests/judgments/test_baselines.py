"""Scores of trivial models: computed by hand, in scores, in `data check` and in tables."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers.made_runs import record, score, write

from perceptinit.analysis.compare import compare
from perceptinit.evaluators.odd_one_out import OddOneOutScore
from perceptinit.evaluators.two_afc import TwoAFC
from perceptinit.judgments.baselines import (
    STRONG,
    Baseline,
    as_extra,
    describe_images,
    distances,
    from_extra,
    odd_one_out_baselines,
    two_afc_baselines,
)
from perceptinit.judgments.data_check import check_judgments
from perceptinit.judgments.forms.odd_one_out import OddOneOut
from perceptinit.judgments.scoring import HeldOutError
from perceptinit.reports.columns import page_note
from perceptinit.reports.formats import json_table, markdown_table
from perceptinit.reports.report import render
from perceptinit.results.runs import load_runs
from perceptinit.types import DataCard, RunContext, Stimuli, Triplets
from perceptinit.verdict.headline import Judged

NAMES = ["pixels 32 x 32", "pixels 16 x 16", "mean colour", "random network", *STRONG]


def image(left, right):
    """Return an image of 32 x 32 pixels with gray level `left` in one half and `right` in the other."""
    pixels = np.full((32, 32, 3), left, dtype=np.uint8)
    pixels[:, 16:] = right
    return pixels


# 0 and 1 are brighter on the same side; 2 has the mean of 0
STIMULI = Stimuli(("0", "1", "2"), [image(200, 40), image(250, 60), image(40, 200)])


def triplets(p_second=(1.0, 1.0), num_votes=(1, 3)):
    """Return two judgments with anchor 0 and the candidates 2 and 1, in both orders."""
    return Triplets.build(STIMULI, [0, 0], [2, 1], [1, 2], p_second, num_votes)


def test_centered_gray_pixels_ignore_brightness_and_hue():
    rng = np.random.default_rng(0)
    shapes = rng.integers(0, 100, (2, 32, 32, 1)).repeat(3, axis=3)
    images = [shapes[0], shapes[0] + 100, shapes[1]]
    stimuli = Stimuli(tuple("abc"), [image.astype(np.uint8) for image in images])
    points = describe_images(stimuli, np.arange(3))
    near, far = distances(points["centered gray 32 x 32"], (np.array([0, 0]), np.array([1, 2])))[0]
    assert near < 0.01 < 1 < far
    assert distances(points["pixels 32 x 32"], (np.array([0]), np.array([1])))[0][0] > 0.1


def test_images_with_one_color_have_no_contrast_not_that_of_rounding_errors():
    colors = np.random.default_rng(0).integers(256, size=(3, 3))
    images = [np.full((40, 30, 3), color, np.uint8) for color in colors]
    points = describe_images(Stimuli(tuple("abc"), images), np.arange(3))
    assert not points["centered gray 32 x 32"].any()
    assert not points["gradient orientations"].any()
    assert np.linalg.norm(points["color histogram"], axis=1) == pytest.approx(1)


def test_histograms_count_orientations_and_colors_wherever_they_are():
    stripes = np.tile(np.where(np.arange(32) % 8 < 4, 0, 200), (32, 1))
    images = [
        np.stack([each, stripes * 0, stripes * 0], axis=2) for each in (stripes, stripes[:, ::-1], stripes.T)
    ]
    stimuli = Stimuli(tuple("abc"), [image.astype(np.uint8) for image in images])
    points = describe_images(stimuli, np.arange(3))
    of_edges, of_colors = (
        distances(points[name], (np.array([0, 0]), np.array([1, 2])))[0]
        for name in ("gradient orientations", "color histogram")
    )
    assert of_edges == pytest.approx([0, 2**0.5], abs=1e-3)
    assert of_colors == pytest.approx([0, 0])


def by_name(baselines):
    return {b.name: b.value for b in baselines}


def test_pixels_depend_on_the_layout_and_mean_colors_do_not():
    found = by_name(two_afc_baselines(triplets()))
    assert list(found) == NAMES
    # pixels choose 1 in both questions: right for one vote, wrong for three; the mean chooses 2
    assert found["pixels 32 x 32"] == found["pixels 16 x 16"] == 0.25
    assert found["mean colour"] == 0.75


def test_weighting_by_judgments_counts_each_judgment_once():
    assert by_name(two_afc_baselines(triplets(), "judgments"))["mean colour"] == 0.5


def test_the_random_network_is_fixed():
    points = describe_images(STIMULI, np.arange(3))["random network"]
    assert points.shape == (3, 128)
    assert np.linalg.norm(points, axis=1) == pytest.approx(1)
    again = describe_images(STIMULI, np.array([2, 0]))["random network"]
    assert np.allclose(again, points[[2, 0]], atol=1e-5)


def test_identical_images_tie():
    stimuli = Stimuli(("a", "b", "c"), [image(90, 10)] * 3)
    same = Triplets.build(stimuli, [0], [1], [2], [1.0])
    assert set(by_name(two_afc_baselines(same)).values()) == {0.5}


def test_the_odd_one_out_is_outside_the_nearest_pair():
    judgments = OddOneOut.build(STIMULI, [[0, 1, 2]], [[0, 3, 1]])
    found = by_name(odd_one_out_baselines(judgments))
    assert found["pixels 32 x 32"] == 0.25  # one of four votes for image 2
    assert found["mean colour"] == 0.75  # 0 and 2 have equal means


def test_distances_in_chunks_equal_distances_at_once(monkeypatch):
    points = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    a, b = np.array([0, 1, 5]), np.array([3, 1, 2])
    few = distances(points, (a, b))[0]
    monkeypatch.setattr("perceptinit.judgments.baselines.MAX_SQUARE", 5)
    monkeypatch.setattr("perceptinit.judgments.baselines.CHUNK", 2)
    assert distances(points, (a, b))[0] == pytest.approx(few, abs=1e-5)


def test_the_interval_of_a_baseline_is_clipped_to_0_and_1():
    assert Baseline("x", 0.9, HeldOutError(0.1)).interval == (pytest.approx(0.704, abs=1e-4), 1.0)
    assert Baseline("x", 0.9, HeldOutError(None)).interval is None


def test_few_anchors_replace_the_interval_of_a_baseline_by_a_sentence():
    assert Baseline("x", 0.4, HeldOutError(None, 2)).text == "0.400 (too few anchors for an interval)"
    extra = {"num_anchors": 3, "baselines": {"x": {"value": 0.4, "stderr": 0.01}}}  # of an earlier version
    assert from_extra(extra)[0].interval is None


class Given:
    name = "given"
    card = DataCard(title="given", source_url="-", license="-", citation="-")

    def load(self, split):
        return triplets()

    def load_odd_one_out(self, split):
        return OddOneOut.build(STIMULI, [[0, 1, 2]], [[0, 3, 1]])


class Encoder:
    image_size = 4

    def encode_image(self, images):
        return images.float().flatten(1)


@pytest.mark.parametrize("evaluator", [TwoAFC, OddOneOutScore])
def test_a_score_contains_its_baselines(evaluator):
    with torch.no_grad():
        found, *_ = evaluator(evaluator.Config(), Given()).evaluate(Encoder(), RunContext())
    baselines = from_extra(json.loads(json.dumps(found.extra)))
    assert by_name(baselines)["mean colour"] == 0.75
    assert [b.name for b in baselines] == NAMES


def test_data_check_scores_the_held_out_splits():
    report = check_judgments(Given())
    assert list(report.baselines) == ["val", "test"]
    assert by_name(report.baselines["test"])["pixels 16 x 16"] == 0.25
    notes = [f.message for f in report.findings if "odd-one-out" in f.message]
    assert notes[0] == "train: 1 odd-one-out questions, chance 0.333"
    assert "mean colour 0.750 (too few groups for an interval), " in notes[2]
    assert check_judgments(Given(), decode=False).baselines == {}


def test_tables_and_page_show_baselines_with_intervals(tmp_path):
    extra = as_extra(
        [
            Baseline("pixels 32 x 32", 0.651, HeldOutError(0.01)),
            Baseline("mean colour", 0.6, HeldOutError(None)),
        ]
    )
    rows = [
        [score(value, name="2afc/x", chance=0.5, ceiling=0.84, lower_ceiling=0.75, extra=extra)]
        for value in (0.7, 0.8)
    ]
    runs = load_runs([write(tmp_path, [record("random", 0, rows[0]), record("pi", 0, rows[1])])])
    comparison = compare(runs)
    beside = "pixels 32 x 32 65.1 [63.1, 67.1], mean colour 60.0"
    assert beside in markdown_table(Judged.of(comparison), comparison.scores)
    note = page_note(comparison, comparison.scores[0])
    assert "chance 50.0, human ceiling 75.0 to 84.0, 50 examples, trivial models in gray" in note
    page = re.sub(r"<[^>]*>", " ", render(Judged.of(comparison), with_examples=False))
    assert "pixels 32 x 32 65.1 [63.1, 67.1] mean colour 60.0" in " ".join(page.split())
    stated = json.loads(json_table(Judged.of(comparison), comparison.scores))["baselines"]["2afc/x"]
    assert stated["pixels 32 x 32"] == {"value": 0.651, "stderr": 0.01}


def test_data_check_does_not_import_torch():
    code = "import sys, perceptinit.judgments.data_check; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
