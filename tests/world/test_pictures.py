"""Pictures of the simulated world are rendered once a machine, and a damaged file is rendered again."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from perceptinit.files.cache import cache_folder, foreign_files, kept_files
from perceptinit.images import copies
from perceptinit.images.copies import find_copies
from perceptinit.judgments.controls.synthetic import SyntheticJudgments, _draw_split
from perceptinit.pairs.synthetic import SyntheticPairs
from perceptinit.world import pictures, triplets
from perceptinit.world.factors import draw_factors
from perceptinit.world.pictures import Pictures
from perceptinit.world.render import render


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PERCEPTINIT_CACHE", str(tmp_path / "cache"))


def draw(number):
    return draw_factors(0, "pairs", number)


def make(length=5):
    return Pictures((0, "pairs"), length, 16, draw)


@pytest.fixture
def rendered(monkeypatch):
    """The pictures rendered so far, without trial pictures."""
    seen = []
    pictures._folder_name(16)
    monkeypatch.setattr(
        pictures, "render", lambda factors, size: (seen.append(factors), render(factors, size))[1]
    )
    return seen


def stored_file():
    (path,) = cache_folder().glob("images/16px-world-*/*.npy")
    return path


def test_pictures_have_the_rendered_pixels():
    for _ in ("rendered", "read"):
        images = make()
        assert len(images) == 5
        for number, image in enumerate(images):
            assert np.array_equal(image, render(draw(number), 16))
            image[0] = 0  # a copy: the next reader has the pixels of the file


def test_a_second_process_renders_nothing(rendered):
    list(make())
    assert len(rendered) == 5
    list(make())
    assert len(rendered) == 5


def test_readers_at_the_same_time_render_once(rendered):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: make()[3].tobytes(), range(4)))
    assert len(set(found)) == 1
    assert len(rendered) == 5


@pytest.mark.parametrize("place", [10, 200, -1])
def test_a_damaged_file_is_rendered_again(place, rendered):
    whole = [image.tobytes() for image in make()]
    path = stored_file()
    data = bytearray(path.read_bytes())
    data[place] ^= 4
    path.write_bytes(data)
    assert [image.tobytes() for image in make()] == whole
    assert len(rendered) == 10
    path.write_bytes(bytes(data)[:100])
    assert [image.tobytes() for image in make()] == whole


def test_without_a_writable_cache_pictures_are_rendered(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PERCEPTINIT_CACHE", str(tmp_path / "file"))
    assert np.array_equal(make()[4], render(draw(4), 16))


def test_pictures_of_a_large_set_are_not_stored(monkeypatch, rendered):
    monkeypatch.setattr(pictures, "MOST_BYTES", 100)
    assert np.array_equal(make()[4], render(draw(4), 16))
    assert len(rendered) == 1
    assert not list(cache_folder().glob("images/*/*.npy"))


def test_observers_answer_once_a_machine(monkeypatch):
    config = SyntheticJudgments.Config(num_train=7)
    first = SyntheticJudgments(config).load("train")
    _draw_split.cache_clear()
    monkeypatch.setattr(triplets, "draw_triplet", lambda *_: pytest.fail("observers were asked again"))
    again = SyntheticJudgments(config).load("train")
    assert again.p_second.tolist() == first.p_second.tolist()
    assert again.num_votes.tolist() == first.num_votes.tolist()
    _draw_split.cache_clear()
    with pytest.raises(pytest.fail.Exception):  # fewer observers give other answers
        SyntheticJudgments(replace(config, num_observers=20)).load("train")


def test_other_code_of_the_world_does_not_read_the_pictures(rendered, monkeypatch):
    list(make())
    pictures._folder_name.cache_clear()
    monkeypatch.setattr(pictures, "draw_factors", lambda *_: draw_factors(1, "trial", 0))
    list(make())
    pictures._folder_name.cache_clear()
    assert len(rendered) == 5 + pictures.NUM_TRIALS + 5


def test_the_cache_lists_and_clears_stored_pictures():
    make()[0]
    (kept,) = kept_files()
    assert foreign_files() == []
    kept.clear()
    assert not list(cache_folder().glob("images/*/*.npy"))


def test_copies_of_pictures_are_found_by_kept_hashes(monkeypatch):
    monkeypatch.setattr(copies, "decode", lambda *_: pytest.fail("a picture was hashed again"))
    judgments = SyntheticJudgments(SyntheticJudgments.Config(num_train=4))
    images = judgments.load("train").stimuli.images
    pairs = SyntheticPairs(SyntheticPairs.Config(num_pairs=4))
    others = [pairs.pair(number).image for number in range(4)]
    assert find_copies([images, others], [images[0], *others[:2]]) == [1 / 12, 2 / 4]
