"""The CLIP pretrainer: loss computed by hand, exact resume, and errors before the start."""

import copy
import io
import math
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from helpers.clip import CONFIG, Colours, context, model, train
from helpers.headers import header_of
from PIL import Image
from torch import nn

from perceptinit.api import build
from perceptinit.compute.optim import warmup_cosine
from perceptinit.errors import CheckpointError, DataError, RecipeError, TrainingError
from perceptinit.files.checkpoints import load_state, save_state, weights_sha256
from perceptinit.pairs.batches import PairBatch, fingerprint
from perceptinit.pretrainers.clip import Clip
from perceptinit.pretrainers.pair_loss import PairLoss, contrastive_loss


def test_the_loss_of_two_pairs_has_the_value_computed_by_hand():
    images = torch.tensor([[2.0, 0.0], [0.0, 3.0]])  # lengths do not matter
    texts = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    # cosines [[1, .6], [0, .8]] times 2; rows: log(1 + e^-.8), log(1 + e^-1.6);
    # columns: log(1 + e^-2), log(1 + e^-.4)
    rows = (math.log1p(math.exp(-0.8)) + math.log1p(math.exp(-1.6))) / 2
    columns = (math.log1p(math.exp(-2.0)) + math.log1p(math.exp(-0.4))) / 2
    loss = contrastive_loss(images, texts, torch.tensor(math.log(2)))
    assert loss.item() == pytest.approx((rows + columns) / 2, abs=1e-6)


def test_the_loss_of_equal_embeddings_is_the_logarithm_of_the_batch_size():
    same = torch.ones(8, 4)
    assert contrastive_loss(same, same, torch.tensor(4.6)).item() == pytest.approx(math.log(8))


def test_the_loss_is_computed_in_float32_under_autocast():
    images, texts = torch.randn(2, 6, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = contrastive_loss(images, texts, torch.tensor(4.0))
    torch.testing.assert_close(loss, contrastive_loss(images, texts, torch.tensor(4.0)))


def test_step_results_contain_step_samples_and_epoch():
    _, results = train(model())
    assert [r.step for r in results] == list(range(1, 10))  # 3 epochs of 48 / 16
    assert [r.samples_seen for r in results][-1] == 144
    assert [r.epoch for r in results] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert [r.end_of_epoch for r in results] == [False, False, True] * 3


def test_the_learning_rate_rises_to_lr_and_ends_at_min_lr():
    _, results = train(model(), replace(CONFIG, min_lr=1e-5))
    rates = [r.metrics["lr"] for r in results]
    assert rates[:2] == [5e-4, 1e-3]
    assert rates[-1] == pytest.approx(1e-5)
    assert rates[1:] == sorted(rates[1:], reverse=True)


def test_metrics_are_scalars_and_the_loss_decreases():
    _, results = train(model(), replace(CONFIG, epochs=8))
    assert results[0].metrics.keys() == {"loss", "lr", "logit_scale", "grad_norm"}
    assert results[0].metrics["loss"].ndim == 0
    assert float(results[-1].metrics["loss"]) < float(results[0].metrics["loss"]) - 0.1


def test_weights_and_batches_depend_on_the_seed_only():
    def weights(seed):
        tower = model()
        clip, _ = train(tower, seed=seed)
        return weights_sha256(tower), clip.data_sha256

    assert weights(0) == weights(0)
    assert weights(0)[0] != weights(1)[0]
    assert weights(0)[1] != weights(1)[1]


def test_arms_with_different_image_towers_have_the_same_batches():
    ours, theirs = model(), model()
    theirs.image.reset_parameters(seed=9)
    assert train(ours)[0].data_sha256 == train(theirs)[0].data_sha256
    assert weights_sha256(ours) != weights_sha256(theirs)


class LargeJpegs(Colours):
    """48 images of 64 x 48 pixels as JPEG bytes, at least 3 times the image size of the model."""

    def pair(self, index):
        pixels = np.random.default_rng(index).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "jpeg")
        return replace(super().pair(index), image=file.getvalue())


