"""The record of a run in progress, and stages copied from another run (`[checkpoint] stages_from`)."""

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from perceptinit.compute import distributed
from perceptinit.errors import CheckpointError, Stopped, WriteError, message_of
from perceptinit.files.checkpoints import load_strict, load_weights, weights_sha256
from perceptinit.results.items import write_items
from perceptinit.results.preregistration import plan_sha256, read_plan
from perceptinit.results.record import RECORD, finite, now, read_record, score_row, write_record
from perceptinit.running.interruption import INTERRUPTED
from perceptinit.types import InitReport, Items, Score, State

SAME = ("python", "packages", "platform", "processor", "threads", "device")
INIT_WEIGHTS = Path("weights") / "init.safetensors"


class RunJournal:
    """The progress of a run and its record, which only rank 0 writes.

    Attributes:
        record: The record, as in `results.record`; empty before `begin`.
        done: Names of completed stages: `init.0`, `init` (all initializers and their evaluation), `pretrain`.
        samples_seen: Number of samples that pretraining has seen.
        epoch: Number of completed epochs of pretraining.
    """

    def __init__(self, folder: Path) -> None:
        self.record: dict[str, Any] = {}
        self.done: list[str] = []
        self.samples_seen = 0
        self.epoch = 0
        self._resumed: State | None = None
        self._items: dict[str, Items] = {}
        self._path = folder / RECORD

    def begin(self, record: dict[str, Any]) -> None:
        """Start a new record, with the hash of the preregistered plan if there is one."""
        self.record = record
        if plan := read_plan(self._path.parents[2]):
            self.record["plan"] = plan_sha256(plan)

    def state(self, place: str, stage: State | None) -> dict[str, Any]:
        """Return the content of a checkpoint, except for the model.

        Args:
            place: Progress of the run, for messages.
            stage: State of the current stage, None between two stages.
        """
        return {
            "fingerprint": self.record["fingerprint"],
            "stage": stage,
            "place": place or f"{self.samples_seen} samples",
            "samples_seen": self.samples_seen,
            "epoch": self.epoch,
            "done": list(self.done),
            "record": copy.deepcopy(self.record),
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Restore the state of a checkpoint."""
        self.record = {**state["record"], "status": "running"}
        self.samples_seen = state["samples_seen"]
        self.epoch = state["epoch"]
        self.done = list(state["done"])
        self._resumed = state["stage"]

    @property
    def is_new(self) -> bool:
        """Whether no part of the run has been completed."""
        return not self.done and self._resumed is None

    def take_resumed(self) -> State | None:
        """Return the state of the interrupted stage on the first call, and None afterwards."""
        resumed = self._resumed
        self._resumed = None
        return resumed

    def note_hashes(self, name: str, model: Any) -> None:
        """Record a hash of the model's weights and of each tower's weights."""
        parts = {"image": model.image, "text": getattr(model, "text", None), "model": model}
        hashes = {part: weights_sha256(weights) for part, weights in parts.items() if weights is not None}
        self.record["hashes"][name] = hashes

    def note_data_files(self, files: Mapping[str, Any], where: str) -> None:
        """Record the files of the pairs.

        Args:
            files: Number, names and sizes in brief, see `HasDataFiles`.
            where: Table of the pairs in the recipe.

        Raises:
            CheckpointError: If the interrupted run had other files.
        """
        before = self.record.setdefault("pretrain_files", dict(files))
        if before != files:
            raise CheckpointError(
                f"{where}: the run started with {_list_files(before)}, and now there are "
                f"{_list_files(files)}. Restore the files to resume, or start over with --fresh"
            )

    def note_seconds(self, name: str, seconds: float) -> None:
        """Add to the wall time of a part of the run."""
        before = self.record["wall_seconds"].get(name, 0.0)
        self.record["wall_seconds"][name] = round(before + seconds, 3)

    def note_stage(self, report: InitReport, stage: str) -> None:
        """Record the report and the wall time of an initializer."""
        seconds = round(report.seconds, 3)
        row = {
            "stage": stage,
            "name": report.name,
            "num_changed": len(report.changed),
            "changed": list(report.changed),
            "sha256_before": report.sha256_before,
            "sha256_after": report.sha256_after,
            "metrics": {name: finite(value) for name, value in report.metrics.items()},
            "seconds": seconds,
        }
        self.record["init"].append(row)
        self.record["wall_seconds"][stage] = seconds

    def note_scores(self, scores: Sequence[Score], stage: str) -> None:
        """Record the scores of an evaluator. `end` writes the per-item results of the last evaluation."""
        self.record["scores"] += [score_row(each, stage, self.epoch, self.samples_seen) for each in scores]
        self._items |= {each.name: each.items for each in scores if each.items is not None}

    def end(self, error: BaseException | None = None) -> None:
        """Save the items and the final record. If saving fails after an error, add a note to `error`."""
        if error is None:
            if distributed.is_first() and self._items:
                write_items(self._path.parent, self._items)
            self.record.update(status="finished", finished=now())
            return self.save()
        by_ctrl_c = isinstance(error, KeyboardInterrupt)
        self.record.update(
            status="interrupted" if by_ctrl_c or isinstance(error, Stopped) else "failed",
            error=INTERRUPTED if by_ctrl_c else f"{type(error).__name__}: {message_of(error)}",
            finished=now(),
        )
        try:
            self.save()
        except OSError as full:  # often a full disk; the first error matters more
            if not isinstance(error, WriteError):
                error.add_note(f"{self._path} could not be written either: {full}")

    def save(self) -> None:
        """Write the record."""
        if distributed.is_first():
            write_record(self._path, self.record)


def _list_files(files: Mapping[str, Any]) -> str:
    names = f"{files['first']} to {files['last']}, hash {files['sha256'][:8]}"
    return f"{files['num_pairs']:,} pairs in {files['num_files']:,} files ({names})"


def load_earlier(folder: Path, tower: nn.Module) -> list[dict[str, Any]]:
    """Load the image tower that a finished run had after `init`, and return the records of its stages.

    Raises:
        DataError: If the record of the run cannot be read.
        CheckpointError: If the weights do not match the hash in the record.
    """
    record = read_record(folder / RECORD)
    file = folder / INIT_WEIGHTS
    load_strict(tower, load_weights(file), str(file))
    if weights_sha256(tower) != record["hashes"]["init"]["image"]:
        raise CheckpointError(
            f"{file}: the weights do not match the hash in {folder / RECORD}. Repeat that run with --fresh, "
            "or remove its experiment from [checkpoint] stages_from"
        )
    source = {"taken_from": "/".join(folder.parts[-3:])}
    return [row | source for row in record["init"] if row["stage"].startswith("init.")]


def find_earlier(roots: Iterable[Path], record: Mapping[str, Any]) -> str | None:
    """Return the folder of the finished run with the most initial stages in common with `record`, or None.

    Only runs with the same initial weights, seed, machine, packages, plug-ins and threads are considered. The
    stages are bit-identical if the number of processes is also the same.

    Args:
        roots: Folders of experiments.
        record: Record of the run that starts.

    Raises:
        DataError: If a record in the folders cannot be read.
    """
    lengths: dict[str, int] = {}
    for root in roots:
        for file in sorted(root.glob(f"*/seed{record['seed']}/{RECORD}")):
            other = read_record(file)
            if (file.parent / INIT_WEIGHTS).is_file() and _is_start(other, record):
                lengths[str(file.parent)] = len(other["arm"]["resolved"]["init"])
    return max(lengths, key=lambda folder: lengths[folder], default=None)


def _is_start(other: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    """Return whether a finished run has the first stages of `record` and ran in the same environment."""
    theirs = other["arm"]["resolved"]["init"]
    own = record["arm"]["resolved"]["init"]
    return (
        other["status"] == "finished"
        and 0 < len(theirs) <= len(own)
        and theirs == json.loads(json.dumps(own[: len(theirs)]))
        and other["hashes"].get("built", {}).get("image") == record["hashes"]["built"]["image"]
        and other["plugins"] == record["plugins"]
        and all(other["environment"].get(k) == record["environment"].get(k) for k in SAME)
    )
