"""Make the data of the recipes in this folder from two Parquet files of CIFAR-10 and the counts of CIFAR-10H.

    python recipes/known_effects/prepare.py FOLDER OUT

FOLDER holds `train.parquet` (50,000 rows: `image` bytes, `caption`, `label`, `class`), `test.parquet`
(10,000 rows in CIFAR-10's order: `image`, `label`, `class`) and `human_counts.npy`, int64 (10000, 10).
OUT gets pairs-N.parquet, the first N rows of train.parquet; classes-100.parquet, ten photographs of each class from
rows 20,000 to 29,999, which are in no test set and among no labels; `unseen/`, its last 5,000 as a test set, which
no pairs and no judgments hold; `tuning/`, the 5,000 before them, to choose learning rates; `cifar10/`, the
official test set; and links to FOLDER's files.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet

PAIRS = (1000, 4000, 16_000, 40_000, 45_000)
ROWS_OF_A_GROUP = 500
OF_CLASSES = slice(20_000, 30_000)
PER_CLASS = 10


def main(source: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    train = parquet.read_table(source / "train.parquet")
    for count in PAIRS:
        write(train.slice(0, count), out / f"pairs-{count}.parquet")
    some = train.slice(OF_CLASSES.start, OF_CLASSES.stop - OF_CLASSES.start)
    write(first_of_classes(some), out / f"classes-{10 * PER_CLASS}.parquet")
    for name, rows in {"tuning": train.slice(40_000, 5000), "unseen": train.slice(45_000)}.items():
        write(rows, out / f"{name}.parquet")
        pack(out / f"{name}.parquet", out / name)
    pack(source / "test.parquet", out / "cifar10")
    for name in ("train.parquet", "test.parquet", "human_counts.npy"):
        link = out / name
        link.unlink(missing_ok=True)
        link.symlink_to((source / name).resolve())


def first_of_classes(table):
    """Return the first PER_CLASS rows of each class."""
    classes = np.array(table["class"].to_pylist())
    return table.take(
        np.concatenate([np.flatnonzero(classes == name)[:PER_CLASS] for name in np.unique(classes)])
    )


def write(table, path: Path) -> None:
    parquet.write_table(table, path, row_group_size=ROWS_OF_A_GROUP)


def pack(table: Path, folder: Path) -> None:
    options = ["--columns", "label=label,class=class"]
    command = [sys.executable, "-m", "perceptinit", "data", "pack", str(table), str(folder)]
    template = ["--template", "a photo of a {c}."]
    subprocess.run([*command, "--test-set", *options, *template], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