def test_fast_decoding_changes_the_pixels_of_large_jpegs_only():
    quality = replace(CONFIG, crop_scale=(1.0, 1.0), crop="center")
    fast = replace(quality, decode="fast")
    hashes = {
        (type(pairs), config.decode): train(model(), config, pairs=pairs, stop=1)[0].data_sha256
        for pairs in (Colours(), LargeJpegs())
        for config in (quality, fast)
    }
    assert hashes[Colours, "quality"] == hashes[Colours, "fast"]
    assert hashes[LargeJpegs, "quality"] != hashes[LargeJpegs, "fast"]


def test_the_fingerprint_of_a_batch_does_not_depend_on_the_memory_format():
    images = torch.randint(0, 256, (4, 3, 160, 160), dtype=torch.uint8)
    tokens = torch.tensor([[49406, 320, 49407]] * 4)
    batch = PairBatch(images, tokens, ("a", "b", "c", "d"), ())
    moved = replace(batch, images=images.contiguous(memory_format=torch.channels_last))
    changed = images.clone()
    changed[2] = 255 - changed[2]
    assert fingerprint("", moved) == fingerprint("", batch)
    assert fingerprint("", replace(batch, images=changed)) != fingerprint("", batch)


def test_the_fingerprint_of_a_batch_depends_on_crops_and_flips():
    flipped, straight = (replace(CONFIG, crop_scale=(0.3, 0.6), flip=f) for f in (True, False))
    pairs = Colours()
    plain = pairs.pair
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    pairs.pair = lambda i: replace(plain(i), image=noise)
    ours, theirs = (train(model(), c, pairs=pairs, stop=1)[0] for c in (flipped, straight))
    assert ours.data_sha256 != theirs.data_sha256


@pytest.mark.parametrize(
    ("num_done", "precision"),
    [
        (1, "fp32"),
        (4, "fp32"),
        (3, "bf16"),
        *(pytest.param(*pair, marks=pytest.mark.slow) for pair in ((3, "fp32"), (1, "bf16"), (4, "bf16"))),
    ],
)
def test_an_interrupted_run_resumes_to_the_same_weights(tmp_path, num_done, precision):
    config = replace(CONFIG, precision=precision, clip_norm=1.0)
    dropout = {"proj_drop_rate": 0.2, "pos_drop_rate": 0.2}
    pairs = Colours(broken=[5])
    config = replace(config, max_bad_share=0.1)
    whole = model(**dropout)
    reference, results = train(whole, config, pairs=pairs)

    first = model(**dropout)
    clip, _ = train(first, config, pairs=pairs, stop=num_done)
    save_state(tmp_path / "state.safetensors", {"m": first.state_dict(), "p": clip.state_dict()})
    state = load_state(tmp_path / "state.safetensors")
    second = model(seed=8, **dropout)
    second.load_state_dict(state["m"])
    clip, rest = train(second, config, pairs=pairs, state=state["p"])

    assert [r.step for r in rest] == list(range(num_done + 1, 10))
    assert rest[-1].metrics["num_replaced"] == results[-1].metrics["num_replaced"] == 3
    assert clip.data_sha256 == reference.data_sha256
    assert weights_sha256(second) == weights_sha256(whole)


def test_a_state_of_a_different_schedule_is_refused():
    clip, _ = train(model(), stop=1)
    with pytest.raises(CheckpointError) as error:
        train(model(), replace(CONFIG, epochs=4), state=clip.state_dict())
    assert str(error.value) == (
        "the saved state is from a run of 9 steps, but this run has 12. If the pairs changed, start over "
        "with --fresh"
    )


