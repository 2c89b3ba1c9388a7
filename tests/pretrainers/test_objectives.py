"""Custom objectives, and supervised pretraining on labels."""

import copy
import re
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from helpers.clip import Colours, context, model as both_towers
from helpers.made_sets import labelled_set, png
from helpers.processes import together
from timm.data import Mixup

from perceptinit.analysis.compare import compare
from perceptinit.backbones.image_models import ImageClassifier
from perceptinit.compute import distributed
from perceptinit.errors import DataError, RecipeError, UsageError
from perceptinit.evaluating.evaluate import evaluate
from perceptinit.evaluating.request import Request
from perceptinit.evaluators.labelled import ClassificationAccuracy
from perceptinit.exporting import export
from perceptinit.files.checkpoints import load_weights
from perceptinit.initializers.checkpoint import Checkpoint
from perceptinit.pairs.augment import Augment
from perceptinit.pairs.parquet_pairs import ParquetPairs
from perceptinit.pretrainers.objective import Objective
from perceptinit.pretrainers.pretraining import Pretraining
from perceptinit.pretrainers.supervised import Classification, Supervised, make_loss, mix_neighbours
from perceptinit.pretrainers.training import Training
from perceptinit.pretrainers.training_config import TrainingConfig
from perceptinit.recipe.cost import work_lines
from perceptinit.recipe.reading import read_recipe
from perceptinit.reports.report import write_report
from perceptinit.results.loading import load_model
from perceptinit.results.runs import load_runs
from perceptinit.running.readiness import find_obstacles
from perceptinit.running.runner import run_recipe
from perceptinit.test_sets.labelled_images import LabelledImages
from perceptinit.types import Classes, Pair
from perceptinit.verdict.headline import Judged

NAMES = ("red", "dark green", "light blue")


