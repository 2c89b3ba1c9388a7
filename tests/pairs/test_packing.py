"""Packed samples equal their source, packing is reproducible and resumes, and errors name the record."""

import io
import json
import os
import random
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.file_operations import states
from helpers.flips import flip
from PIL import Image

from perceptinit.errors import DataError, PerceptInitError, UsageError
from perceptinit.pairs import packing
from perceptinit.pairs.pack_sources import Columns, open_source
from perceptinit.pairs.packing import PackSettings, pack
from perceptinit.pairs.sizes import JOURNAL
from perceptinit.pairs.webdataset_pairs import WebdatasetPairs


def encoded(value=0, size=(6, 4), kind="PNG"):
    file = io.BytesIO()
    Image.new("RGB", size, (value, 0, 0)).save(file, kind)
    return file.getvalue()


def png_of(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def write_parquet(path, **columns):
    pq.write_table(pa.table(columns), path, row_group_size=2)
    return path


def captions_folder(path, num=5):
    for i in range(num):
        write(path / f"{i}.png", encoded(i))
        write(path / f"{i}.txt", f"caption {i}\n")
    return path


def class_folders(path):
    for i, name in enumerate(("cat", "cat", "dog")):
        write(path / name / f"{i}.png", encoded(i))
    return path


def run(source, out, columns=None, classnames=(), **settings):
    opened = open_source(Path(source), columns or Columns(text="caption"), classnames)
    return pack(opened, Path(out), PackSettings(**settings), lambda n: None)


def members(path):
    with tarfile.open(path) as tar:
        return [(m.name, tar.extractfile(m).read()) for m in tar.getmembers()]


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def pairs_of(folder):
    pairs = WebdatasetPairs(WebdatasetPairs.Config(shards=str(folder / "*.tar")))
    assert list(pairs.preflight()) == []
    return [(p.image, p.text) for p in map(pairs.pair, range(pairs.num_pairs))]


# round trips


def test_a_folder_with_captions_becomes_shards_with_the_same_bytes(tmp_path):
    source = captions_folder(tmp_path / "in")
    packed = run(source, tmp_path / "out", shard_size=2)
    assert packed.counts == {"000000.tar": 2, "000001.tar": 2, "000002.tar": 1}
    assert packed.unreadable == []
    assert pairs_of(tmp_path / "out") == [(encoded(i), f"caption {i}") for i in range(5)]
    assert json.loads((tmp_path / "out" / "sizes.json").read_text()) == packed.counts
    assert sorted(files(tmp_path / "out")) == [
        "000000.tar",
        "000001.tar",
        "000002.tar",
        "index.json",
        "sizes.json",
    ]


def test_parquet_bytes_become_shards(tmp_path):
    columns = {"jpg": [encoded(i, kind="JPEG") for i in range(3)], "title": ["a", "b", "c"]}
    source = write_parquet(tmp_path / "t.parquet", **columns)
    run(source, tmp_path / "out", Columns(image="jpg", text="title"))
    assert members(tmp_path / "out" / "000000.tar")[:2] == [
        ("000000000.jpg", columns["jpg"][0]),
        ("000000000.txt", b"a"),
    ]
    assert [text for _, text in pairs_of(tmp_path / "out")] == ["a", "b", "c"]


def test_a_csv_of_paths_becomes_shards(tmp_path):
    write(tmp_path / "images" / "a.png", encoded(1))
    source = write(tmp_path / "t.csv", 'image,caption\nimages/a.png,"one, red"\n')
    run(source, tmp_path / "out")
    assert pairs_of(tmp_path / "out") == [(encoded(1), "one, red")]


def test_class_folders_become_captions_by_templates_and_keep_their_labels(tmp_path):
    templates = ("a photo of a {c}.", "one {c}")
    run(class_folders(tmp_path / "in"), tmp_path / "out", templates=templates)
    texts = ["a photo of a cat.", "one cat", "a photo of a dog."]
    assert [text for _, text in pairs_of(tmp_path / "out")] == texts
    labels = [data for name, data in members(tmp_path / "out" / "000000.tar") if name.endswith("cls")]
    assert labels == [b"0", b"0", b"1"]
    assert (tmp_path / "out" / "classnames.txt").read_text() == "cat\ndog\n"


def test_a_table_with_labels_becomes_a_test_set(tmp_path):
    source = write_parquet(
        tmp_path / "t.parquet",
        image=[encoded(i) for i in range(3)],
        label=pa.array([2, 0, 1], pa.int8()),
        name=["dog", "ant", "cat"],
    )
    columns = Columns(label="label", class_name="name")
    run(source, tmp_path / "out", columns, test_set=True, templates=("a {c}",), shard_size=2)
    out = files(tmp_path / "out")
    assert out["classnames.txt"] == b"ant\ncat\ndog\n"
    assert out["zeroshot_classification_templates.txt"] == b"a {c}\n"
    assert out["test/nshards.txt"] == b"2\n"
    assert members(tmp_path / "out" / "test" / "0.tar") == [
        ("s0000000.cls", b"2"),
        ("s0000000.png", encoded(0)),
        ("s0000001.cls", b"0"),
        ("s0000001.png", encoded(1)),
    ]
    assert [name for name, _ in members(tmp_path / "out" / "test" / "1.tar")] == [
        "s0000002.cls",
        "s0000002.png",
    ]


def test_class_names_of_a_file_determine_the_labels(tmp_path):
    source = write_parquet(tmp_path / "t.parquet", image=[encoded()] * 2, name=["cat", "ant"])
    settings = {"test_set": True, "templates": ("a {c}",)}
    run(source, tmp_path / "out", Columns(class_name="name"), ("dog", "cat", "ant"), **settings)
    labels = [data for name, data in members(tmp_path / "out" / "test" / "0.tar") if "cls" in name]
    assert labels == [b"1", b"2"]


# images


def test_larger_images_are_resized_and_others_keep_their_bytes(tmp_path):
    source = tmp_path / "in"
    for name, size in {"large": (80, 40), "small": (16, 20)}.items():
        write(source / f"{name}.png", encoded(7, size))
        write(source / f"{name}.txt", name)
    run(source, tmp_path / "out", resize=20)
    (large_name, large), _, (small_name, small), _ = members(tmp_path / "out" / "000000.tar")
    assert large_name == "000000000.jpg"
    assert Image.open(io.BytesIO(large)).size == (40, 20)
    assert (small_name, small) == ("000000001.png", encoded(7, (16, 20)))


def test_a_resized_image_keeps_its_transparent_parts(tmp_path):
    source = tmp_path / "in"
    glass = np.zeros((40, 80, 4), dtype=np.uint8)
    glass[:, 40:] = 255
    write(source / "a.png", png_of(glass))
    write(source / "a.txt", "half a pane")
    run(source, tmp_path / "out", resize=20)
    (name, data), _ = members(tmp_path / "out" / "000000.tar")
    smaller = np.asarray(Image.open(io.BytesIO(data)))
    assert name == "000000000.png"
    assert smaller.shape == (20, 40, 4)
    assert (smaller[0, 0, 3], smaller[0, -1, 3]) == (0, 255)


def test_formats_that_few_readers_support_become_png_with_the_same_pixels(tmp_path):
    source = tmp_path / "in"
    write(source / "a.bmp", encoded(9, kind="BMP"))
    write(source / "a.txt", "nine")
    run(source, tmp_path / "out")
    (name, data), _ = members(tmp_path / "out" / "000000.tar")
    assert name == "000000000.png"
    assert np.array_equal(
        np.asarray(Image.open(io.BytesIO(data))), np.asarray(Image.open(io.BytesIO(encoded(9))))
    )


# reproducible, resumable


def test_packing_twice_gives_identical_bytes_for_any_number_of_workers(tmp_path):
    source = captions_folder(tmp_path / "in", 9)
    run(source, tmp_path / "one", shard_size=2, num_workers=1)
    run(source, tmp_path / "two", shard_size=2, num_workers=3)
    assert files(tmp_path / "one") == files(tmp_path / "two")


def stop_at(monkeypatch, name):
    """Interrupt the packing while it writes a shard."""
    write_shard = packing._write_shard

    def write_or_stop(temporary, *rest):
        if name in temporary.name:
            raise KeyboardInterrupt
        return write_shard(temporary, *rest)

    monkeypatch.setattr(packing, "_write_shard", write_or_stop)


def test_an_interrupted_packing_continues_at_the_first_missing_shard(tmp_path, monkeypatch):
    source = captions_folder(tmp_path / "in", 6)
    write(source / "1.png", b"no image")
    settings = {"shard_size": 2, "max_bad_share": 0.5}
    run(source, tmp_path / "whole", **settings)
    with monkeypatch.context() as patch:
        stop_at(patch, "000001.tar")
        with pytest.raises(KeyboardInterrupt):
            run(source, tmp_path / "out", **settings)
    assert [path.name for path in (tmp_path / "out").glob("*.tar")] == ["000000.tar"]
    pairs = WebdatasetPairs(WebdatasetPairs.Config(shards=str(tmp_path / "out" / "*.tar")))
    assert list(pairs.preflight()) == [
        f"{tmp_path / 'out'}: packing is not finished. Rerun the same `perceptinit data pack` command"
    ]
    packed = run(source, tmp_path / "out", **settings)
    assert packed.num_kept == 1
    assert packed.unreadable == ["1.png: cannot be decoded as an image (unknown image format, 8 bytes)"]
    assert files(tmp_path / "out") == files(tmp_path / "whole")


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:2000])])
def test_a_finished_packing_is_kept_and_a_missing_or_truncated_shard_is_written_again(tmp_path, damage):
    source = captions_folder(tmp_path / "in", 6)
    run(source, tmp_path / "out", shard_size=2)
    before = files(tmp_path / "out")
    assert run(source, tmp_path / "out", shard_size=2).num_kept == 3
    damage(tmp_path / "out" / "000001.tar")
    assert run(source, tmp_path / "out", shard_size=2).num_kept == 1
    assert files(tmp_path / "out") == before


