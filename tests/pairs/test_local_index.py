"""The index of local shards: created once, shared by all processes, and small in memory."""

import multiprocessing
import os
import random
import shutil
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from helpers.tars import write_tar
from safetensors.numpy import save_file

from perceptinit.errors import DataError
from perceptinit.pairs import local_index
from perceptinit.pairs.indexing import index_local
from perceptinit.pairs.local_index import index_shards
from perceptinit.pairs.shard_index import (
    INDEX,
    ShardIndex,
    read_index,
    scan,
    write_index,
)
from perceptinit.pairs.shard_samples import CompleteSamples, select_local
from perceptinit.pairs.tar_file import TarFile
from perceptinit.pairs.webdataset_pairs import WebdatasetPairs

MEMBERS = (("jpg", "png"), ("txt",))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PERCEPTINIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(local_index, "_KEPT_FROM_BYTES", 1)
    monkeypatch.setattr(local_index, "_damaged", {})
    return tmp_path / "cache" / "tar-indexes"


def write_shard(path, *samples):
    """Write samples: a stem and the extensions of its members, such as "a jpg txt"."""
    members = []
    for stem, *extensions in map(str.split, samples):
        members += [(f"{stem}.{extension}", f"{extension} of {stem}".encode()) for extension in extensions]
    return write_tar(path, members)


def webdataset(shards):
    return WebdatasetPairs(WebdatasetPairs.Config(shards=str(shards), max_incomplete_share=0.9))


def keys(shards):
    pairs = webdataset(shards)
    return [pairs.pair(i).key for i in range(pairs.num_pairs)]


def refuse_to_scan(monkeypatch):
    monkeypatch.setattr(TarFile, "members", lambda self, start=0: pytest.fail("scanned again"))


def test_an_existing_index_is_read_without_a_scan(tmp_path, monkeypatch):
    for number in range(3):
        write_shard(tmp_path / f"{number}.tar", "a jpg txt", "b jpg txt")
    made = [rows_of(shard) for shard in index_shards(paths_in(tmp_path))]
    refuse_to_scan(monkeypatch)
    assert [rows_of(shard) for shard in index_shards(paths_in(tmp_path))] == made


def rows_of(shard):
    return CompleteSamples(shard, MEMBERS).rows().tolist()


def paths_in(folder):
    return sorted(folder.glob("*.tar"))


def test_only_changed_and_new_shards_are_scanned(tmp_path, monkeypatch):
    for number in range(3):
        write_shard(tmp_path / f"{number}.tar", "a jpg txt")
    index_shards(paths_in(tmp_path))
    write_shard(tmp_path / "1.tar", "a jpg txt", "b jpg txt")
    write_shard(tmp_path / "3.tar", "c jpg txt")
    scanned = []
    monkeypatch.setattr(
        local_index,
        "scan",
        lambda tar, version: [scanned.append(tar.path.name), scan(tar, version)][1],
    )
    assert keys(tmp_path / "*.tar") == ["0.tar/a", "1.tar/a", "1.tar/b", "2.tar/a", "3.tar/c"]
    assert sorted(scanned) == ["1.tar", "3.tar"]


def test_a_shard_with_a_changed_time_is_scanned_again(tmp_path):
    path = write_shard(tmp_path / "0.tar", "a jpg txt")
    index_shards([path])
    write_shard(path, "b jpg txt")
    os.utime(path, ns=(1, 1))
    assert keys(path) == ["0.tar/b"]


def test_index_files_of_replaced_shards_are_removed(tmp_path, cache):
    path = write_shard(tmp_path / "0.tar", "a jpg txt")
    index_shards([path])
    (old,) = cache.glob("*.index")
    write_shard(path, "a jpg txt", "b jpg txt")
    index_shards([path])
    (new,) = cache.glob("*.index")
    assert new != old


@pytest.mark.parametrize("shards_in_file", [1, 2, 512])
def test_an_interruption_loses_at_most_one_file_of_the_index(tmp_path, cache, monkeypatch, shards_in_file):
    for number in range(5):
        write_shard(tmp_path / f"{number}.tar", "a jpg txt")
    monkeypatch.setattr(local_index, "_SHARDS_IN_FILE", shards_in_file)
    with monkeypatch.context() as context:
        context.setattr(local_index, "scan", until("4.tar"))
        with pytest.raises(KeyboardInterrupt):
            index_shards(paths_in(tmp_path))
    assert len(list(cache.glob("*.index"))) == 4 // shards_in_file
    assert len(keys(tmp_path / "*.tar")) == 5