def test_gradients_of_an_earlier_stage_are_ignored():
    clean, stained = model(), model()
    for parameter in stained.parameters():
        parameter.grad = torch.ones_like(parameter)
    train(clean, stop=1)
    train(stained, stop=1)
    assert weights_sha256(clean) == weights_sha256(stained)


def test_gradients_are_scaled_down_to_clip_norm():
    tower = model()
    _, results = train(tower, replace(CONFIG, clip_norm=1e-3), stop=1)
    assert float(results[0].metrics["grad_norm"]) > 1  # the norm before clipping
    free = model()
    train(free, stop=1)
    assert weights_sha256(tower) != weights_sha256(free)


@pytest.mark.parametrize(("start", "most", "end"), [(9.0, 100, 100.0), (9.0, 50, 50.0), (-3.0, 100, 1.0)])
def test_the_temperature_stays_between_its_bounds(start, most, end):
    tower = model()
    with torch.no_grad():
        tower.logit_scale.fill_(start)
    _, results = train(tower, replace(CONFIG, max_logit_scale=float(most)), stop=1)
    assert float(results[0].metrics["logit_scale"]) == pytest.approx(end)


def test_the_fingerprint_of_a_batch_depends_on_the_interpolation():
    configs = [CONFIG, *(replace(CONFIG, interpolation=name) for name in ("bicubic", "bilinear"))]
    plain, bicubic, bilinear = (
        train(model(), config, pairs=LargeJpegs(), stop=1)[0].data_sha256 for config in configs
    )
    assert bicubic == plain != bilinear


def test_min_logit_scale_bounds_the_inverse_temperature():
    tower = model()
    _, results = train(tower, replace(CONFIG, min_logit_scale=20.0), stop=1)
    assert float(results[0].metrics["logit_scale"]) == pytest.approx(20.0)


def test_the_warm_up_starts_at_warmup_lr():
    rates = [warmup_cosine(step, 10, 5, 1e-3, warmup_lr=2e-4) for step in range(1, 11)]
    assert rates[:5] == pytest.approx([2e-4, 4e-4, 6e-4, 8e-4, 1e-3])
    assert rates[5:] == [warmup_cosine(step, 10, 5, 1e-3) for step in range(6, 11)]
    _, (first, *_) = train(model(), replace(CONFIG, warmup_lr=5e-4), stop=1)
    assert first.metrics["lr"] == pytest.approx(5e-4)


def test_a_run_with_a_number_of_steps_may_end_within_an_epoch():
    clip, results = train(model(), replace(CONFIG, steps=5))
    whole, _ = train(model(), stop=1)
    assert clip.total_steps == clip.plan().steps == len(results) == 5
    assert results[-1].metrics["lr"] == 0
    assert whole.total_steps % whole.steps_per_epoch == 0


def test_lock_patches_freezes_only_the_patch_embedding():
    tower = model()
    before = {name: p.clone() for name, p in tower.image.named_parameters()}
    train(tower, replace(CONFIG, lock="patches"), stop=2)
    same = {name for name, p in tower.image.named_parameters() if torch.equal(p, before[name])}
    assert same == {"trunk.patch_embed.proj.weight", "trunk.patch_embed.proj.bias"}
    assert all(p.requires_grad for p in tower.parameters())


def test_weight_decay_does_not_apply_to_the_temperature():
    tower = model()
    clip, _ = train(tower, replace(CONFIG, lr=1e-9, weight_decay=1e6), stop=1)
    groups = clip.state_dict()["optimizer"]["param_groups"]
    assert [g["weight_decay"] for g in groups] == [1e6, 0.0]
    assert tower.logit_scale.item() == pytest.approx(math.log(1 / 0.07), rel=1e-6)


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_samples():
    tower = model()
    broken = tower.image.projection.weight
    with torch.no_grad():
        broken[0, 0] = float("nan")
    before = weights_sha256(tower)
    with pytest.raises(TrainingError) as error:
        train(tower)
    assert str(error.value).startswith("step 1: the loss is nan, the gradient norm nan. Samples: colour/")
    assert "and 13 more. Lower lr, increase warmup_steps, or set clip_norm" in str(error.value)
    assert weights_sha256(tower) == before