def test_a_shard_is_packed_again_if_the_list_of_its_unreadable_records_is_missing(tmp_path):
    source = captions_folder(tmp_path / "in", 6)
    write(source / "3.png", b"no image")
    settings = {"shard_size": 2, "max_bad_share": 0.5}
    run(source, tmp_path / "out", **settings)
    before = files(tmp_path / "out")
    (tmp_path / "out" / "unreadable.txt").unlink()
    assert run(source, tmp_path / "out", **settings).num_kept == 1
    assert files(tmp_path / "out") == before


@pytest.mark.parametrize("is_test_set", [False, True])
def test_a_packing_killed_at_any_file_operation_ends_with_the_same_files(tmp_path, is_test_set):
    source = class_folders(tmp_path / "source")
    write(source / "cat" / "1.png", b"no image")
    settings = {"shard_size": 1, "templates": ("a {c}",), "test_set": is_test_set, "max_bad_share": 0.5}

    def work(folder):
        run(source, folder, num_workers=1, **settings)

    work(tmp_path / "alone")
    expected = files(tmp_path / "alone")
    for name, state in states(tmp_path / "killed", work, tmp_path / "killed"):
        work(state)
        assert files(state) == expected, name


@pytest.mark.parametrize("name", ["index.json", JOURNAL])
def test_a_flipped_digit_or_bit_of_an_index_or_journal_is_reported_or_changes_nothing(
    tmp_path, monkeypatch, name
):
    source = captions_folder(tmp_path / "in", 4)
    run(source, tmp_path / "packed", shard_size=2)
    expected = files(tmp_path / "packed")
    if name == JOURNAL:
        header = json.loads((tmp_path / "packed" / "index.json").read_text())["packing"]
        (tmp_path / "packed" / "index.json").unlink()
        write(tmp_path / "packed" / JOURNAL, json.dumps(header) + "\n")
    rng = random.Random(0)
    for number in range(int(os.environ.get("PERCEPTINIT_FUZZ_EXAMPLES", "20"))):
        out = shutil.copytree(tmp_path / "packed", tmp_path / f"{number}")
        (out / name).write_bytes(flip((out / name).read_bytes(), rng))
        message = ""
        try:
            run(source, out, shard_size=2)
        except PerceptInitError as error:
            message = str(error)
        assert str(out) in message or files(out) == expected
        shutil.rmtree(out)


