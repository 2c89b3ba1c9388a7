"""GPU utilization: gradients for every parameter, few shapes, compiled blocks, and shared decoding."""

import warnings
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.clip import CONFIG, Colours, context, model, train
from helpers.paper_gpu import paper_gpu
from helpers.processes import fake_group, together
from torch.distributed.utils import _to_kwargs
from torch.nn.parallel import DistributedDataParallel

from perceptinit.backbones import text
from perceptinit.backbones.fast_modules import SelfAttention
from perceptinit.backbones.text import GPU_MULTIPLES, token_rows
from perceptinit.compute import devices, distributed
from perceptinit.compute.devices import fetch, usable_cores
from perceptinit.compute.optim import make_optimizer
from perceptinit.evaluators.features import _PIXELS, Encoding, Joint, Subjects, all_features
from perceptinit.evaluators.zero_shot import ZeroShot
from perceptinit.pretrainers.clip import Clip
from perceptinit.pretrainers.sharding import WeightAverage, blocks_of, clip_gradients, copy_sharded
from perceptinit.running import run
from perceptinit.testing import tiny_model


def without_gradient(lock):
    """Return the names of parameters without a gradient and of buffers that DDP broadcasts."""
    warnings.simplefilter("error", FutureWarning)  # the use of DDP must not give a deprecation warning
    with distributed.process_group(), ExitStack() as stack:
        clip = Clip(replace(CONFIG, lock=lock), Colours())
        training = clip._prepare(stack, model(), context())
        [batch] = clip._loader(model(), context()).batches(0, 1)
        training._gradients(batch, 1)
        replicas = [t._replica for t in training._towers.values() if t.is_trained]
        assert all(isinstance(replica, DistributedDataParallel) for replica in replicas)
        assert not any(replica.broadcast_buffers for replica in replicas)
        named = [item for replica in replicas for item in replica.named_parameters()]
        return [name for name, p in named if p.requires_grad and p.grad is None]


@pytest.mark.slow
@pytest.mark.parametrize("lock", ["none", "image"])
def test_every_trained_parameter_has_a_gradient_under_ddp(lock):
    assert together(without_gradient, lock) == [[], []]


def test_packed_texts_of_many_lengths_have_few_shapes_on_a_gpu():
    rng = np.random.default_rng(0)
    batches = [rng.integers(5, 40, size=256) for _ in range(100)]
    exact = {token_rows(lengths).text.shape for lengths in batches}
    rounded = {token_rows(lengths, *GPU_MULTIPLES).text.shape for lengths in batches}
    assert len(rounded) <= 3 < len(exact)
    assert all(r % 16 == 0 and length % 8 == 0 for r, length in rounded)


def test_rounded_rows_have_the_embeddings_of_exact_rows():
    tower = model().eval()
    texts = ["red", "dark green", "a light blue image of nothing at all"] * 40
    tokens = tower.tokenize(texts)
    with torch.no_grad():
        want = tower.encode_text(tokens)
        with paper_gpu():
            got = tower.to("cuda").encode_text(tokens)
            few = tower.encode_text(tokens[:2])  # fewer texts than rows, so they are concatenated
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(few, want[:2], atol=1e-5, rtol=1e-5)


def test_one_mask_is_shared_by_all_heads_except_in_torchs_attention(monkeypatch):
    masks = []
    real = text._rows_mask
    monkeypatch.setattr(text, "_rows_mask", lambda *a: masks.append(real(*a)) or masks[-1])
    tower = model().eval()
    tokens = tower.tokenize([Captions().pair(i).text for i in range(9)])
    with torch.no_grad():
        got = tower.encode_text(tokens)
        for module in tower.text.modules():
            if isinstance(module, SelfAttention):
                module.__class__ = torch.nn.MultiheadAttention
        want = tower.encode_text(tokens)
    one, many = masks
    heads = tower.text.transformer.heads
    assert one.shape[1] == 1
    assert many.shape == (heads * len(one), *one.shape[2:])
    torch.testing.assert_close(got, want, atol=1e-6, rtol=1e-6)


class Captions(Colours):
    """Short and long captions; several short ones share a row."""

    def pair(self, index):
        text = ["red", "an image of dark green and of nothing else at all", "blue"][index % 3]
        return replace(super().pair(index), text=text)


def test_compiled_blocks_have_no_graph_break_and_texts_are_packed(monkeypatch):
    packed = []
    real = text._forward_rows
    monkeypatch.setattr(text, "_forward_rows", lambda *a: (packed.append(1), real(*a))[1])
    torch._dynamo.reset()
    counters = torch._dynamo.utils.counters
    counters.clear()
    tower = model()
    train(tower, replace(CONFIG, compile="eager"), pairs=Captions(), stop=2)
    assert counters["stats"]["unique_graphs"] >= 2
    assert counters["graph_break"] == {}
    assert packed
    blocks = [block for part in (tower.image, tower.text) for block in blocks_of(part)]
    assert [b._compiled_call_impl for b in blocks] == [None] * len(blocks)


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_fsdp_over_eight_processes_stores_an_eighth_and_communicates_in_its_precision(precision, dtype):
    whole = model()
    with fake_group(8):
        trained = copy_sharded(whole, precision)
        seen = []
        block = blocks_of(trained.image)[0]
        block.mlp.fc1.register_forward_pre_hook(lambda m, _: seen.append(m.weight.dtype))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            images = trained.encode_image(torch.zeros(4, 3, 16, 16, dtype=torch.uint8))
            texts = trained.encode_text(whole.tokenize(["red", "dark green"]))
        (images.float().sum() + texts.float().sum()).backward()
        weight = block.mlp.fc1.weight
        assert seen == [dtype]
        assert weight.grad.dtype == torch.float32  # accumulated in full precision
        assert weight.to_local().numel() * 8 == weight.numel()


