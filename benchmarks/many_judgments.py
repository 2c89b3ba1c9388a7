"""CPU seconds and memory of `validate` and `data check` with many judgments, in one or several checkouts.

    python benchmarks/many_judgments.py
    python benchmarks/many_judgments.py --judgments 10000000 --parquet --commands check --rounds 1
    python benchmarks/many_judgments.py --checkouts . OTHER    alternates two checkouts

The judgments are random answers of 300 people, one in each row: anchor, first, second, choice, subject. Commands run
in new processes, so their imports count. A profile of each command shows the functions with the largest own time.
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path

import bench
import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import csv, parquet

RECIPE = (
    """
schema = 1
name = "judged"
"""
    + bench.TINY_BACKBONE
    + """
[[init]]
use = "triplet-hinge"
batch_size = 32
[init.judgments]
use = "table"
path = "{table}"
images = "{images}"
[[arm]]
name = "random"
init = []
[[arm]]
name = "people"
"""
)
NUM_PEOPLE = 300
COMMANDS = {"validate": ("validate",), "check": ("data", "check")}


def write_table(folder: Path, num: int, num_images: int, is_parquet: bool) -> Path:
    """Write images of 64 x 64 pixels and a table of random answers, and return the recipe."""
    rng = np.random.default_rng(0)
    images = folder / "images"
    images.mkdir()
    names = [f"image_{i:05d}.jpg" for i in range(num_images)]
    for name in names:
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        coarse.resize((64, 64)).save(images / name)
    anchor = rng.integers(num_images, size=num)
    first = (anchor + rng.integers(1, num_images // 2, size=num)) % num_images
    second = (anchor + rng.integers(num_images // 2, num_images, size=num)) % num_images
    choice = np.where(rng.random(num) < 0.5, first, second)
    roles = {"anchor": anchor, "first": first, "second": second, "choice": choice}
    subjects = rng.integers(NUM_PEOPLE, size=num)
    columns = {name: _texts(codes, names) for name, codes in roles.items()}
    columns["subject"] = _texts(subjects, [f"person_{i:03d}" for i in range(NUM_PEOPLE)])
    table = folder / ("answers.parquet" if is_parquet else "answers.csv")
    (parquet.write_table if is_parquet else csv.write_csv)(pa.table(columns), table)
    recipe = folder / "judged.toml"
    recipe.write_text(RECIPE.format(table=table, images=images))
    return recipe


def _texts(codes: np.ndarray, names: list[str]) -> pa.Array:
    return pa.array(names).take(pa.array(codes))


def main() -> None:
    options = bench.parse(
        __doc__,
        judgments=283_770,
        images=2_000,
        rounds=3,
        commands=list(COMMANDS),
        checkouts=[str(Path(__file__).parent.parent)],
        parquet=False,
        tiny={"judgments": 2_000, "images": 40, "rounds": 1},
    )
    print(f"{options.judgments:,} judgments of {options.images:,} images; {bench.about('numpy', 'pyarrow')}")
    with tempfile.TemporaryDirectory() as folder:
        recipe = write_table(Path(folder), options.judgments, options.images, options.parquet)
        for name in options.commands:
            command = [*COMMANDS[name], recipe]
            sides = {
                checkout: partial(
                    bench.run_command,
                    [sys.executable, "-m", "perceptinit", *command],
                    PYTHONPATH=str(Path(checkout).resolve()),
                    PERCEPTINIT_CACHE=str(Path(folder) / "cache"),
                )
                for checkout in options.checkouts
            }
            found = bench.alternate(sides, options.rounds)
            for checkout, turns in found.items():
                cpu = bench.spread([turn.cpu for turn in turns], "CPU s")
                memory = bench.spread([turn.peak_bytes for turn in turns], "MB", 0, 1e-6)
                print(f"{name:8} {checkout}: {cpu}, {memory}", flush=True)
            num_outputs = len({turn.output for turns in found.values() for turn in turns})
            if len(sides) > 1:
                print(f"{name:8} the outputs are {'equal' if num_outputs == 1 else 'different'}")
            print(bench.profile("perceptinit", command))


if __name__ == "__main__":
    main()
