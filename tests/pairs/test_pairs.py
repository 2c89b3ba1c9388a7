"""Image-text sources return the pairs on disk and report errors of the files."""

import glob
import json
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from braceexpand import braceexpand
from helpers.tars import write_tar

from perceptinit.errors import DataError
from perceptinit.pairs.csv_pairs import CsvPairs
from perceptinit.pairs.parquet_pairs import ParquetPairs
from perceptinit.pairs.paths import count_names, expand
from perceptinit.pairs.shard_index import scan
from perceptinit.pairs.sizes import describe_files
from perceptinit.pairs.tar_file import TarFile
from perceptinit.pairs.webdataset_pairs import WebdatasetPairs

pytestmark = pytest.mark.usefixtures("cache_folder")


def pair_members(*stems):
    """Return members of samples whose image and caption contain the stem."""
    return [
        member
        for stem in stems
        for member in ((f"{stem}.jpg", f"image {stem}".encode()), (f"{stem}.txt", stem.encode()))
    ]


def webdataset(shards, **options):
    return WebdatasetPairs(WebdatasetPairs.Config(shards=str(shards), **options))


def everything(pairs):
    return [(p.key, p.image, p.text) for p in map(pairs.pair, range(pairs.num_pairs))]


# webdataset


def test_webdataset_returns_the_pairs_of_all_shards_in_order(tmp_path):
    write_tar(tmp_path / "0.tar", pair_members("a", "b"))
    write_tar(tmp_path / "1.tar", pair_members("c"))
    pairs = webdataset(tmp_path / "{0..1}.tar")
    assert list(pairs.preflight()) == []
    assert pairs.num_pairs == 3
    assert pairs.block_sizes == [2, 1]
    assert everything(pairs) == [
        ("0.tar/a", b"image a", "a"),
        ("0.tar/b", b"image b", "b"),
        ("1.tar/c", b"image c", "c"),
    ]


def test_members_are_grouped_like_in_the_webdataset_library(tmp_path):
    import webdataset as wds

    members = [
        ("./x/1.JPG", b"one"),
        ("./x/1.txt", b"1"),
        ("x/2.seg.png", b"mask"),  # the extension is seg.png, which is not the image of the pair
        ("x/2.jpeg", b"two"),
        ("x/2.txt", b"2"),
        ("__meta__/about.txt", b"no sample"),
        ("y.z/3.png", b"three"),
        ("y.z/3.txt", b"3"),
    ]
    path = write_tar(tmp_path / "0.tar", members)
    theirs = [(sample["__key__"], sample["txt"]) for sample in wds.WebDataset(str(path), shardshuffle=False)]
    ours = [(key.removeprefix("0.tar/"), text.encode()) for key, _, text in everything(webdataset(path))]
    assert ours == theirs
    assert [image for _, image, _ in everything(webdataset(path))] == [b"one", b"two", b"three"]


@pytest.mark.parametrize("tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_are_read_in_every_tar_format(tmp_path, tar_format):
    stem = "folder/" + "n" * 60 + "/" + "m" * 90
    path = write_tar(tmp_path / "0.tar", pair_members("a", stem, "é"), tar_format)
    assert [key for key, _, _ in everything(webdataset(path))] == [
        "0.tar/a",
        f"0.tar/{stem}",
        "0.tar/é",
    ]


def test_a_caption_may_be_a_key_of_a_json_member(tmp_path):
    members = [("a.jpg", b"image"), ("a.json", json.dumps({"caption": "a cat", "n": 3}).encode())]
    path = write_tar(tmp_path / "0.tar", members)
    assert webdataset(path, text_member="json", text_key="caption").pair(0).text == "a cat"
    with pytest.raises(DataError, match=r"^0.tar/a: no key 'title' in its \.json$"):
        webdataset(path, text_member="json", text_key="title").pair(0)
    with pytest.raises(DataError, match=r"^0.tar/a: 'n' is 3, not a caption$"):
        webdataset(path, text_member="json", text_key="n").pair(0)


def test_several_keys_are_several_captions_of_the_image(tmp_path):
    table = {"title": "a cat", "description": "asleep", "n": 3}
    members = [("a.jpg", b"image"), ("a.json", json.dumps(table).encode())]
    path = write_tar(tmp_path / "0.tar", members)
    pair = webdataset(path, text_member="json", text_key=("title", "description")).pair(0)
    assert (pair.text, pair.others) == ("a cat", ("asleep",))
    with pytest.raises(DataError, match=r"^0.tar/a: 'n' is 3, not a caption$"):
        webdataset(path, text_member="json", text_key=("title", "n")).pair(0)


def test_a_caption_that_is_not_utf_8_is_an_error_with_its_sample(tmp_path):
    path = write_tar(tmp_path / "0.tar", [("a.jpg", b"image"), ("a.txt", "é".encode("latin-1"))])
    with pytest.raises(DataError, match=r"^0\.tar/a: the caption is not UTF-8"):
        webdataset(path).pair(0)


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.95])
def test_a_shard_truncated_at_any_byte_is_refused(tmp_path, keep):
    path = write_tar(tmp_path / "0.tar", [("a.jpg", bytes(range(256)) * 50), ("a.txt", b"a")])
    end = 512 + 12800 + 512 + 512  # two headers and two contents; then the end-of-archive blocks
    path.write_bytes(path.read_bytes()[: int(end * keep)])
    (problem,) = webdataset(path).preflight()
    assert problem.startswith(f"{path}: byte {int(end * keep)}: the file ends")
    assert problem.endswith("it is truncated. Copy or pack it again")


