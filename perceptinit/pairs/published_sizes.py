"""How many pairs well-known sources have, to say what a run will cost before they are there."""

from __future__ import annotations

from pathlib import Path

# name of the folder, in lower case -> pairs
PUBLISHED = {
    # YFCC15M: lines of yfcc100m_subset_data.tsv. Source: openai/CLIP, data/yfcc100m.md
    "yfcc15m": 14_829_396,
    # Source: Changpinyo et al. 2021, for both
    "cc3m": 3_318_333,
    "cc12m": 12_423_374,
}


def published_num_pairs(paths: list[Path]) -> int | None:
    """Return the number of the source that the files' folders are named after, None for any other."""
    folders = {part.lower() for path in paths for part in path.parent.parts}
    return next((number for name, number in PUBLISHED.items() if name in folders), None)