def until(name):
    def interrupted(tar, version):
        if tar.path.name == name:
            raise KeyboardInterrupt
        return scan(tar, version)

    return interrupted


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: b"\xff" * len(data),
        lambda data: data.replace(b'\\"num_samples\\": 2', b'\\"num_samples\\": 3'),
        lambda data: data[:-5] + bytes([data[-5] ^ 1]) + data[-4:],
    ],
)
def test_a_damaged_index_is_reported_and_created_again(tmp_path, cache, monkeypatch, damage):
    path = write_shard(tmp_path / "0.tar", "a jpg txt", "b jpg txt")
    index_shards([path])
    (index,) = cache.glob("*.index")
    whole = index.read_bytes()
    index.write_bytes(damage(whole))
    assert index.read_bytes() != whole
    assert list(webdataset(path).warnings()) == []
    pairs = webdataset(path)
    assert list(pairs.preflight()) == []
    assert list(pairs.warnings()) == [
        f"{tmp_path}: the cached index in {cache} was damaged or from another version. The shards were scanned again"
    ]
    assert index.read_bytes() == whole
    refuse_to_scan(monkeypatch)
    index_shards([path])


def test_an_index_that_another_process_removes_is_not_reported_as_damaged(tmp_path, monkeypatch):
    path = write_shard(tmp_path / "0.tar", "a jpg txt")
    index_shards([path])

    def read_too_late(file):
        file.unlink()
        return read_index(file)

    with monkeypatch.context() as context:
        context.setattr(local_index, "read_index", read_too_late)
        context.setattr(local_index._KeptIndex, "sweep", lambda self: None)
        context.setattr(local_index._KeptIndex, "keep", lambda self, scanned: {})
        assert index_shards([path])[0].num_samples == 1
    assert list(webdataset(path).warnings()) == []


def test_damaged_shards_are_reported_and_other_shards_are_indexed(tmp_path, monkeypatch):
    write_shard(tmp_path / "0.tar", "a jpg txt")
    write_shard(tmp_path / "1.tar", "a jpg txt").write_bytes(b"no tar" * 200)
    first, second = index_shards(paths_in(tmp_path))
    assert first.num_samples == 1
    assert isinstance(second, DataError)
    refuse_to_scan(monkeypatch)
    assert index_shards([tmp_path / "0.tar"])[0].num_samples == 1


