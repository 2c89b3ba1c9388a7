"""The record of a run while it is made, and stages that a run takes from another one (`[checkpoint] stages_from`)."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from perceptinit.compute import distributed
from perceptinit.errors import CheckpointError, WriteError
from perceptinit.files.checkpoints import load_strict, load_weights, weights_sha256
from perceptinit.results import record as rec
from perceptinit.results.preregistration import plan_sha256, read_plan
from perceptinit.running.interruption import INTERRUPTED, Stopped
from perceptinit.types import InitReport, Score, State

SAME = ("python", "packages", "platform", "processor", "threads", "device")


class RunJournal:
    """Knows how far a run is, and keeps its record; of several processes, the first alone writes it.

    Attributes:
        record: As `results.record` describes it, empty before `begin`.
        done: Names of the complete stages, such as `init.0`, `init` (all of them, and measured) and `pretrain`.
        samples_seen: Samples that pretraining has seen.
        epoch: Complete epochs of pretraining.
    """

    def __init__(self, folder: Path) -> None:
        self.record: dict[str, Any] = {}
        self.done: list[str] = []
        self.samples_seen = 0
        self.epoch = 0
        self._resumed: State | None = None
        self._path = folder / rec.RECORD
        self._is_first = distributed.is_first()

    def begin(self, record: dict[str, Any]) -> None:
        """Start with a new record, which names the plan that its experiment has now."""
        self.record = record
        if plan := read_plan(self._path.parents[2]):
            self.record["plan"] = plan_sha256(plan)

    def state(self, place: str, stage: State | None) -> dict[str, Any]:
        """Return what a checkpoint holds besides the model.

        Args:
            place: How far the run is, for people.
            stage: State of the stage under way, None between two stages.
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
        """Continue after a checkpoint."""
        self.record = {**state["record"], "status": "running"}
        self.samples_seen, self.epoch = state["samples_seen"], state["epoch"]
        self.done, self._resumed = list(state["done"]), state["stage"]

    @property
    def is_new(self) -> bool:
        """Whether nothing of the run is done, not even part of a stage."""
        return not self.done and self._resumed is None

    def take_resumed(self) -> State | None:
        """Return the state of the stage that was interrupted, to the first stage that continues."""
        resumed, self._resumed = self._resumed, None
        return resumed

    def warn(self, stage: str, message: str) -> None:
        """Note a warning; one that comes before the record begins is not noted."""
        if self.record:
            self.record["warnings"].append({"stage": stage, "message": message})

    def note_hashes(self, name: str, model: Any) -> None:
        """Note the hashes of a model's weights."""
        self.record["hashes"][name] = rec.weight_hashes(model)

    def note_seconds(self, name: str, seconds: float) -> None:
        """Add to the wall time of a part of the run."""
        before = self.record["wall_seconds"].get(name, 0.0)
        self.record["wall_seconds"][name] = round(before + seconds, 3)

    def note_stage(self, report: InitReport, stage: str) -> None:
        """Note what an initializer reports, and its wall time."""
        self.record["init"].append(rec.init_row(report, stage))
        self.record["wall_seconds"][stage] = round(report.seconds, 3)

    def note_scores(self, scores: Sequence[Score], stage: str) -> None:
        """Note the scores of an evaluator, with when they were measured."""
        when = stage, self.epoch, self.samples_seen
        self.record["scores"] += [rec.score_row(score, *when) for score in scores]

    def end(self, error: BaseException | None = None) -> None:
        """Note how the run ended and save the record; an error that prevents this is added to `error`."""
        if error is None:
            self.record.update(status="finished", finished=rec.now())
            return self.save()
        by_ctrl_c = isinstance(error, KeyboardInterrupt)
        self.record.update(
            status="interrupted" if by_ctrl_c or isinstance(error, Stopped) else "failed",
            error=INTERRUPTED if by_ctrl_c else f"{type(error).__name__}: {error}",
            finished=rec.now(),
        )
        try:
            self.save()
        except OSError as full:  # the disk, often; the first error is the one to report
            if not isinstance(error, WriteError):
                error.add_note(f"{self._path} could not be written either: {full}")

    def save(self) -> None:
        """Write the record."""
        if self._is_first:
            rec.write_record(self._path, self.record)


def load_earlier(folder: Path, tower: nn.Module) -> list[dict[str, Any]]:
    """Load the image tower as the stages of a finished run left it, and return their rows of its record.

    Each row names the run that it was `taken_from`.

    Raises:
        DataError: If the record of the run cannot be read.
        CheckpointError: If the file of its weights holds others than the record says.
    """
    record = rec.read_record(folder / rec.RECORD)
    file = _weights(folder)
    load_strict(tower, load_weights(file), str(file))
    if weights_sha256(tower) != record["hashes"]["init"]["image"]:
        raise CheckpointError(
            f"{file}: not the weights of {folder / rec.RECORD}. Do that run again with --fresh, or take "
            "its experiment out of [checkpoint] stages_from"
        )
    source = {"taken_from": "/".join(folder.parts[-3:])}
    return [row | source for row in record["init"] if row["stage"].startswith("init.")]


def find_earlier(roots: Iterable[Path], record: Mapping[str, Any]) -> str | None:
    """Return the folder, below those of experiments, of the run that has most of the first stages of `record`'s, if any.

    It began with the same weights, and had the same seed, machine, packages, plug-ins and threads, so that its stages would
    come out the same to the bit if as many processes did them again. DataError for a record there that cannot be read.
    """
    lengths: dict[str, int] = {}
    for root in roots:
        for file in sorted(root.glob(f"*/seed{record['seed']}/{rec.RECORD}")):
            other = rec.read_record(file)
            if _weights(file.parent).is_file() and _is_beginning(other, record):
                lengths[str(file.parent)] = len(other["arm"]["resolved"]["init"])
    return max(lengths, key=lambda folder: lengths[folder], default=None)


def _weights(folder: Path) -> Path:
    return folder / "weights" / "init.safetensors"


def _is_beginning(other: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    """Return whether a finished run's stages are the first of another's, from equal weights, packages and machine."""
    theirs, own = other["arm"]["resolved"]["init"], record["arm"]["resolved"]["init"]
    return (
        other["status"] == "finished"
        and 0 < len(theirs) <= len(own)
        and theirs == json.loads(json.dumps(own[: len(theirs)]))
        and other["hashes"].get("built", {}).get("image") == record["hashes"]["built"]["image"]
        and other["plugins"] == record["plugins"]
        and all(other["environment"].get(k) == record["environment"].get(k) for k in SAME)
    )
