"""Streamed shards give the same batches as local shards, and a failed stream stops the run."""

import shlex

import pytest
from helpers.clip import context, model
from helpers.remote_shards import NUM_SHARDS, PER_SHARD, hashes, loader, num_batches, write_shard

from perceptinit.errors import PerceptInitError, RemoteError
from perceptinit.pairs.webdataset_pairs import WebdatasetPairs
from perceptinit.pairs.webdataset_stream import PROMISES, WebdatasetStreamPairs
from perceptinit.pretrainers.clip import Clip


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
    # one thread, because several threads may stream an evicted shard again
    list(loader(pairs, num_workers=1, shuffle_blocks=1).batches(0, num_batches()))
    assert len(log.read_text().splitlines()) == NUM_SHARDS
    assert pairs.max_shuffle_blocks == 1


def test_a_process_of_several_reads_the_same_shard(folder, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert stream(folder).pair(0).key == "0.tar/0_0"


def test_further_samples_of_a_shard_are_ignored(folder):
    few = stream(folder, samples_per_shard=5)
    assert few.num_pairs == 5 * NUM_SHARDS
    assert few.pair(6).key == "1.tar/1_1"


def test_a_shard_with_too_few_samples_is_an_error(folder):
    with pytest.raises(RemoteError) as caught:
        stream(folder, samples_per_shard=13).pair(0)
    assert str(caught.value).endswith(
        "0.tar: 12 samples with an image and a .txt, fewer than samples_per_shard = 13"
    )


@pytest.mark.parametrize(
    ("shards", "sentence"),
    [((), "shards: the list is empty"), ("pipe:cat {0..3000000}.tar", "names more than 1,000,000 files")],
)
def test_the_preflight_reports_invalid_names(shards, sentence):
    config = WebdatasetStreamPairs.Config(shards=shards, samples_per_shard=1)
    (problem,) = WebdatasetStreamPairs(config).preflight()
    assert sentence in problem


@pytest.mark.parametrize("command", ["false", "head -c 5000", "no-such-command"])
def test_a_command_that_fails_or_ends_within_a_shard_stops_the_run(folder, command):
    with pytest.raises(PerceptInitError, match=r"^pipe:.*0\.tar: "):
        list(loader(stream(folder, command=command), shuffle_blocks=1).batches(0, num_batches()))


def test_credentials_of_a_command_are_not_shown(folder):
    with pytest.raises(RemoteError) as caught:
        stream(folder, command="false https://me:secret@host/?sig=secret").pair(0)
    assert "secret" not in str(caught.value)


def test_a_stream_warns_about_its_weaker_guarantees_before_and_during_a_run(folder):
    assert list(stream(folder).warnings()) == [PROMISES]
    clip = Clip(Clip.Config(epochs=1, batch_size=8, warmup_steps=0, shuffle_blocks=1), stream(folder))
    events = []
    next(clip.steps(model(), context(send=events.append)))
    assert [event.message for event in events if event.kind == "warning"] == [PROMISES]


RECIPE = """
like = "quickstart"
name = "streamed"
[pretrain]
use = "clip"
epochs = 1
batch_size = 8
warmup_steps = 0
shuffle_blocks = 1
[pretrain.pairs]
use = "webdataset-stream"
shards = "pipe:touch executed; cat {0..7}.tar"
samples_per_shard = 12
"""


def test_validate_does_not_execute_the_command_of_a_stream(cli, tmp_path):
    (tmp_path / "streamed.toml").write_text(RECIPE)
    done = cli("validate", "streamed.toml")
    assert done.returncode == 0, done.stderr
    assert PROMISES in done.stdout
    assert not (tmp_path / "executed").exists()


def test_a_run_executes_the_command_of_a_stream(cli, tmp_path, folder):
    for shard in folder.glob("*.tar"):
        (tmp_path / shard.name).symlink_to(shard)
    (tmp_path / "streamed.toml").write_text(RECIPE)
    done = cli("run", "streamed.toml", "--seed", "0", "--arm", "random")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "executed").exists()
