"""The recorded number of samples in each shard, and journals of unfinished packing."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from perceptinit.files.reading import read_json

SIZES = "sizes.json"  # {"000000.tar": 10000, ...}: written by `data pack`, read by open_clip
JOURNAL = ".packing.jsonl"  # next to the shards until `data pack` is complete
_JOURNALS = ".packing*.jsonl"  # including those of parts, which earlier versions wrote


def find_miscounts(counts: Mapping[Path, int]) -> Iterator[str]:
    """Yield a message for each incompletely packed folder, and each shard with a wrong number of samples.

    counts: Samples found in each shard. Folders without recorded counts are accepted.
    """
    sizes = {}
    for folder in sorted({path.parent for path in counts}):
        place = folder / SIZES
        what = "a JSON table of shard names and counts"
        sizes[folder] = read_json(place, dict[str, int], what) if place.exists() else {}
        if journals(folder):
            yield f"{folder}: packing is not finished. Rerun the same `perceptinit data pack` command"
    for path, number in counts.items():
        recorded = sizes[path.parent].get(path.name, number)
        if recorded != number:
            yield f"{path}: {number} samples, but {SIZES} states {recorded}. Copy or pack the shard again"


def journals(folder: Path) -> list[Path]:
    """Return the journals of unfinished packing in a folder, including those of parts."""
    return sorted(path for path in folder.glob(_JOURNALS) if path.is_file())
