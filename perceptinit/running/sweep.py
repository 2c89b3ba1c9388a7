"""The runs of a recipe as work that several processes share without a scheduler.

Each process goes through all runs in the same order and does those that nobody else holds (see
`claims`). What is finished is kept; when only runs that others hold are left it waits for them, so
that a run whose process dies is taken over, from its last checkpoint on.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from perceptinit.compute import distributed
from perceptinit.compute.devices import usable_cores
from perceptinit.errors import PerceptInitError
from perceptinit.protocols import Evaluator, Tracker
from perceptinit.results.record import read_record
from perceptinit.results.states import claim, holder
from perceptinit.running.cells import Cell
from perceptinit.running.run import Run
from perceptinit.running.tracking import Trackers
from perceptinit.types import Event

POLL_SECONDS = 1.0


class Sweep:
    """Runs to be done, and which records of earlier attempts were there when the work began.

    cells: at least one; their recipes may differ in what arms do, and share data, evaluators and trackers.
    fresh: records were removed beforehand, so a run without one starts over even when it left a
    checkpoint. num_workers: threads that decode images, by default as many as the process may use cores.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        device: str,
        fresh: bool = False,
        earlier: Mapping[str, int] | None = None,
        num_workers: int | None = None,
    ) -> None:
        self.num_workers = usable_cores() if num_workers is None else num_workers
        self.recipe = cells[0].recipe  # whose evaluators and trackers serve all
        self.cells, self.device, self.fresh = list(cells), device, fresh
        # of each folder with a record, a number that changes with it
        self.earlier = (
            earlier
            if earlier is not None
            else {
                str(cell.folder): cell.record_path.stat().st_mtime_ns
                for cell in self.cells
                if cell.record_path.is_file()
            }
        )
        self._errors: dict[str, BaseException] = {}

    def work(self, console: Tracker | None = None) -> list[dict[str, Any]]:
        """Do what nobody else does, until all runs are done, and return their records.

        console: takes the place of the console tracker.

        Raises the error of the first run that failed here, after the others are done.
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
        self._raise_first()
        return [read_record(cell.record_path) for cell in self.cells]

    def _attempt(self, cell: Cell, evaluators: Sequence[Evaluator], trackers: Trackers) -> bool:
        """Do a run unless somebody else holds it; say whether it needs no more attention."""
        # the first of the processes that work on a run together claims it for all
        claimed = claim(cell.folder) if distributed.is_first() else nullcontext(False)
        with claimed as is_mine:
            if not distributed.decide(lambda: is_mine):
                return False
            if not distributed.decide(lambda: self._failed_elsewhere(cell)):
                self._run(cell, evaluators, trackers)
            return True

    def _failed_elsewhere(self, cell: Cell) -> bool:
        """Say whether another process of this sweep tried the run and failed: it would fail again."""
        if not cell.record_path.is_file():
            return False
        is_new = cell.record_path.stat().st_mtime_ns != self.earlier.get(str(cell.folder))
        return is_new and cell.state.state == "failed"

    def _run(self, cell: Cell, evaluators: Sequence[Evaluator], trackers: Trackers) -> None:
        starts_over = distributed.decide(lambda: self.fresh and not cell.record_path.is_file())
        was_finished = cell.state.is_finished
        run = Run(cell, self.device, evaluators, trackers, self.num_workers)
        try:
            run.execute(fresh=starts_over)
        except Exception as error:  # the others are independent of it
            if distributed.world_size() > 1:  # processes that no longer agree cannot go on together
                raise
            self._errors[cell.title] = error
        else:
            if trackers.want_images and distributed.is_first() and not was_finished:
                self._log_images(cell, trackers)

    def _log_images(self, cell: Cell, trackers: Trackers) -> None:
        """Hand pictures of a run that just finished to the trackers that take them."""
        from perceptinit.reports.examples import write_sheets
        from perceptinit.results.runs import load_run

        run = load_run(cell.record_path)
        try:
            trackers.log_images(write_sheets(run), run.samples_seen)
        except PerceptInitError as error:  # the run itself is done and well
            trackers.log(_warning(cell, f"no pictures for the trackers: {error}"))

    def _wait(self, held: Sequence[Cell], trackers: Trackers) -> None:
        for cell in held:
            who = holder(cell.folder)
            by = f"process {who['pid']} on {who['host']}" if who else "another process"
            trackers.say_once(_warning(cell, f"waiting for {cell.title}, which {by} works on"))
        time.sleep(POLL_SECONDS)

    def _raise_first(self) -> None:
        if not self._errors:
            return
        (_, first), *others = self._errors.items()
        for title, error in others:
            first.add_note(f"{title} failed, too: {type(error).__name__}: {error}")
        raise first


def _warning(cell: Cell, message: str) -> Event:
    return Event(kind="warning", arm=cell.arm.name, seed=cell.seed, stage="run", message=message)
