"""All that a run is judged by."""

import json

from perceptinit.files.checkpoints import load_weights, weights_sha256


def outcome(folder, name="short"):
    """Return all that a run is judged by: weights, hashes, scores, and the names of its files."""
    run = folder / name / "pi/seed0"
    record = json.loads((run / "record.json").read_text())
    weights = {p.stem: weights_sha256(load_weights(p)) for p in (run / "weights").iterdir()}
    init = [{k: v for k, v in row.items() if k != "seconds"} for row in record["init"]]
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    return record["status"], record["hashes"], record["scores"], init, weights, names
