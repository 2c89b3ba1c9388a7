"""Execute the runs of a recipe in several processes without a scheduler.

Each process iterates over all runs in the same order and executes those that it can lock (see `locks.lock`).
Finished runs are kept. If other processes have locked all remaining runs, the process waits. When one of
these dies, a waiting process resumes the run from the last checkpoint.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from perceptinit.compute import distributed
from perceptinit.compute.devices import usable_cores
from perceptinit.errors import STOPS, TrainingError, message_of, summarize_error
from perceptinit.protocols import Evaluator, Tracker
from perceptinit.results.locks import describe_holder, is_sibling, lock
from perceptinit.results.record import read_record
from perceptinit.running.cells import Cell
from perceptinit.running.run import Run
from perceptinit.running.tracking import Trackers
from perceptinit.types import Event

POLL_SECONDS = 1.0


class Sweep:
    """Runs to execute alongside other processes, with shared data, evaluators and trackers.

    Args:
        cells: One or more runs.
        device: A torch device string.
        fresh: Whether old records were already removed; runs without a record then ignore checkpoints.
        earlier: Modification time of each record when the work started, by folder; read from disk by default.
        num_workers: Threads that decode images; by default the number of usable cores.
        is_job: Whether the parent process executes the runs in several processes and shows all of them.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        device: str,
        fresh: bool = False,
        earlier: Mapping[str, int] | None = None,
        num_workers: int | None = None,
        *,
        is_job: bool = False,
    ) -> None:
        self.is_job = is_job
        self.num_workers = usable_cores() if num_workers is None else num_workers
        self.recipe = cells[0].recipe  # all cells use its evaluators and trackers
        self.cells = list(cells)
        self.device = device
        self.fresh = fresh
        recorded = [cell for cell in cells if cell.record_path.is_file()] if earlier is None else []
        now = {str(cell.folder): cell.record_path.stat().st_mtime_ns for cell in recorded}
        self.earlier = now if earlier is None else earlier
        self._errors: dict[str, BaseException] = {}

    def work(self, console: Tracker | None = None) -> list[dict[str, Any]]:
        """Execute runs until all are done, here or in other processes, and return their records.

        Args:
            console: Replaces the console tracker.

        Raises:
            BaseException: The error of the first run that failed here, after the others are done.
        """
        evaluators: list[Evaluator] = [slot.spec.build() for slot in self.recipe.evals]
        trackers = Trackers(self.recipe, [(c.arm.name, c.seed) for c in self.cells], console)
        waiting = list(self.cells)
        try:
            while waiting:
                held = [cell for cell in waiting if not self._attempt(cell, evaluators, trackers)]
                if len(held) == len(waiting):
                    self._wait(held, trackers)
                waiting = held
        finally:
            trackers.close()
        if self._errors:
            (_, first), *others = self._errors.items()
            for title, error in others:
                first.add_note(f"{title} also failed: {type(error).__name__}: {message_of(error)}")
            raise first
        return [read_record(cell.record_path) for cell in self.cells]

    def _attempt(self, cell: Cell, evaluators: Sequence[Evaluator], trackers: Trackers) -> bool:
        """Execute a run. Return False if another process has locked it."""
        # rank 0 locks the run for all processes that share it
        own = lock(cell.folder) if distributed.is_first() else nullcontext(False)
        with own as is_mine:
            if not distributed.decide(lambda: is_mine):
                return False
            if not distributed.decide(lambda: self._failed_elsewhere(cell)):
                self._run(cell, evaluators, trackers)
            return True

    def _failed_elsewhere(self, cell: Cell) -> bool:
        """Return whether the run failed in another process of this sweep, and would fail again."""
        if not cell.record_path.is_file():
            return False
        is_new = cell.record_path.stat().st_mtime_ns != self.earlier.get(str(cell.folder))
        return is_new and cell.loaded.state == "failed"

    def _run(self, cell: Cell, evaluators: Sequence[Evaluator], trackers: Trackers) -> None:
        starts_over = distributed.decide(lambda: self.fresh and not cell.record_path.is_file())
        run = Run(cell, self.device, evaluators, trackers, self.num_workers)
        try:
            run.execute(fresh=starts_over)
        except BaseException as error:  # the other runs continue; plug-ins raise anything
            # processes that no longer agree cannot continue together
            if isinstance(error, STOPS) or distributed.world_size() > 1:
                raise
            is_usual = isinstance(error, Exception)
            self._errors[cell.title] = error if is_usual else TrainingError(summarize_error(error))

    def _wait(self, held: Sequence[Cell], trackers: Trackers) -> None:
        others = [cell for cell in held if not (self.is_job and is_sibling(cell.folder))]
        for cell in others:
            text = f"waiting for {cell.title}, which {describe_holder(cell.folder)} is executing"
            arm = cell.arm.name
            trackers.log_once(Event(kind="warning", arm=arm, seed=cell.seed, stage="run", message=text))
        time.sleep(POLL_SECONDS)
