"""The data that recipes/prepare_drawings.py makes of drawings with titles, with a stand-in for the SVG renderer."""

import hashlib
import sys
from importlib.util import module_from_spec, spec_from_file_location

import numpy as np
import pytest
from helpers.command_line import ROOT
from PIL import Image

from perceptinit.api import build
from perceptinit.test_sets.readers import read_retrieval_set, read_zero_shot_set

spec = spec_from_file_location("prepare_drawings", ROOT / "recipes/prepare_drawings.py")
drawings = sys.modules["prepare_drawings"] = module_from_spec(spec)
spec.loader.exec_module(drawings)

SVG = """<svg xmlns="http://www.w3.org/2000/svg" xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<metadata><rdf:RDF xmlns:cc="http://web.resource.org/cc/" xmlns:dc="http://purl.org/dc/elements/1.1/"><cc:Work>
<dc:title>{title}</dc:title><dc:subject><rdf:Bag><rdf:li>{keyword}</rdf:li><rdf:li>HASH(0x8)</rdf:li></rdf:Bag></dc:subject>
</cc:Work></rdf:RDF></metadata>{content}</svg>"""
LETTERS = "abcdefghij"


def write(folder, name, title, keyword="thing", content=""):
    path = folder / f"{name}.svg"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(SVG.format(title=title, keyword=keyword, content=content or f"<!-- {path} -->"))


def render(path):
    """Return noise that the content of the file determines."""
    seed = int(hashlib.sha256(path.read_bytes()).hexdigest()[:8], 16)
    pixels = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setattr(drawings, "render", render)
    monkeypatch.setattr(drawings, "NUM_HELD_OUT", 40)
    folder = tmp_path / "svg"
    for first in LETTERS:
        for second in LETTERS:
            write(
                folder / ("animals" if first < "f" else "special"),
                f"{first}{second}_x_01",
                f"{first} {second}",
            )
    return folder


def test_held_out_drawings_have_titles_that_no_other_drawing_has(source, tmp_path):
    for number in range(5):
        write(source / "animals", f"cat{number}", f"Cat {number}")
    train, held_out = drawings.split(list(drawings.distinct(drawings.named(source))))
    assert (len(train), len(held_out)) == (65, 40)
    units = [drawing.unit for drawing in held_out]
    assert len(set(units)) == 40
    assert not set(units) & {drawing.unit for drawing in train}
    assert sum(drawing.unit == "cat" for drawing in train) == 5


def test_the_file_name_replaces_the_title_of_a_collection(source):
    for letter in "abcdefghijklm":
        write(source / "signs", f"stop-{letter}", "Road Signs")
    write(source / "signs", "untitled", "")
    named = {drawing.path.stem: drawing for drawing in drawings.named(source)}
    assert named["stop-a"].title == "stop a"
    assert named["untitled"].title == "untitled"
    assert not named["stop-a"].is_titled
    assert named["aa_x_01"].is_titled


def test_copies_and_drawings_with_a_common_name_are_left_out(source):
    for number in range(13):
        write(source / "signs", f"star{number}", "Stars")
    write(source / "animals", "one", "First copy", content="<g/>")
    write(source / "animals", "two", "First copy", content="<g/>")
    found = list(drawings.distinct(drawings.named(source)))
    assert not any(drawing.topic == "signs" for drawing in found)
    assert sum(drawing.title == "First copy" for drawing in found) == 1


def test_captions_contain_the_title_and_other_keywords(source):
    write(source / "animals", "owl", "Brown owl", keyword="bird")
    write(source / "animals", "bird", "Red_bird", keyword="bird")
    captions = {drawing.path.stem: drawing.caption for drawing in drawings.named(source)}
    assert captions["owl"] == "Brown owl, bird"
    assert captions["bird"] == "Red bird"


def test_the_files_are_read_as_pairs_judgments_and_test_sets(source, tmp_path):
    out = tmp_path / "data"
    drawings.main(source, out)
    pairs = build("pairs", {"use": "webdataset", "shards": str(out / "train" / "000000.tar")})
    assert pairs.num_pairs == 60
    titles = read_retrieval_set(out / "titles")
    assert len(titles.captions) == 40
    topics = read_zero_shot_set(out / "topics")
    assert topics.classnames == ("animals",)
    table = {"use": "class-triplets", "root": str(out / "topics.parquet"), "num_triplets": 50}
    assert len(build("judgments", table).load("train")) == 50


def test_a_folder_without_drawings_is_an_error(tmp_path):
    with pytest.raises(SystemExit, match="openclipart-svg"):
        drawings.named(tmp_path)
