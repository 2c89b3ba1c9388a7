"""A small data set with known structure, on which a run takes a quarter of a second.

Images have 8 x 8 pixels and one of eight hues. Random brightness hides the hue from a comparison of pixels. `people.csv`
contains answers by hue, and `coin/K.csv` contains random answers to the same questions for experiment K.
"""

from __future__ import annotations

# N images
import colorsys
import csv
import io
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

NAMES = ("red", "orange", "green", "mint", "cyan", "blue", "purple", "pink")
SIZE = 8
NUM_VOTES = 5
NUM_PAIRS, NUM_LABELLED = 128, 128
NUM_OF_SET = {"train": 128, "test": 256}
NUM_JUDGED = {"train": 160, "val": 24, "test": 96}  # images
NUM_QUESTIONS = {"train": 512, "val": 16, "test": 256}
BRIGHTNESS, HUE, NOISE = 0.4, 0.06, 0.1  # standard deviations: of an image, a channel, a pixel

Row = tuple[str, str, str, int, int, str]  # anchor, first, second, their votes, split


def write_world(folder: Path) -> None:
    """Write pairs, a zero-shot test set with a folder per class, judged images and `people.csv`."""
    rng = np.random.default_rng(0)
    hues = _write_images(folder / "train", NUM_PAIRS, rng)
    rows = ((f"train/{i:04d}.png", NAMES[hue]) for i, hue in enumerate(hues))
    _write_csv(folder / "pairs.csv", ("image", "caption"), rows)
    for hue, name in enumerate(NAMES):
        _write_images(folder / "classes" / name, NUM_LABELLED // len(NAMES), rng, hue)
    _write_test_set(folder / "sets/hues", rng)
    _write_judgments(folder / "people.csv", [row for s in NUM_JUDGED for row in _ask(folder, s, rng)])


def write_coin(folder: Path, number: int) -> Path:
    """Write and return `coin/NUMBER.csv`: every training question of `people.csv` is answered by a coin."""
    rng = np.random.default_rng([1, number])
    with (folder / "people.csv").open(encoding="utf-8") as file:
        asked = list(csv.reader(file))[1:]
    heads = rng.integers(0, 2, len(asked)) * NUM_VOTES
    rows = [(*q[:3], NUM_VOTES - h, h, q[5]) for q, h in zip(asked, heads.tolist(), strict=True)]
    path = folder / "coin" / f"{number:04d}.csv"
    path.parent.mkdir(exist_ok=True)
    _write_judgments(path, rows)
    return path


def _ask(folder: Path, split: str, rng: np.random.Generator) -> Iterable[Row]:
    """Yield questions in which one candidate has the anchor's hue and gets all votes."""
    hues = _write_images(folder / "judged" / split, NUM_JUDGED[split], rng)
    for _ in range(NUM_QUESTIONS[split]):
        anchor = rng.integers(len(hues))
        is_same = hues == hues[anchor]
        others = np.arange(len(hues)) != anchor
        same, other = (
            rng.choice(np.flatnonzero(is_same & others)),
            rng.choice(np.flatnonzero(~is_same)),
        )
        right = int(rng.integers(2))
        sides = (other, same) if right else (same, other)
        names = [f"{split}/{i:04d}.png" for i in (anchor, *sides)]
        yield (*names, NUM_VOTES * (1 - right), NUM_VOTES * right, split)  # type: ignore[misc]


def _write_images(folder: Path, count: int, rng: np.random.Generator, hue: int | None = None) -> np.ndarray:
    """Write `0000.png` and so on, and return their hues (N,), all equally often unless one is given."""
    folder.mkdir(parents=True)
    hues = np.full(count, hue) if hue is not None else rng.permutation(np.arange(count) % len(NAMES))
    for i, one in enumerate(hues.tolist()):
        colour = np.array(colorsys.hsv_to_rgb(one / len(NAMES), 0.6, 0.7))
        colour = colour + rng.normal(0, BRIGHTNESS) + rng.normal(0, HUE, 3)
        pixels = np.clip(colour + rng.normal(0, NOISE, (SIZE, SIZE, 3)), 0, 1)
        Image.fromarray((255 * pixels).astype(np.uint8)).save(folder / f"{i:04d}.png")
    return hues


def _write_test_set(folder: Path, rng: np.random.Generator) -> None:
    """Write a labelled set in clip-benchmark's layout, with a split to compare neighbours with."""
    for split, count in NUM_OF_SET.items():
        hues = _write_images(folder / split, count, rng)
        with tarfile.open(folder / split / "0.tar", "w") as tar:
            for i, hue in enumerate(hues.tolist()):
                _add(tar, f"s{i:04d}.png", (folder / split / f"{i:04d}.png").read_bytes())
                _add(tar, f"s{i:04d}.cls", str(hue).encode())
        (folder / split / "nshards.txt").write_text("1", encoding="utf-8")
    (folder / "classnames.txt").write_text("\n".join(NAMES), encoding="utf-8")
    (folder / "zeroshot_classification_templates.txt").write_text("{c}", encoding="utf-8")


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def _write_judgments(path: Path, rows: Iterable[Sequence[object]]) -> None:
    _write_csv(path, ("anchor", "first", "second", "first_votes", "second_votes", "split"), rows)


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
