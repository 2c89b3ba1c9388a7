"""The components beside the recipes of recipes/known_effects/."""

import io
import sys
from importlib.util import module_from_spec, spec_from_file_location

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest
import torch
from helpers.command_line import ROOT
from PIL import Image

from perceptinit.backbones.timm_backbone import Timm
from perceptinit.evaluators.metrics import share_score
from perceptinit.evaluators.zero_shot import ZeroShot
from perceptinit.files.checkpoints import weights_sha256
from perceptinit.testing import EvaluatorContract, tiny_pairs
from perceptinit.types import RunContext


def load(name):
    spec = spec_from_file_location(name, ROOT / f"recipes/known_effects/{name}.py")
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


people_shares = load("people_shares")
few_labels = load("few_labels")
channels_last = load("channels_last")
at_peak = load("at_peak")


def draw_png(rng):
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(file, "png")
    return file.getvalue()


def write_photographs(path, num, names):
    """Write a table of random photographs with their class and equal shares of all classes."""
    rng = np.random.default_rng(num)
    images = [draw_png(rng) for _ in range(num)]
    columns = {"image": images, "class": [names[i % len(names)] for i in range(num)]}
    shares = {name: np.full(num, 1 / len(names)) for name in names}
    parquet.write_table(pyarrow.table({**columns, **shares}), path)
    return str(path)


class TestPeopleShares(EvaluatorContract):
    component = people_shares.PeopleShares

    def options(self, tmp_path):
        names = tiny_pairs().read_classes().names
        return {
            name: write_photographs(tmp_path / f"{name}.parquet", 40, names) for name in ("tuning", "test")
        }


class TestFewLabels(EvaluatorContract):
    component = few_labels.FewLabels

    def options(self, tmp_path):
        names = ("cat", "dog")
        files = {
            name: write_photographs(tmp_path / f"{name}.parquet", 30, names) for name in ("train", "test")
        }
        return {**files, "per_class": 10, "num_test": 20}


class TestFewLabelsAsTrained(TestFewLabels):
    def options(self, tmp_path):
        return {**super().options(tmp_path), "only_as_trained": True}

    def test_one_score_is_reported(self, tmp_path):
        evaluator = few_labels.FewLabels(few_labels.FewLabels.Config(**self.options(tmp_path)))
        assert [name for name, _ in evaluator.evaluated_images()] == ["few-labels-as-trained"]


def test_the_score_at_the_peak_is_of_the_evaluation_that_other_images_choose(tmp_path, monkeypatch):
    # tuning is best at 2, and equally good at 3; aside is best at 4
    shares = {0: (0.1, 0.1), 1: (0.3, 0.2), 2: (0.5, 0.4), 3: (0.5, 0.6), 4: (0.2, 0.9)}

    def evaluate(self, model, ctx):
        both = zip(("tuning", "aside"), shares[ctx.samples_seen], strict=True)
        return [share_score(f"top1/{name}", np.arange(10) < 10 * share, 0.1, {}) for name, share in both]

    monkeypatch.setattr(ZeroShot, "evaluate", evaluate)
    found = {}
    for seen in shares:  # a new evaluator each time, as in a run that is resumed after each evaluation
        evaluator = at_peak.AtPeak(at_peak.AtPeak.Config(datasets=("tuning", "aside")))
        *_, score = evaluator.evaluate(None, RunContext(folder=tmp_path, samples_seen=seen))
        found[seen] = score.value
        assert score.items.values.mean() == score.value
    assert found == {0: 0.1, 1: 0.2, 2: 0.4, 3: 0.4, 4: 0.4}
    assert (score.name, score.extra["chosen_at"]) == ("top1/at-peak", 2)


def test_the_chosen_evaluation_of_an_earlier_run_in_the_folder_is_not_used(tmp_path):
    at_peak.save(tmp_path, {"samples_seen": 2, "chooser": 0.9, "correct": [1]})
    assert at_peak.load(tmp_path, 0) is None
    assert at_peak.load(tmp_path, 1) is None
    assert at_peak.load(tmp_path, 2)["chooser"] == 0.9


