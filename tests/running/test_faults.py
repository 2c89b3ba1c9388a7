"""Faults of long runs, produced for real: the files on disk and the messages to the user."""

import copy
import io
import json
import os
import re
import resource
import signal
import subprocess
import time
import traceback
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.clip import CONFIG, Colours, context, model
from helpers.processes import start
from helpers.resuming import EVERY_2_STEPS, ended, record_of, run_with_signal
from helpers.runs_here import run_recipe_here
from helpers.tars import write_tar
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode

from perceptinit.errors import CheckpointError, DataError, RecipeError, TrainingError, WriteError
from perceptinit.files.checkpoints import load_state, weights_sha256
from perceptinit.pairs.webdataset_pairs import WebdatasetPairs
from perceptinit.pretrainers.clip import Clip
from perceptinit.pretrainers.training import Training
from perceptinit.recipe.reading import read_recipe
from perceptinit.running.runner import run_recipe

pytestmark = pytest.mark.usefixtures("cache_folder")


def write_shards(folder, num=3, samples=16, texts=True):
    """Write shards of uniform images with captions."""
    for shard in range(num):
        members = []
        for number in range(shard * samples, (shard + 1) * samples):
            file = io.BytesIO()
            Image.new("RGB", (16, 16), (5 * number, 100, 50)).save(file, "png")
            members.append((f"{number:06d}.png", file.getvalue()))
            if texts:
                members.append((f"{number:06d}.txt", b"a colour"))
        write_tar(folder / f"{shard:05d}.tar", members)


def recipe_on(shards):
    text = f"""
schema = 1
name = "faulty"
[backbone]
use = "timm"
[pretrain]
use = "clip"
batch_size = 16
warmup_steps = 1
[pretrain.pairs]
use = "webdataset"
shards = "{shards}"
"""
    return read_recipe(text, source="faulty.toml")


def complaint(tmp_path, shards="{00000..00002}.tar"):
    """Return the error of a run on these shards, which must not start."""
    with pytest.raises(RecipeError) as error:
        run_recipe(recipe_on(tmp_path / "shards" / shards), out=tmp_path / "runs", device="cpu")
    assert not (tmp_path / "runs").exists()
    return str(error.value)


def test_a_mistyped_shard_path_is_reported_before_the_run(tmp_path):
    message = complaint(tmp_path, "train-{0000..0015}.tar")
    assert "train-0000.tar" in message


def test_a_missing_shard_is_reported_before_the_run(tmp_path):
    write_shards(tmp_path / "shards")
    (tmp_path / "shards/00001.tar").unlink()
    assert "00001.tar" in complaint(tmp_path)


# at the end of a block, which open_clip does not report, and within a block
@pytest.mark.parametrize("cut", [512 * 9, 3000])
def test_a_truncated_shard_is_reported_before_the_run(tmp_path, cut):
    write_shards(tmp_path / "shards")
    path = tmp_path / "shards/00002.tar"
    path.write_bytes(path.read_bytes()[:cut])
    message = complaint(tmp_path)
    assert "00002.tar: byte" in message
    assert "it is truncated. Copy or pack it again" in message


def test_shards_without_captions_are_reported_before_the_run(tmp_path):
    write_shards(tmp_path / "shards", texts=False)
    message = complaint(tmp_path)
    assert "none of 48 samples has an image (.jpg, .jpeg, .png, .webp) and a text (.txt)" in message


def test_fewer_pairs_than_a_batch_are_reported_before_the_run(tmp_path):
    write_shards(tmp_path / "shards", num=1, samples=3)
    message = complaint(tmp_path, "00000.tar")
    assert "batch_size = 16, but there are only 3 pairs. Lower batch_size" in message


def test_a_shard_truncated_during_a_run_stops_the_run_with_its_name(tmp_path):
    write_shards(tmp_path / "shards")
    shards = str(tmp_path / "shards/{00000..00002}.tar")
    clip = Clip(replace(CONFIG, num_workers=0), WebdatasetPairs(WebdatasetPairs.Config(shards=shards)))
    steps = clip.steps(model(), context())
    next(steps)
    path = tmp_path / "shards/00001.tar"
    os.truncate(path, 4096)
    with pytest.raises(DataError) as error:
        list(steps)
    assert "more than max_bad_share = 0.01 allows" in str(error.value)
    assert "00001.tar" in str(error.value)