@pytest.mark.parametrize("text", ["[1, 2]", '{"shards": 3}', '{"packing": [3]}', "{"])
def test_an_index_of_something_else_is_refused(tmp_path, text):
    source = captions_folder(tmp_path / "in", 2)
    run(source, tmp_path / "out")
    write(tmp_path / "out" / "index.json", text)
    with pytest.raises(DataError, match="not the index of a packed dataset; remove it to pack again"):
        run(source, tmp_path / "out")


def test_a_folder_with_another_dataset_is_refused_and_unchanged(tmp_path):
    source = captions_folder(tmp_path / "in")
    run(source, tmp_path / "out", shard_size=2)
    before = files(tmp_path / "out")
    with pytest.raises(UsageError) as caught:
        run(source, tmp_path / "out", shard_size=3)
    assert str(caught.value) == (
        f"{tmp_path / 'out'} contains another dataset (shard_size was 2, now 3). "
        "Choose another folder, or remove this one"
    )
    assert files(tmp_path / "out") == before


def test_a_folder_with_other_files_is_refused_and_unchanged(tmp_path):
    write(tmp_path / "out" / "thesis.tex", "mine")
    with pytest.raises(UsageError, match="out is not empty and contains no packed dataset"):
        run(captions_folder(tmp_path / "in"), tmp_path / "out")
    assert list(files(tmp_path / "out")) == ["thesis.tex"]


