"""RDM files of rsatoolbox and Meadows with image names."""

import json
from contextlib import suppress

import numpy as np
import pytest
from perceptinit_brain_rdms.rdm_export import RdmExport
from PIL import Image
from rsatoolbox import rdm
from scipy.io import savemat

from perceptinit.plugin import DataError

NAMES = ["beach", "fireplace", "rain", "snow"]
PAIRS = np.triu_indices(4, 1)


def matrix(seed):
    square = np.random.default_rng(seed).random((4, 4)).round(3)
    square = square + square.T
    np.fill_diagonal(square, 0)
    return square


def same(found, expected):
    return found.shape == expected.shape and np.allclose(found, expected)


BOTH = np.stack([matrix(0), matrix(1)])


def read_matrices(path, key):
    """Return the matrices and image names of a file."""
    config = RdmExport.Config(path=path, kind="dissimilarity", images=path.parent, key=key)
    return RdmExport(config).read_file()


def write_rdms(path, **descriptors):
    rdms = rdm.RDMs(
        BOTH[:, *PAIRS],
        dissimilarity_measure="euclidean",
        rdm_descriptors={"subject": ["a", "b"]},
        pattern_descriptors=descriptors,
    )
    rdms.save(str(path), file_type="hdf5")


def test_an_rsatoolbox_file_contains_matrices_and_names(tmp_path):
    write_rdms(tmp_path / "rdms.hdf5", conds=NAMES)
    matrices, names = read_matrices(tmp_path / "rdms.hdf5", None)
    assert same(matrices, BOTH)
    assert names == NAMES


def test_the_key_selects_the_descriptor_of_the_images(tmp_path):
    write_rdms(tmp_path / "rdms.h5", conds=NAMES, category=["out", "in", "out", "out"])
    assert read_matrices(tmp_path / "rdms.h5", "conds")[1] == NAMES
    with pytest.raises(DataError, match=r"no descriptor called 'cond'. Did you mean 'conds'"):
        read_matrices(tmp_path / "rdms.h5", "cond")
    with pytest.raises(DataError, match=r"several descriptors are text"):
        read_matrices(tmp_path / "rdms.h5", None)


def test_an_invalid_rsatoolbox_file_is_reported(tmp_path):
    (tmp_path / "rdms.hdf5").write_bytes(b"no HDF5")
    with pytest.raises(DataError, match=r"rdms\.hdf5: not a valid rsatoolbox file"):
        read_matrices(tmp_path / "rdms.hdf5", None)


@pytest.mark.filterwarnings("ignore")
def test_a_flipped_bit_in_an_rsatoolbox_file_gives_values_or_a_message(tmp_path):
    path = tmp_path / "rdms.hdf5"
    write_rdms(path, conds=NAMES)
    data = path.read_bytes()
    positions = [position for position, byte in enumerate(data) if byte]
    for position in positions[::17]:
        path.write_bytes(data[:position] + bytes([data[position] ^ 4]) + data[position + 1 :])
        with suppress(DataError):
            assert read_matrices(path, None)[0].ndim == 3


def arranged(seed, names):
    return {
        "task": {"name": "arrangement", "task_type": "multiarrange"},
        "stimuli": [{"id": name[:2], "name": name} for name in names],
        "rdm": matrix(seed)[PAIRS].tolist(),
    }


def test_a_meadows_tree_has_one_matrix_per_arrangement(tmp_path):
    order = [2, 0, 1, 3]
    other = arranged(1, NAMES)
    other["stimuli"] = [other["stimuli"][i] for i in order]
    other["rdm"] = matrix(1)[np.ix_(order, order)][PAIRS].tolist()
    tree = {"tasks": [{"task": {"task_type": "consent"}}, arranged(0, NAMES), other]}
    (tmp_path / "tree.json").write_text(json.dumps(tree))
    matrices, names = read_matrices(tmp_path / "tree.json", None)
    assert same(matrices, BOTH)  # reordered to match the first
    assert names == NAMES


def test_a_meadows_tree_without_arrangements_is_refused(tmp_path):
    (tmp_path / "tree.json").write_text(json.dumps({"tasks": [{"task": {"task_type": "consent"}}]}))
    with pytest.raises(DataError, match="contains no 'multiarrange' task"):
        read_matrices(tmp_path / "tree.json", None)


@pytest.mark.parametrize("do_compression", [False, True])
def test_meadows_matlab_files_have_one_matrix_per_participant(tmp_path, do_compression):
    content = {}
    for seed, person in enumerate(("neat_ox", "calm_eel")):
        content |= {f"rdmutv_{person}": matrix(seed)[PAIRS], f"stimuli_{person}": np.array(NAMES)}
    savemat(tmp_path / "all.mat", content, do_compression=do_compression)
    matrices, names = read_matrices(tmp_path / "all.mat", None)
    assert same(matrices, BOTH)
    assert names == NAMES
    savemat(tmp_path / "one.mat", {"rdmutv": matrix(0)[PAIRS], "stimuli": np.array(NAMES)})
    assert same(read_matrices(tmp_path / "one.mat", None)[0], BOTH[:1])


def test_an_image_pattern_converts_names_to_image_files(tmp_path):
    for name in NAMES:
        Image.new("RGB", (2, 2)).save(tmp_path / f"{name}.png")
    savemat(tmp_path / "one.mat", {"rdmutv": matrix(0)[PAIRS], "stimuli": np.array(NAMES)})
    config = RdmExport.Config(
        path=tmp_path / "one.mat", kind="dissimilarity", images=tmp_path, image="{}.png",
        val_share=0.0, test_share=0.0, min_gap=0.0,
    )  # fmt: skip
    used = RdmExport(config).load("train").used_names
    assert used == [f"{name}.png" for name in NAMES]


def test_a_matlab_file_of_another_program_is_refused(tmp_path):
    savemat(tmp_path / "lab.mat", {"rdm": matrix(0)})
    with pytest.raises(DataError, match=r'not a Meadows file. Other \.mat files need use = "rdm"'):
        read_matrices(tmp_path / "lab.mat", None)