def test_shards_are_read_without_a_writable_cache_folder(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PERCEPTINIT_CACHE", str(tmp_path / "file"))
    assert keys(write_shard(tmp_path / "0.tar", "a jpg txt")) == ["0.tar/a"]


def test_small_shards_are_not_cached(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(local_index, "_KEPT_FROM_BYTES", 4 << 20)
    assert keys(write_shard(tmp_path / "0.tar", "a jpg txt")) == ["0.tar/a"]
    assert not cache.exists()


def make_index(folder, counts):
    """Create the index in a process and report the number of scans."""
    local_index._KEPT_FROM_BYTES = 1
    scanned = []
    local_index.scan = lambda tar, version: [scanned.append(tar), scan(tar, version)][1]
    counts.put((len(index_shards(paths_in(folder))), len(scanned)))


def test_two_concurrent_processes_create_one_index(tmp_path, cache):
    for number in range(6):
        write_shard(tmp_path / f"{number}.tar", *(f"{sample} jpg txt" for sample in range(50)))
    fork = multiprocessing.get_context("fork")
    counts = fork.Queue()
    processes = [fork.Process(target=make_index, args=(tmp_path, counts)) for _ in range(2)]
    for process in processes:
        process.start()
    results = [counts.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    assert sorted(results) == [(6, 0), (6, 6)]
    assert len(list(cache.glob("*.index"))) == 1


@pytest.mark.parametrize("seed", range(10))
def test_samples_read_by_the_index_equal_those_of_a_scan(tmp_path, seed):
    kinds = (
        "jpg txt",
        "txt jpg",
        "png jpg txt",
        "png txt json",
        "jpg",
        "txt",
        "json jpg txt",
        "json",
    )
    rng = random.Random(seed)
    samples = [f"{i} {rng.choice(kinds[: rng.choice((1, 3, 8))])}" for i in range(40)]
    path = write_shard(tmp_path / "0.tar", "first jpg txt", *samples)
    (shard,) = index_shards([path])
    read = select_local([path], [shard], MEMBERS)
    assert [read.shards[0].at(i)[1] for i in range(len(read))] == rows_of(scan(TarFile(path)))
    incomplete = [s for s in samples if "txt" not in s or not {"jpg", "png"} & set(s.split())]
    assert read.num_incomplete == len(incomplete)
    assert read.first_incomplete == (f"0.tar/{incomplete[0].split()[0]}" if incomplete else "")
    assert CompleteSamples(shard, MEMBERS).extensions == {
        e for s in ("x jpg txt", *samples) for e in s.split()[1:]
    }


def test_two_million_pairs_take_little_memory(tmp_path):
    per_shard, num_shards = 10_000, 200
    starts = 4 * np.arange(per_shard, dtype=np.uint32)
    columns = {
        "starts": starts,
        "firsts": 2 * np.arange(per_shard, dtype=np.uint16),
        "codes": np.tile(np.array([0, 1], dtype=np.uint8), per_shard),
        "offsets": np.repeat(starts, 2) + np.tile(np.array([1, 3], dtype=np.uint32), per_shard),
        "sizes": np.full(2 * per_shard, 100, dtype=np.uint8),
    }
    one = ShardIndex("0.tar", 1, "", per_shard, ("jpg", "txt"), [(per_shard, 0, 1)], columns)
    write_index(tmp_path / INDEX, (replace(one, name=f"{i}.tar") for i in range(num_shards)))
    tracemalloc.start()
    try:
        index = read_index(tmp_path / INDEX)
        samples = select_local([tmp_path / name for name in index], index.values(), MEMBERS)
        assert len(samples) == 2_000_000
        write_shard(tmp_path / "150.tar")
        assert samples.shards[150].at(7)[1] == [7 * 2048, 7 * 2048 + 512, 100, 7 * 2048 + 1536, 100]
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def write_shards_with_index(folder, out=None):
    """Write three shards and the index of `perceptinit data index`, and return the pattern of the shards."""
    for number in range(3):
        write_shard(folder / f"{number}.tar", f"{number} jpg txt")
    index_local(paths_in(folder), out)
    return folder / "*.tar"


def test_an_index_next_to_local_shards_is_used_with_an_empty_cache(tmp_path, cache, monkeypatch):
    shards = write_shards_with_index(tmp_path)
    shutil.rmtree(cache)
    refuse_to_scan(monkeypatch)
    assert keys(shards) == ["0.tar/0", "1.tar/1", "2.tar/2"]
    assert not cache.exists()
    assert list(webdataset(shards).warnings()) == []


def test_a_shard_that_changed_after_its_index_is_scanned_with_a_warning(tmp_path):
    shards = write_shards_with_index(tmp_path)
    write_shard(tmp_path / "1.tar", "other jpg txt")
    os.utime(tmp_path / "1.tar", ns=(1, 1))
    pairs = webdataset(shards)
    assert [pairs.pair(i).key for i in range(3)] == ["0.tar/0", "1.tar/other", "2.tar/2"]
    assert list(pairs.warnings()) == [
        f"{tmp_path / INDEX}: outdated for 1 of 3 shards, such as 1.tar. They were "
        f"scanned instead. Write the index again: perceptinit data index {tmp_path}"
    ]


def test_a_damaged_index_next_to_local_shards_is_reported_and_not_used(tmp_path):
    shards = write_shards_with_index(tmp_path)
    (tmp_path / INDEX).write_bytes(b"no index")
    pairs = webdataset(shards)
    assert pairs.num_pairs == 3
    (warning,) = pairs.warnings()
    assert warning.startswith(f"{tmp_path / INDEX}: not an index of shards")
    assert warning.endswith("The shards were scanned instead")


def test_a_recipe_may_name_the_index_of_shards_in_a_read_only_folder(tmp_path, monkeypatch):
    shards = write_shards_with_index(tmp_path / "set", tmp_path / "set.index")
    refuse_to_scan(monkeypatch)
    shutil.rmtree(tmp_path / "cache")
    config = WebdatasetPairs.Config
    assert WebdatasetPairs(config(shards=str(shards), index=str(tmp_path / "set.index"))).num_pairs == 3
    with pytest.raises(DataError, match=r"other\.index"):
        assert WebdatasetPairs(config(shards=str(shards), index=str(tmp_path / "other.index"))).num_pairs


def test_an_index_without_a_checksum_is_rebuilt_in_the_cache(tmp_path, cache):
    path = write_shard(tmp_path / "0.tar", "a jpg txt", "b jpg txt")
    (shard,) = index_shards([path])
    (file,) = cache.glob("*.index")
    rows, columns = rows_of(shard), {name: np.array(column) for name, column in shard.columns.items()}
    save_file(columns, file)  # overwrites the file that `shard` maps
    assert len(keys(path)) == 2
    assert "was damaged or from another version" in next(webdataset(path).warnings())
    assert rows_of(read_index(file)["0.tar"]) == rows


def test_an_index_with_a_flipped_bit_is_refused(tmp_path):
    file, path = tmp_path / INDEX, write_shard(tmp_path / "0.tar", "a jpg txt")
    write_index(file, [scan(TarFile(path))])
    whole = file.read_bytes()
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << at % 8
        file.write_bytes(damaged)
        with pytest.raises(DataError, match=f"{file}: not an index of shards"):
            read_index(file)


def test_a_flipped_bit_in_a_cached_index_never_changes_a_pair(tmp_path, cache):
    path = write_shard(tmp_path / "0.tar", "a jpg txt", "b txt", "c jpg txt")
    pairs = webdataset(path)
    expected = [pairs.pair(i) for i in range(2)]
    (file,) = cache.glob("*.index")
    whole = file.read_bytes()
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << at % 8
        file.write_bytes(damaged)
        pairs = webdataset(path)
        assert [pairs.pair(i) for i in range(pairs.num_pairs)] == expected
        assert file.read_bytes() in (whole, damaged)