def test_an_undecodable_image_is_reported_counted_and_replaced():
    events = []
    clip = Clip(replace(CONFIG, max_bad_share=0.1, epochs=1), Colours(broken=[5]))
    *_, last = clip.steps(model(), context(send=events.append))
    [message] = [event.message for event in events if event.kind == "warning"]
    assert message.startswith("colour/5: cannot be decoded as an image")
    assert message.endswith(". Replaced by a random pair, chosen with the run's seed")
    assert last.metrics["num_replaced"] == 1


def test_an_image_with_too_many_pixels_is_reported_and_replaced():
    bomb = header_of("JPEG", 30000, 30000)
    events = []
    clip = Clip(replace(CONFIG, max_bad_share=0.1, epochs=1, decode="fast"), Colours([5], data=bomb))
    *_, last = clip.steps(model(), context(send=events.append))
    [message] = [event.message for event in events if event.kind == "warning"]
    assert message.startswith("colour/5: ")
    assert "900000000 pixels" in message
    assert last.metrics["num_replaced"] == 1


def test_more_bad_images_than_allowed_stop_the_run():
    with pytest.raises(DataError, match=r"1 of 48 pairs are unusable, more than max_bad_share = 0\.01"):
        train(model(), pairs=Colours(broken=[5]))


class Captioned(Colours):
    """Colors with given captions."""

    def __init__(self, captions):
        super().__init__()
        self.captions = captions

    def pair(self, index):
        return replace(super().pair(index), text=self.captions[index % len(self.captions)])


@pytest.mark.parametrize("captions", [[""], [" \n", ""], [np.zeros(0, np.int64)]])
def test_preflight_reports_captions_that_are_all_empty(captions):
    (sentence,) = Clip(CONFIG, Captioned(captions)).preflight()
    assert sentence == "all 48 sampled captions are empty, such as the caption of colour/0"
    assert list(Clip(CONFIG, Captioned([*captions, "red"])).preflight()) == []


def test_preflight_reads_only_captions_of_blocks_in_memory():
    class Blocks(Captioned):
        block_sizes = (12, 36)
        max_shuffle_blocks = 1
        read = ()

        def pair(self, index):
            self.read = (*self.read, index)
            return super().pair(index)

    pairs = Blocks([""])
    assert next(iter(Clip(CONFIG, pairs).preflight())).startswith("all 12 sampled captions are empty")
    assert max(pairs.read) == 11


def test_a_caption_that_is_too_long_is_reported_counted_and_replaced():
    events = []
    clip = Clip(replace(CONFIG, max_bad_share=0.1, epochs=1), Captioned([*["red"] * 47, "a" * 5_000_000]))
    *_, last = clip.steps(model(), context(send=events.append))
    [message] = [event.message for event in events if event.kind == "warning"]
    assert message.startswith("colour/47: a caption of 5,000,000 characters, but the limit is 20,000")
    assert last.metrics["num_replaced"] == 1


def test_preflight_reports_fewer_pairs_than_a_batch():
    clip = Clip(replace(CONFIG, batch_size=64), Colours())
    sentence = "batch_size = 64, but there are only 48 pairs. Lower batch_size or add pairs"
    assert list(clip.preflight()) == [sentence]
    with pytest.raises(TrainingError, match="there are only 48 pairs"):
        next(clip.steps(model(), context()))


@pytest.mark.parametrize(("warmup_steps", "num"), [(8, 8), (9, 0), (2000, 0)])
def test_a_warm_up_that_is_not_shorter_than_the_run_becomes_a_tenth_of_it(warmup_steps, num):
    clip = Clip(replace(CONFIG, warmup_steps=warmup_steps), Colours())
    assert clip.num_warmup_steps == num  # of 9 steps
    assert clip.rate(1) == pytest.approx(CONFIG.lr / 8 if num else CONFIG.lr, rel=0.05)
    assert list(clip.preflight()) == []
    assert len(list(clip.warnings())) == (num == 0)


