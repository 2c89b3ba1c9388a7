"""Initializers: changed weights, reports and errors."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.stage_one import SIZE, Colours, Heard, Killed, TinyTower, hinge_initializer
from helpers.vision_towers import vit
from safetensors.torch import save_file
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from perceptinit.backbones.encoders import ImageTower
from perceptinit.configs import read_config
from perceptinit.errors import CheckpointError, DataError, InitializerError, TrainingError
from perceptinit.files.checkpoints import load_state, save_state, weights_sha256
from perceptinit.initializers.checkpoint import Checkpoint
from perceptinit.initializers.imagenet import ImageNet, download
from perceptinit.initializers.random import Random
from perceptinit.initializers.triplet_hinge import TripletHinge
from perceptinit.initializers.triplet_loss import agreement_weights, hinge, triplet_distances
from perceptinit.initializers.weights import reporting
from perceptinit.types import InitReport, RunContext

# --- arithmetic


def test_hinge_is_zero_when_the_closer_image_wins_by_the_margin():
    assert hinge(d_first=0.40, d_second=0.30, p_second=1.0, margin=0.05) == 0.0


def test_hinge_is_the_distance_to_the_margin_for_the_chosen_image():
    losses = hinge(torch.tensor([0.30, 0.30]), torch.tensor([0.32, 0.32]), torch.tensor([1.0, 0.0]), 0.05)
    assert losses.tolist() == pytest.approx([0.07, 0.03])


def test_hinge_is_symmetric_in_the_candidates():
    assert hinge(0.2, 0.3, 0.8, 0.05) == hinge(0.3, 0.2, 0.2, 0.05) > 0


def test_hinge_depends_on_the_majority_but_not_on_its_size():
    assert hinge(0.2, 0.3, 0.51, 0.05) == hinge(0.2, 0.3, 1.0, 0.05)


def test_hinge_of_a_tie_is_the_margin_for_any_distances():
    assert hinge(0.2, 0.3, 0.5, 0.05) == hinge(0.3, 0.2, 0.5, 0.05) == torch.tensor(0.05)


def test_distances_are_one_minus_cosine():
    embeddings = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]])
    rows = [torch.tensor([i]) for i in range(3)]
    d_first, d_second = triplet_distances(embeddings, *rows)
    assert (d_first.item(), d_second.item()) == pytest.approx((1, 2))


def test_agreement_weights_grow_with_agreement_and_have_mean_one():
    assert agreement_weights(torch.tensor([1.0, 0.75, 0.5])).tolist() == [2, 1, 0]


# --- the report


def test_the_report_lists_the_changed_parameters():
    model = TinyTower()
    before = weights_sha256(model)
    with reporting("mine", model) as report, torch.no_grad():
        model.projection.bias += 1
        report.metrics["gain"] = 2.0
    result = report.result
    assert result.changed == ("projection.bias",)
    assert (result.sha256_before, result.sha256_after) == (before, weights_sha256(model))
    assert result.metrics == {"gain": 2.0}


def test_an_initializer_that_changes_no_parameter_is_an_error():
    message = (
        r"initializer 'mine' changed 0 of 4 parameters\. Is the model frozen, "
        r"or does 'encode' not use it\?"
    )
    with pytest.raises(InitializerError, match=message), reporting("mine", TinyTower()):
        pass


def test_a_change_of_running_means_only_is_an_error():
    model = nn.BatchNorm1d(2)
    with (
        pytest.raises(InitializerError, match="changed 0 of 2 parameters"),
        reporting("mine", model),
    ):
        model(torch.randn(3, 2))


def test_weights_that_are_not_finite_are_an_error():
    model = TinyTower()
    with (
        pytest.raises(InitializerError, match=r"non-finite tensors, such as projection\.bias"),
        reporting("mine", model),
    ):
        model.projection.bias.data.fill_(torch.nan)


def report_of(**metrics):
    metrics = {f"2afc_{name}": value for name, value in metrics.items()}
    return InitReport(
        name="mine", changed=("a", "b"), sha256_before="", sha256_after="", metrics=metrics, seconds=1.0
    )


def test_a_report_prints_the_gain_with_its_interval_on_one_line():
    report = report_of(val_before=0.5, val_after=0.6, val_gain_stderr=0.05, val_judgments=1200)
    assert str(report) == (
        "mine: 2AFC on 1,200 val judgments (chance 0.5) 0.500 -> 0.600, gain +0.100, "
        "95 % interval [+0.002, +0.198]; 2 tensors changed"
    )


def test_the_interval_of_a_gain_is_students_over_the_held_out_units():
    known = {"val_before": 0.5, "val_after": 0.6, "val_units": 12}
    assert "[-0.010, +0.210]" in str(report_of(**known, val_gain_stderr=0.05))  # t(11) = 2.201
    assert "gain +0.100, too few images for an interval;" in str(report_of(**known))


def test_a_report_prints_only_the_recorded_metrics():
    assert str(report_of()) == "mine: 2 tensors changed"
    assert str(report_of(val_before=0.5, val_after=0.4)) == (
        "mine: 2AFC on val judgments (chance 0.5) 0.500 -> 0.400, gain -0.100; 2 tensors changed"
    )


# --- random


def test_random_draws_weights_from_the_seed_of_the_run():
    hashes = []
    for seed in (0, 0, 1):
        model = TinyTower(seed=99)
        report = Random(Random.Config()).initialize(model, RunContext(seed=seed, stage="init.0"))
        assert len(report.changed) == 4
        hashes.append(report.sha256_after)
    assert hashes[0] == hashes[1] != hashes[2]


# --- checkpoint


@pytest.fixture
def saved(tmp_path):
    """A complete model on disk whose image tower was drawn with seed 7."""
    weights = {f"image.{k}": v for k, v in TinyTower(seed=7).state_dict().items()}
    save_file({**weights, "text.weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def load_checkpoint(file, model=None, **options):
    model = model or TinyTower()
    checkpoint = Checkpoint(Checkpoint.Config(file=file, **options))
    return model, checkpoint.initialize(model, RunContext())


def test_checkpoint_loads_through_the_key_map(saved):
    model, report = load_checkpoint(saved, key_map={"image.": ""}, ignore=("text.",))
    assert report.sha256_after == weights_sha256(model) == weights_sha256(TinyTower(seed=7))


def test_checkpoint_reports_unexpected_weights_and_changes_nothing(saved):
    model = TinyTower()
    with pytest.raises(CheckpointError, match=r"1 not in the model \(text\.weight\)"):
        load_checkpoint(saved, model, key_map={"image.": ""})
    assert weights_sha256(model) == weights_sha256(TinyTower())


def test_checkpoint_reports_different_shapes(tmp_path):
    weights = TinyTower().state_dict() | {"projection.bias": torch.zeros(5)}
    save_file(weights, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=r"shape \(projection\.bias \(5,\) instead of \(8,\)\)"):
        load_checkpoint(tmp_path / "other.safetensors")


def test_checkpoint_refuses_a_key_map_without_effect(saved):
    with pytest.raises(
        CheckpointError, match=r"no weight name starts with 'visual\.'. Names in the file: image\."
    ):
        load_checkpoint(saved, key_map={"visual.": ""})


def test_checkpoint_refuses_two_weights_of_one_name(saved):
    with pytest.raises(CheckpointError, match=r"and another weight to 'x\.weight'"):
        load_checkpoint(saved, key_map={"image.projection.": "x.", "text.": "x."})


def test_checkpoint_that_changes_nothing_is_an_error(saved):
    with pytest.raises(InitializerError, match="already has the weights of the file"):
        load_checkpoint(saved, TinyTower(seed=7), key_map={"image.": ""}, ignore=("text.",))


def test_checkpoint_preflight_reports_a_missing_a_changed_and_a_pickled_file(saved, tmp_path):
    def problems(**options):
        return list(Checkpoint(Checkpoint.Config(**options)).preflight())

    absent, pickled = tmp_path / "absent.safetensors", tmp_path / "model.pt"
    torch.save({}, pickled)
    sha256 = hashlib.sha256(saved.read_bytes()).hexdigest()
    assert problems(file=saved, sha256=sha256) == []
    assert problems(file=absent) == [f"{absent}: no such file"]
    assert problems(file=saved, sha256="0" * 64) == [
        f"{saved}: sha256 is {sha256}, expected {'0' * 64}. Is it another version?"
    ]
    assert "Convert a pickled checkpoint" in problems(file=pickled)[0]


# --- imagenet


def small_vit(depth=1, size=16, num_classes=0):
    return vit(width=16, depth=depth, size=size, num_classes=num_classes)


def tower(trunk, width=16):
    half = (0.5, 0.5, 0.5)
    options = {"image_size": 16, "embed_dim": 8, "mean": half, "std": half, "fresh": None}
    return ImageTower(trunk, nn.Linear(width, 8), **options)


def save_vit(path, **options):
    pretrained = small_vit(num_classes=10, **options)
    save_file(pretrained.state_dict(), path)
    return pretrained


def load_imagenet(file, model):
    heard = Heard()
    return heard, ImageNet(ImageNet.Config(file=file)).initialize(model, heard.ctx)


def test_imagenet_loads_the_trunk_and_reports_the_ignored_classifier(tmp_path):
    pretrained = save_vit(tmp_path / "vit.safetensors")
    model = tower(small_vit())
    projection = weights_sha256(model.projection)
    heard, report = load_imagenet(tmp_path / "vit.safetensors", model)
    pretrained.reset_classifier(0)
    assert weights_sha256(model.trunk) == weights_sha256(pretrained)
    assert weights_sha256(model.projection) == projection
    assert all(name.startswith("trunk.") for name in report.changed)
    assert [w.partition(": ignored")[2] for w in heard.warnings] == [
        " the classifier (head.bias, head.weight)"
    ]


def test_imagenet_resamples_positions_with_a_warning(tmp_path):
    save_vit(tmp_path / "vit.safetensors", size=32)
    heard, _ = load_imagenet(tmp_path / "vit.safetensors", tower(small_vit()))
    assert "resampled pos_embed (1, 17, 16) to (1, 5, 16)" in heard.warnings[0]


def test_imagenet_refuses_a_different_architecture(tmp_path):
    save_vit(tmp_path / "vit.safetensors", depth=2)
    with pytest.raises(CheckpointError, match=r"not in the model \(blocks\.1\.attn"):
        load_imagenet(tmp_path / "vit.safetensors", tower(small_vit()))


def test_imagenet_requires_a_timm_trunk(tmp_path):
    with pytest.raises(InitializerError, match=r"needs a timm trunk, got torch\.nn.*'checkpoint'"):
        load_imagenet(tmp_path / "vit.safetensors", TinyTower())


def test_imagenet_download_also_sets_the_normalization(tmp_path, monkeypatch):
    save_vit(tmp_path / "vit.safetensors")
    asked = []

    def fetch(repository, file, revision=None):
        asked.append((repository, file))
        return str(tmp_path / "vit.safetensors")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fetch)
    model = tower(small_vit())
    model.mean.fill_(0.1)
    report = ImageNet(ImageNet.Config(tag="augreg_in21k_ft_in1k")).initialize(model, RunContext())
    assert asked == [("timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k", "model.safetensors")]
    assert model.mean.tolist() == [0.5, 0.5, 0.5]
    assert "mean" in report.changed


def test_imagenet_refuses_weights_that_are_not_on_the_hub():
    with pytest.raises(CheckpointError, match=r"no hub weights 'gcvit_base.in1k'\. Tags of gcvit_base: none"):
        download("gcvit_base", "in1k")


def test_imagenet_without_a_network_suggests_a_local_file(monkeypatch):
    def fetch(*_, **__):
        raise OSError("offline")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fetch)
    with pytest.raises(
        CheckpointError, match=r"cannot be downloaded \(offline\).*set 'file' to a local copy"
    ):
        ImageNet(ImageNet.Config(tag="augreg_in21k")).initialize(tower(small_vit()), RunContext())


def test_imagenet_lists_the_available_tags():
    with pytest.raises(
        CheckpointError, match=r"no hub weights 'vit_tiny.*\.nope'\. Tags.*augreg_in21k_ft_in1k"
    ):
        ImageNet(ImageNet.Config(tag="nope")).initialize(tower(small_vit()), RunContext())


def test_imagenet_requires_a_file_or_a_tag():
    config, problems = read_config(ImageNet.Config, {}, "init")
    assert config is None
    assert "set either 'file' (safetensors) or 'tag'" in str(problems[0])


# --- triplet-hinge


def test_triplet_hinge_improves_2afc_and_reports_it():
    heard, model = Heard(), TinyTower()
    report = hinge_initializer(epochs=40, eval_every=8).initialize(model, heard.ctx)
    m = report.metrics
    assert m["2afc_val_before"] < 0.8 < 0.9 < m["2afc_val_after"]
    assert m["2afc_val_epoch_08"] < m["2afc_val_after"]
    assert (m["triplets"], m["ties_dropped"], m["steps"]) == (96, 0, 120)
    assert "2afc_val_ceiling" not in m  # one answer a question
    assert m["spread_before"] != m["spread_after"] > 1e-3
    assert 0 < m["margin_violations"] < 0.5
    assert m["train_loss"] < heard.numbers("loss")[0]
    assert len(report.changed) == 4
    assert heard.warnings == []


def test_triplet_hinge_is_reproducible_under_a_seed():
    reports = [hinge_initializer().initialize(TinyTower(), Heard(seed).ctx) for seed in (3, 3, 4)]
    hashes = [report.sha256_after for report in reports]
    assert hashes[0] == hashes[1] != hashes[2]


def test_dropout_does_not_depend_on_the_global_generator():
    hashes = []
    for _ in range(2):
        model = TinyTower()
        model.trunk.append(nn.Dropout(0.5))
        torch.rand(5)
        hashes.append(hinge_initializer().initialize(model, Heard().ctx).sha256_after)
    assert hashes[0] == hashes[1]


def stage_one(folder, resumed=None, kill_at=None, weights=None, **options):
    """Run stage 1 with dropout and batch norm; a kill leaves state and weights in the folder."""
    model = TinyTower()
    model.trunk.extend([nn.BatchNorm1d(16), nn.Dropout(0.5)])
    model.load_state_dict(weights or model.state_dict())
    heard = Heard()

    def offer(step, state):
        if step == kill_at:
            save_state(folder / "state", {"stage": state(), "weights": model.state_dict()})
            raise Killed

    ctx = replace(heard.ctx, resumed=resumed, offer=offer)
    options = {"epochs": 4, "eval_every": 1, "crop_scale": (0.5, 1.0), "flip": True} | options
    torch.rand(5)  # the state of the global generator does not matter
    return hinge_initializer(**options).initialize(model, ctx)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return stage_one(tmp_path_factory.mktemp("uninterrupted"))


# steps; an epoch has 3
@pytest.mark.parametrize(
    "kill_at",
    [step if step in (1, 3, 5, 12) else pytest.param(step, marks=pytest.mark.slow) for step in range(1, 13)],
)
def test_stage_one_killed_after_any_step_resumes_to_the_same_weights(tmp_path, kill_at, uninterrupted):
    with pytest.raises(Killed):
        stage_one(tmp_path, kill_at=kill_at)
    kept = load_state(tmp_path / "state")
    report = stage_one(tmp_path, resumed=kept["stage"], weights=kept["weights"])
    assert replace(report, seconds=0) == replace(uninterrupted, seconds=0)


def test_a_state_of_a_different_schedule_is_refused(tmp_path):
    with pytest.raises(Killed):
        stage_one(tmp_path, kill_at=2)
    kept = load_state(tmp_path / "state")
    with pytest.raises(CheckpointError, match=r"of 12 steps, but this stage has 24.*--fresh"):
        stage_one(tmp_path, resumed=kept["stage"], weights=kept["weights"], epochs=8)


@pytest.fixture
def optimizer_steps():
    """The parameter groups of the optimizer and the gradient norm at each step."""
    steps = []

    def note(optimizer, args, kwargs):
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"]]
        groups = [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups]
        steps.append((groups, torch.cat([g.flatten() for g in gradients]).norm().item()))

    hook = register_optimizer_step_pre_hook(note)
    yield steps
    hook.remove()


def test_the_schedule_counts_steps_and_ends_at_min_lr(optimizer_steps):
    heard = Heard()
    initializer = hinge_initializer(lr=0.01, warmup_steps=2, min_lr=0.001)
    initializer.initialize(TinyTower(), heard.ctx)
    rates = [groups[0]["lr"] for groups, _ in optimizer_steps]
    assert rates[:2] + rates[-1:] == pytest.approx([0.005, 0.01, 0.001])
    assert len(rates) == initializer.plan().steps == 4 * 3
    last = heard.events[-2]  # the last event is the evaluation
    assert (last.step, last.total_steps, last.metrics["lr"]) == (12, 12, pytest.approx(0.001))


def test_the_optimizer_receives_the_settings(optimizer_steps):
    settings = {"betas": (0.8, 0.9), "eps": 1e-5, "weight_decay": 0.3}
    hinge_initializer(**settings).initialize(TinyTower(), Heard().ctx)
    matrices, vectors = optimizer_steps[0][0]
    assert {k: matrices[k] for k in settings} == settings
    assert vectors["weight_decay"] == 0


def test_gradients_are_clipped_to_clip_norm(optimizer_steps):
    hinge_initializer(clip_norm=0.0).initialize(TinyTower(), Heard().ctx)
    assert max(norm for _, norm in optimizer_steps) > 0.02
    optimizer_steps.clear()
    hinge_initializer(clip_norm=0.01).initialize(TinyTower(), Heard().ctx)
    assert max(norm for _, norm in optimizer_steps) <= 0.01001


def test_each_epoch_has_a_different_order():
    model = TinyTower()
    hinge_initializer(epochs=3, batch_size=95).initialize(model, Heard().ctx)
    left_over = model.sums[1::2]  # the judgment that does not fit into the first batch
    assert len(set(left_over)) == 3


def test_distinct_images_of_a_batch_are_encoded_once():
    model = TinyTower()
    judgments = Colours(num_images=6, num_triplets=64)
    initializer = hinge_initializer(judgments, epochs=2, batch_size=64, warmup_steps=0)
    initializer.initialize(model, Heard().ctx)
    assert model.batch_sizes == [6, 6]
    assert initializer.plan().num_images == 12


def test_ties_are_dropped_and_counted():
    initializer = hinge_initializer(Colours(ties=6))
    report = initializer.initialize(TinyTower(), Heard().ctx)
    assert (report.metrics["triplets"], report.metrics["ties_dropped"]) == (90, 6)
    assert initializer.plan().note == "90 judgments without 6 ties"


def test_training_judgments_that_are_all_ties_are_refused():
    with pytest.raises(InitializerError, match="all 96 training judgments are ties"):
        hinge_initializer(Colours(ties=96)).initialize(TinyTower(), Heard().ctx)


def test_weighting_changes_the_trained_weights():
    judgments = Colours()
    judgments.triplets.p_second[:48] = np.where(judgments.triplets.p_second[:48] > 0.5, 0.6, 0.4)
    hashes = {
        hinge_initializer(judgments, weighting=weighting).initialize(TinyTower(), Heard().ctx).sha256_after
        for weighting in ("judgments", "agreement")
    }
    assert len(hashes) == 2


def test_bf16_is_used_in_the_tower_and_training_improves_2afc():
    seen = set()

    class Watched(TinyTower):
        def encode_image(self, images):
            z = super().encode_image(images)
            seen.add((self.training, z.dtype))
            return z

    report = hinge_initializer(epochs=40, precision="bf16").initialize(Watched(), Heard().ctx)
    assert seen == {(True, torch.bfloat16), (False, torch.float32)}
    assert report.metrics["2afc_val_after"] > 0.9


def test_a_frozen_model_is_refused_before_training():
    model = TinyTower().requires_grad_(False)
    with pytest.raises(InitializerError, match=r"changed 0 of 4 parameters\. Is the model frozen, or"):
        hinge_initializer().initialize(model, Heard().ctx)
    assert model.batch_sizes == []


def test_an_encoder_that_does_not_use_the_model_is_refused():
    model = TinyTower()
    model.encode_image = lambda images: images.flatten(1).float()
    with pytest.raises(InitializerError, match="does 'encode' not use it"):
        hinge_initializer().initialize(model, Heard().ctx)


def test_training_restores_modes_flags_and_gradients():
    model = TinyTower().eval()
    model.trunk.train()
    model.projection.bias.requires_grad_(False)
    model.projection.weight.grad = gradient = torch.ones_like(model.projection.weight)
    report = hinge_initializer().initialize(model, Heard().ctx)
    assert "projection.bias" not in report.changed
    assert not model.training
    assert model.trunk.training
    assert not model.projection.training
    assert [n for n, p in model.named_parameters() if not p.requires_grad] == ["projection.bias"]
    assert [p.grad for p in model.parameters() if p.grad is not None] == [gradient]


def test_train_qkv_changes_attention_projections_only():
    report = hinge_initializer(train="qkv").initialize(
        small_tower := tower(small_vit(size=SIZE * 4)), Heard().ctx
    )
    assert report.changed == ("trunk.blocks.0.attn.qkv.weight", "trunk.blocks.0.attn.qkv.bias")
    assert all(p.requires_grad for p in small_tower.parameters())


def test_train_qkv_requires_attention():
    with pytest.raises(InitializerError, match=r"TinyTower has no attention projection.*Use train = 'all'"):
        hinge_initializer(train="qkv").initialize(TinyTower(), Heard().ctx)


def test_preflight_reports_a_warm_up_longer_than_the_run():
    initializer = hinge_initializer(epochs=2, warmup_steps=6)
    message = (
        "initializer 'triplet-hinge': the warm-up of 6 steps must be shorter than the run of 6 steps "
        "(2 epochs of 96 judgments). Lower warmup_steps or batch_size"
    )
    assert list(initializer.preflight()) == [message]
    with pytest.raises(InitializerError, match="the warm-up of 6 steps"):
        initializer.initialize(TinyTower(), Heard().ctx)
    assert list(hinge_initializer(epochs=2, warmup_steps=5).preflight()) == []


def test_preflight_reports_a_run_of_one_step():
    [message] = hinge_initializer(epochs=1, batch_size=96).preflight()
    assert "the run has only one step, and its learning rate is min_lr = 0. Lower batch_size" in message


def test_a_loss_that_is_not_finite_stops_with_step_and_learning_rate():
    class Diverging(TinyTower):
        def encode_image(self, images):
            z = super().encode_image(images)
            return z * torch.nan if len(self.batch_sizes) == 2 and self.training else z

    with pytest.raises(TrainingError, match=r"the loss is nan at step 2 of 12 \(lr 0\.0098\)"):
        hinge_initializer(warmup_steps=0).initialize(Diverging(), Heard().ctx)


class Collapsed(TinyTower):
    def encode_image(self, images):
        return 1 + 1e-3 * super().encode_image(images)


class Shrinking(TinyTower):
    """Add `common` to the embeddings of unit length from the second measurement on."""

    def __init__(self, common):
        super().__init__()
        self.common = common
        self.num_measured = 0

    def eval(self):
        self.num_measured += 1
        return super().eval()

    def encode_image(self, images):
        z = torch.nn.functional.normalize(super().encode_image(images), dim=-1)
        return z if self.num_measured < 2 else z + self.common


def test_embeddings_that_collapse_stop_the_run():
    with pytest.raises(
        TrainingError,
        match=r"stage 1 collapsed the embeddings: the mean cosine distance .*"
        r"Increase the margin or the number of steps, or set allow_collapse = true",
    ):
        hinge_initializer(lr=1e-6).initialize(Shrinking(common=100.0), Heard().ctx)


def test_embeddings_that_were_equal_before_stage_one_stop_the_run_with_another_advice():
    with pytest.raises(
        TrainingError,
        match=r"the embeddings of all images were nearly equal before stage 1, and are after it: .*"
        r"Use other initial weights, another pooling or depth, or more steps, or set allow_collapse = true",
    ):
        hinge_initializer(lr=1e-6).initialize(Collapsed(), Heard().ctx)


@pytest.mark.parametrize(
    ("tower", "text"),
    [
        (Collapsed(), "the embeddings of all images were nearly equal before stage 1"),
        (Shrinking(common=100.0), "stage 1 collapsed the embeddings: the mean cosine distance of two "),
    ],
)
def test_collapsed_embeddings_are_a_warning_if_they_are_allowed(tower, text):
    heard = Heard()
    hinge_initializer(lr=1e-6, allow_collapse=True).initialize(tower, heard.ctx)
    assert heard.warnings[0].startswith(text)


@pytest.mark.parametrize(("common", "is_reported"), [(3.0, True), (0.0, False)])
def test_shrinking_distances_give_a_warning(common, is_reported):
    heard = Heard()
    hinge_initializer(lr=1e-6, allow_collapse=True).initialize(Shrinking(common), heard.ctx)
    reported = [text for text in heard.warnings if "the embeddings: the mean cosine distance" in text]
    assert bool(reported) == is_reported


def test_random_votes_give_a_warning_that_stage_one_did_not_learn():
    judgments, heard = Colours(num_triplets=400), Heard()
    judgments.triplets.p_second[:] = np.random.default_rng(1).permutation(judgments.triplets.p_second)
    hinge_initializer(judgments, epochs=1, lr=1e-5).initialize(TinyTower(), heard.ctx)
    assert (
        "not more than two standard errors above chance (0.5). Stage 1 is not shown to predict them"
        in heard.warnings[-1]
    )


def test_accuracy_far_below_chance_is_not_reported_as_chance():
    class Swapped(Colours):
        def load(self, split):
            t = self.triplets
            return t if split == "train" else replace(t, p_second=1 - t.p_second)

    heard = Heard()
    report = hinge_initializer(Swapped(num_triplets=400)).initialize(TinyTower(), heard.ctx)
    accuracy = report.metrics["2afc_val_after"]
    assert accuracy + 5 * report.metrics["2afc_val_stderr"] < 0.5
    assert f"is {accuracy:.3f}, not more than two standard errors above chance (0.5)" in heard.warnings[-1]


def test_images_beyond_the_cache_give_a_warning_and_the_same_weights():
    heard = Heard()
    report = hinge_initializer(cache_gib=0.0).initialize(TinyTower(), heard.ctx)
    assert "24 images of 4 pixels need 1.1e-06 GiB, more than is left of cache_gib = 0," in heard.warnings[0]
    assert report.sha256_after == hinge_initializer().initialize(TinyTower(), Heard().ctx).sha256_after


def test_an_undecodable_training_image_is_reported():
    with pytest.raises(DataError, match="colour-5: cannot be decoded as an image"):
        hinge_initializer(Colours(broken=5)).initialize(TinyTower(), Heard().ctx)


def test_preflight_does_not_repeat_problems_of_the_judgments():
    class Absent:
        def preflight(self):
            yield "no data.csv there"

        def load(self, split):
            raise AssertionError("not asked")

    assert list(hinge_initializer(Absent()).preflight()) == []


def test_a_smoke_config_has_few_steps():
    config = TripletHinge.Config(epochs=32, warmup_steps=150).smoke()
    assert config.num_steps(48) == 6
    assert config.num_warmup_steps(6) < 6
