"""Make the judgments of ladder.toml: one table of the human judgments of materials (Lagunas et al. 2019).

    python recipes/known_effects/prepare_materials.py MATERIALS OUT

MATERIALS holds `answers_processed_{train,test}.json` and `havran1_ennis_298x298_LDR/`. OUT/materials.csv gets the
judgments of both files in the columns of judgments `table`, with random sides, so that a recipe can split them by
photograph. The published split shares all photographs.
"""

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

SEED = 45
COLUMNS = ("anchor", "first", "second", "first_votes", "second_votes")


def main(source: Path, out: Path) -> None:
    names = sorted(path.name for path in (source / "havran1_ennis_298x298_LDR").glob("*.jpg"))
    out.mkdir(parents=True, exist_ok=True)
    with (out / "materials.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for part in ("train", "test"):
            content = json.loads((source / f"answers_processed_{part}.json").read_text(encoding="utf-8"))
            table.writerows(judgments(content, names))


def judgments(content: dict, names: list[str]) -> Iterator[tuple]:
    """Yield rows with random sides. The files list the choice of the majority first."""
    rng = np.random.default_rng(SEED)
    for (anchor, chosen, other), (most, least) in zip(content["answers"], content["agreement"], strict=True):
        if rng.random() < 0.5:
            yield names[anchor], names[chosen], names[other], most, least
        else:
            yield names[anchor], names[other], names[chosen], least, most


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