def test_fsdp_does_not_move_token_ids():
    whole = model()
    with fake_group(8):
        trained = copy_sharded(whole)
        given = []
        trained.text.register_forward_pre_hook(lambda _, args: given.append(args), prepend=True)
        for texts in (["red", "blue", "a long caption of nothing else at all"], ["red"]):
            trained.encode_text(whole.tokenize(texts))
    brought = [_to_kwargs(args, {}, torch.device("meta"), False)[0][0] for args in given]
    assert [args[0].tokens.device.type for args in brought] == ["cpu", "cpu"]
    assert [args[0].rows is None for args in brought] == [False, True]  # short texts share a row


def test_parameters_of_a_loss_are_averaged_and_clipped_with_sharded_parameters():
    with fake_group(8):
        cut = [p for p in copy_sharded(model()).image.parameters() if p.requires_grad]
        own = torch.nn.Parameter(torch.ones(3))
        average = WeightAverage([*cut, own], decay=0.75)
        with torch.no_grad():
            own += 4.0
        average.update()
        assert average._average[-1].tolist() == [2.0] * 3
        own.grad = torch.full((3,), 2.0)
        for parameter in cut:
            parameter.grad = torch.zeros_like(parameter)
        clip_gradients([*cut, own], clip_norm=1.0)
        assert own.grad.norm().item() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(("found_inf", "num_changed"), [(0.0, 1), (1.0, 0)])
def test_the_fused_kernel_skips_a_step_that_is_not_finite_under_fsdp(found_inf, num_changed):
    with fake_group(8):
        trained = copy_sharded(model())
        optimizer = make_optimizer([trained.image], lr=1e-3, weight_decay=0.1)
        trained.encode_image(torch.zeros(4, 3, 16, 16, dtype=torch.uint8)).sum().backward()
        weight = blocks_of(trained.image)[0].mlp.fc1.weight
        before = weight.to_local().clone()
        optimizer.found_inf = torch.tensor(found_inf)
        optimizer.step()
        assert int(not torch.equal(weight.to_local(), before)) == num_changed


def test_the_number_of_decoding_threads_is_the_number_of_cores_per_process(monkeypatch):
    monkeypatch.setattr(devices.os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    assert usable_cores() == 16
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert usable_cores() == 2
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "32")
    assert usable_cores() == 1


def test_metrics_of_a_step_are_read_from_the_gpu_in_one_copy():
    with paper_gpu() as gpu:
        loss, norm = torch.tensor(0.5, device="cuda"), torch.tensor(2.0, device="cuda")
        on_host = torch.tensor([3.0])  # of a pretrainer of another package
        values = fetch({"loss": loss, "lr": 0.1, "grad_norm": norm, "theirs": on_host})
        assert len(gpu.waits) == 1
    assert values == {"loss": 0.5, "lr": 0.1, "grad_norm": 2.0, "theirs": 3.0}


def share_of_decoding():
    """Return the number of images that this process decoded in two evaluations, and its embeddings."""
    with distributed.process_group():
        evaluator = ZeroShot(ZeroShot.Config(datasets=("synthetic",), synthetic_num_images=64))
        images = evaluator.choice.read("synthetic")
        encoding = Encoding(
            batch_size=16, joint=Joint(rank=distributed.rank(), num_ranks=distributed.world_size())
        )
        subjects = Subjects.of([tiny_model().eval()])
        first, second = (all_features(subjects, images, encoding)[0] for _ in range(2))
        assert np.array_equal(first, second)
        return sum(len(kept) for kept in _PIXELS[images].values()), first.tolist()


def zero_shot_in_a_run(batch_size=16):
    """Return the number of rows that this process encoded with each tower, and the scores."""
    with distributed.process_group(), torch.no_grad():
        tower, rows = tiny_model().eval(), {"image": 0, "text": 0}
        for name in rows:
            encode = getattr(tower, f"encode_{name}")

            def counting(inputs, name=name, encode=encode):
                rows[name] += len(inputs)
                return encode(inputs)

            setattr(tower, f"encode_{name}", counting)
        config = ZeroShot.Config(datasets=("synthetic",), synthetic_num_images=64, batch_size=batch_size)
        scores = [score.value for score in run._scores(ZeroShot(config), tower, context())]
        return rows["image"], rows["text"], scores


@pytest.mark.slow
def test_a_process_without_an_evaluation_batch_has_the_scores_of_the_others():
    (_, _, alone) = zero_shot_in_a_run(batch_size=64)
    (first, _, ours), (second, _, theirs) = together(zero_shot_in_a_run, 64)
    assert (first, second) == (64, 0)
    assert ours == theirs == pytest.approx(alone, abs=1e-6)


def test_processes_of_a_run_split_images_and_texts_of_evaluation():
    alone = zero_shot_in_a_run()
    for images, texts, scores in together(zero_shot_in_a_run):
        assert images == alone[0] / 2 == 32
        assert alone[1] / 2 <= texts < alone[1]
        assert scores == pytest.approx(alone[2], abs=1e-6)


def test_processes_split_and_cache_the_decoded_images_of_evaluation():
    (num_first, ours), (num_second, theirs) = together(share_of_decoding)
    (num_alone, alone) = share_of_decoding()
    assert (num_first, num_second, num_alone) == (32, 32, 64)
    assert ours == theirs
    np.testing.assert_allclose(ours, alone, atol=1e-6)
