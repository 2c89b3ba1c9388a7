"""The device of a process: unusable devices are refused early, and no CUDA context is opened without need."""

from unittest import mock

import pytest
import torch
from helpers.paper_gpu import paper_gpu

from perceptinit.compute import devices, distributed
from perceptinit.compute.optim import autocast, matmul_precision
from perceptinit.errors import UsageError
from perceptinit.initializers.weights import weight_changes
from perceptinit.pretrainers import pair_loss
from perceptinit.recipe.settings import CheckpointConfig
from perceptinit.running.checkpoints import Checkpoints
from perceptinit.seeding import named_torch_seed


@pytest.fixture
def two_gpus(monkeypatch):
    """Two GPUs that torch lists; opening a context fails."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    forbidden = mock.Mock(side_effect=AssertionError("a context was opened"))
    monkeypatch.setattr(torch.cuda, "_lazy_init", forbidden)


@pytest.fixture
def launched(monkeypatch):
    for name, value in {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("device", ["auto", "cuda", "cuda:1"])
def test_a_gpu_is_chosen_without_opening_a_context(device, two_gpus):
    assert devices.choose_device(device) == {"auto": "cuda"}.get(device, device)


@pytest.mark.parametrize(
    ("device", "reason"),
    [
        ("cuda:2", "the available GPUs are 0 to 1"),
        ("mps", "losses and diagnostics need float64, which MPS does not support"),
        ("gpu", "Expected one of cpu"),
    ],
)
def test_an_unusable_device_is_refused_with_the_reason(device, reason, two_gpus):
    with pytest.raises(UsageError, match=f"device '{device}' cannot be used: .*{reason}"):
        devices.choose_device(device)


def test_cuda_without_a_gpu_is_refused():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(UsageError, match="'cuda' cannot be used: torch finds no NVIDIA GPU"):
        devices.choose_device("cuda")


def test_each_process_of_a_run_has_a_separate_gpu(two_gpus, launched):
    assert distributed.local_device("cuda") == "cuda:1"
    with pytest.raises(UsageError, match="'cuda:0' is one GPU, but each process needs a separate GPU"):
        distributed.local_device("cuda:0")


def test_a_process_sets_its_gpu_as_the_current_device(monkeypatch):
    chosen = mock.Mock()
    monkeypatch.setattr(torch.cuda, "set_device", chosen)
    devices.set_up_process("cuda:1")
    chosen.assert_called_once_with(torch.device("cuda:1"))


def test_a_named_seed_on_the_host_opens_no_context(two_gpus):
    with named_torch_seed(0, "backbone"):
        torch.rand(2)


def test_a_checkpoint_synchronizes_the_gpu_of_its_tensors(tmp_path):
    with paper_gpu():
        state = {"weight": torch.ones(2, device="cuda"), "step": torch.ones(1)}
        with mock.patch("torch.cuda.synchronize") as waited:
            Checkpoints(tmp_path, CheckpointConfig(), print)._copy_tensors(state)
    waited.assert_called_once_with(torch.device("cuda:0"))


def flags():
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32


def test_fp32_disables_tf32_in_products_and_convolutions():
    before = flags()
    with autocast("cpu", "fp32"):
        assert flags() == ("highest", False)
    with autocast("cpu", "tf32"):
        assert flags() == ("high", True)
    assert flags() == before


def test_the_loss_stays_in_fp32_under_tf32(monkeypatch):
    seen = []
    monkeypatch.setattr(pair_loss, "PLAIN_ROWS", 0)
    real = pair_loss.ChunkedLoss.apply
    monkeypatch.setattr(pair_loss.ChunkedLoss, "apply", lambda *a: (seen.append(flags()), real(*a))[1])
    images, texts = torch.randn(2, 4, 3)
    with matmul_precision("tf32"):
        pair_loss.contrastive_loss(images, texts, torch.tensor(1.0))
        assert flags() == ("high", True)
    assert seen == [("highest", False)]


def test_weights_on_different_devices_are_compared():
    before = {"blocks.0.weight": torch.ones(2, 2)}
    after = {"blocks.0.weight": torch.full((2, 2), 2.0)}
    with paper_gpu():
        on_gpu = {name: weight.to("cuda") for name, weight in after.items()}
        assert weight_changes(before, on_gpu) == weight_changes(before, after)
