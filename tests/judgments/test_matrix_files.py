"""Matrix files: every numeric type is read, and damage is reported in one sentence."""

import struct

import numpy as np
import pytest
import scipy.sparse
from scipy.io import savemat

from perceptinit.errors import DataError
from perceptinit.files import mat_files
from perceptinit.files.mat_files import read_mat
from perceptinit.judgments.own.rdm_files import read_matrices

TYPES = ("f8", "f4", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", ">f8", ">i2")
SQUARE = np.array([[0.0, 1, 2], [1, 0, 3], [2, 3, 0]])


def write(path, compressed=False, form="5", **content):
    savemat(path, content, format=form, do_compression=compressed)
    return path


@pytest.mark.parametrize("compressed", [False, True])
def test_every_numeric_type_is_read(tmp_path, compressed):
    content = {f"t{i}": SQUARE.astype(kind) for i, kind in enumerate(TYPES)}
    found = read_mat(write(tmp_path / "a.mat", compressed, **content))
    assert list(found) == list(content)
    for [value] in found.values():
        assert value.kind == ""
        assert np.array_equal(value.array, SQUARE)


def test_files_of_matlab_4_are_read(tmp_path):
    content = {kind: SQUARE.astype(kind) for kind in ("f8", "f4", "i4", "i2", "u2", "u1")}
    path = write(tmp_path / "a.mat", form="4", **content)
    assert all(np.array_equal(value.array, SQUARE) for [value] in read_mat(path).values())
    assert np.array_equal(read_matrices(path, "i2")[0], SQUARE[None])


@pytest.mark.parametrize("compressed", [False, True])
def test_the_first_axis_is_subjects(tmp_path, compressed):
    both = np.stack([SQUARE, 2 * SQUARE])
    path = write(tmp_path / "a.mat", compressed, rdm=both)
    assert np.array_equal(read_matrices(path, None)[0], both)


def test_variables_that_are_not_full_real_matrices_are_reported(tmp_path):
    content = {
        "a sparse matrix": scipy.sparse.eye(3).tocsc(),
        "a cell array": np.array(["a", 1], dtype=object),
        "text": np.array(["ox ", "eel"]),
        "complex": SQUARE + 1j,
    }
    path = write(tmp_path / "a.mat", **{f"v{i}": v for i, v in enumerate(content.values())})
    found = [value for [value] in read_mat(path).values()]
    assert [value.kind for value in found] == list(content)
    assert found[2].array.tolist() == ["ox", "eel"]
    with pytest.raises(DataError, match="'v0' is a sparse matrix, not a full matrix of real"):
        read_matrices(path, "v0")


@pytest.mark.parametrize("sides", [(300_000, 300_000), (4, 3), (2**31 - 1, 2**31 - 1)])
def test_a_false_size_in_the_header_is_an_error(tmp_path, sides):
    path = write(tmp_path / "a.mat", rdm=SQUARE)
    data = path.read_bytes()
    place = data.index(struct.pack("<4I", 5, 8, 3, 3)) + 8  # after the tag of the dimensions
    path.write_bytes(data[:place] + struct.pack("<2i", *sides) + data[place + 8 :])
    with pytest.raises(DataError, match=r"a\.mat: not a readable \.mat file"):
        read_matrices(path, None)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.95])
def test_a_truncated_mat_file_is_reported(tmp_path, compressed, share):
    path = write(tmp_path / "a.mat", compressed, rdm=SQUARE)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(DataError, match=r"a\.mat: "):
        read_matrices(path, "rdm")


def test_a_flipped_bit_in_compressed_data_is_reported(tmp_path):
    path = write(tmp_path / "a.mat", True, rdm=SQUARE)
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"a\.mat: not a readable \.mat file"):
        read_matrices(path, None)


def test_a_module_in_the_working_folder_is_not_imported(tmp_path, monkeypatch):
    for name in ("scipy", "numpy", "perceptinit"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "a.mat", rdm=SQUARE)
    assert np.array_equal(read_matrices(path.relative_to(tmp_path), None)[0], SQUARE[None])


@pytest.mark.parametrize(
    ("child", "message"),
    [
        ("import time; time.sleep(60)", "reading takes more than 0.5 s. Save only the matrix"),
        ("import os; os.abort()", r"not a readable \.mat file \(the reader exited with code -6\)"),
    ],
)
def test_a_reader_that_hangs_or_crashes_is_reported(tmp_path, monkeypatch, child, message):
    monkeypatch.setattr(mat_files, "_CHILD", child)
    monkeypatch.setattr(mat_files, "MAX_SECONDS", 0.5)
    with pytest.raises(DataError, match=rf"a\.mat: {message}"):
        read_mat(write(tmp_path / "a.mat", rdm=SQUARE))


def test_matlab_7_3_files_are_reported_with_the_alternative(tmp_path):
    (tmp_path / "a.mat").write_bytes(b"MATLAB 7.3".ljust(124) + b"\0\2IM" + bytes(600))
    with pytest.raises(
        DataError, match=r"MATLAB 7\.3 format is not supported\. Save the file with -v7 or as \.npy"
    ):
        read_matrices(tmp_path / "a.mat", None)


# other matrix files


def test_an_npz_archive_named_npy_is_reported(tmp_path):
    with (tmp_path / "a.npy").open("wb") as file:
        np.savez(file, SQUARE)
    with pytest.raises(DataError, match=r"a\.npy: an \.npz archive named \.npy\. Save a single array"):
        read_matrices(tmp_path / "a.npy", None)


@pytest.mark.parametrize("header", [b"{'descr': '<f8', 'fortran_order': False, 'shape': (300000, 300000), }", b"{(", b"",
                                    b"{'descr': '|O', 'fortran_order': False, 'shape': (3, 3), }"])  # fmt: skip
def test_an_invalid_or_truncated_npy_header_is_reported(tmp_path, header):
    data = b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + SQUARE.tobytes()
    for size in (len(data), 9, 0):
        (tmp_path / "a.npy").write_bytes(data[:size])
        with pytest.raises(DataError, match=r"a\.npy: not a readable \.npy file of numbers"):
            read_matrices(tmp_path / "a.npy", None)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"1,2\n2,\xff\n", "not UTF-8 text"),
        (b"1,2\n2,1_0\n", r"row 2: cell 2 is '1_0', not a number"),
        (b'"' + b"9" * 200_000 + b'",1\n2,1\n', "not a readable CSV file"),
        (b"1\n" * 50_000, "row 1: 1 cells, expected 50000"),
        (b"", "empty"),
        (b",a,b,c\na,1\n", "row 2: 2 cells, but the first row has 4"),
    ],
)
def test_an_invalid_csv_matrix_is_reported(tmp_path, text, what):
    (tmp_path / "a.csv").write_bytes(text)
    with pytest.raises(DataError, match=rf"a\.csv.*{what}"):
        read_matrices(tmp_path / "a.csv", None)
