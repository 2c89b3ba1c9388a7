"""Remote Parquet files: the pairs of local files, and only the required columns are fetched, once."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.object_store import Fault
from helpers.remote_shards import hashes, loader
from PIL import Image

from perceptinit.errors import DataError, PerceptInitError
from perceptinit.pairs.parquet_pairs import ParquetPairs

NUM_FILES, ROWS, GROUP = 3, 24, 8


pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write files of three row groups with an unused column."""
    made = tmp_path_factory.mktemp("tables")
    for number in range(NUM_FILES):
        rng = np.random.default_rng(number)
        rows = [draw_image(rng) for _ in range(ROWS)]
        table = pa.table(
            {
                "images": [{"bytes": data, "path": f"{i}.png"} for i, data in enumerate(rows)],
                "texts": [f"image {number} {i}" for i in range(ROWS)],
                "unwanted": [rng.bytes(9000) for _ in range(ROWS)],
            }
        )
        pq.write_table(table, made / f"{number}.parquet", row_group_size=GROUP)
    return made


def draw_image(rng):
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(file, "png")
    return file.getvalue()


def upload(bucket, folder):
    bucket.put_folder("/set", folder)
    return bucket.url + f"/set/{{0..{NUM_FILES - 1}}}.parquet"


def parquet(where, **options):
    return ParquetPairs(ParquetPairs.Config(files=where, **options))


def local(folder):
    return parquet(str(folder / f"{{0..{NUM_FILES - 1}}}.parquet"))


def room_for(pairs, number):
    """Return the cache_gb for this number of row groups."""
    return (number + 0.5) * max(piece.room for piece in pairs._table.reader.pieces) / 1e9


@pytest.mark.parametrize("num_workers", [0, 3])
def test_remote_row_groups_have_the_batches_of_local_files_and_fetch_only_used_columns(
    bucket, folder, num_workers
):
    address, stop = upload(bucket, folder), 2 * NUM_FILES * ROWS // 8
    pairs = parquet(address, cache_gb=room_for(parquet(address), 5))
    assert list(pairs.preflight()) == []
    bucket.sent.clear()
    theirs = hashes(loader(pairs, num_workers=num_workers).batches(0, stop))
    assert theirs == hashes(loader(local(folder), num_workers=num_workers).batches(0, stop))
    needed = sum(piece.room for piece in pairs._table.reader.pieces)
    whole = sum(path.stat().st_size for path in folder.iterdir())
    assert sum(bucket.sent.values()) <= 1.05 * 2 * needed
    assert needed < whole / 2


def test_a_resumed_run_has_the_batches_of_local_files(bucket, folder):
    pairs = parquet(upload(bucket, folder))
    rest = [hashes([batch]) for batch in loader(pairs, num_workers=2).batches(5, 9)]
    assert rest == [hashes([batch]) for batch in loader(local(folder)).batches(5, 9)]


def test_a_row_outside_the_plan_equals_the_row_of_local_files(bucket, folder):
    pairs = parquet(upload(bucket, folder))
    assert [pairs.pair(i) for i in (0, 30, 71)] == [local(folder).pair(i) for i in (0, 30, 71)]
    assert pairs.pair(30).key == "1.parquet row 6"


def labelled(folder):
    """Write files of three row groups with classes and images, without statistics; return their pattern."""
    for number in range(NUM_FILES):
        labels = [(number + i) % 3 for i in range(ROWS)]
        rng = np.random.default_rng(number)
        columns = {
            "images": [draw_image(rng) for _ in range(ROWS)],
            "number": labels,
            "name": [("ant", "bee", "cat")[label] for label in labels],
        }
        file = folder / f"{number}.parquet"
        pq.write_table(pa.table(columns), file, row_group_size=GROUP, write_statistics=False)
    return str(folder / f"{{0..{NUM_FILES - 1}}}.parquet")


@pytest.mark.parametrize(
    "columns",
    [
        {"label_column": "number", "class_column": "name"},
        {"label_column": "number", "classes": ("a", "b", "c")},
        {"class_column": "name"},
    ],
)
def test_remote_labels_equal_local_labels_and_fetch_no_image(bucket, tmp_path, columns):
    here = parquet(labelled(tmp_path), text_column="", **columns)
    there = parquet(upload(bucket, tmp_path), text_column="", **columns)
    assert list(there.preflight()) == []
    bucket.sent.clear()
    theirs, ours = there.read_classes(), here.read_classes()
    assert theirs.names == ours.names
    assert np.array_equal(theirs.labels, ours.labels)
    assert sum(bucket.sent.values()) < sum(map(len, bucket.files.values())) / 10


def test_a_file_of_labels_that_changes_stops_the_run(bucket, tmp_path):
    labelled(tmp_path)
    pairs = parquet(upload(bucket, tmp_path), text_column="", class_column="name")
    assert list(pairs.preflight()) == []
    for name in list(bucket.files):
        bucket.put(name, bucket.files[name])
    with pytest.raises(DataError, match=r"0\.parquet: has changed \("):
        pairs.read_classes()


def test_shuffle_blocks_are_limited_by_memory_and_cache(bucket, folder):
    address = upload(bucket, folder)
    small = parquet(address, cache_gb=room_for(parquet(address), 3))
    assert small.max_shuffle_blocks == 2
    assert parquet(address).max_shuffle_blocks == 8
    (problem,) = parquet(address, cache_gb=1e-6).preflight()
    assert problem.startswith("cache_gb: the cache in ")


@pytest.mark.parametrize(
    "fault",
    [Fault(status=500, times=4), Fault(keep=0.6, after=7, times=3)],
    ids=lambda f: str(f.status),
)
def test_transient_faults_are_retried(bucket, folder, fault):
    address = upload(bucket, folder)
    bucket.faults.append(fault)
    theirs = hashes(loader(parquet(address), num_workers=2).batches(0, 9))
    assert theirs == hashes(loader(local(folder)).batches(0, 9))
    assert fault.seen > fault.after


def test_a_file_that_changes_during_a_run_stops_the_run(bucket, folder):
    pairs = parquet(upload(bucket, folder))
    assert pairs.num_pairs
    for name in list(bucket.files):
        bucket.put(name, bucket.files[name])  # the same bytes under another ETag
    with pytest.raises(PerceptInitError, match=r"\.parquet: has changed \("):
        list(loader(pairs).batches(0, 9))
    with pytest.raises(DataError, match=r"0\.parquet: has changed \("):
        pairs.pair(0)


def test_an_invalid_parquet_file_or_a_missing_column_is_reported(bucket, folder):
    bucket.put("/a.parquet", b"no table")
    (problem,) = parquet(bucket.url + "/a.parquet").preflight()
    assert problem.startswith(f"{bucket.url}/a.parquet: not a readable Parquet file (")
    (problem,) = parquet(bucket.url + "/b.parquet").preflight()
    assert problem == f"{bucket.url}/b.parquet: no such file"
    (problem,) = parquet(upload(bucket, folder), text_column="words").preflight()
    found = "no column 'words'. Columns: images, texts, unwanted. Name it in a recipe (image_column, ...) or with --columns"
    assert problem == f"{bucket.url}/set/0.parquet: {found}"
