"""Tables of judgments with their images."""

import csv

from PIL import Image


def write_csv(path, header, *rows):
    """Write a table; cells of a row are separated by spaces."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header.split(), *(str(row).split() for row in rows)])


def write_images(folder, *names):
    """Write uniform images of different colors."""
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (i * 37 % 256, i * 91 % 256, 128)).save(folder / name)
