"""Values of single items in a file next to the record: written once, read back, refused if damaged."""

import json

import numpy as np
import pytest
from helpers.runs_here import run_recipe_here

from perceptinit.errors import DataError
from perceptinit.results.items import ITEMS, SETS, read_items, write_items
from perceptinit.types import Items


def folder_of(root, seed=0):
    return root / "made" / "pi" / f"seed{seed}"


def test_item_values_survive_a_round_trip_and_image_indices_are_stored_once(tmp_path):
    images = np.array([[0, 1, 2], [1, 2, 3], [0, 2, 3]])
    items = {
        "top1/x": Items(np.array([True, False, True]), np.arange(3)[:, None]),
        "2afc/y": Items(
            np.array([0.25, 1.0, 0.5]),
            images,
            np.array([4, 2, 6]),
            {"pixels": np.array([1, 0.5, 0])},
            people=np.array([0, 0, 1]),
        ),
    }
    for seed in range(2):
        write_items(folder_of(tmp_path, seed), items)
    assert len(list((tmp_path / "made" / SETS).iterdir())) == 2
    found = read_items(folder_of(tmp_path))
    assert found["top1/x"].values.tolist() == [1, 0, 1]
    assert found["top1/x"].weights is None
    assert found["2afc/y"].values.tolist() == [0.25, 1.0, 0.5]
    assert (found["2afc/y"].images == images).all()
    assert found["2afc/y"].weights.tolist() == [4, 2, 6]
    assert found["2afc/y"].baselines["pixels"].tolist() == [1, 0.5, 0]
    assert found["2afc/y"].people.tolist() == [0, 0, 1]
    assert found["top1/x"].people is None


def test_five_thousand_binary_items_take_less_than_a_kilobyte(tmp_path):
    write_items(folder_of(tmp_path), {"top1/x": Items(np.ones(5000), np.arange(5000)[:, None])})
    assert (folder_of(tmp_path) / ITEMS).stat().st_size < 1000


def test_a_damaged_item_file_is_refused(tmp_path):
    write_items(folder_of(tmp_path), {"top1/x": Items(np.ones(80), np.arange(80)[:, None])})
    file = folder_of(tmp_path) / ITEMS
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(DataError, match="damaged"):
        read_items(folder_of(tmp_path))


def test_a_run_writes_the_items_of_its_final_scores(tmp_path):
    run_recipe_here(tmp_path)
    folder = tmp_path / "tiny/pi/seed0"
    record = json.loads((folder / "record.json").read_text())
    found = read_items(folder)["2afc/synthetic"]
    [score] = [row for row in record["scores"][-2:] if row["name"] == "2afc/synthetic"]
    assert np.average(found.values, weights=found.weights) == pytest.approx(score["value"], abs=1e-6)
    assert found.images.shape == (score["num_examples"], 3)
    trivial = score["extra"]["baselines"]
    assert found.baselines.keys() == trivial.keys()
    for name, values in found.baselines.items():
        assert np.average(values, weights=found.weights) == pytest.approx(trivial[name]["value"])
    assert "items" not in score


def test_an_interrupted_write_leaves_files_only_in_the_folder_of_the_run(tmp_path, monkeypatch):
    def die(arrays, file, metadata):
        raise KilledError(file)

    monkeypatch.setattr("perceptinit.files.sealed.save_file", die)
    with pytest.raises(KilledError) as killed:
        write_items(tmp_path / "x/pi/seed0", {"a": Items(np.ones(3), np.zeros((3, 1)))})
    assert killed.value.args[0].parents[1] == tmp_path / "x/pi/seed0"  # of a temporary folder there


class KilledError(Exception):
    """Simulates the end of the process."""


def test_a_damaged_set_of_images_is_written_by_the_next_evaluation(tmp_path):
    items = {"top1/x": Items(np.ones(80), np.arange(80)[:, None])}
    write_items(folder_of(tmp_path), items)
    (path,) = (tmp_path / "made" / SETS).iterdir()
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    write_items(folder_of(tmp_path, seed=1), items)
    assert path.read_bytes() == data
    assert read_items(folder_of(tmp_path))["top1/x"].images.tolist() == [[i] for i in range(80)]