class LabelledColours(Colours):
    """Uniform gray images of three classes by brightness."""

    def read_classes(self):
        return Classes(NAMES, np.arange(self.num_pairs) * 3 // self.num_pairs)


CONFIG = Supervised.Config(
    epochs=3, batch_size=16, lr=1e-3, warmup_steps=2, crop_scale=(0.5, 1.0), mixup=0.8, cutmix=1.0
)


def classifier(config=CONFIG, seed=0):
    pretrainer = Supervised(config, LabelledColours())
    return pretrainer, pretrainer.model(both_towers(), seed)


def train(config=CONFIG, state=None, model=None, stop=None):
    pretrainer, fresh = classifier(config)
    model = model or fresh
    if state is not None:
        pretrainer.load_state_dict(state)
    results = list(islice(steps := pretrainer.steps(model, context()), stop))
    steps.close()
    return pretrainer, model, results


# a custom objective


class Nearness(Objective):
    """The distance of two crops of an image in a projection with batch norm."""

    def __init__(self, dim):
        super().__init__()
        self.projection = torch.nn.Sequential(torch.nn.Linear(dim, 4), torch.nn.BatchNorm1d(4))

    def loss(self, model, image):
        projected = self.projection(image)
        return (projected[0::2] - projected[1::2]).square().sum(-1).mean()


class TwoViews(Pretraining):
    parts = ("image",)
    num_views = 2

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(TrainingConfig):
        pass

    def make_objective(self, model):
        return Nearness(model.embed_dim).to(next(model.parameters()).dtype)


VIEWS = TwoViews.Config(epochs=2, batch_size=16, warmup_steps=1, crop_scale=(0.2, 0.5), eps=1e-3)


class Gradients(Colours):
    """Images whose crops all differ."""

    def pair(self, index):
        pixels = np.arange(48 * 40 * 3).reshape(48, 40, 3) * (index + 1) // 7 % 251
        return Pair(f"gradient/{index}", pixels.astype(np.uint8), "a gradient")


def two_views(pairs=None):
    pretrainer = TwoViews(VIEWS, pairs or Colours())
    model = pretrainer.model(both_towers(), 0)
    [batch] = pretrainer._loader(model, context()).batches(0, 1)
    return pretrainer, model, batch


def test_the_views_of_a_sample_are_consecutive_in_a_batch():
    _, _, batch = two_views()
    assert batch.images.shape[:2] == (32, 3)
    assert len(batch.keys) == 16
    grey = batch.images.float().mean(dim=(1, 2, 3))
    assert torch.equal(grey[0::2], grey[1::2])  # of the same uniform image
    assert grey[0::2].unique().numel() == 16


def test_the_first_view_equals_the_crop_of_a_batch_with_one_view(monkeypatch):
    whole = TwoViews(VIEWS, Gradients())
    model = whole.model(both_towers(), 0)
    [two] = whole._loader(model, context()).batches(0, 1)
    monkeypatch.setattr(TwoViews, "num_views", 1)
    [one] = whole._loader(model, context()).batches(0, 1)
    assert torch.equal(two.images[0::2], one.images)
    assert not torch.equal(two.images[1::2], one.images)


def test_an_objective_without_texts_trains_the_image_tower_only():
    pretrainer, model, _ = two_views()
    assert not hasattr(model, "text")
    assert not any(name.startswith("text") for name in model.state_dict())
    results = list(pretrainer.steps(model, context()))
    assert results[0].metrics.keys() == {"loss", "lr", "grad_norm"}
    assert pretrainer.plan().num_texts == 0
    assert pretrainer.plan().num_images == 2 * 96  # views


def test_an_objective_without_texts_does_not_change_the_text_tower():
    model = both_towers()
    before = model.text.state_dict()["transformer.ln_final.weight"].clone()
    list(TwoViews(VIEWS, Gradients()).steps(model, context()))
    assert torch.equal(model.text.state_dict()["transformer.ln_final.weight"], before)


def views_trained_together(seed=0):
    with distributed.process_group():
        pretrainer, model, _ = two_views(Gradients())
        list(pretrainer.steps(model.double(), context(seed)))
        state = {**model.state_dict(), **pretrainer.state_dict()["loss"]}
        return {k: v.numpy() for k, v in state.items()}, pretrainer.data_sha256


@pytest.mark.slow
def test_two_processes_train_on_views_with_batch_statistics_like_one_process():
    whole, samples = views_trained_together()
    assert whole["projection.1.num_batches_tracked"] == 6
    for weights, seen in together(views_trained_together):
        assert seen == samples
        for name, weight in whole.items():
            np.testing.assert_allclose(weights[name], weight, atol=1e-8, err_msg=name)


def test_weights_of_an_objective_depend_on_the_seed_only():
    def projection(seed):
        torch.manual_seed(torch.seed())  # an arbitrary state of the global generator
        return views_trained_together(seed)[0]["projection.0.weight"]

    first = projection(0)
    np.testing.assert_array_equal(first, projection(0))
    assert not np.array_equal(first, projection(1))


# supervised: loss and mixing


def test_the_classification_loss_has_the_value_computed_by_hand():
    model = ImageClassifier(both_towers().image, ("a", "b"))
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.copy_(torch.tensor([np.log(3.0), 0.0]))  # P(a) = 3/4 for any image
    rows = {"image": torch.randn(2, model.embed_dim), "targets": torch.tensor([0, 1])}
    loss = Classification(make_loss("cross-entropy", 0.2, False), None)(model, rows)
    a, b = -np.log(0.75), -np.log(0.25)
    smoothed = 0.8 * (a + b) / 2 + 0.2 * (a + b) / 2
    assert loss.item() == pytest.approx(smoothed, abs=1e-6)
    binary = Classification(make_loss("bce", 0.0, False), None)(model, rows)
    # logits log 3 and 0: correct classes cost log 4/3 and log 2 (a), log 4 and log 2 (b)
    assert binary.item() == pytest.approx((np.log(4 / 3) + np.log(4) + 2 * np.log(2)) / 4, abs=1e-6)


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.8, 0.0), (0.0, 1.0)])
def test_neighbors_in_a_batch_are_mixed_together_with_their_targets(mixup, cutmix):
    images = torch.tensor([0, 255, 51, 102], dtype=torch.uint8).view(4, 1, 1, 1).expand(4, 3, 16, 16)
    labels = torch.tensor([0, 1, 2, 2])
    found, targets = mix_neighbours(
        Mixup(mixup, cutmix, label_smoothing=0.0, num_classes=3), images, labels, 7
    )
    share = targets[0, 0].item()  # of the first image in itself
    assert 0 < share < 1
    torch.testing.assert_close(targets[1], torch.tensor([1 - share, share, 0.0]))
    torch.testing.assert_close(targets[2:], torch.tensor([[0.0, 0, 1], [0.0, 0, 1]]))
    means = found.mean(dim=(1, 2, 3))
    wanted = [1 - share, share, 0.2 * share + 0.4 * (1 - share), 0.4 * share + 0.2 * (1 - share)]
    torch.testing.assert_close(means, torch.tensor(wanted), atol=1e-5, rtol=0)