def test_a_shard_truncated_between_two_samples_is_refused(tmp_path):
    path = write_tar(tmp_path / "0.tar", pair_members("a", "b"))
    path.write_bytes(path.read_bytes()[:2048])  # all of sample a: headers and contents of 512 bytes
    with pytest.raises(DataError) as caught:
        webdataset(path).pair(0)
    assert str(caught.value) == (
        f"{path}: byte 2048: the file ends here, so it is truncated. Copy or pack it again"
    )


def test_a_damaged_header_is_refused_with_its_byte(tmp_path):
    path = write_tar(tmp_path / "0.tar", pair_members("a", "b"))
    data = bytearray(path.read_bytes())
    data[1024 + 3] ^= 0xFF  # in the name of a.txt, whose header is the third block
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"0\.tar: byte 1024: no tar header, so the file is damaged"):
        scan(TarFile(path))


def test_data_after_the_end_of_the_archive_is_an_error(tmp_path):
    first = write_tar(tmp_path / "0.tar", pair_members("a"))
    second = write_tar(tmp_path / "1.tar", pair_members("b"))
    first.write_bytes(first.read_bytes() + second.read_bytes())
    with pytest.raises(DataError, match="data after the end of the archive"):
        scan(TarFile(first))


def test_a_compressed_shard_is_refused_with_the_command_to_decompress_it(tmp_path):
    path = tmp_path / "0.tar"
    with tarfile.open(path, "w:gz"):
        pass
    (problem,) = webdataset(path).preflight()
    assert problem == f"{path}: a compressed tar is not supported. Decompress it with gunzip"


def test_a_duplicate_member_is_refused(tmp_path):
    path = write_tar(tmp_path / "0.tar", [("a.jpg", b"1"), ("a.JPG", b"2"), ("a.txt", b"a")])
    with pytest.raises(DataError, match=r"0\.tar: sample 'a' has two \.jpg members \(byte 1024\)"):
        scan(TarFile(path))


def test_missing_shards_are_counted_and_the_first_is_reported(tmp_path):
    write_tar(tmp_path / "00.tar", pair_members("a"))
    (problem,) = webdataset(tmp_path / "{00..04}.tar").preflight()
    assert problem == f"shards (4 of 5 files are missing. First error: {tmp_path / '01.tar'}: no such file)"


def test_a_glob_that_matches_nothing_is_an_error(tmp_path):
    (problem,) = webdataset(tmp_path / "*.tar").preflight()
    assert problem == f"shards ({tmp_path / '*.tar'}: no file matches)"


@pytest.mark.parametrize(
    "address", ["pipe:curl x/{0..9}.tar", "ftp://host/0.tar", "simplecache::s3://b/0.tar"]
)
def test_addresses_without_random_access_are_refused_with_the_alternative(address):
    (problem,) = webdataset(address).preflight()
    assert problem == (
        f"shards ({address}: no random access (supported: s3:// gs:// hf:// https:// http://). "
        "Use pairs 'webdataset-stream' for streams, or give a local copy)"
    )


def test_a_mix_of_addresses_and_local_files_is_refused(tmp_path):
    pairs = WebdatasetPairs(WebdatasetPairs.Config(shards=("s3://b/0.tar", str(tmp_path / "1.tar"))))
    (problem,) = pairs.preflight()
    assert problem == "shards (s3://b/0.tar: name either addresses or local files, not both)"


