"""CPU seconds and memory of `validate` and `data check` with many judgments, in one or several checkouts.

    python benchmarks/many_judgments.py
    python benchmarks/many_judgments.py --judgments 10000000 --parquet --commands check --rounds 1
    python benchmarks/many_judgments.py --checkouts . OTHER    alternates two checkouts

The judgments are random answers of 300 people, one in each row: anchor, first, second, choice, subject. `data check`
reads them with a recipe and without. Commands run in new processes, so their imports count. A profile of each command
shows the functions with the largest own time.
"""

from __future__ import annotations

import tempfile
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
COMMANDS = {
    "validate": "`validate RECIPE`",
    "check": "`data check RECIPE`",
    "check-table": "`data check TABLE`",
}


def write_table(folder: Path, num: int, num_images: int, is_parquet: bool) -> tuple[Path, Path]:
    """Write images of 64 x 64 pixels and a table of random answers; return the recipe and the table."""
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
    return recipe, table


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
    form = "Parquet" if options.parquet else "CSV"
    size = f"{options.judgments:,} judgments of {options.images:,} images, {form}"
    print(f"{bench.about('numpy', 'pyarrow')}; CPU seconds with range, and peak memory", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recipe, table = write_table(folder, options.judgments, options.images, options.parquet)
        words = {
            "validate": ["validate", recipe],
            "check": ["data", "check", recipe],
            "check-table": ["data", "check", f"{table},images={folder}/images"],
        }
        commands = {f"{COMMANDS[name]}, {size}": words[name] for name in options.commands}
        cache = str(folder / "cache")
        bench.print_rows(commands, options.checkouts, options.rounds, PERCEPTINIT_CACHE=cache)


if __name__ == "__main__":
    main()