def test_mixing_parts_of_a_batch_equals_mixing_the_whole_batch():
    images = torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8)
    labels = torch.arange(8) % 3
    mixup = Mixup(0.8, 1.0, num_classes=3)
    for seed in range(4):
        whole = mix_neighbours(mixup, images, labels, seed)
        halves = [mix_neighbours(mixup, images[i : i + 4], labels[i : i + 4], seed) for i in (0, 4)]
        for a, parts in zip(whole, zip(*halves, strict=True), strict=True):
            assert torch.equal(a, torch.cat(parts))


def test_mixing_does_not_advance_the_global_generator():
    np.random.seed(3)
    wanted = np.random.rand()
    np.random.seed(3)
    images, labels = torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64)
    mix_neighbours(Mixup(1.0, num_classes=2), images, labels, 1)
    assert np.random.rand() == wanted


def test_a_padded_crop_shifts_the_square_by_up_to_an_eighth_into_black():
    image = np.full((32, 32, 3), 200, dtype=np.uint8)
    augment = Augment(crop="padded")
    rng = np.random.default_rng(0)
    black = {int((augment(image, 32, rng)[0, :, 16] == 0).sum()) for _ in range(200)}
    assert black == {0, 1, 2, 3, 4}


# supervised: training


def test_training_reports_its_progress_to_remote_pairs():
    class Remote(LabelledColours):
        def read_ahead(self, uses):
            return nullcontext(lambda done, needed: reached.append((done, needed)))

    reached = []
    pretrainer = Supervised(CONFIG, Remote())
    next(pretrainer.steps(pretrainer.model(both_towers(), 0), context()))
    assert reached[0] == (0, CONFIG.batch_size)


def test_training_on_labels_learns_the_classes():
    config = replace(CONFIG, epochs=30, lr=3e-3, mixup=0.0, cutmix=0.0, smoothing=0.0)
    _, model, results = train(config)
    assert float(results[-1].metrics["loss"]) < 0.3  # log 3 is 1.1
    pairs = LabelledColours()
    images = np.stack([pairs.pair(i).image for i in range(48)]).transpose(0, 3, 1, 2)
    with torch.no_grad():
        found = model.eval().classify(torch.from_numpy(images)).argmax(dim=1).numpy()
    assert (found == pairs.read_classes().labels).mean() > 0.9


@pytest.mark.parametrize("stop", [1, 4])
def test_an_interrupted_supervised_run_resumes_to_the_same_weights(stop):
    config = replace(CONFIG, ema_decay=0.5, loss="bce", smoothing=0.0)
    _, whole, _ = train(config)
    pretrainer, model, _ = train(config, stop=stop)
    _, model, _ = train(config, state=copy.deepcopy(pretrainer.state_dict()), model=model)
    for name, weight in whole.state_dict().items():
        assert torch.equal(model.state_dict()[name], weight), name


def trained_together(micro_batch=0, sharding="none"):
    with distributed.process_group():
        config = replace(CONFIG, micro_batch=micro_batch, sharding=sharding)
        # float64, because AdamW makes steps from the rounding noise of gradients that are zero
        pretrainer, model, _ = train(config, model=classifier(config)[1].double())
        return {k: v.numpy() for k, v in model.state_dict().items()}, pretrainer.data_sha256


