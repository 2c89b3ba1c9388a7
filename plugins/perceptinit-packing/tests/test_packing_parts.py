"""`perceptinit data pack --part 3/64`: several machines write the same bytes as one machine."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest
from helpers.file_operations import states
from perceptinit_packing import pack as packing
from perceptinit_packing.parts import Part
from perceptinit_packing.sources import Columns
from test_packing import (
    captions_folder,
    class_folders,
    encoded,
    files,
    pairs_of,
    run,
    write,
    write_parquet,
)

from perceptinit.plugin import DataError, UsageError, WebdatasetPairs


def table(path):
    labels = pa.array([2, 0, 1, 1, 0], pa.int8())
    names = ["dog", "ant", "cat", "cat", "ant"]
    images = [encoded(i) for i in range(5)]
    return write_parquet(path, image=images, label=labels, name=names)


SOURCES = {
    "captions": (captions_folder, Columns(text="caption"), {}),
    "class folders": (class_folders, Columns(), {"templates": ("a {c}", "one {c}")}),
    "test set": (class_folders, Columns(), {"templates": ("a {c}",), "test_set": True}),
    "table": (table, Columns(label="label", class_name="name"), {"templates": ("a {c}",)}),
}


@pytest.mark.parametrize("what", SOURCES)
@pytest.mark.parametrize("num_parts", [1, 2, 7])
def test_all_parts_in_any_order_and_a_last_call_write_what_one_packing_writes(tmp_path, what, num_parts):
    make, columns, settings = SOURCES[what]
    source = make(tmp_path / ("in.parquet" if what == "table" else "in"))
    run(source, tmp_path / "one", columns, shard_size=1, **settings)
    for number in range(num_parts, 0, -1):
        part = Part(number, num_parts)
        run(source, tmp_path / "many", columns, shard_size=1, part=part, **settings)
    before = {name for name in files(tmp_path / "many") if name.endswith(".tar")}
    assert before == {name for name in files(tmp_path / "one") if name.endswith(".tar")}
    last = run(source, tmp_path / "many", columns, shard_size=1, **settings)
    assert last.kept == last.num_shards
    assert files(tmp_path / "many") == files(tmp_path / "one")


def test_parts_are_neighbours_that_leave_nothing_out():
    assert [list(Part(n, 3).of(range(8))) for n in (1, 2, 3)] == [[0, 1], [2, 3, 4], [5, 6, 7]]


def test_the_last_call_packs_what_no_part_has_packed(tmp_path):
    source = captions_folder(tmp_path / "in", 6)
    run(source, tmp_path / "one", shard_size=2)
    run(source, tmp_path / "many", shard_size=2, part=Part(2, 3))
    assert run(source, tmp_path / "many", shard_size=2).kept == 1
    assert files(tmp_path / "many") == files(tmp_path / "one")


def test_a_part_that_is_packed_again_changes_nothing_before_and_after_the_last_call(tmp_path):
    source = captions_folder(tmp_path / "in", 6)
    for settings in ({"part": Part(2, 3)}, {}):
        run(source, tmp_path / "out", shard_size=2, **settings)
        before = files(tmp_path / "out")
        assert run(source, tmp_path / "out", shard_size=2, part=Part(2, 3)).kept == 1
        assert files(tmp_path / "out") == before


def test_parts_at_the_same_time_in_one_folder_write_what_one_packing_writes(tmp_path):
    source = captions_folder(tmp_path / "in", 60)
    run(source, tmp_path / "one", shard_size=2)
    with ThreadPoolExecutor(6) as pool:
        parts = [Part(number, 6) for number in range(1, 7)]
        list(pool.map(lambda p: run(source, tmp_path / "many", shard_size=2, part=p), parts))
    assert run(source, tmp_path / "many", shard_size=2).kept == 30
    assert files(tmp_path / "many") == files(tmp_path / "one")


def test_folders_of_machines_without_a_common_disk_are_put_together(tmp_path):
    source = captions_folder(tmp_path / "in", 6)
    run(source, tmp_path / "one", shard_size=2)
    for number in (1, 2):
        run(source, tmp_path / str(number), shard_size=2, part=Part(number, 2))
        shutil.copytree(tmp_path / str(number), tmp_path / "many", dirs_exist_ok=True)
    assert run(source, tmp_path / "many", shard_size=2).kept == 3
    assert files(tmp_path / "many") == files(tmp_path / "one")


def test_a_part_that_begins_leaves_what_another_has_half_written(tmp_path, monkeypatch):
    source = captions_folder(tmp_path / "in", 6)
    write_shard = packing.write_shard

    def while_another_part_begins(source_, shard, path, *rest):
        if shard.name == "000000.tar":
            half = path.with_name(f".{path.name}.1-abcdef.tmp")
            half.write_bytes(b"half")
            run(source, tmp_path / "out", shard_size=2, part=Part(3, 3))
            assert half.read_bytes() == b"half"
        return write_shard(source_, shard, path, *rest)

    monkeypatch.setattr(packing, "write_shard", while_another_part_begins)
    run(source, tmp_path / "out", shard_size=2, part=Part(1, 3))
    monkeypatch.setattr(packing, "write_shard", write_shard)
    run(source, tmp_path / "out", shard_size=2, part=Part(1, 3))
    assert not list((tmp_path / "out").glob("*.tmp"))  # left by a killed call of the same part


def test_a_part_of_other_options_is_refused_and_changes_nothing(tmp_path):
    source = captions_folder(tmp_path / "in", 6)
    run(source, tmp_path / "out", shard_size=2, part=Part(1, 2))
    before = files(tmp_path / "out")
    for settings in ({"part": Part(2, 2)}, {}):
        with pytest.raises(UsageError) as caught:
            run(source, tmp_path / "out", shard_size=3, **settings)
        assert str(caught.value) == (
            f"{tmp_path / 'out'} contains another dataset (shard_size was 2, now 3). "
            "Choose another folder, or remove this one"
        )
    assert files(tmp_path / "out") == before


def test_a_run_on_parts_without_the_last_call_is_refused(tmp_path):
    source = captions_folder(tmp_path / "in", 6)
    run(source, tmp_path / "out", shard_size=2, part=Part(1, 2))
    pairs = WebdatasetPairs(WebdatasetPairs.Config(shards=str(tmp_path / "out" / "*.tar")))
    (problem,) = pairs.preflight()
    assert problem.endswith(
        "packing is not finished. Rerun the same `perceptinit data pack` command without --part"
    )


def test_what_may_be_unreadable_is_a_share_of_the_whole_for_each_part_and_for_all(tmp_path):
    source = captions_folder(tmp_path / "in", 10)
    for number in (0, 1, 9):
        write(source / f"{number}.png", b"no image")
    allowed = {"shard_size": 1, "max_bad_share": 0.2}
    run(source, tmp_path / "out", part=Part(1, 2), **allowed)
    run(source, tmp_path / "out", part=Part(2, 2), **allowed)
    with pytest.raises(DataError, match=r"--max-bad-share 0\.2 allows 2\. All are listed in unreadable\.txt"):  # fmt: skip
        run(source, tmp_path / "out", **allowed)
    with pytest.raises(DataError, match=r"All are listed in unreadable\.1-of-2\.txt"):
        run(source, tmp_path / "out", shard_size=1, max_bad_share=0.1, part=Part(1, 2))
    assert len((tmp_path / "out" / "unreadable.1-of-2.txt").read_text().splitlines()) == 2
    run(source, tmp_path / "out", shard_size=1, max_bad_share=0.3)
    run(source, tmp_path / "one", shard_size=1, max_bad_share=0.3)
    assert files(tmp_path / "out") == files(tmp_path / "one")
    assert len(pairs_of(tmp_path / "out")) == 7


@pytest.mark.parametrize("text", ["0/64", "65/64", "3/0", "3", "3/64/1", "-1/4", "three/64", "²/4"])
def test_an_invalid_part_is_refused(text):
    with pytest.raises(UsageError) as caught:
        Part.parse(text)
    assert str(caught.value) == (
        f"--part {text}: expected a part number, from 1, and the number of parts, such as 3/64"
    )


def test_the_command_packs_a_part_and_prints_the_next_command(cli, tmp_path):
    source = captions_folder(tmp_path / "in")
    write(source / "1.png", b"no image")
    options = ("--max-bad-share", "0.5", "--shard-size", "3")
    done = cli("data", "pack", source, "out", *options, "--part", "1/2")
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "out: 2 samples in 1 shards (0.0 MB)\n"
        "When all parts are finished, run the same command without --part to write the index.\n"
    )
    assert "skipped and will be listed in out/unreadable.txt" in done.stderr


def content(folder):
    return {str(p.relative_to(folder)): p.is_file() and p.read_bytes() for p in folder.rglob("*")}


@pytest.mark.parametrize("is_test_set", [False, True])
@pytest.mark.parametrize("parts", [(None,), (Part(2, 2), Part(1, 2), None)])
def test_a_packing_killed_at_any_file_operation_ends_as_one_left_alone(tmp_path, is_test_set, parts):
    source = class_folders(tmp_path / "source")
    settings = {"shard_size": 1, "templates": ("a {c}",), "test_set": is_test_set}

    def work(folder):
        for part in parts:
            run(source, folder, num_workers=1, part=part, **settings)

    run(source, tmp_path / "alone", **settings)
    expected = content(tmp_path / "alone")
    for name, state in states(tmp_path / "killed", work, tmp_path / "killed"):
        work(state)
        assert content(state) == expected, name
