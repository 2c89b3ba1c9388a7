"""Make the pairs and the test set of fewer_pairs_250.toml and the recipes that extend it.

    python recipes/known_effects/prepare_fewer_pairs.py FOLDER OUT

FOLDER is the folder of prepare.py, and OUT the one that it made. OUT gets pairs-N.parquet, the first 125, 250 and 500
rows of train.parquet; captioned-N.parquet, these or 1,000 rows and the 7,000 photographs of stage 1 with captions; and
`aside/`, a test set of 10,000 training photographs that are in no pairs and did not choose settings (rows 30,000 to
39,999). The caption of a stage-1 photograph is that of a random training photograph of its class.
"""

import sys
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
from prepare import PAIRS as MADE, pack, write

from perceptinit.plugin import assign_splits

PAIRS = (125, 250, 500, 1000)
SEED = 45
ASIDE = slice(30_000, 40_000)
SHARES = {"val_share": 0.1, "test_share": 0.2}  # of judgments `cifar10h`


def main(source: Path, out: Path) -> None:
    train = parquet.read_table(source / "train.parquet")
    judged = caption_judged(parquet.read_table(source / "test.parquet"), train.slice(0, ASIDE.start))
    for count in PAIRS:
        pairs = train.slice(0, count).select(judged.column_names)
        if count not in MADE:
            write(pairs, out / f"pairs-{count}.parquet")
        write(pyarrow.concat_tables([pairs, judged]), out / f"captioned-{count}.parquet")
    write(train.slice(ASIDE.start, ASIDE.stop - ASIDE.start), out / "aside.parquet")
    pack(out / "aside.parquet", out / "aside")


def caption_judged(test: pyarrow.Table, train: pyarrow.Table) -> pyarrow.Table:
    """Return the training photographs of judgments `cifar10h` with a caption."""
    names = [f"test-{row:05d}" for row in range(len(test))]
    # the splits of judgments `cifar10h` with seed 0
    splits = assign_splits(names, 0, "judgments", "cifar10h", "split", **SHARES)
    rng = np.random.default_rng(SEED)
    captions = np.array(train["caption"].to_pylist(), dtype=object)
    classes = np.array(train["class"].to_pylist())
    of_class = {name: captions[classes == name] for name in np.unique(classes).tolist()}
    chosen = test.take(np.flatnonzero(splits == "train"))
    drawn = [rng.choice(of_class[name]) for name in chosen["class"].to_pylist()]
    return chosen.append_column("caption", pyarrow.array(drawn)).select(["image", "caption", "class"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