@pytest.mark.slow
def test_two_processes_train_like_one_process():
    whole, samples = trained_together()
    outcomes = [trained_together(3), *together(trained_together)]
    outcomes += together(trained_together, 4, "fsdp")
    for weights, seen in outcomes:
        assert seen == samples
        for name, weight in whole.items():
            np.testing.assert_allclose(weights[name], weight, atol=1e-8, err_msg=name)


def test_preflight_reports_pairs_that_cannot_be_used(monkeypatch):
    def problems(pairs, **options):
        return list(Supervised(replace(CONFIG, **options), pairs).preflight())

    assert problems(LabelledColours()) == []
    found = "pretrainer 'supervised' needs labels, and Colours has none. Use pairs with labels, such as"
    assert [text.startswith(found) for text in problems(Colours())] == [True]
    alone = LabelledColours()
    alone.read_classes = lambda: Classes(("red",), np.zeros(48, dtype=np.int64))
    assert problems(alone) == ["the pairs have only one class, 'red'. A classifier needs at least two"]
    monkeypatch.setattr(distributed, "world_size", lambda: 16)
    assert "need an even number of images per process, got 1." in problems(LabelledColours())[0]


def rates(**options):
    config = replace(CONFIG, epochs=4, lr=1.0, warmup_steps=2, **options)
    pretrainer = Supervised(config, LabelledColours())
    return [pretrainer.rate(step) for step in range(1, pretrainer.total_steps + 1)]


def test_each_schedule_of_timm_starts_after_the_warm_up():
    # 12 steps, 3 in an epoch
    falling = rates(schedule="multistep", decay_epochs=(1, 3), decay_rate=0.5)
    assert falling == [0.5, 1.0, 1.0, *[0.5] * 6, *[0.25] * 3]
    by_step = rates(schedule="step", decay_epochs=(2,))
    assert by_step == pytest.approx([0.5, *[1.0] * 5, *[0.1] * 6])
    poly = rates(schedule="poly", min_lr=0.1)
    assert poly[2:] == pytest.approx([0.1 + 0.9 * (1 - t / 12) for t in range(2, 12)])
    tanh = rates(schedule="tanh")
    assert tanh[2:] == sorted(tanh[2:], reverse=True)
    assert tanh[2] > 0.9 > 0.1 > tanh[-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schedule": "step"}, 'schedule = "step" needs decay_epochs with one epoch'),
        ({"schedule": "multistep", "decay_epochs": (3, 1)}, "needs decay_epochs with ascending epochs"),
        ({"decay_epochs": (3,)}, "decay_epochs = [3] needs schedule step or multistep"),
        (
            {"schedule": "tanh", "decay_rate": 0.5},
            "decay_rate = 0.5 needs schedule step, multistep or poly",
        ),
    ],
)
def test_incompatible_keys_of_a_schedule_are_reported(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        replace(CONFIG, **options)


def test_a_schedule_of_timm_resumes_exactly():
    config = replace(CONFIG, schedule="multistep", decay_epochs=(1, 2))
    _, whole, _ = train(config)
    pretrainer, model, _ = train(config, stop=4)
    _, model, results = train(config, state=copy.deepcopy(pretrainer.state_dict()), model=model)
    assert results[-1].metrics["lr"] == pytest.approx(1e-5)
    assert torch.equal(model.head.weight, whole.head.weight)


# labels of Parquet files


def parquet(path, **columns):
    count = len(next(iter(columns.values())))
    pq.write_table(pa.table({"images": [png(i) for i in range(count)], **columns}), path)
    return str(path)


def labels_of(files, **options):
    return ParquetPairs(ParquetPairs.Config(files=files, text_column="", **options)).read_classes()


def test_parquet_supports_classes_by_name_by_number_or_both(tmp_path):
    files = parquet(tmp_path / "a.parquet", label=[1, 0, 2], name=["dog", "cat", "owl"])
    by_name = labels_of(files, class_column="name")
    assert by_name.names == ("cat", "dog", "owl")
    assert by_name.labels.tolist() == [1, 0, 2]
    by_number = labels_of(files, label_column="label", classes=("a", "b", "c"))
    assert by_number.names == ("a", "b", "c")
    assert by_number.labels.tolist() == [1, 0, 2]
    both = labels_of(files, label_column="label", class_column="name")
    assert both.names == ("cat", "dog", "owl")
    in_order = labels_of(files, class_column="name", classes=("owl", "dog", "cat"))
    assert in_order.labels.tolist() == [1, 2, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"label_column": "label", "classes": ("a", "b")},
            "a.parquet row 2: label 2, but there are 2 class names",
        ),
        ({"label_column": "label"}, "contains numbers without names"),
        ({}, "no class column. Set label_column or class_column"),
        ({"class_column": "kind"}, "no column 'kind'. Columns: images, label"),
    ],
)
def test_invalid_labels_are_reported(tmp_path, options, message):
    files = parquet(tmp_path / "a.parquet", label=[1, 0, 2])
    with pytest.raises(DataError, match=re.escape(message)):
        labels_of(files, **options)


