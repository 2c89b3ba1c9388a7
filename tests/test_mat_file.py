"""MATLAB files: full numbers of every type as scipy reads them, and damage of every kind in a sentence."""

import struct

import numpy as np
import pytest
import scipy.sparse
from scipy.io import loadmat, savemat

from perceptinit.errors import DataError
from perceptinit.judgments.reading.rdm_files import read_matrices

TYPES = ("f8", "f4", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", ">f8", ">i2")
SQUARE = np.array([[0.0, 1, 2], [1, 0, 3], [2, 3, 0]])


def write(path, compressed=False, form="5", **content):
    savemat(path, content, format=form, do_compression=compressed)
    return path


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", TYPES)
def test_every_type_of_number_is_read(tmp_path, kind, compressed):
    path = write(tmp_path / "a.mat", compressed, rdm=SQUARE.astype(kind), other=np.zeros(3))
    matrices, _ = read_matrices(path, "rdm")
    assert np.array_equal(matrices, SQUARE[None])
    assert np.array_equal(loadmat(path)["rdm"], SQUARE)


@pytest.mark.parametrize("kind", ["f8", "f4", "i4", "i2", "u2", "u1"])
def test_files_of_matlab_4_are_read(tmp_path, kind):
    path = write(tmp_path / "a.mat", form="4", rdm=SQUARE.astype(kind), other=np.zeros((2, 2)))
    assert np.array_equal(read_matrices(path, "rdm")[0], SQUARE[None])


def test_subjects_are_the_first_axis(tmp_path):
    both = np.stack([SQUARE, 2 * SQUARE])
    for compressed in (False, True):
        path = write(tmp_path / "a.mat", compressed, rdm=both)
        assert np.array_equal(read_matrices(path, None)[0], both)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (scipy.sparse.eye(3).tocsc(), "a sparse matrix"),
        (np.array(["a", 1], dtype=object), "a cell array"),
        ("text", "text"),
        (SQUARE + 1j, "complex"),
    ],
)
def test_what_is_no_full_real_matrix_is_told(tmp_path, content, what):
    path = write(tmp_path / "a.mat", rdm=content)
    with pytest.raises(DataError, match=f"'rdm' is {what}, not a full matrix of real numbers"):
        read_matrices(path, None)


def test_no_size_is_believed_without_looking(tmp_path):
    path = write(tmp_path / "a.mat", rdm=SQUARE)
    data = path.read_bytes()
    sides = data.index(struct.pack("<4I", 5, 8, 3, 3)) + 8  # after the tag of the dimensions
    for rows, columns in ((300_000, 300_000), (4, 3), (-1, 3), (2**31 - 1, 2**31 - 1)):
        path.write_bytes(data[:sides] + struct.pack("<2i", rows, columns) + data[sides + 8 :])
        with pytest.raises(DataError, match=r"a\.mat: "):
            read_matrices(path, None)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_that_is_cut_anywhere_is_told(tmp_path, compressed):
    path = write(tmp_path / "a.mat", compressed, rdm=SQUARE)
    data = path.read_bytes()
    for size in range(0, len(data) - 1, 7):
        path.write_bytes(data[:size])
        with pytest.raises(DataError, match=r"a\.mat: "):
            read_matrices(path, "rdm")


def test_a_flipped_bit_in_compressed_numbers_is_told(tmp_path):
    path = write(tmp_path / "a.mat", True, rdm=SQUARE)
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"a\.mat: not a readable \.mat file"):
        read_matrices(path, None)


def test_what_matlab_7_3_writes_is_told(tmp_path):
    (tmp_path / "a.mat").write_bytes(b"MATLAB 7.3".ljust(124) + b"\0\2IM" + bytes(600))
    with pytest.raises(DataError, match=r"MATLAB 7\.3 format; save it with -v7 or as \.npy"):
        read_matrices(tmp_path / "a.mat", None)


# other matrix files


def test_an_npz_archive_with_the_name_of_an_npy_file_is_told(tmp_path):
    with (tmp_path / "a.npy").open("wb") as file:
        np.savez(file, SQUARE)
    with pytest.raises(DataError, match=r"a\.npy: an \.npz archive with the name of an \.npy file"):
        read_matrices(tmp_path / "a.npy", None)


@pytest.mark.parametrize("header", [b"{'descr': '<f8', 'fortran_order': False, 'shape': (300000, 300000), }", b"{(", b"",
                                    b"{'descr': '|O', 'fortran_order': False, 'shape': (3, 3), }"])  # fmt: skip
def test_an_npy_header_that_lies_or_is_cut_is_told(tmp_path, header):
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
def test_a_csv_matrix_that_is_none_is_told(tmp_path, text, what):
    (tmp_path / "a.csv").write_bytes(text)
    with pytest.raises(DataError, match=rf"a\.csv.*{what}"):
        read_matrices(tmp_path / "a.csv", None)