def test_a_shortened_warm_up_is_a_warning_of_the_run():
    clip, messages = Clip(replace(CONFIG, epochs=10, warmup_steps=2000), Colours()), []
    next(clip.steps(model(), replace(context(), send=lambda event: messages.append(event.message))))
    assert messages == [
        "warmup_steps = 2000 is not less than the 30 steps of the run. The warm-up has 3 steps, a tenth of the run"
    ]


def test_the_plan_counts_steps_and_pairs_that_each_epoch_omits():
    plan = Clip(replace(CONFIG, batch_size=20), Colours()).plan()
    assert (plan.steps, plan.num_images, plan.num_texts) == (6, 120, 120)
    assert plan.note == "each epoch omits 8 of 48 pairs"


def test_built_in_components_train_together():
    clip = build(
        "pretrainer",
        {
            "use": "clip",
            "epochs": 1,
            "batch_size": 32,
            "warmup_steps": 0,
            "pairs": {"use": "synthetic", "num_pairs": 64},
        },
    )
    assert len(list(clip.steps(model(), context()))) == 2


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("crop_scale", [0.9, 0.2], ": crop_scale = [0.9, 0.2] must be ascending, in (0, 1]"),
        ("min_lr", 1.0, ": min_lr = 1 is above lr = 0.0005"),
        ("betas", [0.9, 1.0], ".betas[1]: should be less than 1, got 1.0"),
    ],
)
def test_invalid_values_of_clip_are_reported(key, value, sentence):
    with pytest.raises(RecipeError) as error:
        build("pretrainer", {"use": "clip", key: value, "pairs": {"use": "synthetic"}})
    assert str(error.value) == f"pretrainer{sentence}"


def test_preflight_reports_shuffle_blocks_above_the_limit_of_the_pairs():
    pairs = Colours()
    pairs.block_sizes, pairs.max_shuffle_blocks = [12] * 4, 2
    (sentence,) = Clip(replace(CONFIG, shuffle_blocks=64), pairs).preflight()
    assert sentence.startswith("shuffle_blocks = 64 shuffles 4 blocks together, but only 2 fit in memory")
    assert list(Clip(replace(CONFIG, shuffle_blocks=2), pairs).preflight()) == []


class Weighted(PairLoss):
    """The squared distance of the features times a trained weight."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))

    def whole(self, images, texts, logit_scale):
        return self.weight * (images - texts).square().sum(-1).mean() + 0 * logit_scale


class Nearness(Clip):
    """CLIP with a custom loss and initial temperature."""

    def make_loss(self):
        return Weighted()

    def begin(self, model):
        model.logit_scale.fill_(0.5)


def test_a_subclass_with_a_custom_loss_logs_its_parameters_and_resumes_exactly():
    def run(tower, state=None, stop=None):
        pretrainer = Nearness(CONFIG, Colours())
        if state is not None:
            pretrainer.load_state_dict(state)
        results = list(islice(steps := pretrainer.steps(tower, context()), stop))
        steps.close()
        return pretrainer, results

    whole, parted = model(), model()
    _, results = run(whole)
    first, before = run(parted, stop=2)
    _, after = run(parted, copy.deepcopy(first.state_dict()))
    weights = [float(r.metrics["weight"]) for r in results]
    assert weights[0] < 2.0  # the first step of AdamW changes it by the learning rate
    assert weights == [float(r.metrics["weight"]) for r in (*before, *after)]
    assert weights_sha256(whole) == weights_sha256(parted)
    assert float(results[0].metrics["logit_scale"]) == pytest.approx(math.exp(0.5), rel=1e-3)
