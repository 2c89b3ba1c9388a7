"""Embedding statistics computed by hand, evaluators on small sets, and a run with both."""

import json

import numpy as np
import pytest
from helpers.made_sets import labelled_set
from perceptinit_representations.linear_probe import LinearProbe
from perceptinit_representations.representation import (
    CkaToInit,
    Representation,
    alignment,
    effective_rank,
    unbiased_cka,
    uniformity,
)
from safetensors.torch import save_file

from perceptinit.plugin import RunContext, UsageError
from perceptinit.testing import EvaluatorContract, tiny_judgments, tiny_model

RECIPE = """
schema = 1
name = "tiny"
seeds = [0]
[backbone]
use = "timm"
model = "vit_tiny_patch16_224"
image_size = 32
embed_dim = 32
text_width = 16
text_heads = 2
text_layers = 1
[backbone.model_args]
patch_size = 8
embed_dim = 32
depth = 1
num_heads = 2
[pretrain]
use = "clip"
epochs = 2
batch_size = 16
warmup_steps = 1
[pretrain.pairs]
use = "synthetic"
num_pairs = 32
[[eval]]
use = "representation"
datasets = ["synthetic"]
synthetic_num_images = 40
[[eval]]
use = "cka-to-init"
[eval.judgments]
use = "synthetic"
num_test = 60
"""


class TestRepresentation(EvaluatorContract):
    component = Representation

    def options(self, tmp_path):
        return {"datasets": ["synthetic"], "synthetic_num_images": 40}


@pytest.fixture
def pets(tmp_path):
    """A test set of three classes with identical images within each class."""
    labelled_set(tmp_path / "pets", [0, 1, 2] * 10, 3, splits=("train", "test"))
    return str(tmp_path)


class TestLinearProbe(EvaluatorContract):
    component = LinearProbe

    def options(self, tmp_path):
        return {"datasets": ["synthetic"], "synthetic_num_images": 40}


def test_a_linear_probe_classifies_separable_classes(pets):
    config = LinearProbe.Config(datasets=("pets",), root=pets)
    (score,) = LinearProbe(config).evaluate(tiny_model().eval(), RunContext())
    assert (score.name, score.value) == ("linear_probe/pets", 1.0)
    assert score.extra["strength"] in config.strengths


def test_eval_reproduces_the_representation_scores_of_a_run(cli, tmp_path):
    (tmp_path / "tiny.toml").write_text(RECIPE)
    done = cli("run", "tiny.toml")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "runs/tiny/default/seed0/record.json").read_text())
    scores = {(r["samples_seen"], r["name"]): r["value"] for r in record["scores"]}
    assert scores[0, "cka/synthetic"] == pytest.approx(1)
    assert scores[64, "cka/synthetic"] < scores[0, "cka/synthetic"]
    done = cli("eval", "runs/tiny", "--format", "json")
    assert done.returncode == 0, done.stderr
    rows = {f"{r['measure']}/{r['data_set']}": r["mean"] for r in json.loads(done.stdout)["scores"]}
    assert rows == {name: value for (samples, name), value in scores.items() if samples == 64}
    assert {"effective_rank/synthetic", "alignment/synthetic", "uniformity/synthetic"} < set(rows)


def test_effective_rank_counts_directions():
    assert effective_rank(np.eye(4)) == pytest.approx(4)
    assert effective_rank(np.outer(np.arange(1, 5), [1.0, 2.0])) == pytest.approx(1)
    # singular values 3 and 1: entropy of (3/4, 1/4)
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert effective_rank(np.diag([3.0, 1.0])) == pytest.approx(np.exp(entropy))


def test_alignment_and_uniformity_of_a_square_have_the_values_computed_by_hand():
    corners = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]], dtype=np.float64)
    # both classes contain adjacent points (squared distance 2)
    assert alignment(corners, np.array([0, 0, 1, 1])) == pytest.approx(2)
    assert alignment(corners, np.array([0, 1, 0, 1])) == pytest.approx(4)
    assert np.isnan(alignment(corners, np.arange(4)))
    # four pairs at squared distance 2 and two at 4
    expected = np.log((4 * np.exp(-4) + 2 * np.exp(-8)) / 6)
    assert uniformity(corners @ corners.T) == pytest.approx(expected)


def test_cka_is_1_for_a_rotated_and_scaled_copy_and_near_0_for_noise():
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(200, 5)), rng.normal(size=(200, 300))
    rotated = 3 * x @ np.linalg.qr(rng.normal(size=(5, 5)))[0]
    assert unbiased_cka(x @ x.T, rotated @ rotated.T) == pytest.approx(1)
    assert abs(unbiased_cka(x @ x.T, noise @ noise.T)) < 0.02
    assert np.isnan(unbiased_cka(x @ x.T, np.ones((200, 200))))


def test_cka_of_four_images_has_the_values_computed_by_hand():
    x = np.zeros((4, 4))
    x[0, 1] = x[1, 0] = 1  # only images 0 and 1 are similar
    # HSIC(x, x): trace 2, sums 2 * 2 / (3 * 2), rows 2 * (1 + 1) / 2, over 4 * 1
    y = np.zeros((4, 4))
    y[2, 3] = y[3, 2] = 1
    # HSIC(x, y): trace 0, sums 4 / 6, rows 0; the ratio is (4/6) / (2 + 4/6 - 2)
    assert unbiased_cka(x, y) == pytest.approx(1)
    z = np.zeros((4, 4))
    z[0, 2] = z[2, 0] = 1
    # HSIC(x, z): trace 0, sums 4 / 6, rows 2 * 1 / 2
    assert unbiased_cka(x, z) == pytest.approx((4 / 6 - 1) / (4 / 6))


def test_copies_of_three_images_have_at_most_three_directions(pets):
    config = Representation.Config(datasets=("pets",), root=pets)
    scores = {s.name: s for s in Representation(config).evaluate(tiny_model().eval(), RunContext())}
    assert 1 <= scores["effective_rank/pets"].value <= 3
    assert scores["alignment/pets"].value == pytest.approx(0, abs=1e-6)
    assert scores["uniformity/pets"].value < 0
    assert not scores["alignment/pets"].higher_is_better
    assert all(s.stderr is not None and s.stderr >= 0 for s in scores.values())


def test_cka_is_1_for_the_initial_weights_and_lower_for_others(tmp_path):
    model = tiny_model().eval()
    (tmp_path / "weights").mkdir()
    save_file(model.image.state_dict(), tmp_path / "weights" / "init.safetensors")
    evaluator = CkaToInit(CkaToInit.Config(), tiny_judgments())
    ctx = RunContext(folder=tmp_path)
    (first,) = evaluator.evaluate(model, ctx)
    (other,) = evaluator.evaluate(tiny_model(seed=1).eval(), ctx)
    assert first.name == "cka/synthetic"
    assert first.value == pytest.approx(1)
    assert other.value < 0.999
    assert first.stderr == pytest.approx(0, abs=1e-6)


def test_cka_of_a_model_without_a_run_is_refused():
    with pytest.raises(UsageError, match="This evaluator supports only models from runs"):
        list(CkaToInit(CkaToInit.Config(), tiny_judgments()).evaluate(tiny_model().eval(), RunContext()))
