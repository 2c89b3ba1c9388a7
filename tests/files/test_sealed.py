"""Sealed files return the written arrays; any flipped bit gives an error or the same values."""

import numpy as np
import pytest
import torch
from torch import nn

from perceptinit.errors import CheckpointError, DataError
from perceptinit.files.checkpoints import load_strict
from perceptinit.files.sealed import open_sealed, write_sealed

ABOUT = {"version": 3, "names": ["é", "b"]}
ARRAYS = {
    "places": np.arange(7, dtype=np.uint16),
    "pixels": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    "sums": np.array([-1, 2**40], dtype=np.int64),
    "none": np.zeros((0, 5), dtype=np.float32),
}


@pytest.fixture
def path(tmp_path):
    write_sealed(tmp_path / "made/x.index", ABOUT, ARRAYS)
    return tmp_path / "made/x.index"


def is_as_written(path):
    found = open_sealed(path, "an index")
    assert found.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found.arrays[name].dtype == array.dtype
        assert np.array_equal(found.arrays[name], array)
    return found.about == ABOUT


def test_a_sealed_file_returns_the_written_arrays_read_only(path):
    assert is_as_written(path)
    with pytest.raises(ValueError, match="read-only"):
        open_sealed(path, "an index").arrays["places"][0] = 1


def test_a_flipped_bit_is_an_error_or_changes_nothing(path):
    whole = path.read_bytes()
    errors = []
    for place in range(len(whole)):
        data = bytearray(whole)
        data[place] ^= 1 << place * 5 % 8
        path.write_bytes(data)
        try:
            assert is_as_written(path)
        except DataError as error:
            errors.append(str(error))
    assert all(f"{path}: not an index (" in error for error in errors)
    assert len(errors) > 0.9 * len(whole)  # the rest is padding of the header


@pytest.mark.parametrize("data", [b"", b"\xff" * 40, b"\x02\0\0\0\0\0\0\0{}", b"x" * 1000])
def test_a_file_of_a_different_kind_is_refused(path, data):
    path.write_bytes(data)
    with pytest.raises(DataError, match="not an index"):
        open_sealed(path, "an index")


def test_a_missing_sealed_file_is_reported(tmp_path):
    with pytest.raises(DataError, match=r"none\.index: no such file"):
        open_sealed(tmp_path / "none.index", "an index")


def test_a_file_without_a_checksum_is_refused(path):
    from safetensors.numpy import save_file

    save_file(ARRAYS, path, {"shard_index": "3"})
    with pytest.raises(DataError, match="checksum does not match"):
        open_sealed(path, "an index")


def test_complex_weights_are_refused_by_a_real_model():
    module = nn.Linear(2, 2)
    weights = {name: value.to(torch.complex64) for name, value in module.state_dict().items()}
    with pytest.raises(
        CheckpointError, match=r"a\.safetensors does not fit Linear: 2 complex \(bias, weight\)"
    ):
        load_strict(module, weights, "a.safetensors")