def test_shards_without_captions_are_reported_with_their_members(tmp_path):
    path = write_tar(tmp_path / "0.tar", [("a.jpg", b"image"), ("a.cls", b"3")])
    (problem,) = webdataset(path).preflight()
    assert problem == (
        f"{path}: none of 1 samples has an image (.jpg, .jpeg, .png, .webp) and a text (.txt). "
        "Members: cls, jpg"
    )


def test_too_many_samples_without_a_caption_are_an_error(tmp_path):
    path = write_tar(tmp_path / "0.tar", [*pair_members("a", "b", "c"), ("d.jpg", b"image d")])
    (problem,) = webdataset(path).preflight()
    assert problem == (
        "1 of 4 samples lack an image (.jpg, .jpeg, .png, .webp) or a text (.txt), more than "
        "max_incomplete_share = 0.01 allows. The first is 0.tar/d"
    )
    pairs = webdataset(path, max_incomplete_share=0.25)
    assert list(pairs.preflight()) == []
    assert pairs.num_pairs == 3


def lying(path, start, value):
    """Write a tar with a changed header field at `start` and a valid checksum."""
    data = bytearray(write_tar(path, pair_members("a", "b")).read_bytes())
    data[start : start + len(value)] = value
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("start", "value"),
    [
        (124, b"-0000000001\0"),  # a size below 0, and one with a sign
        (124, b"+0000000001\0"),
        (124, b"0000000_001\0"),
        (124, b"\xff" * 12),  # base 256, below 0
        (124, b"\x80" + b"\xff" * 11),  # base 256, beyond 64 bit
        (124, b"77777777777\0"),
        (124, b"0x000000001\0"),
    ],
)
def test_an_invalid_size_in_a_header_is_refused_with_its_byte(tmp_path, start, value):
    (problem,) = webdataset(lying(tmp_path / "0.tar", start, value)).preflight()
    assert f"{tmp_path / '0.tar'}: byte " in problem


def with_pax(path, record):
    """Write a tar whose first member has a pax header with one record."""
    length = next(n for n in range(9999) if len(str(n)) + len(record) + 2 == n)
    info = tarfile.TarInfo("pax")
    info.type, info.size = b"x", length
    body = f"{length} ".encode() + record + b"\n"
    start = info.tobuf(tarfile.USTAR_FORMAT) + body + bytes(-len(body) % 512)
    path.write_bytes(start + write_tar(path, pair_members("a")).read_bytes())
    return path


@pytest.mark.parametrize("record", [b"size=x", b"size=-1", b"size=1_0", b"size=", b"size=" + b"9" * 5000])
def test_a_non_numeric_pax_size_is_refused_with_its_byte(tmp_path, record):
    (problem,) = webdataset(with_pax(tmp_path / "0.tar", record)).preflight()
    assert problem == (
        f"{tmp_path / '0.tar'}: byte 512: a non-numeric pax size, so the file is damaged. Copy or pack it again"
    )
    assert webdataset(with_pax(tmp_path / "1.tar", b"size=7")).pair(0).image == b"image a"


def test_an_extended_header_that_is_too_long_is_refused(tmp_path):
    path = write_tar(tmp_path / "0.tar", [("n" * 200_000 + ".jpg", b"")], tarfile.GNU_FORMAT)
    (problem,) = webdataset(path).preflight()
    assert "a header of 200,005 bytes" in problem


def test_a_deeply_nested_json_caption_is_reported(tmp_path):
    path = write_tar(tmp_path / "0.tar", [("a.jpg", b"x"), ("a.json", b"[" * 100_000)])
    pairs = webdataset(path, text_member="json", text_key="caption")
    with pytest.raises(DataError, match=r"0\.tar/a: no key 'caption' in its \.json"):
        pairs.pair(0)


def test_a_pattern_for_too_many_files_is_refused(tmp_path):
    for pattern in (
        "{0..1000000000}.tar",
        "{0..999}{0..999}{0..999}.tar",
        f"{{0..{'9' * 40}}}.tar",
    ):
        (problem,) = webdataset(tmp_path / pattern).preflight()
        assert problem == f"shards ({tmp_path / pattern}: names more than 1,000,000 files)"


