"""One process, two processes and micro-batches have the same loss, gradients, weights, scores and samples."""

import json
import math
from contextlib import ExitStack
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.clip import CONFIG, Colours, context, model
from helpers.processes import together
from helpers.runs_here import run_recipe_here

from perceptinit.compute import distributed
from perceptinit.compute.split_encoding import SplitEncoder
from perceptinit.errors import DataError, PerceptInitError, TrainingError
from perceptinit.pretrainers import pair_loss
from perceptinit.pretrainers.clip import Clip
from perceptinit.pretrainers.pair_loss import PairLoss, contrastive_loss

EXACT = replace(CONFIG, patch_dropout=0.5, flip=False)


def by_loss(images, texts, scale):
    """Return the loss and its gradients."""
    leaves = [tensor.clone().requires_grad_() for tensor in (images, texts, scale)]
    loss = contrastive_loss(*leaves)
    loss.backward()
    return [loss.detach(), *(leaf.grad for leaf in leaves)]


def features(num=50, width=8):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, num, width, generator=generator, dtype=torch.float64)


@pytest.fixture
def in_chunks(monkeypatch):
    monkeypatch.setattr(pair_loss, "PLAIN_ROWS", 0)
    monkeypatch.setattr(pair_loss, "CHUNK_LOGITS", 350)  # 7 rows of 50 at a time: 8 chunks


