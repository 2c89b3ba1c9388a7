"""Embedding files: what is read, and the sentence with file and row for what is not."""

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from perceptinit.errors import DataError
from perceptinit.evaluating.other_models import read_embeddings

NAMES = ("a.png", "b.png", "c.png")
ROWS = np.arange(1.0, 7.0).reshape(3, 2)


def saved(folder, rows):
    np.save(folder / "rows.npy", rows)
    (folder / "rows.txt").write_text("\n".join(NAMES))
    return folder / "rows.npy"


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.uint16, np.int64])
def test_numbers_of_any_width_are_read(dtype, tmp_path):
    found = read_embeddings(saved(tmp_path, ROWS.astype(dtype)))
    assert found.embeddings.tolist() == ROWS.tolist()


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (ROWS + 1j, "rows.npy: values of type complex128. Save floats or integers"),
        (ROWS.astype("U3"), "rows.npy: values of type <U3. Save floats or integers"),
        (ROWS > 2, "rows.npy: values of type bool. Save floats or integers"),
        (np.zeros(3, [("x", "f4"), ("y", "f4")]), "rows.npy: values of type [('x', '<f4'), ('y', '<f4')]. Save floats"),
        (ROWS.astype(object), "rows.npy: not a readable .npy file of numbers"),
        (ROWS[:2], "rows.npy: 3 names for embeddings of shape (2, 2)"),
        (ROWS * [[1], [0], [1]], "rows.npy, row 2 (b.png): contains only zeros, which have no direction. Remove the row"),
        (ROWS * [[1], [np.nan], [np.inf]], "row 2 (b.png): contains values that are not finite (2 such rows). Remove"),
    ],
)  # fmt: skip
def test_another_file_is_refused_with_file_and_row(rows, sentence, tmp_path):
    path = saved(tmp_path, rows)
    with pytest.raises(DataError) as caught:
        read_embeddings(path)
    assert sentence in str(caught.value)


def test_a_stated_size_beyond_the_file_is_refused(tmp_path):
    path = saved(tmp_path, ROWS)
    path.write_bytes(path.read_bytes().replace(b"(3, 2)", b"(3, 2000000000000)", 1))
    with pytest.raises(DataError, match=r"not a readable \.npy file of numbers"):
        read_embeddings(path)


def test_a_missing_name_is_refused_with_its_row(tmp_path):
    table = pyarrow.table({"image": ["a.png", None, "c.png"], "embedding": ROWS.tolist()})
    parquet.write_table(table, tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"rows.parquet, row 2 \(None\): has no image name. Remove the row"):
        read_embeddings(tmp_path / "rows.parquet")


def test_embeddings_of_different_lengths_are_refused(tmp_path):
    table = pyarrow.table({"image": list(NAMES), "embedding": [[1.0], [1.0, 2.0], [3.0]]})
    parquet.write_table(table, tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"rows\.parquet: cannot read columns image and embedding"):
        read_embeddings(tmp_path / "rows.parquet")