# invalid sources


def test_unreadable_images_are_listed_and_skipped(tmp_path):
    source = captions_folder(tmp_path / "in")
    write(source / "1.png", b"no image")
    (source / "3.txt").unlink()
    packed = run(source, tmp_path / "out", max_bad_share=0.4)
    assert [text for _, text in pairs_of(tmp_path / "out")] == [
        "caption 0",
        "caption 2",
        "caption 4",
    ]
    assert packed.counts == {"000000.tar": 3}
    assert packed.unreadable == [
        "1.png: cannot be decoded as an image (unknown image format, 8 bytes)",
        "3.png: no caption",
    ]
    assert (tmp_path / "out" / "unreadable.txt").read_text().splitlines() == packed.unreadable


def test_too_many_unreadable_images_stop_the_packing(tmp_path):
    source = captions_folder(tmp_path / "in", 10)
    for i in (4, 5, 7):
        write(source / f"{i}.png", b"no image")
    with pytest.raises(DataError) as caught:
        run(source, tmp_path / "out", max_bad_share=0.2, shard_size=2)
    assert str(caught.value) == (
        "3 of 10 records are unreadable, but --max-bad-share 0.2 allows 2. All are listed in unreadable.txt; "
        "the last is 7.png: cannot be decoded as an image (unknown image format, 8 bytes)"
    )
    assert len((tmp_path / "out" / "unreadable.txt").read_text().splitlines()) == 3
    assert [p.name for p in (tmp_path / "out").glob("*.tmp")] == []
    run(source, tmp_path / "out", max_bad_share=0.3, shard_size=2)  # the same packing resumes
    assert len(pairs_of(tmp_path / "out")) == 7


@pytest.mark.parametrize(
    ("columns", "wrong", "sentence"),
    [
        (
            {"label": "label", "class_name": "name"},
            {"label": [0, 0], "name": ["cat", "dog"]},
            "t.parquet row 1: label 0 is named 'dog', but 'cat' in an earlier row",
        ),
        (
            {"label": "label", "class_name": "name"},
            {"label": [0, 2], "name": ["cat", "dog"]},
            "no record has label 1, so its class is unnamed. List all names in classes (--classes)",
        ),
        (
            {"label": "label"},
            {"label": [0, -1], "name": ["cat", "dog"]},
            "t.parquet row 1: label -1 is not a whole number >= 0",
        ),
        (
            {"class_name": "name"},
            {"label": [0, 0], "name": ["cat", None]},
            "t.parquet row 1: None is not one of the 1 class names",
        ),
    ],
)
def test_the_error_for_an_invalid_label_names_the_row(tmp_path, columns, wrong, sentence):
    source = write_parquet(tmp_path / "t.parquet", image=[encoded()] * 2, **wrong)
    with pytest.raises(DataError) as caught:
        open_source(source, Columns(**columns))
    assert str(caught.value) == sentence


