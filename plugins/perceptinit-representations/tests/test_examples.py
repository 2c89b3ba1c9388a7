"""Examples in the report, and the sheet for trackers, of real runs of a tiny recipe."""

import re
import shutil
import textwrap

import numpy as np
import pytest
from helpers.tiny_recipes import LOCAL, RECIPE as TINY
from perceptinit_representations.judged import AGREES, DISAGREES, TripletExample, draw_sheet
from perceptinit_representations.samples import thumbnail
from PIL import Image

ZERO_SHOT = """
[[eval]]
use = "zero-shot"
datasets = ["synthetic"]
synthetic_num_images = 48
synthetic_image_size = 16
"""

PICTURES = """
    def log_image(self, name, path, samples_seen):
        path.with_suffix(".logged").write_text(f"{name} {samples_seen}")
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, run_cli):
    """The folder of the runs of random and pi with one seed."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "local.py").write_text(textwrap.dedent(LOCAL) + PICTURES)
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
    assert "Predicted classes of images of synthetic" in words
    assert "Retrieval by pi among 48 images of synthetic" in words
    page = (tiny / "report.html").read_text()
    assert all('alt="' in image for image in re.findall(r"<img[^>]*>", page))
    assert "companion package" not in page


def test_missing_weights_leave_out_the_examples_that_need_them_with_the_reason(tiny, tmp_path, run_cli):
    shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
    (tmp_path / "runs/tiny/pi/seed0/weights/init.safetensors").unlink()
    words = words_of(run_cli, tmp_path)
    assert "Left out: example judgments." in words
    assert "init.safetensors: no such file" in words
    assert "Retrieval by pi" in words


def test_a_tracker_gets_a_sheet_of_judgments_at_the_end(tiny):
    images = tiny / "runs/tiny/pi/seed0/images"
    assert (images / "judgments.logged").read_text() == "judgments 96"
    assert Image.open(images / "judgments.png").format == "PNG"


def test_the_sheet_frames_the_models_choice_in_the_colour_of_agreement():
    uri = thumbnail(np.full((8, 8, 3), 255, dtype=np.uint8), "white")
    right = TripletExample(uri, uri, uri, 1, 4, d_first=0.9, d_second=0.1)
    wrong = TripletExample(uri, uri, uri, 1, 4, d_first=0.1, d_second=0.9)
    sheet = np.asarray(draw_sheet([right, wrong]))
    middle = sheet.shape[0] // 2
    assert (sheet[:middle] == AGREES).all(axis=2).any()
    assert not (sheet[:middle] == DISAGREES).all(axis=2).any()
    columns = np.flatnonzero((sheet[middle:] == DISAGREES).all(axis=2).any(axis=0))
    assert columns.max() < sheet.shape[1] // 3 + 8  # the first picture
