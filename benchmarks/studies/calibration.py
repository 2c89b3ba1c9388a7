"""Error rates of the verdict on simulated differences and on records whose truth is known.

    PYTHONPATH=tests python benchmarks/studies/calibration.py write

The command computes experiments that are missing from benchmarks/results/calibration.json and writes the
tables of docs/calibration-tables.md between their markers. Seeds are fixed, and an interrupted command resumes.
`--again STUDY` recomputes a study. The studies are in `calibration_seeds.py` (differences over
seeds), `calibration_designs.py` (few images, added seeds, many arms),
`calibration_power.py` (promises), `calibration_pooled.py` (spread pooled over arms), `calibration_images.py` (seeds and images), `calibration_people.py`
(people), `calibration_anchors.py` (few anchors), `calibration_models.py` (models measured once),
`calibration_edges.py` (published scores, tuned arms),
`calibration_runs.py` (sentences, real A/A comparisons), `calibration_tables.py` (tables of scores),
`random_designs.py` (firm sentences) and `calibration_when.py` (emergence).
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import calibration_anchors
import calibration_designs
import calibration_edges
import calibration_images
import calibration_models
import calibration_people
import calibration_pooled
import calibration_power
import calibration_runs
import calibration_seeds
import calibration_tables
import calibration_when
import random_designs
from calibration_counts import Cells, Study, table

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/calibration-tables.md"
KEPT = ROOT / "benchmarks/results/calibration.json"
STUDIES: Mapping[str, Study] = {
    **calibration_seeds.STUDIES,
    **calibration_designs.STUDIES,
    **calibration_power.STUDIES,
    **calibration_pooled.STUDIES,
    **calibration_images.STUDIES,
    **calibration_people.STUDIES,
    **calibration_anchors.STUDIES,
    **calibration_models.STUDIES,
    **calibration_edges.STUDIES,
    **calibration_runs.STUDIES,
    **calibration_tables.STUDIES,
    **random_designs.STUDIES,
    **calibration_when.STUDIES,
}


def fill(page: str, make: Callable[[str], str]) -> str:
    """Return a page with the text between all markers replaced. make: name of the marker -> text."""
    block = r"(<!-- made: ([\w-]+) -->\n).*?(<!-- end -->)"
    return re.sub(block, lambda m: f"{m[1]}\n{make(m[2])}\n\n{m[3]}", page, flags=re.DOTALL)


def make_table(name: str, cells: Cells) -> str:
    """Return the table of a study."""
    study = STUDIES[name]
    return table(study.headings, study.rows(cells))


def write(cells: Cells, again: Iterable[str]) -> None:
    """Compute missing experiments and write the page."""
    for study in again:
        cells.forget(study)
    PAGE.write_text(fill(PAGE.read_text("utf-8"), lambda name: make_table(name, cells)), "utf-8")
    print(f"{len(cells.counts)} cells, {cells.seconds:,.0f} CPU seconds in total")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    writing = verbs.add_parser(
        "write", help="compute missing experiments, and write docs/calibration-tables.md"
    )
    writing.add_argument("--again", nargs="+", choices=STUDIES, default=[], metavar="STUDY")
    write(Cells(KEPT), parser.parse_args().again)


if __name__ == "__main__":
    main()