@pytest.mark.parametrize(
    ("pattern", "number"),
    [("a", 1), ("{a,b}", 2), ("{00..1499}", 1500), ("{9..1}", 9), ("{1..9..2}", 5), ("{a..c}x{1,2}", 6),
     ("{a,{0..9}{x,y}}", 21), ("{x{0..9},y{0..9}}", 20), ("{a}", 1), ("{,}", 2)],
)  # fmt: skip
def test_the_names_of_a_pattern_are_counted_without_expanding_them(pattern, number):
    assert count_names(pattern) == number
    assert len(list(braceexpand(pattern, escape=False))) == number


def test_a_glob_over_too_many_folders_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("perceptinit.pairs.paths.MAX_FOLDERS", 20)
    for number in range(30):
        (tmp_path / f"a/{number}").mkdir(parents=True)
    (problem,) = webdataset(tmp_path / "**/x.tar").preflight()
    assert "searches more than 20 folders. Use a narrower pattern" in problem


@pytest.mark.parametrize("pattern", ["**/*.tar", "a/**/*.tar", "*/**/*.tar", "**/b/**/*.tar", "**/[[]q]/*"])
def test_two_asterisks_match_any_folders(tmp_path, monkeypatch, pattern):
    names = ["y.tar", "a/x.tar", "a/b/c.tar", ".h/z.tar", "a/.h.tar", "a/[q]/k.tar", "b/c/d/e.tar"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    expected = sorted(glob.glob(str(tmp_path / pattern), recursive=True))  # noqa: PTH207
    assert [str(path) for path in expand(str(tmp_path / pattern))] == expected
    monkeypatch.chdir(tmp_path)
    assert [str(path.resolve()) for path in expand(pattern)] == expected


@pytest.mark.parametrize(
    "name", ["n" * 300 + ".tar", "d/" * 2500 + "x.tar", "a\0.tar", "~no-such-user/x.tar", "{" * 1200 + "}" * 1200]
)  # fmt: skip
def test_an_invalid_shard_name_is_reported(tmp_path, name):
    (problem,) = webdataset(name).preflight()
    assert len(problem) < 600


def test_the_sample_counts_of_sizes_json_are_checked(tmp_path):
    path = write_tar(tmp_path / "0.tar", pair_members("a", "b"))
    (tmp_path / "sizes.json").write_text('{"0.tar": 3}')
    (problem,) = webdataset(path).preflight()
    assert problem == (f"{path}: 2 samples, but sizes.json states 3. Copy or pack the shard again")


# parquet


def write_parquet(path, row_group_size=2, **columns):
    pq.write_table(pa.table(columns), path, row_group_size=row_group_size)
    return path


def parquet(files, **options):
    return ParquetPairs(ParquetPairs.Config(files=str(files), **options))


def test_parquet_returns_the_rows_of_all_files_by_row_group(tmp_path):
    write_parquet(tmp_path / "0.parquet", images=[b"0", b"1", b"2"], texts=["a", "b", "c"])
    write_parquet(tmp_path / "1.parquet", images=[b"3"], texts=["d"])
    pairs = parquet(tmp_path / "*.parquet", cached_row_groups=1)
    assert describe_files(pairs)["num_files"] == 2
    assert list(pairs.file_names) == ["0.parquet", "1.parquet"]
    assert list(pairs.preflight()) == []
    assert pairs.block_sizes == [2, 1, 1]
    assert pairs.max_shuffle_blocks == 1
    assert everything(pairs) == [
        ("0.parquet row 0", b"0", "a"),
        ("0.parquet row 1", b"1", "b"),
        ("0.parquet row 2", b"2", "c"),
        ("1.parquet row 0", b"3", "d"),
    ]
    assert pairs.pair(0).text == "a"  # its row group is no longer cached


def test_parquet_texts_may_be_token_ids(tmp_path):
    path = write_parquet(tmp_path / "0.parquet", images=[b"0"], texts=[[49406, 320, 49407]])
    ids = parquet(path).pair(0).text
    assert ids.dtype == np.int64
    assert ids.tolist() == [49406, 320, 49407]


def test_parquet_images_may_be_structs_with_bytes(tmp_path):
    path = write_parquet(tmp_path / "0.parquet", image=[{"bytes": b"0", "path": "0.jpg"}], text=["a"])
    assert parquet(path, image_column="image", text_column="text").pair(0).image == b"0"


def test_a_missing_parquet_column_is_reported_with_the_available_columns(tmp_path):
    path = write_parquet(tmp_path / "0.parquet", jpg=[b"0"], caption=["a"])
    (problem,) = parquet(path).preflight()
    found = (
        "no column 'images'. Columns: jpg, caption. Name it in a recipe (image_column, ...) or with --columns"
    )
    assert problem == f"{path}: {found}"


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"images": ["0.jpg"], "texts": ["a"]}, "'images' is str, not image bytes"),
        ({"images": [b"0"], "texts": [1.5]}, "'texts' is float, neither a caption nor token ids"),
        (
            {"images": [b"0"], "texts": pa.array([None], pa.string())},
            "'texts' is empty, neither a caption nor token ids",
        ),
    ],
)
def test_parquet_columns_of_the_wrong_type_are_refused(tmp_path, columns, why):
    path = write_parquet(tmp_path / "0.parquet", **columns)
    assert list(parquet(path).preflight()) == [f"0.parquet row 0: {why}"]


