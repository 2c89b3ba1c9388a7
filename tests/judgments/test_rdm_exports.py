"""Matrices in MATLAB structs, and the companion package for files of rsatoolbox and Meadows."""

import numpy as np
import pytest
from scipy.io import savemat

from perceptinit.components.plugin_manager import build_plugin_manager
from perceptinit.errors import DataError, UsageError
from perceptinit.judgments.own.rdm_files import read_matrices
from perceptinit.judgments.sources import as_table, build_judgments


def matrix(seed):
    square = np.random.default_rng(seed).random((4, 4)).round(3)
    square = square + square.T
    np.fill_diagonal(square, 0)
    return square


def same(found, expected):
    return found.shape == expected.shape and np.allclose(found, expected)


BOTH = np.stack([matrix(0), matrix(1)])


@pytest.mark.parametrize("do_compression", [False, True])
def test_a_key_selects_a_field_of_a_struct(tmp_path, do_compression):
    content = {
        "data": {"rdm": matrix(0), "age": 31, "who": "ox", "inner": {"rdm": matrix(1)}},
        "x": 1.0,
    }
    savemat(tmp_path / "lab.mat", content, do_compression=do_compression)
    assert same(read_matrices(tmp_path / "lab.mat", "data.rdm")[0], BOTH[:1])
    assert same(read_matrices(tmp_path / "lab.mat", "data.inner.rdm")[0], BOTH[1:])
    with pytest.raises(DataError, match=r"'data' is a struct\. Set key to one of its fields: data\.age"):
        read_matrices(tmp_path / "lab.mat", "data")
    with pytest.raises(DataError, match=r"no field of data called 'rdn'"):
        read_matrices(tmp_path / "lab.mat", "data.rdn")


def test_a_struct_array_has_one_matrix_per_subject(tmp_path):
    people = np.array([(matrix(0),), (matrix(1),)], dtype=[("rdm", object)])
    savemat(tmp_path / "lab.mat", {"people": people})
    assert same(read_matrices(tmp_path / "lab.mat", "people.rdm")[0], BOTH)


@pytest.mark.parametrize("name", ["rdms.hdf5", "rdms.h5", "tree.json", "meadows.mat"])
def test_a_file_of_rsatoolbox_or_meadows_is_reported_with_component_and_package(tmp_path, name):
    savemat(tmp_path / "meadows.mat", {"rdmutv_neat_ox": [0.1], "stimuli_neat_ox": ["a", "b"]})
    (tmp_path / name).touch()
    with pytest.raises(UsageError) as error:
        read_matrices(tmp_path / name, None)
    assert str(error.value) == (
        f'{tmp_path / name}: to read files of rsatoolbox and Meadows, set use = "brain-rdms/rdm" and install the '
        "companion package perceptinit-brain-rdms: pip install ./plugins/perceptinit-brain-rdms (in a checkout) "
        "or its wheel, perceptinit_brain_rdms-*.whl"
    )


def test_an_rsatoolbox_file_as_a_source_is_reported_with_the_package(tmp_path):
    registry = build_plugin_manager().registry
    (tmp_path / "rdms.hdf5").touch()
    with pytest.raises(UsageError, match=r"pip install \./plugins/perceptinit-brain-rdms"):
        build_judgments(as_table(str(tmp_path / "rdms.hdf5"), registry), registry)
