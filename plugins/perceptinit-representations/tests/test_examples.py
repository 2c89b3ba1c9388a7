"""Report examples and the tracker sheet for runs of a tiny recipe."""

import re
import shutil
import textwrap

import pytest
import torch
from helpers.tiny_recipes import LOCAL, RECIPE as TINY
from perceptinit_representations.sections import group_by_block, relative_change

ZERO_SHOT = """
[[eval]]
use = "zero-shot"
datasets = ["synthetic"]
synthetic_num_images = 48
synthetic_image_size = 16
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, run_cli):
    """Folder with the runs of the arms random and pi with one seed."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "local.py").write_text(textwrap.dedent(LOCAL))
    (folder / "tiny.toml").write_text(TINY + ZERO_SHOT)
    done = run_cli(folder, "run", "tiny.toml", "--seed", "0")
    assert done.returncode == 0, done.stderr
    return folder


def words_of(run_cli, folder):
    done = run_cli(folder, "report", "runs/tiny")
    assert done.returncode == 0, done.stderr
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", (folder / "report.html").read_text()))


def test_the_page_shows_judgments_classes_and_retrieval(tiny, run_cli):
    words = words_of(run_cli, tiny)
    assert "The model agrees with people" in words
    assert re.search(r"The model agrees with the majority in \d+ of \d+ randomly drawn judgments", words)
    assert "Predicted classes of images in synthetic" in words
    assert "Retrieval by pi among 48 images of synthetic" in words
    assert "Change in stage 1, block by block" in words
    assert "Change in pretraining, block by block" in words
    page = (tiny / "report.html").read_text()
    assert all('alt="' in image for image in re.findall(r"<img[^>]*>", page))
    assert "companion package" not in page


def test_examples_without_their_weights_are_omitted_with_the_reason(tiny, tmp_path, run_cli):
    shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
    (tmp_path / "runs/tiny/pi/seed0/weights/init.safetensors").unlink()
    words = words_of(run_cli, tmp_path)
    assert "Left out: example judgments." in words
    assert "init.safetensors: no such file" in words
    assert "Retrieval by pi" in words


def test_examples_with_damaged_weights_are_omitted_with_the_reason(tiny, tmp_path, run_cli):
    shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
    file = tmp_path / "runs/tiny/pi/seed0/weights/final.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    words = words_of(run_cli, tmp_path)
    assert (
        "Left out: weights. runs/tiny/pi/seed0/weights/final.safetensors: the weights do not match their"
        in words
    )
    assert "Retrieval by pi" not in words


def test_the_relative_change_is_the_norm_of_the_difference_over_the_initial_norm():
    before = {"a.weight": torch.tensor([[3.0, 0.0], [0.0, 4.0]])}
    after = {"a.weight": torch.tensor([[3.0, 0.0], [0.0, 9.0]])}
    assert relative_change(before, after) == {"head": 1.0}  # |5| / |(3, 4)|


def test_blocks_are_identified_by_name_in_several_networks():
    names = ["trunk.patch_embed.w", "trunk.blocks.0.a", "trunk.blocks.1.a", "trunk.norm.w"]
    weights = {name: torch.zeros(1) for name in names}
    assert list(group_by_block(weights)) == ["stem", "block 0", "block 1", "head"]
    weights = {name: torch.zeros(1) for name in ["conv1.w", "layer1.0.a", "layer2.0.a", "fc.w"]}
    assert list(group_by_block(weights)) == ["stem", "block 1", "block 2", "head"]
