"""The outcome of a run for comparisons."""

import json

from perceptinit.files.checkpoints import load_weights, weights_sha256


def outcome(folder, name="short"):
    """Return the outcome of a run: weights, hashes, scores and file names."""
    run = folder / name / "pi/seed0"
    record = json.loads((run / "record.json").read_text())
    weights = {p.stem: weights_sha256(load_weights(p)) for p in (run / "weights").iterdir()}
    init = [{k: v for k, v in row.items() if k != "seconds"} for row in record["init"]]
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    return record["status"], record["hashes"], record["scores"], init, weights, names