def test_a_truncated_parquet_file_is_refused(tmp_path):
    path = write_parquet(tmp_path / "0.parquet", images=[b"0"], texts=["a"])
    path.write_bytes(path.read_bytes()[:-20])
    (problem,) = parquet(path).preflight()
    assert problem.startswith(f"{path}: not a readable Parquet file (")


def test_parquet_rows_can_be_read_by_several_threads(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    texts = [str(i) for i in range(200)]
    path = write_parquet(tmp_path / "0.parquet", 10, images=[t.encode() for t in texts], texts=texts)
    pairs = parquet(path, cached_row_groups=2)
    order = np.random.default_rng(0).permutation(200).tolist()
    with ThreadPoolExecutor(4) as pool:
        assert [p.text for p in pool.map(pairs.pair, order)] == [str(i) for i in order]


# csv


def write_csv(path, text, images=()):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    for image in images:
        (path.parent / image).write_bytes(image.encode())
    return path


def csv_pairs(path, **options):
    return CsvPairs(CsvPairs.Config(file=str(path), **options))


def test_csv_returns_paths_and_captions_by_column_name(tmp_path):
    path = write_csv(
        tmp_path / "t.csv",
        'id,caption,image\n1,"a cat, asleep",a.jpg\n2,007,b.jpg\n',
        ["a.jpg", "b.jpg"],
    )
    pairs = csv_pairs(path)
    assert list(pairs.preflight()) == []
    assert pairs.block_sizes == [2]
    assert everything(pairs) == [
        ("t.csv row 2 (a.jpg)", tmp_path / "a.jpg", "a cat, asleep"),
        ("t.csv row 3 (b.jpg)", tmp_path / "b.jpg", "007"),
    ]


def test_csv_supports_tabs_and_a_separate_image_folder(tmp_path):
    write_csv(tmp_path / "images" / "x", "", ["a.jpg"])
    path = write_csv(tmp_path / "t.tsv", "filepath\ttitle\na.jpg\ta cat\n")
    pairs = csv_pairs(
        path,
        separator="\t",
        image_column="filepath",
        text_column="title",
        root=str(tmp_path / "images"),
    )
    assert list(pairs.preflight()) == []
    assert pairs.pair(0).image == tmp_path / "images" / "a.jpg"


def test_missing_csv_images_are_reported_by_row(tmp_path):
    path = write_csv(tmp_path / "t.csv", "image,caption\na.jpg,x\nb.jpg,y\n,z\n", ["a.jpg"])
    assert list(csv_pairs(path).preflight()) == [
        f"{path}: 2 of 3 images of the column 'image' are missing in {tmp_path}: row 3 (b.jpg), row 4 (empty)"
    ]


def test_a_missing_csv_column_is_reported_with_the_available_columns(tmp_path):
    path = write_csv(tmp_path / "t.csv", "file;caption\na.jpg;x\n")
    assert list(csv_pairs(path, separator=";").preflight()) == [
        f"{path}: no column 'image'. Columns: file, caption. Name it in a recipe (image_column, ...) or with --columns"
    ]


def test_a_csv_row_with_too_many_cells_is_reported(tmp_path):
    path = write_csv(tmp_path / "t.csv", "image,caption\na.jpg,x\nb.jpg,a cat, asleep\n")
    (problem,) = csv_pairs(path).preflight()
    assert problem == f"{path}, row 3: 3 cells, but the header has 2"


def test_an_empty_csv_table_is_refused(tmp_path):
    path = write_csv(tmp_path / "t.csv", "image,caption\n")
    assert list(csv_pairs(path).preflight()) == [f"{path}: no rows below the header"]
