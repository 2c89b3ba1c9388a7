"""Streamed shards give the same batches as local shards, and a failed stream stops the run."""

import shlex

import pytest
from helpers.clip import context, model
from helpers.remote_shards import NUM_SHARDS, PER_SHARD, hashes, loader, num_batches, write_shard
from perceptinit_packing.stream import PROMISES, WebdatasetStreamPairs

from perceptinit.plugin import Clip, DataError, PerceptInitError, WebdatasetPairs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("shards")
    for number in range(NUM_SHARDS):
        write_shard(made / f"{number}.tar", number)
    return made


def stream(folder, command="cat", **options):
    options = {"samples_per_shard": PER_SHARD, **options}
    shards = f"pipe:{command} {shlex.quote(str(folder))}/{{0..{NUM_SHARDS - 1}}}.tar"
    return WebdatasetStreamPairs(WebdatasetStreamPairs.Config(shards=shards, **options))


@pytest.fixture
def local(folder):
    shards = str(folder / f"{{0..{NUM_SHARDS - 1}}}.tar")
    return WebdatasetPairs(WebdatasetPairs.Config(shards=shards))


@pytest.mark.parametrize("num_workers", [0, 3])
def test_streamed_shards_give_the_batches_of_local_ones(folder, local, num_workers):
    options = {"num_workers": num_workers, "shuffle_blocks": 1}
    theirs = hashes(loader(stream(folder), **options).batches(5, num_batches()))
    assert theirs == hashes(loader(local, **options).batches(5, num_batches()))


def test_each_shard_is_streamed_once_an_epoch(folder, tmp_path):
    log = tmp_path / "log"
    pairs = stream(folder, command=f"echo >> {shlex.quote(str(log))}; cat")
    # one thread, because with several threads an evicted shard may be streamed again
    list(loader(pairs, num_workers=1, shuffle_blocks=1).batches(0, num_batches()))
    assert len(log.read_text().splitlines()) == NUM_SHARDS
    assert pairs.max_shuffle_blocks == 1


def test_what_is_beyond_the_number_is_left_out_and_less_stops_the_run(folder):
    few = stream(folder, samples_per_shard=5)
    assert few.num_pairs == 5 * NUM_SHARDS
    assert few.pair(6).key == "1.tar/1_1"
    (problem,) = stream(folder, samples_per_shard=13).preflight()
    assert problem.endswith("0.tar: 12 samples with an image and a .txt, fewer than samples_per_shard = 13")


@pytest.mark.parametrize("command", ["false", "head -c 5000", "no-such-command"])
def test_a_command_that_fails_or_gives_half_a_shard_stops_the_run(folder, command):
    with pytest.raises(PerceptInitError, match=r"^pipe:.*0\.tar: "):
        list(loader(stream(folder, command=command), shuffle_blocks=1).batches(0, num_batches()))


def test_credentials_of_a_command_are_not_shown(folder):
    with pytest.raises(DataError) as caught:
        stream(folder, command="false https://me:secret@host/?sig=secret").pair(0)
    assert "secret" not in str(caught.value)


def test_the_limits_of_streams_are_reported_before_and_during_the_run(folder):
    assert list(stream(folder).warnings()) == [PROMISES]
    clip = Clip(Clip.Config(epochs=1, batch_size=8, warmup_steps=0, shuffle_blocks=1), stream(folder))
    events = []
    next(clip.steps(model(), context(send=events.append)))
    assert [event.message for event in events if event.kind == "warning"] == [PROMISES]