def test_each_label_requires_exactly_one_name(tmp_path):
    files = parquet(tmp_path / "a.parquet", label=[0, 1, 1], name=["dog", "cat", None])
    with pytest.raises(DataError, match=r"a\.parquet row 2: label 1 has no class name"):
        labels_of(files, label_column="label", class_column="name")
    files = parquet(tmp_path / "b.parquet", label=[0, 1, 1], name=["dog", "cat", "owl"])
    with pytest.raises(DataError, match="label 1 is named 'owl', but 'cat' in an earlier row"):
        labels_of(files, label_column="label", class_column="name")


def test_pairs_without_a_text_column_have_empty_texts(tmp_path):
    files = parquet(tmp_path / "a.parquet", label=[1, 0])
    pairs = ParquetPairs(ParquetPairs.Config(files=files, text_column=""))
    assert [pairs.pair(i).text for i in range(2)] == ["", ""]


# class folders and the layout of test sets


def folders(root, **counts):
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            (root / name / f"{i}.png").write_bytes(png(i))
    return labelled_images(root)


def labelled_images(path, **options):
    return LabelledImages(LabelledImages.Config(path=str(path), **options))


def test_class_folders_give_images_with_class_names(tmp_path):
    pairs = folders(tmp_path / "pets", dog=2, cat=1)
    assert [pairs.pair(i).text for i in range(3)] == ["cat", "dog", "dog"]
    assert pairs.pair(0).key == "pets/cat/0.png"
    assert pairs.read_classes().names == ("cat", "dog")
    assert pairs.read_classes().labels.tolist() == [0, 1, 1]
    assert list(pairs.preflight()) == []


def test_a_set_in_the_test_set_layout_gives_its_training_split(tmp_path):
    labelled_set(tmp_path / "pets", [2, 0, 1], 3, splits=("train",))
    pairs = labelled_images(tmp_path / "pets")
    assert [pairs.pair(i).text for i in range(3)] == ["class 2", "class 0", "class 1"]
    assert pairs.read_classes().labels.tolist() == [2, 0, 1]
    [problem] = labelled_images(tmp_path / "pets", split="test").preflight()
    assert "nshards.txt: no such file" in problem


def test_invalid_training_folders_are_reported(tmp_path):
    [problem] = folders(tmp_path / "pets", dog=2, cat=0).preflight()
    assert problem == f"{tmp_path / 'pets'}: class 'cat' is empty (1 in total). Fill or remove it"
    [problem] = labelled_images(tmp_path / "none").preflight()
    assert "no folder" in problem
    (tmp_path / "empty").mkdir()
    [problem] = labelled_images(tmp_path / "empty").preflight()
    assert "nor class folders with images" in problem


def test_supervised_trains_on_class_folders(tmp_path):
    pairs = folders(tmp_path / "pets", dog=12, cat=12)
    pretrainer = Supervised(replace(CONFIG, batch_size=8), pairs)
    model = pretrainer.model(both_towers(), 0)
    assert model.classnames == ("cat", "dog")
    assert [r.step for r in pretrainer.steps(model, context())][-1] == 9


# a complete recipe

