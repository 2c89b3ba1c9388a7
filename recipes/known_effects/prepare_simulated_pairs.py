"""Make a simulated world for simulated_pairs.toml, in which only people know the class of a planted share of images.

    python recipes/known_effects/prepare_simulated_pairs.py OUT

Images show an object with one of eight shapes, its class, in any color. 51 people label each of 10,000 images with the
class or, rarely, a second one. OUT gets their counts and the images with class labels, as prepare.py does for
CIFAR-10H, and labels-SHARE.parquet for shares of 0, 5, 20 and 50 %: the same images, with a wrong class in that
share of them. pairs-250.parquet and the test set `aside/` hold other images, with the right classes.
"""

# M images, C classes
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow
from prepare import pack, write
from prepare_simulated import encode

from perceptinit.world.factors import SHAPES, draw_factors

SEED = 45
NUM_PEOPLE = 51
NUM_CLASSES = 10  # of judgments `cifar10h`; two have no image
SHARES = (0, 5, 20, 50)  # percent
AMBIGUITY = (0.5, 9.5)  # Beta distribution of the share of people who give the second class; mean 0.05
NUM_IMAGES = {"judged": 10_000, "pairs": 250, "aside": 5000}
CAPTIONS = ("a photo of a {}.", "a good photo of a {}.", "a bad photo of a {}.", "a photo of the big {}.")


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    tables = {name: draw_images(name, num, rng) for name, num in NUM_IMAGES.items()}
    judged = tables["judged"]
    classes = judged["label"].to_numpy()
    np.save(out / "human_counts.npy", rng.multinomial(NUM_PEOPLE, people_shares(classes, rng)))
    write(judged, out / "test.parquet")
    for share, labels in wrong_labels(classes, rng):
        stated = {"image": judged["image"], "label": labels, "class": [SHAPES[label] for label in labels]}
        write(pyarrow.table(stated), out / f"labels-{share}.parquet")
    write(tables["pairs"], out / "pairs-250.parquet")
    write(tables["aside"], out / "aside.parquet")
    pack(out / "aside.parquet", out / "aside")


def draw_images(name: str, num: int, rng: np.random.Generator) -> pyarrow.Table:
    """Return images with a caption and their class."""
    factors = [draw_factors(SEED, "simulated pairs", name, number) for number in range(num)]
    shapes = [each.thing.shape for each in factors]
    return pyarrow.table(
        {
            "image": [encode(each) for each in factors],
            "caption": [rng.choice(CAPTIONS).format(shape) for shape in shapes],
            "label": [SHAPES.index(shape) for shape in shapes],
            "class": shapes,
        }
    )


def people_shares(classes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the share of people who give each label, (M, C)."""
    rows = np.arange(len(classes))
    ambiguity = rng.beta(*AMBIGUITY, len(classes))
    shares = np.zeros((len(classes), NUM_CLASSES))
    shares[rows, classes] = 1 - ambiguity
    shares[rows, other_classes(classes, rng)] = ambiguity
    return shares


def wrong_labels(classes: np.ndarray, rng: np.random.Generator) -> Iterator[tuple[int, np.ndarray]]:
    """Yield class labels of which a share is wrong; images that are wrong with a smaller share keep their label."""
    order = rng.permutation(len(classes))
    others = other_classes(classes, rng)
    for share in SHARES:
        wrong = order[: len(classes) * share // 100]
        labels = classes.copy()
        labels[wrong] = others[wrong]
        yield share, labels


def other_classes(classes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a random other class for each image, int64 (M,)."""
    return (classes + rng.integers(1, len(SHAPES), len(classes))) % len(SHAPES)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
