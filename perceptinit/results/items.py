"""Per-item values of final scores, with images and people, for intervals over images and people.

`items.safetensors` of a run contains the values, as bits if all are 0 or 1. Images, people, weights and
values of trivial models are the same for all runs, so the experiment's folder `items` stores them once, named
by hash.
"""

# N items, R images per item
import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from perceptinit.errors import DataError
from perceptinit.files.sealed import open_sealed, write_sealed
from perceptinit.types import Items

ITEMS = "items.safetensors"  # in the folder of a run
SETS = "items"  # in the folder of an experiment
TRIVIAL = "baseline "  # prefix of the values of a trivial model
WHAT = "a file of per-item values"
HINT = ". Evaluate the run again"


def write_items(folder: Path, items: Mapping[str, Items]) -> None:
    """Write the items of a run's final scores, and their images unless another run wrote them undamaged.

    Args:
        folder: Folder of the run, `<recipe>/<arm>/seed<k>`.
        items: Items by score name.
    """
    about = {}
    arrays = {}
    for name, each in items.items():
        values = np.asarray(each.values)
        is_binary = bool(np.isin(values, (0, 1)).all())
        about[name] = {"set": _write_set(folder, each), "num": len(values), "bits": is_binary}
        arrays[name] = np.packbits(values.astype(bool)) if is_binary else values.astype(np.float32)
    write_sealed(folder / ITEMS, about, arrays)


def read_items(folder: Path) -> dict[str, Items]:
    """Return the items of a run's final scores by score name; empty if there is no file.

    Raises:
        DataError: If a file is damaged, or the file of a set is missing.
    """
    if not (folder / ITEMS).exists():
        return {}
    found = open_sealed(folder / ITEMS, WHAT, HINT)
    items = {}
    for name, row in found.about.items():
        stored = found.arrays[name]
        values = np.unpackbits(stored, count=row["num"]) if row["bits"] else stored
        arrays = open_sealed(folder.parents[1] / SETS / f"{row['set']}.safetensors", WHAT, HINT).arrays
        trivial = {k.removeprefix(TRIVIAL): v for k, v in arrays.items() if k.startswith(TRIVIAL)}
        items[name] = Items(
            values.astype(np.float64), arrays["images"], arrays.get("weights"), trivial, arrays.get("people")
        )
    return items


def _write_set(folder: Path, items: Items) -> str:
    """Write the images, people, weights and trivial-model values of items, and return their hash."""
    arrays = {"images": items.images.astype(np.int64)}
    if items.people is not None:
        arrays["people"] = items.people.astype(np.int64)
    if items.weights is not None:
        arrays["weights"] = items.weights.astype(np.float64)
    arrays |= {f"{TRIVIAL}{name}": values.astype(np.float64) for name, values in items.baselines.items()}
    digest = hashlib.sha256(b"".join(array.tobytes() for array in arrays.values())).hexdigest()[:16]
    path = folder.parents[1] / SETS / f"{digest}.safetensors"
    try:
        open_sealed(path, WHAT)
    except DataError:  # missing or damaged
        write_sealed(path, {}, arrays, folder)  # a rerun removes temporary files in the run's folder
    return digest
