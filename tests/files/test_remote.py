"""Remote shards: the batches of local shards, fetched once, despite a small cache, kills and server errors."""

import copy
import json
import multiprocessing
import re
import shutil
import signal
import threading
import time
from contextlib import suppress

import numpy as np
import pytest
import torch
from helpers.clip import context, model
from helpers.object_store import Fault, ObjectStore
from helpers.remote_shards import NUM_SHARDS, PER_SHARD, hashes, loader, num_batches, write_shard

from perceptinit.cli.data.index import index as index_verb
from perceptinit.errors import (
    DataError,
    PerceptInitError,
    UsageError,
    WriteError,
)
from perceptinit.files.remote import fetched, network
from perceptinit.files.remote.fetched import FetchedCache
from perceptinit.pairs import indexing
from perceptinit.pairs.shard_index import INDEX, WIDS_INDEX, read_index, scan, write_index
from perceptinit.pairs.tar_file import TarFile
from perceptinit.pairs.webdataset_pairs import WebdatasetPairs
from perceptinit.pretrainers.clip import Clip

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Write shards of small images with their index and return the folder."""
    folder = tmp_path_factory.mktemp("shards")
    for number in range(NUM_SHARDS):
        write_shard(folder / f"{number}.tar", number)
    paths = [folder / f"{number}.tar" for number in range(NUM_SHARDS)]
    write_index(folder / INDEX, map(scanned, paths))
    return folder


def scanned(path, version=""):
    return scan(TarFile(path), version)


def upload(bucket, shards):
    bucket.put_folder("/set", shards)
    return bucket.url + f"/set/{{0..{NUM_SHARDS - 1}}}.tar"


def room_for(shards, number):
    """Return the cache_gb for this number of shards."""
    return (number + 0.5) * max(path.stat().st_size for path in shards.glob("*.tar")) / 1e9


def webdataset(where, **options):
    return WebdatasetPairs(WebdatasetPairs.Config(shards=where, **options))


def local(shards):
    return webdataset(str(shards / f"{{0..{NUM_SHARDS - 1}}}.tar"))


@pytest.mark.parametrize("num_workers", [0, 3])
@pytest.mark.parametrize("shuffle_blocks", [1, 2])
def test_remote_shards_have_the_batches_of_local_shards_and_are_fetched_once_an_epoch(
    bucket, shards, num_workers, shuffle_blocks
):
    address, stop = upload(bucket, shards), 2 * num_batches()
    pairs = webdataset(address, cache_gb=room_for(shards, 4))
    assert list(pairs.preflight()) == []
    options = {"num_workers": num_workers, "shuffle_blocks": shuffle_blocks}
    bucket.sent.clear()
    theirs = hashes(loader(pairs, **options).batches(0, stop))
    assert theirs == hashes(loader(local(shards), **options).batches(0, stop))
    needed = sum(path.stat().st_size for path in shards.glob("*.tar"))
    assert sum(bucket.sent.values()) <= 1.05 * 2 * needed


def test_a_run_resumed_within_an_epoch_fetches_only_the_remaining_shards(bucket, shards):
    whole = hashes(loader(local(shards)).batches(0, num_batches()))
    pairs = webdataset(upload(bucket, shards), cache_gb=room_for(shards, 3))
    assert pairs.num_pairs == NUM_SHARDS * PER_SHARD
    rest = list(loader(pairs, num_workers=2).batches(9, num_batches()))
    assert [h for h, _ in hashes(loader(local(shards)).batches(9, num_batches()))] == [
        h for h, _ in hashes(rest)
    ]
    assert len(whole) == num_batches()
    used = {key.partition("/")[0] for batch in rest for key in batch.keys}
    assert {path.rpartition("/")[2] for path in bucket.sent if path.endswith(".tar")} == used


def test_the_cache_never_exceeds_its_size(bucket, shards, monkeypatch):
    most = room_for(shards, 3) * 1e9
    seen = []
    receive = FetchedCache._receive
    monkeypatch.setattr(
        FetchedCache,
        "_receive",
        lambda self, *piece: receive(self, *piece) or seen.append(bytes_in(self.folder)),
    )
    pairs = webdataset(upload(bucket, shards), cache_gb=most / 1e9)
    list(loader(pairs, num_workers=2).batches(0, num_batches()))
    assert most / 2 < max(seen) <= most


def bytes_in(folder):
    """Return the bytes of all pieces, although another thread may rename one meanwhile."""
    sizes = []
    for path in folder.rglob("*.tar*"):
        if path.suffix != ".json":
            with suppress(FileNotFoundError):
                sizes.append(path.stat().st_size)
    return sum(sizes)


fork = multiprocessing.get_context("fork")


def write_batches(address, cache_gb, options, start, stop, said, together=lambda: None):
    """Append the hash of each batch as a line; `together` waits for other processes."""
    pairs = webdataset(address, cache_gb=cache_gb)
    with said.open("a") as file:
        for batch in loader(pairs, num_workers=2, **options).batches(start, stop):
            file.write(hashes([batch])[0][0] + "\n")
            file.flush()
            together()


def started(*arguments):
    for thread in threading.enumerate():  # of earlier tests: a forked process would inherit their locks
        if thread.name.startswith("read-ahead"):
            thread.join(30)
    process = fork.Process(target=write_batches, args=arguments)
    process.start()
    return process


def lines_of(path):
    return path.read_text().splitlines() if path.exists() else []


def test_two_processes_with_a_shared_cache_have_the_batches_of_local_shards_despite_kills(
    bucket, shards, tmp_path
):
    bucket.latency = 0.005
    address, stop = upload(bucket, shards), 2 * num_batches()
    cache_gb = room_for(shards, 3)
    expected = {
        seed: [hashes([b])[0][0] for b in loader(local(shards), seed=seed).batches(0, stop)]
        for seed in (0, 1)
    }
    said = {seed: tmp_path / f"said{seed}" for seed in (0, 1)}
    exit_codes = []
    for kill_after in (3, 9, 14, None):
        running = {
            seed: started(address, cache_gb, {"seed": seed}, len(lines_of(path)), stop, path)
            for seed, path in said.items()
        }
        for seed, process in running.items():
            while kill_after and len(lines_of(said[seed])) < kill_after and process.is_alive():
                time.sleep(0.01)
            if kill_after:
                process.kill()  # unless it has already finished
            process.join(60)
            exit_codes.append(process.exitcode)
    assert exit_codes.count(-signal.SIGKILL) >= 3
    assert exit_codes[-2:] == [0, 0]
    assert {seed: lines_of(path) for seed, path in said.items()} == expected


def test_the_processes_of_one_run_fetch_each_shard_once(bucket, shards, tmp_path):
    address, cache_gb = upload(bucket, shards), room_for(shards, 4)
    ranks = [{"rank": rank, "world_size": 2} for rank in (0, 1)]
    said = [tmp_path / f"said{rank}" for rank in (0, 1)]
    barrier = fork.Barrier(2, timeout=60)
    running = [
        started(address, cache_gb, options, 0, num_batches(), path, barrier.wait)
        for options, path in zip(ranks, said, strict=True)
    ]
    for process in running:
        process.join(60)
    for options, path in zip(ranks, said, strict=True):
        batches = loader(local(shards), **options).batches(0, num_batches())
        assert lines_of(path) == [hashes([batch])[0][0] for batch in batches]
    needed = sum(path.stat().st_size for path in shards.glob("*.tar"))
    sent = sum(count for path, count in bucket.sent.items() if path.endswith(".tar"))
    assert needed <= sent <= 1.05 * needed


@pytest.mark.parametrize(
    "fault",
    [
        Fault(".tar", status=500, times=3),
        Fault(".tar", status=503, after=5, times=3),
        Fault(".tar", keep=0.5, times=3),
        Fault(".tar", seconds=0.6, times=2),  # longer than the timeout of a request
        Fault(".tar", seconds=0.1, times=5),  # slow, but within the timeout
        Fault(INDEX, status=500, times=2),
        Fault(INDEX, keep=0.3, times=2),
    ],
    ids=lambda f: f"{f.path}-{f.status or ''}{f.keep}-{f.seconds}",
)
def test_transient_faults_are_retried_and_change_no_batch(bucket, shards, monkeypatch, fault):
    monkeypatch.setattr(network, "TIMEOUT_SECONDS", 0.4)
    address = upload(bucket, shards)
    bucket.faults.append(fault)
    theirs = hashes(loader(webdataset(address), num_workers=2).batches(0, num_batches()))
    assert theirs == hashes(loader(local(shards)).batches(0, num_batches()))
    assert fault.seen >= fault.after + fault.times


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (
            Fault("/5.tar", status=500),
            r"5\.tar: failed after 6 attempts \(HTTP 500 .*\)\. Rerun the command to resume",
        ),
        (Fault("/5.tar", status=403), r"5\.tar: access denied \(HTTP 403 .*Check the credentials"),
        (Fault(".tar", status=403, after=5), r"tar: access denied \(HTTP 403"),
        (Fault("/5.tar", status=404), r"5\.tar: no such file"),
        (Fault("/5.tar", keep=0.5), r"5\.tar: failed after \d+ attempts"),
        (Fault("/5.tar", seconds=0.6), r"5\.tar: failed after 6 attempts \(no response within 0.4 s\)"),
    ],
)
def test_a_persistent_fault_stops_the_run_and_the_resumed_run_has_the_same_batches(
    bucket, shards, monkeypatch, fault, sentence
):
    monkeypatch.setattr(network, "TIMEOUT_SECONDS", 0.4)
    pairs = webdataset(upload(bucket, shards), cache_gb=room_for(shards, 3))
    assert pairs.num_pairs
    bucket.faults.append(fault)
    before = []
    batches = (hashes([b])[0] for b in loader(pairs, num_workers=2).batches(0, num_batches()))
    with pytest.raises(PerceptInitError, match=sentence):
        before.extend(batches)  # keeps the batches before the error
    bucket.faults.clear()
    again = webdataset(upload_address(bucket), cache_gb=room_for(shards, 3))
    after = [hashes([b])[0] for b in loader(again).batches(len(before), num_batches())]
    assert before + after == [hashes([b])[0] for b in loader(local(shards)).batches(0, num_batches())]


def upload_address(bucket):
    return bucket.url + f"/set/{{0..{NUM_SHARDS - 1}}}.tar"


def test_a_network_lost_within_an_epoch_stops_the_run_with_the_shard(shards):
    before = []
    with ObjectStore() as bucket:
        pairs = webdataset(upload(bucket, shards), cache_gb=room_for(shards, 3))
        batches = loader(pairs).batches(0, num_batches())
        before = [hashes([next(batches)])[0] for _ in range(4)]
    with pytest.raises(DataError, match=r"\.tar: failed after 6 attempts"):
        list(batches)
    with ObjectStore() as bucket:
        again = webdataset(upload(bucket, shards), cache_gb=room_for(shards, 3))
        after = [hashes([b])[0] for b in loader(again).batches(4, num_batches())]
    assert before + after == [hashes([b])[0] for b in loader(local(shards)).batches(0, num_batches())]


def test_weights_after_a_lost_server_and_a_resume_equal_those_of_local_shards(bucket, shards):
    config = Clip.Config(epochs=1, batch_size=8, lr=1e-3, warmup_steps=2, shuffle_blocks=2)
    ours = model()
    list(Clip(config, local(shards)).steps(ours, context()))
    address, cache_gb = upload(bucket, shards), room_for(shards, 3)
    stopped, clip = model(), Clip(config, webdataset(address, cache_gb=cache_gb))
    steps = clip.steps(stopped, context())
    for _ in range(4):
        next(steps)
    saved = copy.deepcopy([stopped.state_dict(), clip.state_dict()])
    bucket.faults.append(Fault(".tar", status=503))
    with pytest.raises(DataError, match="HTTP 503"):
        list(steps)
    bucket.faults.clear()
    theirs, again = model(), Clip(config, webdataset(address, cache_gb=cache_gb))
    theirs.load_state_dict(saved[0])
    again.load_state_dict(saved[1])
    list(again.steps(theirs, context()))
    assert again.data_sha256 != clip.data_sha256
    for name, weights in ours.state_dict().items():
        assert torch.equal(weights, theirs.state_dict()[name]), name


def test_a_shard_that_changes_between_index_and_fetch_stops_the_run(bucket, shards, tmp_path):
    address = upload(bucket, shards)
    changed = tmp_path / "5.tar"
    write_shard(changed, 5, size=20)  # other images, so that headers state other sizes
    data = changed.read_bytes()
    bucket.put("/set/5.tar", data.ljust((shards / "5.tar").stat().st_size, b"\0"))
    pairs = webdataset(address)
    with pytest.raises(PerceptInitError, match=r"5\.tar: differs from its index. Create the index again"):
        list(loader(pairs).batches(0, num_batches()))
    with pytest.raises(DataError, match=r"5\.tar: differs from its index"):
        pairs.pair(5 * PER_SHARD + 3)


def test_a_shard_replaced_by_one_of_the_same_layout_is_detected_by_its_etag(bucket, shards, tmp_path):
    address = upload(bucket, shards)
    paths = sorted(shards.glob("*.tar"))
    write_index(tmp_path / INDEX, [scanned(path, "v1") for path in paths])
    bucket.put(f"/set/{INDEX}", (tmp_path / INDEX).read_bytes())
    bucket.put("/set/5.tar", bucket.files["/set/5.tar"].replace(b"image", b"IMAGE"))
    with pytest.raises(PerceptInitError, match=r"5\.tar: has changed \("):
        list(loader(webdataset(address)).batches(0, num_batches()))
    with pytest.raises(DataError, match=r"5\.tar: has changed \("):
        webdataset(address).pair(5 * PER_SHARD)


def test_a_shard_replaced_between_epochs_stops_the_run_without_etags_in_the_index(bucket, shards):
    address = upload(bucket, shards)
    batches = loader(webdataset(address, cache_gb=room_for(shards, 3))).batches(0, 2 * num_batches())
    for _ in range(num_batches() - 4):
        next(batches)
    for name in list(bucket.files):
        bucket.put(name, bucket.files[name].replace(b"image", b"IMAGE"))
    with pytest.raises(PerceptInitError, match=r"\.tar: has changed \("):
        list(batches)


def test_a_full_disk_stops_the_run_with_the_space_that_it_needs(bucket, shards, monkeypatch):
    pairs = webdataset(upload(bucket, shards), cache_gb=1.0)
    assert pairs.num_pairs
    full = lambda path: type("Usage", (), {"free": fetched.SPARE_BYTES + 500})  # noqa: E731
    monkeypatch.setattr(fetched.shutil, "disk_usage", full)
    with pytest.raises(WriteError, match=r"0\.1 MB are needed, and 0\.0 MB are free .*Free disk space"):
        list(loader(pairs).batches(0, num_batches()))


def test_preflight_reports_a_cache_that_is_smaller_than_a_shard(bucket, shards):
    (problem,) = webdataset(upload(bucket, shards), cache_gb=1e-6).preflight()
    assert problem.startswith("cache_gb: the cache in ")
    assert "may take 1e-06 GB, but the largest piece of the data takes" in problem
    assert webdataset(upload_address(bucket), cache_gb=room_for(shards, 3)).max_shuffle_blocks == 2


def test_a_pair_outside_the_plan_is_fetched_with_one_range_request(bucket, shards):
    pairs = webdataset(upload(bucket, shards))
    assert pairs.num_pairs
    bucket.requests.clear()
    bucket.sent.clear()
    assert pairs.pair(40) == local(shards).pair(40)
    assert bucket.requests == {"/set/3.tar": 1}
    assert sum(bucket.sent.values()) < (shards / "3.tar").stat().st_size / 4


def wids_of(shards):
    rows = [{"url": f"{i}.tar", "nsamples": PER_SHARD} for i in range(NUM_SHARDS)]
    return json.dumps({"__kind__": "wids-shard-index-v1", "shardlist": rows}).encode()


def test_a_wids_index_is_sufficient(bucket, shards):
    address = upload(bucket, shards)
    del bucket.files[f"/set/{INDEX}"]
    bucket.put(f"/set/{WIDS_INDEX}", wids_of(shards))
    pairs = webdataset(address)
    assert list(pairs.preflight()) == []
    assert pairs.pair(40) == local(shards).pair(40)
    theirs = hashes(loader(pairs, num_workers=2).batches(0, num_batches()))
    assert theirs == hashes(loader(local(shards)).batches(0, num_batches()))


def test_a_wids_index_with_a_wrong_count_stops_the_run(bucket, shards):
    address = upload(bucket, shards)
    bucket.put("/wids.json", wids_of(shards).replace(b"12}", b"13}", 1))
    pairs = webdataset(address, index=bucket.url + "/wids.json")
    with pytest.raises(
        PerceptInitError, match=r"0\.tar: 12 samples .* index states 13\. Create the index again: perc"
    ):
        list(loader(pairs).batches(0, num_batches()))


def test_missing_indexes_are_reported_with_the_command_that_creates_them(bucket, shards):
    address = upload(bucket, shards)
    del bucket.files[f"/set/{INDEX}"]
    (problem,) = webdataset(address).preflight()
    assert problem == (
        f"{bucket.url}/set: no index (shards.index or shardindex.json) next to the shards. Run perceptinit "
        "data index SHARDS (reports the cost first)"
    )
    assert sum(bucket.sent.values()) == 0


def test_a_signature_is_sent_with_each_request_and_never_stored(bucket, shards, tmp_path):
    pairs = webdataset(upload(bucket, shards) + "?X-Amz-Signature=secret")
    theirs = hashes(loader(pairs).batches(0, 4))
    assert theirs == hashes(loader(local(shards)).batches(0, 4))
    assert set(bucket.queries) == {"X-Amz-Signature=secret"}
    kept = list((tmp_path / "cache").rglob("*"))
    assert len(kept) > 5
    assert not any("secret" in path.name for path in kept)
    assert not any(b"secret" in path.read_bytes() for path in kept if path.is_file())


def test_shards_without_captions_are_reported_with_their_members(bucket, shards):
    (problem,) = webdataset(upload(bucket, shards), text_member="json").preflight()
    assert problem.endswith("and a text (.json). Members: png, txt")


def test_an_index_file_equals_a_scan(shards):
    index = read_index(shards / INDEX)
    for found in map(scanned, sorted(shards.glob("*.tar"))):
        read = index[found.name]
        assert read.extensions == found.extensions
        for name, column in found.columns.items():
            assert np.array_equal(read.columns[name], column), name


def test_remote_shards_are_indexed_after_their_cost_is_confirmed(bucket, shards, tmp_path, capsys):
    address, out = upload(bucket, shards), tmp_path / "made.index"
    del bucket.files[f"/set/{INDEX}"]
    size = sum(path.stat().st_size for path in shards.glob("*.tar"))
    cost = f"8 shards, {size / 1e9:,.3g} GB, will be read once in about 16 requests"
    with pytest.raises(UsageError, match=f"{cost}. Confirm with --yes"):
        index_verb([address], out, yes=False)
    assert sum(bucket.sent.values()) == 0
    index_verb([address], out, yes=True)
    assert capsys.readouterr().out == f"{cost}\n{cost}\n{out}: index of 8 shards\n"
    assert everything(webdataset(address, index=str(out))) == everything(local(shards))


def test_indexing_remote_shards_respects_the_cache_limit_and_empties_the_cache(
    bucket, shards, tmp_path, monkeypatch
):
    address, sizes = upload(bucket, shards), []
    used, fetch = FetchedCache._used, FetchedCache._receive
    monkeypatch.setattr(
        FetchedCache, "_receive", lambda cache, *args: [fetch(cache, *args), sizes.append(used(cache))][0]
    )
    index_verb([address], tmp_path / "made.index", room_for(shards, 2), yes=True)
    assert 0 < max(sizes) <= room_for(shards, 2) * 1e9
    assert used(FetchedCache()) == 0
    with pytest.raises(DataError, match=r"no space for it in the cache .*; raise --cache-gb"):
        index_verb([address], tmp_path / "made.index", 1e-9, yes=True)


def test_a_run_that_starts_with_a_cache_above_its_limit_trims_it(bucket, shards):
    address = upload(bucket, shards)
    list(loader(webdataset(address)).batches(0, num_batches()))
    assert FetchedCache()._used() > room_for(shards, 3) * 1e9
    pairs = webdataset(address, cache_gb=room_for(shards, 3))
    with pairs.read_ahead([]):
        assert 0 < FetchedCache()._used() <= room_for(shards, 3) * 1e9


def test_an_interrupted_index_of_remote_shards_resumes_without_rereading_shards(
    bucket, shards, tmp_path, capsys
):
    address = upload(bucket, shards)
    del bucket.files[f"/set/{INDEX}"]
    index_verb([address], tmp_path / "whole.index", yes=True)
    shutil.rmtree(tmp_path / "cache/shards")
    fault = Fault(path="/set/6.tar", status=403, after=1)  # the size request succeeds
    bucket.faults.append(fault)
    with pytest.raises(DataError, match="access denied"):
        index_verb([address], tmp_path / "made.index", yes=True)
    shutil.rmtree(tmp_path / "cache/shards")  # as if other data had evicted them
    bucket.faults.clear()
    bucket.sent.clear()
    capsys.readouterr()
    index_verb([address], tmp_path / "made.index", yes=True)
    assert re.match(r"[1-4] shards, .* requests; [4-7] are already indexed\n", capsys.readouterr().out)
    assert "/set/6.tar" in bucket.sent
    assert "/set/0.tar" not in bucket.sent
    assert (tmp_path / "made.index").read_bytes() == (tmp_path / "whole.index").read_bytes()
    assert not list((tmp_path / "cache/tar-indexes").glob("*.index"))


def test_a_shard_that_changed_since_an_interrupted_index_is_read_again(bucket, shards, tmp_path, monkeypatch):
    address = upload(bucket, shards)
    with monkeypatch.context() as patch:
        patch.setattr(indexing, "write_index", fails_at(tmp_path / "made.index"))
        with pytest.raises(WriteError, match="no room"):
            index_verb([address], tmp_path / "made.index", yes=True)
    write_shard(tmp_path / "other.tar", 99)
    bucket.put("/set/3.tar", (tmp_path / "other.tar").read_bytes())
    bucket.sent.clear()
    index_verb([address], tmp_path / "made.index", yes=True)
    assert list(bucket.sent) == ["/set/3.tar"]
    assert everything(webdataset(address, index=str(tmp_path / "made.index")))


def fails_at(place):
    def write(path, *rest):
        if path == place:
            raise WriteError(path, "no room")
        write_index(path, *rest)

    return write


def test_a_server_that_compresses_is_refused_at_its_first_response(bucket, shards):
    pairs = webdataset(upload(bucket, shards))
    assert pairs.num_pairs == NUM_SHARDS * PER_SHARD
    bucket.compresses = True
    bucket.requests.clear()
    with pytest.raises(DataError, match=r"0\.tar: the server compresses the file .*use a local copy"):
        pairs.pair(0)
    assert sum(bucket.requests.values()) == 1


def test_an_index_cannot_be_written_to_a_web_server(bucket, shards):
    with pytest.raises(UsageError, match=r"cannot write to a web server\. Write the index with --out FILE"):
        index_verb([upload(bucket, shards)], None, yes=True)


def test_the_index_of_local_shards_is_written_next_to_them_and_works_after_an_upload(
    bucket, tmp_path, capsys
):
    for number in range(NUM_SHARDS):
        write_shard(tmp_path / f"{number}.tar", number)
    index_verb([str(tmp_path)], None, yes=False)
    assert capsys.readouterr().out == f"{tmp_path / INDEX}: index of 8 shards\n"
    assert everything(webdataset(upload(bucket, tmp_path))) == everything(local(tmp_path))


@pytest.mark.parametrize("data", [b"", b"\xff" * 40, b"\x02\0\0\0\0\0\0\0{}", b"\x02\0\0\0\0\0\0\0[]"])
def test_an_invalid_index_is_refused(bucket, shards, data):
    address = upload(bucket, shards)
    bucket.put(f"/set/{INDEX}", data)
    (problem,) = webdataset(address).preflight()
    assert f"{INDEX}: not an index of shards (" in problem
    assert problem.endswith(". Create it again: perceptinit data index")


def everything(pairs):
    return [pairs.num_pairs, *(pairs.pair(i) for i in range(0, pairs.num_pairs, 7))]
