"""Names and sizes of data files, recorded numbers of samples, and the journal of unfinished packing."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from perceptinit.files.reading import read_json
from perceptinit.protocols import HasFileNames, Pairs

SIZES = "sizes.json"  # {"000000.tar": 10000, ...}: written by `data pack`, read by open_clip
JOURNAL = ".packing.jsonl"  # next to the shards until `data pack` is complete


def describe_files(pairs: Pairs) -> dict[str, Any]:
    """Return the number of pairs and files, the first and last name, and a hash of all names and sizes."""
    names = pairs.file_names if isinstance(pairs, HasFileNames) else ()
    digest = hashlib.sha256("\n".join(names).encode())
    digest.update(np.asarray(pairs.block_sizes, np.int64).tobytes())
    return {
        "num_pairs": pairs.num_pairs,
        "num_files": len(names),
        "first": names[0] if names else "-",
        "last": names[-1] if names else "-",
        "sha256": digest.hexdigest(),
    }


def find_miscounts(counts: Mapping[Path, int]) -> Iterator[str]:
    """Yield a message for each incompletely packed folder, and each shard with a wrong number of samples.

    counts: Samples found in each shard. Folders without recorded counts are accepted.
    """
    sizes = {}
    for folder in sorted({path.parent for path in counts}):
        place = folder / SIZES
        what = "a JSON table of shard names and counts"
        sizes[folder] = read_json(place, dict[str, int], what) if place.exists() else {}
        if (folder / JOURNAL).is_file():
            yield f"{folder}: packing is not finished. Rerun the same `perceptinit data pack` command"
    for path, number in counts.items():
        recorded = sizes[path.parent].get(path.name, number)
        if recorded != number:
            yield f"{path}: {number} samples, but {SIZES} states {recorded}. Copy or pack the shard again"