def test_a_run_resumes_only_with_the_same_shards(tmp_path, monkeypatch):
    shards = tmp_path / "shards"
    write_shards(shards)
    pairs = f'pretrain.pairs={{use="webdataset", shards="{shards}/*.tar"}}'
    step = Training.step

    def stop_in_the_second_epoch(training, batch):
        if training.num_steps == 4:
            raise KeyboardInterrupt
        return step(training, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "step", stop_in_the_second_epoch)
        with pytest.raises(KeyboardInterrupt):
            run_recipe_here(tmp_path / "runs", pairs)
    files = record_of(tmp_path / "runs")["pretrain_files"]
    assert (files["num_pairs"], files["num_files"]) == (48, 3)
    assert (files["first"], files["last"]) == ("00000.tar", "00002.tar")
    (shards / "00002.tar").rename(shards / "00003.tar")
    with pytest.raises(CheckpointError) as error:
        run_recipe_here(tmp_path / "runs", pairs)
    assert "[pretrain.pairs]: the run started with 48 pairs in 3 files (00000.tar to 00002.tar" in str(
        error.value
    )
    assert "now there are 48 pairs in 3 files (00000.tar to 00003.tar" in str(error.value)
    (shards / "00003.tar").rename(shards / "00002.tar")
    assert run_recipe_here(tmp_path / "runs", pairs)["pretrain_files"] == files


def test_the_order_of_shards_depends_on_the_seed_but_not_on_the_workers(tmp_path):
    write_shards(tmp_path / "shards", num=8, samples=8)
    shards = str(tmp_path / "shards/*.tar")

    def samples(num_workers):
        config = replace(CONFIG, shuffle_blocks=3, num_workers=num_workers, lr=1e-9)
        clip = Clip(config, WebdatasetPairs(WebdatasetPairs.Config(shards=shards)))
        assert len(list(clip.steps(model(), context()))) == 12
        return clip.data_sha256

    assert samples(0) == samples(1) == samples(3)


def test_samples_per_epoch_draws_epochs_of_this_length_with_replacement():
    config = replace(CONFIG, samples_per_epoch=100, epochs=2)
    clip = Clip(config, Colours())
    batches = clip._loader(model(), context()).batches(0, clip.total_steps)
    keys = [key for batch in batches for key in batch.keys]
    assert clip.total_steps == 12  # 2 epochs of 6 whole batches of 16
    assert len(keys) == 192
    assert max(keys.count(key) for key in set(keys[:96])) > 2  # 96 draws from 48 pairs
    assert keys[:96] != keys[96:]


# numbers that are not finite


def poisoned(at):
    """Return a model with NaN image embeddings in these steps, counted from 1."""
    tower = model()
    count = [0]

    def poison(module, args, output):
        count[0] += 1
        return output * float("nan") if count[0] in at else output

    tower.image.register_forward_hook(poison)
    return tower


def test_a_loss_that_is_not_finite_stops_the_run_and_saves_its_samples(tmp_path):
    tower = poisoned([2])
    steps = Clip(CONFIG, Colours()).steps(tower, context(folder=tmp_path))
    next(steps)
    before = weights_sha256(tower)
    with pytest.raises(TrainingError) as error:
        list(steps)
    file = tmp_path / "not_finite_step_000002.json"
    assert "step 2: the loss is nan, the gradient norm nan" in str(error.value)
    assert f"(all in {file})" in str(error.value)
    saved = json.loads(file.read_text())
    assert len(saved["samples"]) == 16
    assert saved["loss"] == "nan"
    assert weights_sha256(tower) == before


@pytest.mark.parametrize("num_asked", [9, 3])
def test_a_loss_that_is_not_finite_right_before_a_save_or_the_end_stops_the_run(
    num_asked,
):
    clip = Clip(CONFIG, Colours())
    steps = clip.steps(poisoned([num_asked]), context())
    for _ in range(num_asked):
        next(steps)
    with pytest.raises(TrainingError, match=f"step {num_asked}: the loss is nan"):
        clip.state_dict() if num_asked < 9 else next(steps)


@pytest.mark.parametrize(("fused", "precision"), [(True, "fp32"), (False, "fp32"), (True, "fp16")])
def test_a_skipped_step_changes_neither_weights_nor_optimizer(fused, precision):
    config = replace(CONFIG, fused=fused, precision=precision, on_non_finite="skip")
    clip, tower = Clip(config, Colours()), poisoned([7])  # with fp16, the first steps overflow
    steps = clip.steps(tower, context())
    states = []
    for _ in range(8):
        next(steps)
        rows = clip.state_dict()["optimizer"]["state"].values()
        states.append(copy.deepcopy((tower.state_dict(), [v for row in rows for v in row.values()])))
    before, skipped, after = states[-3:]
    torch.testing.assert_close(skipped, before, rtol=0, atol=0)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(after, before, rtol=0, atol=0)


class HostReads(TorchDispatchMode):
    """Records where the host reads the value of a tensor, which waits for a GPU."""

    def __init__(self):
        super().__init__()
        self.places = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if operation in (
            torch.ops.aten._local_scalar_dense.default,
            torch.ops.aten.nonzero.default,
        ):
            self.places.append("".join(traceback.format_stack(limit=8)))
        return operation(*args, **(kwargs or {}))