def test_the_error_for_labels_without_names_names_the_options(tmp_path):
    source = write_parquet(tmp_path / "t.parquet", image=[encoded()], label=[0])
    with pytest.raises(
        DataError, match=r"labels have no class names\. Name their column with --columns class="
    ):
        open_source(source, Columns(label="label"))


def test_the_error_for_an_image_outside_of_the_class_folders_names_it(tmp_path):
    write(class_folders(tmp_path / "in") / "loose.png", encoded())
    with pytest.raises(DataError) as caught:
        open_source(tmp_path / "in", Columns())
    assert str(caught.value) == (
        "loose.png: not in a class folder and without a caption (loose.txt). Add one of them"
    )


@pytest.mark.parametrize(
    ("source", "settings", "sentence"),
    [
        (
            "captions",
            {"test_set": True},
            "a test set needs labels. Use class folders, or --columns label=COLUMN",
        ),
        ("classes", {"test_set": True}, 'a test set needs prompts. Add --template "a photo of a {c}."'),
        (
            "t.parquet",
            {},
            "the source has neither captions nor labels. Add --columns text=COLUMN or label=COLUMN",
        ),
    ],
)
def test_a_source_that_lacks_what_the_settings_need_is_refused_before_a_file_is_written(
    tmp_path, source, settings, sentence
):
    captions_folder(tmp_path / "captions", 2)
    class_folders(tmp_path / "classes")
    write_parquet(tmp_path / "t.parquet", image=[encoded()])
    with pytest.raises(UsageError) as caught:
        run(tmp_path / source, tmp_path / "out", Columns(), **settings)
    assert str(caught.value).startswith(sentence)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("gone.csv", "{}: no such file or folder"),
        ("a.json", "{}: neither a folder nor a .csv, .tsv"),
    ],
)
def test_a_missing_or_unsupported_source_is_refused(tmp_path, name, sentence):
    write(tmp_path / "a.json", "{}")
    with pytest.raises((DataError, UsageError)) as caught:
        open_source(tmp_path / name, Columns())
    assert str(caught.value).startswith(sentence.format(tmp_path / name))


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_a_row_that_names_a_pipe_or_a_folder_is_skipped(tmp_path, kind):
    (os.mkfifo if kind == "pipe" else os.mkdir)(tmp_path / "odd.png")
    write(tmp_path / "good.png", encoded(0))
    table = write(tmp_path / "pairs.csv", "image,caption\ngood.png,a\nodd.png,b\n")
    packed = run(table, tmp_path / "out", max_bad_share=0.5)
    assert packed.counts == {"000000.tar": 1}
    (message,) = packed.unreadable
    assert message.startswith("pairs.csv row 3 (odd.png): cannot be read")


def test_a_row_without_an_image_or_a_caption_is_skipped(tmp_path):
    images = [encoded(0), None, encoded(2)]
    table = write_parquet(tmp_path / "t.parquet", image=images, caption=["a", "b", None])
    packed = run(table, tmp_path / "out", max_bad_share=0.7)
    assert packed.unreadable == ["t.parquet row 1: no image", "t.parquet row 2: no caption"]


def test_a_file_name_that_is_not_utf_8_is_packed_or_listed(tmp_path):
    source = captions_folder(tmp_path / "in", 2)
    (source / "1.png").rename(source / os.fsdecode(b"\xff.png"))
    packed = run(source, tmp_path / "out", max_bad_share=0.5)
    assert packed.unreadable == [f"{os.fsdecode(bytes([0xFF]))}.png: no caption"]
    assert (tmp_path / "out" / "unreadable.txt").read_bytes() == b"\xff.png: no caption\n"