def test_the_fitted_temperature_restores_the_shares():
    logits = np.random.default_rng(0).normal(size=(50, 3))
    shares = np.exp(people_shares.log_softmax(2.5 * logits))
    assert people_shares.fit_inverse_temperature(logits, shares) == pytest.approx(2.5)


def test_the_calibration_error_is_the_gap_between_confidence_and_accuracy():
    confidence = np.array([0.9, 0.9, 0.9, 0.5])
    correct = np.array([1.0, 1.0, 0.0, 1.0])
    gap = abs(0.9 - 2 / 3) * 3 / 4 + abs(0.5 - 1) / 4
    assert people_shares.calibration_error(confidence, correct) == pytest.approx(gap)


def fit_ridge(x, y, penalty):
    """Return a function that predicts the targets of embeddings."""
    centered = x - x.mean(axis=0)
    weights = np.linalg.solve(
        centered.T @ centered + penalty * np.eye(x.shape[1]), centered.T @ (y - y.mean(axis=0))
    )
    return lambda test: (test - x.mean(axis=0)) @ weights + y.mean(axis=0)


def test_the_ridge_penalty_has_the_lowest_leave_one_out_error():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 8))
    y = x @ rng.normal(size=(8, 2)) + rng.normal(size=(30, 2))
    predicted, penalty = few_labels.ridge(x, y, x[:5])
    np.testing.assert_allclose(predicted, fit_ridge(x, y, penalty)(x[:5]))

    def leave_one_out(penalty):
        rows = [np.delete(np.arange(30), i) for i in range(30)]
        errors = [fit_ridge(x[kept], y[kept], penalty)(x[i : i + 1]) - y[i] for i, kept in enumerate(rows)]
        return np.square(errors).mean()

    assert leave_one_out(penalty) <= min(leave_one_out(penalty / 2), leave_one_out(2 * penalty))


def test_all_arms_of_a_seed_have_the_same_labeled_photographs():
    classes = ["cat", "dog"] * 20
    drawn = few_labels.draw(classes, ["cat", "dog"], 10, seed=3)
    assert drawn == few_labels.draw(classes, ["cat", "dog"], 10, seed=3)
    assert drawn != few_labels.draw(classes, ["cat", "dog"], 10, seed=4)
    assert sorted(classes[row] for row in drawn) == ["cat"] * 10 + ["dog"] * 10


def test_statistics_of_batch_normalization_are_means_over_batches_for_the_block(tmp_path):
    path = write_photographs(tmp_path / "images.parquet", 20, ("cat", "dog"))
    photographs = parquet.read_table(path)["image"].to_pylist()
    tower = (
        Timm(Timm.Config(model="test_efficientnet", image_size=32, embed_dim=32, text_layers=1)).build().image
    )
    before = weights_sha256(tower.eval())
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(image))) for image in photographs])
    ctx = RunContext(seed=0, stage="eval", folder=tmp_path)
    with torch.no_grad():
        inputs = tower.trunk.conv_stem(tower.normalize(torch.from_numpy(pixels).permute(0, 3, 1, 2)))
        with few_labels.statistics_of(photographs, tower, ctx, 10):
            found = tower.trunk.bn1.running_mean.clone()
            assert not any(module.training for module in tower.modules())
    torch.testing.assert_close(found, inputs.mean((0, 2, 3)), atol=1e-4, rtol=1e-4)
    assert weights_sha256(tower) == before


def test_channels_last_changes_the_memory_format_and_not_the_weights_or_embeddings():
    config = Timm.Config(model="test_efficientnet", image_size=32, embed_dim=16, text_width=16, text_heads=1)
    torch.manual_seed(0)
    plain = Timm(config).build().eval()
    torch.manual_seed(0)
    model = channels_last.ChannelsLast(config).build().eval()
    formats = []
    model.image.trunk.conv_stem.register_forward_pre_hook(
        lambda _, inputs: formats.append(inputs[0].is_contiguous(memory_format=torch.channels_last))
    )
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    assert weights_sha256(model.state_dict()) == weights_sha256(plain.state_dict())
    torch.testing.assert_close(model.encode_image(images), plain.encode_image(images), rtol=1e-4, atol=1e-5)
    assert formats == [True]