@pytest.mark.parametrize("settings", [{}, {"micro_batch": 8, "ema_decay": 0.9, "patch_dropout": 0.5}])
def test_no_step_reads_a_tensor_value_on_the_host(settings):
    config = replace(CONFIG, precision="bf16", clip_norm=1.0, **settings)
    steps = Clip(config, Colours()).steps(model(), context())
    next(steps)
    with HostReads() as reads:
        next(steps)
        result = next(steps)
        assert reads.places == []
        float(result.metrics["loss"])
        assert len(reads.places) == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_no_step_waits_for_the_gpu():
    config = replace(CONFIG, precision="bf16", clip_norm=1.0)
    steps = Clip(config, Colours()).steps(model().to("cuda"), context(device="cuda"))
    next(steps)
    torch.cuda.set_sync_debug_mode("error")
    try:
        next(steps)
        next(steps)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_on_non_finite_skip_skips_and_counts_the_step():
    events = []
    tower = poisoned([2])
    config = replace(CONFIG, on_non_finite="skip")
    results = list(Clip(config, Colours()).steps(tower, context(send=events.append)))
    assert len(results) == 9
    assert results[-1].metrics["num_skipped"] == 1
    assert all(torch.isfinite(w).all() for w in tower.state_dict().values())
    [warning] = [event.message for event in events if event.kind == "warning"]
    assert warning.startswith("step 2: the loss is nan, the gradient norm nan: skipped.")


def test_ten_consecutive_steps_that_are_not_finite_stop_the_run():
    config = replace(CONFIG, on_non_finite="skip", epochs=6)
    with pytest.raises(TrainingError, match=r"step 12: the loss is nan.*as in the 9 steps before"):
        list(Clip(config, Colours()).steps(poisoned(range(3, 99)), context()))


# disks and processes


@contextmanager
def small_disk(folder, size):
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small file system can be mounted by root only")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_keeps_the_previous_checkpoint_and_the_run_resumes_later(tmp_path):
    disk = tmp_path / "disk"
    # a checkpoint of this model has 3 MB before the first step and 10 MB later
    with small_disk(disk, "14m"):
        # raised by the thread that writes a checkpoint or by the concurrent write of the record
        with pytest.raises((CheckpointError, WriteError)) as error:
            run_recipe_here(disk / "runs", *EVERY_2_STEPS)
        assert re.search(
            r"written \(.*No space left.*ree disk space.* rerun the command",
            str(error.value),
        )
        checkpoints = sorted((disk / "runs/tiny/pi/seed0/checkpoints").iterdir())
        assert checkpoints
        assert {"init"} <= {load_state(path)["done"][-1] for path in checkpoints} <= {"init", "init.0"}
        subprocess.run(["mount", "-o", "remount,size=200m", str(disk)], check=True)
        record = run_recipe_here(disk / "runs", *EVERY_2_STEPS)
        assert record["status"] == "finished"
    uninterrupted = run_recipe_here(tmp_path / "runs", *EVERY_2_STEPS)
    assert record["hashes"] == uninterrupted["hashes"]


def with_small_files(folder):
    resource.setrlimit(resource.RLIMIT_FSIZE, (8 << 20, 8 << 20))
    return run_recipe_here(folder, *EVERY_2_STEPS)


def test_an_exceeded_quota_is_reported_like_a_full_disk(tmp_path):
    [process] = start(with_small_files, tmp_path, num=1)
    is_fine, message = process.outcome.get(timeout=120)
    assert not is_fine
    assert "CheckpointError" in message
    assert "checkpoint-000004.safetensors is intact" in message
    assert ended([process]) == [1]
    assert record_of(tmp_path)["status"] == "failed"


def test_a_killed_process_stops_the_others_with_a_message(tmp_path):
    begin = time.monotonic()
    processes = start(run_with_signal, tmp_path, signal.SIGKILL, 3, (1,))
    is_fine, message = processes[0].outcome.get(timeout=120)
    assert ended(processes) == [1, -signal.SIGKILL]
    assert time.monotonic() - begin < 100
    assert not is_fine
    assert "OtherProcessError: another process of this run ended or does not respond" in message
    record = record_of(tmp_path)
    assert record["status"] == "failed"
    assert record["error"].startswith("OtherProcessError: another process of this run ended")


def test_all_images_of_shards_of_different_sizes_are_used(tmp_path):
    write_shards(tmp_path / "shards", num=2, samples=5)
    write_shards(tmp_path / "more", num=1, samples=6)
    (tmp_path / "more/00000.tar").rename(tmp_path / "more/00009.tar")
    shards = (str(tmp_path / "shards/*.tar"), str(tmp_path / "more/00009.tar"))
    pairs = WebdatasetPairs(WebdatasetPairs.Config(shards=shards))
    clip = Clip(replace(CONFIG, batch_size=4, epochs=1), pairs)
    [keys] = [[key for b in clip._loader(model(), context()).batches(0, 4) for key in b.keys]]
    assert len(keys) == pairs.num_pairs == 16
    assert np.unique(keys).size == 16