@pytest.mark.parametrize("log_scale", [0.0, math.log(1 / 0.07), math.log(100), 12.0])
def test_the_chunked_loss_equals_the_loss_of_the_whole_matrix(in_chunks, monkeypatch, log_scale):
    scale = torch.tensor(log_scale, dtype=torch.float64)
    chunked = by_loss(*features(), scale)
    monkeypatch.setattr(pair_loss, "PLAIN_ROWS", 50)
    plain = by_loss(*features(), scale)
    for ours, theirs in zip(chunked, plain, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_the_chunked_loss_is_finite_at_any_temperature(in_chunks):
    images, texts = features().float()
    loss, *gradients = by_loss(images, -texts, torch.tensor(math.log(1e6)))
    assert 1e4 < loss.item() < 1e7  # cosines differ by up to 2, times 1e6
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


def two_processes_loss():
    with distributed.process_group():
        images, texts = (part.chunk(2)[distributed.rank()] for part in features())
        return [t.numpy() for t in by_loss(images, texts, torch.tensor(3.0, dtype=torch.float64))]


def test_two_processes_have_the_loss_and_gradients_of_one_process():
    whole = by_loss(*features(), torch.tensor(3.0, dtype=torch.float64))
    first, second = together(two_processes_loss)
    for place in (0, 3):  # loss and temperature are whole in both
        np.testing.assert_allclose(first[place], whole[place], rtol=1e-10)
        np.testing.assert_allclose(second[place], whole[place], rtol=1e-10)
    for place in (1, 2):  # features are each process's own
        own = np.concatenate([first[place], second[place]])
        np.testing.assert_allclose(own, whole[place], rtol=1e-10, atol=1e-13)


class Weighted(PairLoss):
    """A loss over all pairs of images and texts with its own parameter."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(0.5, dtype=torch.float64))

    def whole(self, images, texts, logit_scale):
        return (self.weight * logit_scale.exp() * images @ texts.T).square().mean()


def by_own_loss(images, texts):
    leaves = [tensor.clone().requires_grad_() for tensor in (images, texts)]
    loss = Weighted()
    model = SimpleNamespace(logit_scale=torch.tensor(1.0, dtype=torch.float64))
    value = loss(model, dict(zip(("image", "text"), leaves, strict=True)))
    value.backward()
    gradients = (value.detach(), *(leaf.grad for leaf in leaves), loss.weight.grad)
    return [tensor.numpy() for tensor in gradients]


def two_processes_own_loss():
    with distributed.process_group():
        return by_own_loss(*(part.chunk(2)[distributed.rank()] for part in features()))


def test_a_custom_loss_receives_the_rows_of_both_processes():
    whole = by_own_loss(*features())
    first, second = together(two_processes_own_loss)
    for place in (0, 3):  # loss and its weight's gradient are whole in both
        np.testing.assert_allclose(first[place], whole[place], rtol=1e-10)
        np.testing.assert_allclose(second[place], whole[place], rtol=1e-10)
    for place in (1, 2):
        own = np.concatenate([first[place], second[place]])
        np.testing.assert_allclose(own, whole[place], rtol=1e-10, atol=1e-13)


def gradients(micro_batch=0, sharding="none", precise=True):
    """Return the loss and the gradients of all parameters for the first batch."""
    with distributed.process_group(), ExitStack() as stack:
        config = replace(EXACT, micro_batch=micro_batch, sharding=sharding)
        clip, tower = Clip(config, Colours()), model().double() if precise else model()
        training = clip._prepare(stack, tower, context())
        [batch] = clip._loader(tower, context()).batches(0, 1)
        loss = training._gradients(batch, 1)
        named = zip(tower.named_parameters(), training._model.parameters(), strict=True)
        from perceptinit.pretrainers.sharding import gather_whole

        return loss.item(), {name: gather_whole(p.grad).numpy() for (name, _), p in named}


@pytest.fixture(scope="module")
def full_batch():
    return gradients()


def assert_same_gradients(ours, theirs):
    assert ours[0] == pytest.approx(theirs[0], abs=1e-12)
    for name, gradient in theirs[1].items():
        np.testing.assert_allclose(ours[1][name], gradient, rtol=0, atol=1e-12, err_msg=name)


def test_micro_batches_have_the_gradients_of_the_batch_with_patch_dropout(full_batch):
    assert "logit_scale" in full_batch[1]
    assert abs(full_batch[1]["logit_scale"]) > 1e-3
    assert_same_gradients(gradients(micro_batch=4), full_batch)
    assert_same_gradients(gradients(micro_batch=5), full_batch)  # 5 + 5 + 5 + 1


@pytest.mark.parametrize(("micro_batch", "sharding"), [(0, "none"), (3, "none"), (4, "fsdp")])
def test_two_processes_have_the_gradients_of_the_batch(full_batch, micro_batch, sharding):
    for outcome in together(gradients, micro_batch, sharding):
        assert_same_gradients(outcome, full_batch)


def passes_of_a_step(micro_batch):
    """Return the number of forward passes of each tower in a step of this process."""
    with distributed.process_group(), ExitStack() as stack:
        tower = model()
        clip = Clip(replace(EXACT, micro_batch=micro_batch), Colours())
        training = clip._prepare(stack, tower, context())
        passes = []
        tower.image.trunk.blocks[0].register_forward_pre_hook(lambda *_: passes.append("image"))
        tower.text.transformer.transformer.resblocks[0].register_forward_pre_hook(
            lambda *_: passes.append("text")
        )
        [batch] = clip._loader(tower, context()).batches(0, 1)
        training._gradients(batch, 1)
        return passes.count("image"), passes.count("text")


def test_one_micro_batch_keeps_its_graph_and_is_computed_once():
    assert passes_of_a_step(micro_batch=6) == (3 + 2, 3 + 3)  # 16 rows; images come last and go first
    assert together(passes_of_a_step, 3) == [(3 + 2, 3 + 3)] * 2  # 8 rows in each process


def weights_after_21_steps(micro_batch=0, sharding="none"):
    with distributed.process_group():
        config = replace(EXACT, epochs=7, micro_batch=micro_batch, sharding=sharding)
        # float64: the biases of attention's keys have a true gradient of zero, and AdamW makes steps of a good
        # part of lr from its rounding noise in float32
        clip, tower = Clip(config, Colours()), model().double()
        assert [r.step for r in clip.steps(tower, context())][-1] == 21
        state = {name: weight.numpy() for name, weight in tower.state_dict().items()}
        return state, clip.data_sha256


@pytest.mark.slow
def test_weights_and_samples_are_equal_after_21_steps():
    whole, samples = weights_after_21_steps()
    outcomes = [weights_after_21_steps(4), *together(weights_after_21_steps, 4)]
    outcomes += together(weights_after_21_steps, 0, "fsdp")
    for weights, seen in outcomes:
        assert seen == samples
        for name, weight in whole.items():
            np.testing.assert_allclose(weights[name], weight, atol=1e-8, err_msg=name)


def test_preflight_reports_a_batch_size_that_processes_do_not_divide(monkeypatch):
    monkeypatch.setattr(distributed, "world_size", lambda: 3)
    [problem] = Clip(CONFIG, Colours()).preflight()
    assert problem == ("batch_size = 16 is not a multiple of the number of processes, 3. Change one of them")


def broken_in_one_process():
    with distributed.process_group():
        pairs = Colours()
        good = pairs.pair

        def pair(index):
            if distributed.rank() == 1 and index % 16 == 3:
                raise OSError("disk on fire")
            return good(index)

        pairs.pair = pair
        try:
            list(Clip(CONFIG, pairs).steps(model(), context()))
        except PerceptInitError as error:
            return f"{type(error).__name__}: {error}"
        return "no error"


def test_a_failed_process_stops_the_others_with_its_error():
    first, second = together(broken_in_one_process)
    assert second.startswith("PerceptInitError: pair ")
    assert second.endswith("OSError: disk on fire")
    assert first == f"OtherProcessError: process 1: {second}"


def unusable_in_one_process():
    with distributed.process_group():
        try:
            list(Clip(CONFIG, Colours(broken=[5])).steps(model(), context()))
        except DataError as error:
            return str(error)


@pytest.mark.slow
def test_unusable_pairs_are_counted_over_all_processes():
    messages = together(unusable_in_one_process)
    assert messages[0] == messages[1]
    assert messages[0].startswith("1 of 48 pairs are unusable, more than max_bad_share = 0.01")


def not_finite_in_two_processes():
    with distributed.process_group():
        tower = model()
        with torch.no_grad():
            tower.image.projection.weight[0, 0] = float("nan")
        try:
            list(Clip(CONFIG, Colours()).steps(tower, context()))
        except TrainingError as error:
            return str(error)


@pytest.mark.slow
def test_a_loss_that_is_not_finite_names_the_samples_of_all_processes():
    messages = together(not_finite_in_two_processes)
    assert messages[0] == messages[1]
    assert "and 13 more" in messages[0]


def split_embeddings():
    with distributed.process_group():
        images = torch.arange(5 * 3 * 16 * 16).reshape(5, 3, 16, 16).remainder(251).to(torch.uint8)
        tower = model().eval()
        calls = []
        tower.image.register_forward_pre_hook(lambda module, args: calls.append(len(args[0])))
        embeddings = SplitEncoder(tower).encode_image(images)
        return embeddings.numpy(), tower.encode_image(images).detach().numpy(), calls[0]


def test_evaluation_splits_the_images_and_returns_all_embeddings_to_every_process():
    for shared, whole, num_encoded in together(split_embeddings):
        assert num_encoded == 3  # of 5
        np.testing.assert_allclose(shared, whole, atol=1e-5)


@pytest.mark.slow
def test_a_run_of_two_processes_has_the_scores_of_one_process_and_writes_once(tmp_path):
    alone = run_recipe_here(tmp_path / "one")
    first, second = together(run_recipe_here, tmp_path / "two")
    assert first == second
    assert first["hashes"]["pretrain_data"] == alone["hashes"]["pretrain_data"]
    assert first["hashes"]["built"] == alone["hashes"]["built"]
    assert first["init"][0]["metrics"]["2afc_val_after"] == pytest.approx(
        alone["init"][0]["metrics"]["2afc_val_after"], abs=0.05
    )
    folder = tmp_path / "two/tiny/pi/seed0"
    lines = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines].count("run-start") == 1
    written = json.loads((folder / "record.json").read_text())
    assert written.pop("sha256")
    assert written == first
    assert not list(folder.rglob("*.tmp"))
