"""Errors in a table name its row."""

import pytest
from perceptinit.plugin import DataError

from acme_piles.reading import read_sorting


def read(folder, *rows, header="subject,image,pile"):
    for name in ("a.png", "b.png"):
        (folder / name).touch()
    (folder / "piles.csv").write_text("\n".join([header, *rows]))
    return read_sorting(folder / "piles.csv", folder)


def test_people_and_images_are_sorted_by_name(tmp_path):
    found = read(tmp_path, "zoe,b.png,x", "amy,b.png,y", "amy,a.png,y")
    assert found.images == ("a.png", "b.png")
    assert found.piles.tolist() == [[1, 1], [-1, 0]]


def test_a_missing_image_is_reported_with_its_row(tmp_path):
    with pytest.raises(DataError, match=r"row 3: image 'c\.png': no such file in"):
        read(tmp_path, "amy,a.png,1", "amy,c.png,1")


def test_a_wrong_column_is_reported_with_a_suggestion(tmp_path):
    with pytest.raises(DataError, match=r"no column 'image'\. Did you mean 'images'\?"):
        read(tmp_path, "amy,a.png,1", header="subject,images,pile")
