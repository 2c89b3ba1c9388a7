"""`perceptinit eval` of features files on sets of human judgments: CPU seconds after imports, set by set.

    python benchmarks/judged_features.py

Judgments and embeddings are made: 10 files of 512 dimensions, answers of 20 people, pooled votes, odd-one-out
choices, and matrices of 92 images by one and by 20 people. The comparison of the models counts.
"""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import bench
import numpy as np

DIMENSIONS = 512
NUM_PEOPLE = 20
SETS = ("people.csv", "votes.csv", "odd.csv", "one.npy", "twenty.npy")


def write_rows(path: Path, header: str, rows: Iterable[Sequence[object]]) -> None:
    """Write a table."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header.split(), *rows])


def write_data(folder: Path, models: int, judgments: int, images: int) -> None:
    """Write features files and the five sets."""
    rng = np.random.default_rng(0)
    num = 10 * images
    names = [f"{i:05d}.jpg" for i in range(num)]
    true = rng.normal(size=(num, 64))
    for model in range(models):
        noise = 3 * (model + 1) * rng.normal(size=(num, DIMENSIONS))
        np.save(folder / f"m{model}.npy", true @ rng.normal(size=(64, DIMENSIONS)) + noise)
        (folder / f"m{model}.txt").write_text("\n".join(names))
    triplets = [rng.choice(num, 3, replace=False).tolist() for _ in range(judgments)]
    named = [[names[i] for i in triplet] for triplet in triplets]
    people = (
        [*row, rng.choice(["first", "second"]), person % NUM_PEOPLE]
        for row in named[: judgments // NUM_PEOPLE]
        for person in range(NUM_PEOPLE // 2)
    )
    write_rows(folder / "people.csv", "anchor first second choice subject", people)
    votes = (
        [*row, count, 5 - count] for row, count in zip(named, rng.integers(0, 6, judgments), strict=True)
    )
    write_rows(folder / "votes.csv", "anchor first second first_votes second_votes", votes)
    odd = ([*row, rng.choice(row)] for row in named)
    write_rows(folder / "odd.csv", "image_1 image_2 image_3 odd", odd)
    matrices = rng.random((NUM_PEOPLE, images, images))
    matrices = (matrices + matrices.transpose(0, 2, 1)) * (1 - np.eye(images))
    np.save(folder / "twenty.npy", matrices)
    np.save(folder / "one.npy", matrices[0])
    (folder / "names.txt").write_text("\n".join(names[:images]))


def evaluate(folder: Path, models: int, sets: Sequence[str]) -> bench.Spent:
    """Return the seconds of evaluation and comparison; the first evaluation imports modules."""
    from perceptinit.analysis.compare import compare
    from perceptinit.components.plugin_manager import build_plugin_manager
    from perceptinit.evaluating.evaluate import evaluate as run
    from perceptinit.evaluating.request import Request
    from perceptinit.verdict.headline import Judged

    os.chdir(folder)
    keys = {".npy": ",kind=dissimilarity,names=names.txt", ".csv": ""}

    def measure(num: int, names: Sequence[str]) -> Judged:
        request = Request(
            models=[f"m{i}.npy" for i in range(num)],
            on=[f"{name}{keys[Path(name).suffix]}" for name in names],
            fit=None,
            layer=(),
            pooling=None,
            baseline="",
            backbone="",
            weights="final",
            workers=1,
            at_once=8,
            device="cpu",
            no_cache=True,
            thumbnails=False,
        )
        return Judged.of(compare(run(request, build_plugin_manager().registry, print).runs))

    measure(2, ("one.npy", "votes.csv"))
    return bench.spend(lambda: measure(models, sets))


def main() -> None:
    options = bench.parse(
        __doc__, models=10, judgments=20_000, images=92, tiny={"models": 2, "judgments": 200, "images": 12}
    )
    print(f"{options.models} features files; {bench.about('numpy', 'scipy', threads=1)}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder, options.models, options.judgments, options.images)
        for sets in ([each] for each in SETS):
            spent = bench.in_new_process(partial(evaluate, folder, options.models, sets))
            print(f"{sets[0]:12} {spent.cpu:6.2f} CPU s", flush=True)
        spent = bench.in_new_process(partial(evaluate, folder, options.models, SETS))
        print(f"{'all':12} {spent.cpu:6.2f} CPU s", flush=True)


if __name__ == "__main__":
    main()