RECIPE = """
schema = 1
name = "labels"
[backbone]
use = "timm"
model = "vit_tiny_patch16_224"
image_size = 16
embed_dim = 16
text_width = 16
text_heads = 2
text_layers = 1
[backbone.model_args]
patch_size = 8
embed_dim = 32
num_heads = 2
depth = 1
[pretrain]
use = "supervised"
epochs = 2
batch_size = 16
warmup_steps = 1
mixup = 0.8
[pretrain.pairs]
use = "synthetic"
num_pairs = 48
image_size = 16
[checkpoint]
every_steps = 1
[[eval]]
use = "classification"
datasets = ["synthetic"]
synthetic_num_images = 64
synthetic_image_size = 16
[[eval]]
use = "knn"
datasets = ["synthetic"]
synthetic_num_images = 64
synthetic_image_size = 16
[[eval]]
use = "two-afc"
[eval.judgments]
use = "synthetic"
num_train = 8
num_val = 8
num_test = 32
image_size = 16
[[arm]]
name = "random"
init = []
[[arm]]
name = "mimetic"
init = [{ use = "mimetic" }]
"""


def run(folder, **options):
    records = run_recipe(read_recipe(RECIPE), out=folder, device="cpu", **options)
    return {record["arm"]["name"]: record for record in records}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels")
    return folder, run(folder)


def test_arms_share_batches_and_the_initial_weights_of_the_classifier(finished):
    _, records = finished
    one, other = records["random"]["hashes"], records["mimetic"]["hashes"]
    assert one["built"] == other["built"]
    assert one["pretrain_data"] == other["pretrain_data"]
    assert one["final"]["model"] != other["final"]["model"]
    assert "text" not in one["final"]


def test_saved_weights_contain_the_classifier_and_no_text_tower(finished):
    folder, _ = finished
    file = folder / "labels" / "random" / "seed0" / "weights" / "final.safetensors"
    names = load_weights(file)
    assert {name.partition(".")[0] for name in names} == {"image", "head", "names"}
    model = load_model(read_recipe(RECIPE).backbone, file)
    assert model.classnames[:2] == ("red circle", "red square")


def test_a_trained_tower_can_initialize_another_run(finished):
    folder, _ = finished
    file = folder / "labels" / "random" / "seed0" / "weights" / "final.safetensors"
    options = {"key_map": {"image.": ""}, "ignore": ("head.", "names")}
    tower = read_recipe(RECIPE).backbone.build().build().image
    Checkpoint(Checkpoint.Config(file=file, **options)).initialize(tower, context())
    assert torch.equal(tower.projection.weight, load_weights(file)["image.projection.weight"])


def test_a_supervised_run_scores_accuracy_and_the_measures_of_the_tower(finished):
    _, records = finished
    scores = [s for s in records["random"]["scores"] if s["samples_seen"] == 96]
    by_name = {s["name"]: s for s in scores}
    assert {"accuracy/synthetic", "knn/synthetic", "2afc/synthetic"} <= by_name.keys()
    accuracy = by_name["accuracy/synthetic"]
    assert accuracy["chance"] == 1 / 64
    assert accuracy["num_examples"] == 64
    assert 0 <= accuracy["value"] <= 1


def request(model, on=()):
    """Return the request of `perceptinit eval MODEL --device cpu --on ...`."""
    judged = {"fit": None, "layer": (), "pooling": None, "baseline": ""}
    others = {
        "backbone": "",
        "weights": "final",
        "workers": None,
        "at_once": 8,
        "no_cache": False,
        "thumbnails": False,
    }
    return Request(models=(model,), on=on, device="cpu", **judged, **others)


def test_eval_reproduces_the_scores_of_a_finished_supervised_run(finished):
    folder, records = finished
    registry = read_recipe(RECIPE).plugins.registry
    outcome = evaluate(request(str(folder)), registry, lambda text: None)
    found = {(run.arm, row["name"]): row["value"] for run in outcome.runs.runs for row in run.scores}
    assert len(found) >= 6
    for arm, record in records.items():
        for name in ("accuracy/synthetic", "knn/synthetic"):
            of_run = [s["value"] for s in record["scores"] if s["name"] == name]
            assert found[arm, name] == of_run[-1]


