"""How many samples the shards of a folder have, as the file beside them says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from perceptinit.errors import DataError, shown
from perceptinit.files.reading import misfit, read_json
from perceptinit.pairs.shard_index import PlacedShard

SIZES = "sizes.json"  # {"000000.tar": 10000, ...}: written by `data pack`, looked for by open_clip
JOURNAL = ".packing.jsonl"  # stands beside shards as long as `data pack` is not done
_JOURNALS = ".packing*.jsonl"  # that, and those of parts


def find_miscounts(shards: Iterable[PlacedShard]) -> Iterator[str]:
    """Yield a sentence for each local shard with another number of samples than is said, and for each
    folder that is not packed to its end.

    A folder without counts is taken as it is.
    """
    found = [(shard.path, shard.num_samples) for shard in shards]
    local = [(path, number) for path, number in found if isinstance(path, Path)]
    sizes = {}
    for folder in sorted({path.parent for path, _ in local}):
        sizes[folder] = _read_sizes(folder / SIZES)
        if journals(folder):
            yield (
                f"{folder}: its packing is not finished; run the same `perceptinit data pack` again, without --part"
            )
    for path, number in local:
        said = sizes[path.parent].get(path.name)
        if said is not None and said != number:
            yield (
                f"{path}: {number} samples, but {SIZES} beside it says {said}; "
                "copy or pack the shard again"
            )


def journals(folder: Path) -> list[Path]:
    """Return the journals of the packing that goes on in a folder: of the whole, and of parts."""
    return sorted(path for path in folder.glob(_JOURNALS) if path.is_file())


def _read_sizes(path: Path) -> dict[str, int]:
    if not path.exists():
        return {}
    what = "a JSON table of shard names and counts"
    sizes = read_json(path, dict, what)
    problem = misfit(sizes, dict.fromkeys(sizes, int))
    if problem:
        raise DataError(f"{path}: not {what} ({shown(problem)})")
    return sizes
