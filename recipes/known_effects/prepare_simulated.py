"""Make a simulated world for simulated.toml, with a planted share of people's ambiguity that only people report.

    python recipes/known_effects/prepare_simulated.py SHARE OUT       SHARE: per cent, such as 20

Images show an object in one of eight colors, its class, with one of eight shapes in four groups. People give the class
with 60 %. Of the other 40 %, SHARE goes to a class that color and group of shapes determine, and the rest to the next
class. Class labels do not contain the second class; the table of classes contains it only on average over shapes. OUT gets the files that
prepare_ties.py makes of CIFAR-10H, from the same number of images and labels for each image.
"""

# M images, C classes
import io
import sys
from pathlib import Path

import numpy as np
import pyarrow
from PIL import Image
from prepare_ties import (
    answer_by_table,
    draw_classes,
    draw_ties,
    name_of,
    save,
    split_photographs,
    write,
)

from perceptinit.world.factors import COLOURS, SHAPES, ImageFactors, draw_factors
from perceptinit.world.render import render

NUM_IMAGES = 10_000
NUM_PEOPLE = 51
IMAGE_SIZE = 32
CLASSES = tuple(COLOURS)
AMBIGUITY = 0.4  # share of people who do not give the class
NUM_OF_CLASS = 31  # labeled images: 248 in all
SEED = 45


def main(share: float, out: Path) -> None:
    factors = [draw_factors(SEED, "simulated", number) for number in range(NUM_IMAGES)]
    classes = np.array([CLASSES.index(each.thing.colour) for each in factors])
    rng = np.random.default_rng(SEED)
    counts = rng.multinomial(NUM_PEOPLE, people_shares(factors, classes, share))
    folder = out / "ties" / "photographs"
    folder.mkdir(parents=True, exist_ok=True)
    images = [encode(each) for each in factors]
    for number, image in enumerate(images):
        (folder / name_of(number)).write_bytes(image)
    parts = split_photographs(classes, counts)
    ties = {name: draw_ties(part, rng) for name, part in parts.items()}
    held_out = ties["val"] + ties["test"]
    write(out / "ties" / "ties.csv", ties["train"] + held_out)
    write(out / "ties" / "classes.csv", draw_classes(parts["train"], len(ties["train"]), rng) + held_out)
    by_table = [answer_by_table(row, classes, parts["train"].table) for row in ties["train"]]
    write(out / "ties" / "table.csv", by_table + held_out)
    table = pyarrow.table({"image": images, "class": [CLASSES[label] for label in classes]})
    train = parts["train"]
    members = [train.index[train.classes == label][:NUM_OF_CLASS] for label in range(len(CLASSES))]
    save(out / "labels-250.parquet", table.take(np.stack(members).T.ravel()))
    for name in ("val", "test"):
        held = table.take(parts[name].index)
        for label, column in zip(CLASSES, parts[name].shares.T, strict=True):
            held = held.append_column(label, pyarrow.array(column))
        save(out / f"shares-{name}.parquet", held)


def people_shares(factors: list[ImageFactors], classes: np.ndarray, share: float) -> np.ndarray:
    """Return the share of people who give each label, (M, C). share: of the ambiguity that only people report."""
    rows = np.arange(len(classes))
    groups = np.array([SHAPES.index(each.thing.shape) // 2 for each in factors])
    num = len(CLASSES)
    shares = np.zeros((len(classes), num))
    shares[rows, classes] = 1 - AMBIGUITY
    shares[rows, (classes + 1) % num] += AMBIGUITY * (1 - share)
    shares[rows, (classes + 2 + groups) % num] += AMBIGUITY * share
    return shares


def encode(factors: ImageFactors) -> bytes:
    file = io.BytesIO()
    Image.fromarray(render(factors, IMAGE_SIZE)).save(file, "png")
    return file.getvalue()


if __name__ == "__main__":
    main(float(sys.argv[1]) / 100, Path(sys.argv[2]))
