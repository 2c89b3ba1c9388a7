"""How many samples the shards of a folder have, as the file beside them says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from perceptinit.files.reading import read_json

SIZES = "sizes.json"  # {"000000.tar": 10000, ...}: written by `data pack`, looked for by open_clip
JOURNAL = ".packing.jsonl"  # stands beside shards as long as `data pack` is not done
_JOURNALS = ".packing*.jsonl"  # that, and those of parts


def find_miscounts(counts: Mapping[Path, int]) -> Iterator[str]:
    """Yield a sentence for each folder whose packing is not finished, and for each shard with a wrong number of samples.

    counts: samples found in each shard. A folder without a file of counts is accepted.
    """
    sizes = {}
    for folder in sorted({path.parent for path in counts}):
        place, what = folder / SIZES, "a JSON table of shard names and counts"
        sizes[folder] = read_json(place, dict[str, int], what) if place.exists() else {}
        if journals(folder):
            yield (
                f"{folder}: its packing is not finished; run the same `perceptinit data pack` again, without --part"
            )
    for path, number in counts.items():
        said = sizes[path.parent].get(path.name)
        if said is not None and said != number:
            yield (
                f"{path}: {number} samples, but {SIZES} beside it says {said}; copy or pack the shard again"
            )


def journals(folder: Path) -> list[Path]:
    """Return the journals of the packing that goes on in a folder: of the whole, and of parts."""
    return sorted(path for path in folder.glob(_JOURNALS) if path.is_file())