def test_eval_skips_evaluators_that_need_a_missing_tower(finished):
    folder, _ = finished
    told = []
    asked = request(str(folder / "labels" / "random"), on=("smoke",))
    outcome = evaluate(asked, read_recipe(RECIPE).plugins.registry, told.append)
    assert told == ["random/seed0: zero-shot skipped, because the model has no text tower"]
    assert outcome.runs.runs == ()


def test_an_interrupted_run_resumes_to_the_same_record(finished, tmp_path, monkeypatch):
    _, records = finished
    step = Training.step

    def step_or_stop(self, batch):
        if self.num_steps == 3:
            raise KeyboardInterrupt
        return step(self, batch)

    monkeypatch.setattr(Training, "step", step_or_stop)
    with suppress(KeyboardInterrupt):
        run(tmp_path, arms=["random"])
    monkeypatch.undo()
    again = run(tmp_path, arms=["random"])["random"]
    assert "48 samples" in again["continued"]
    assert again["hashes"] == records["random"]["hashes"]


def test_plan_and_report_of_a_supervised_run_mention_no_texts(finished, tmp_path):
    folder, _ = finished
    lines = "\n".join(work_lines(read_recipe(RECIPE)))
    assert "no text tower" in lines
    assert "per pair" not in lines
    page = tmp_path / "page.html"
    write_report(Judged.of(compare(load_runs([folder / "labels"]))), page)
    text = page.read_text()
    assert "images seen" in text
    assert "image-text" not in text


def test_a_model_without_a_text_tower_is_exported_as_image_tower_or_refused(finished, tmp_path):
    run_folder = finished[0] / "labels" / "random" / "seed0"
    export(run_folder, "onnx", tmp_path / "onnx")
    assert {p.name for p in (tmp_path / "onnx").iterdir()} == {
        "image.onnx",
        "perceptinit.json",
        "README.md",
        "SHA256SUMS",
    }
    export(run_folder, "timm", tmp_path / "timm")
    with pytest.raises(UsageError, match="cannot be exported to open-clip: the model has no text tower"):
        export(run_folder, "open-clip", tmp_path / "clip")


def test_evaluators_that_need_a_text_tower_or_a_classifier_are_refused_in_the_recipe():
    words = RECIPE.replace('"classification"', '"zero-shot"')
    with pytest.raises(RecipeError, match=r"eval\[0\]\.use: evaluator 'zero-shot' needs a text tower"):
        read_recipe(words)
    pairs = RECIPE.replace('"supervised"', '"clip"').replace("mixup = 0.8\n", "")
    with pytest.raises(RecipeError, match="needs a trained classifier, but pretrainer 'clip' has none"):
        read_recipe(pairs)


def test_untrained_classes_are_reported():
    evaluator = ClassificationAccuracy(ClassificationAccuracy.Config(datasets=("synthetic",)))
    model = ImageClassifier(both_towers().image, NAMES).eval()
    with pytest.raises(
        DataError, match="classes, such as 'red circle', are not among the 3 training classes"
    ):
        evaluator.evaluate(model, context())


def test_different_class_names_are_reported_before_the_run(tmp_path):
    labelled_set(tmp_path / "pets", [2, 0, 1], 3)
    recipe = read_recipe(RECIPE.replace('datasets = ["synthetic"]', f'datasets = ["{tmp_path}/pets"]', 1))
    [problem] = find_obstacles(recipe)
    assert str(problem) == (
        "[eval[0]]: test set 'pets': 3 classes, such as 'class 0', are not among the 64 training classes, such as 'red circle'. "
        "Use the same class names"
    )
    assert find_obstacles(read_recipe(RECIPE)) == []


def run_together(folder):
    return run(folder, arms=["random"])["random"]


@pytest.mark.slow
def test_two_processes_score_the_classifier_like_one_process(finished, tmp_path):
    _, records = finished
    first, second = together(run_together, tmp_path)
    assert first["hashes"]["pretrain_data"] == records["random"]["hashes"]["pretrain_data"]
    scores = [
        [(s["name"], round(s["value"], 2)) for s in record["scores"] if s["name"][:3] != "2af"]
        for record in (first, second, records["random"])
    ]
    assert scores[0] == scores[1] == scores[2]
