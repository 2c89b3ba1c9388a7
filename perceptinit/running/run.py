"""One arm with one seed, from fresh weights to its record."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from perceptinit.components.building import Spec, planned_steps
from perceptinit.compute import distributed
from perceptinit.compute.devices import fetch
from perceptinit.compute.split_encoding import SplitEncoder, SplitTexts
from perceptinit.errors import WriteError, writing
from perceptinit.evaluators.features import HasEvaluateMany, Joint
from perceptinit.files.checkpoints import save_weights
from perceptinit.protocols import (
    Backbone,
    DualEncoder,
    Evaluator,
    HasDataSha256,
    HasEvaluated,
    HasModel,
    Initializer,
    Pretrainer,
)
from perceptinit.recipe.recipe import Arm, Every, Recipe
from perceptinit.results import record as rec
from perceptinit.results.preregistration import plan_sha256, read_plan
from perceptinit.results.states import run_state
from perceptinit.running.earlier_stages import Earlier, find_earlier
from perceptinit.running.interruption import INTERRUPTED, Stopped, StopSignals
from perceptinit.running.saving import Saving
from perceptinit.running.tracking import Trackers
from perceptinit.seeding import named_torch_seed
from perceptinit.types import Event, RunContext, Score, State, StepResult

LOG_EVERY_STEPS = 10


class Run:
    """Executes one cell of a recipe and keeps its record, weights and checkpoints in `folder`.

    Several processes may execute it together; the first of them alone writes and tells.
    done: names of the stages that are behind, such as `init.0`, `init` (all of them, and measured)
    and `pretrain`. num_workers: threads that decode images.
    """

    def __init__(
        self,
        recipe: Recipe,
        arm: Arm,
        seed: int,
        folder: Path,
        device: str,
        evaluators: Sequence[Evaluator],
        trackers: Trackers,
        num_workers: int,
    ) -> None:
        self.num_workers = num_workers
        self.recipe, self.arm, self.seed, self.folder = recipe, arm, seed, folder
        self.device, self.trackers = device, trackers
        self.evaluators = list(zip(recipe.evals, evaluators, strict=True))
        self.pretrainer: Pretrainer | None = None
        self.record: dict[str, Any] = {}
        self.samples_seen = 0
        self.epoch = 0
        self.done: list[str] = []
        self._resumed: State | None = None
        self._is_first = distributed.is_first()
        self._signals = StopSignals()
        self._saving = Saving(
            folder, recipe.checkpoint, self._signals, lambda text: self._context("run").warn(text)
        )

    @property
    def _record_path(self) -> Path:
        return self.folder / rec.RECORD

    def execute(self, fresh: bool = False) -> dict[str, Any]:
        """Do what is not done yet and return the record; the caller holds the claim on the folder.

        Raises Stopped, with the state saved, after SIGTERM or SIGUSR1.
        """
        done = None if fresh else distributed.decide(self._finished)
        if done is not None:
            self._saving.sweep(everything=True)
            self.trackers.skipped(self._context("run"))
            return done
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        self.trackers.start(self._context("run"), self.recipe)
        try:
            with self._signals.listening():
                self._attempt(fresh)
        finally:
            self._saving.close()
        return self.record

    def _attempt(self, fresh: bool) -> None:
        try:
            self._saving.sweep(everything=fresh)
            self._execute()
        except BaseException as error:
            lost = distributed.lost_contact(error) if isinstance(error, RuntimeError) else None
            self._fail(lost or error)
            if lost is not None:
                raise lost from error
            raise
        self._saving.sweep(everything=True)  # the run is finished, whatever comes now
        self._context("run").event("run-end", message="finished")
        distributed.exchange(None)  # nobody reads the record before it is there

    def _finished(self) -> dict[str, Any] | None:
        found = run_state(self.folder)
        return dict(found.record) if found.is_finished else None

    def _execute(self) -> None:
        start = time.perf_counter()
        self.record = rec.new_record(self.recipe, self.arm, self.seed, self.device)
        if plan := read_plan(self.folder.parent.parent):
            self.record["plan"] = plan_sha256(plan)
        if self.recipe.pretrain is not None:
            self.pretrainer = self.recipe.pretrain.build()
        model = self._build()
        self.record["hashes"]["built"] = rec.weight_hashes(model)
        model.to(self.device)
        self._load_checkpoint(model)
        if not self.done and self._resumed is None:
            self._take_stages(model)
        if "init" not in self.done:
            self._initialize(model, self.arm.init, "init")
            self._evaluate(model, "init", lambda every: every != "end")
            self._finish_stage(model, "init", is_saved=bool(self.arm.init))
        if "pretrain" not in self.done:
            self._pretrain(model)
            if self.arm.posthoc:
                self.record["hashes"]["pretrain"] = rec.weight_hashes(model)
                self._save_weights("pretrain", model)
            self._finish_stage(model, "pretrain", is_saved=True)
        if self.arm.posthoc:
            self._initialize(model, self.arm.posthoc, "posthoc")
        self._evaluate(model, "posthoc" if self.arm.posthoc else "pretrain", lambda every: True)
        self._save_weights("final", model)
        self.record["hashes"]["final"] = rec.weight_hashes(model)
        self.record["wall_seconds"]["total"] += round(time.perf_counter() - start, 3)
        self.record.update(status="finished", finished=rec.now())
        self._save_record()

    def _build(self) -> Any:
        """Return the fresh model: the same for all arms of a seed."""
        with named_torch_seed(self.seed, "backbone"):
            backbone: Backbone = self.recipe.backbone.build()
            model = backbone.build()
        if isinstance(self.pretrainer, HasModel):
            return self.pretrainer.model(model, self.seed)
        return model

    def _take_stages(self, model: DualEncoder) -> None:
        """Begin with the weights that another experiment has after the same first stages."""
        names = self.recipe.checkpoint.stages_from
        roots = [self.folder.parents[2] / name for name in names]
        for root in (root for root in roots if not root.is_dir()):
            self._context("init").warn(
                f"[checkpoint] stages_from: no experiment in {root}, so none of its stages is taken"
            )
        folder = distributed.decide(lambda: find_earlier(roots, self.record))
        if folder is not None:
            earlier = Earlier(Path(folder))
            earlier.load(model.image)
            self.record["init"] += earlier.rows
            self.done += [row["stage"] for row in earlier.rows]

    def _finish_stage(self, model: DualEncoder, name: str, is_saved: bool) -> None:
        self.done.append(name)
        if is_saved:
            self._save_checkpoint(model, self._samples)

    def _context(self, stage: str) -> RunContext:
        return RunContext(
            seed=self.seed,
            arm=self.arm.name,
            stage=stage,
            device=self.device,
            folder=self.folder if self._is_first else None,
            samples_seen=self.samples_seen,
            num_workers=self.num_workers,
            send=self._send,
        )

    def _send(self, event: Event) -> None:
        if event.kind == "warning" and self.record:
            self.record["warnings"].append({"stage": event.stage, "message": event.message})
        self.trackers.log(event)

    def _initialize(self, model: DualEncoder, specs: Sequence[Spec], slot: str) -> None:
        for index, spec in enumerate(specs):
            stage = f"{slot}.{index}"
            if stage in self.done:
                continue
            ctx = replace(
                self._context(stage),
                resumed=self._take_resumed(),
                offer=partial(self._offer, model, stage),
            )
            initializer: Initializer = spec.build()
            ctx.event("stage-start", message=spec.name, total_steps=planned_steps(initializer))
            with self._signals.noted(at_once=False):  # from its first offer on
                report = initializer.initialize(model.image, ctx)
                self.record["init"].append(rec.init_row(report, stage))
                self.record["wall_seconds"][stage] = round(report.seconds, 3)
                ctx.event("stage-end", message=spec.name, metrics=dict(report.metrics))
                self._finish_stage(model, stage, is_saved=True)
        self.record["hashes"][slot] = rec.weight_hashes(model)
        if slot == "init":
            self._save_weights("init", model.image)
        self._save_record()

    def _offer(self, model: DualEncoder, stage: str, step: int, state: Callable[[], State]) -> None:
        self._signals.note()
        save = partial(self._save_checkpoint, model, f"step {step} of {stage}", state)
        self._saving.after_step(step, save)

    def _take_resumed(self) -> State | None:
        """Return the state of the stage that was interrupted to the stage that goes on first."""
        resumed, self._resumed = self._resumed, None
        return resumed

    def _pretrain(self, model: DualEncoder) -> None:
        pretrainer = self.pretrainer
        if self.recipe.pretrain is None or pretrainer is None:
            return
        resumed = self._take_resumed()
        if resumed is not None:
            pretrainer.load_state_dict(resumed)
        ctx = self._context("pretrain")
        total = planned_steps(pretrainer)
        ctx.event("stage-start", message=self.recipe.pretrain.name, total_steps=total)
        start = time.perf_counter()
        with self._signals.noted():
            for result in pretrainer.steps(model, ctx):
                self.samples_seen, self.epoch = result.samples_seen, result.epoch
                if result.step % LOG_EVERY_STEPS == 0 or result.end_of_epoch:
                    self._log_step(ctx, result, total)
                self._after_step(model, pretrainer, result, total)
        seconds = time.perf_counter() - start
        before = self.record["wall_seconds"].get("pretrain", 0.0)
        self.record["wall_seconds"]["pretrain"] = round(before + seconds, 3)
        self.record["hashes"]["pretrain_data"] = (
            pretrainer.data_sha256 if isinstance(pretrainer, HasDataSha256) else None
        )
        ctx.event("stage-end", message=self.recipe.pretrain.name, samples_seen=self.samples_seen)

    def _log_step(self, ctx: RunContext, result: StepResult, total: int | None) -> None:
        metrics = fetch(result.metrics)
        where = {"step": result.step, "total_steps": total, "samples_seen": result.samples_seen}
        ctx.event("step", metrics=metrics, **where)

    def _after_step(
        self, model: DualEncoder, pretrainer: Pretrainer, result: StepResult, total: int | None
    ) -> None:
        last = result.step == total
        is_due = any(_is_due(slot.every, result) for slot, _ in self.evaluators)
        if is_due and (not last or self.arm.posthoc):  # the end is evaluated once, after the loop
            with pretrainer.evaluated() if isinstance(pretrainer, HasEvaluated) else nullcontext():
                self._evaluate(model, "pretrain", lambda every: _is_due(every, result))
        save = partial(self._save_checkpoint, model, self._samples, pretrainer.state_dict)
        self._saving.after_step(result.step, save, always=result.end_of_epoch and not last)

    def _evaluate(self, model: DualEncoder, stage: str, due: Callable[[Every], bool]) -> None:
        was_training = model.training
        model.eval()
        start = time.perf_counter()
        for index, (slot, evaluator) in enumerate(self.evaluators):
            if not due(slot.every):
                continue
            ctx = self._context(f"eval.{index}")
            with torch.no_grad():
                scores = tuple(_scores(evaluator, model, ctx))
            rows = [rec.score_row(score, stage, self.epoch, self.samples_seen) for score in scores]
            self.record["scores"] += rows
            ctx.event("scores", samples_seen=self.samples_seen, scores=scores, message=stage)
        model.train(was_training)
        seconds = self.record["wall_seconds"].get("eval", 0.0) + time.perf_counter() - start
        self.record["wall_seconds"]["eval"] = round(seconds, 3)
        self._save_record()

    @property
    def _samples(self) -> str:
        return f"{self.samples_seen} samples"

    def _save_checkpoint(
        self, model: DualEncoder, place: str, stage: Callable[[], State] | None = None
    ) -> None:
        """Save model, record and the state of the stage under way; place: how far that is, for people."""
        # of all processes, for their pieces; and before the model's, which it may have to put together
        of_stage = stage() if stage is not None else None
        if not self._is_first:
            return
        state = {
            "fingerprint": self.record["fingerprint"],
            "model": model.state_dict(),
            "stage": of_stage,
            "place": place,
            "samples_seen": self.samples_seen,
            "epoch": self.epoch,
            "done": list(self.done),
            "record": copy.deepcopy(self.record),
        }
        self._saving.save(state)

    def _load_checkpoint(self, model: DualEncoder) -> None:
        """Put model, record and the stage that was under way where the last checkpoint left them."""
        state = self._saving.newest(self.record["fingerprint"])
        if state is None:
            return
        model.load_state_dict(state["model"])
        self.record = {**state["record"], "status": "running"}
        self.samples_seen, self.epoch = state["samples_seen"], state["epoch"]
        self.done = list(state["done"])
        self._resumed = state["stage"]
        self._context("pretrain").warn(f"continued after {state['place']}")

    def _save_weights(self, name: str, module: nn.Module | DualEncoder) -> None:
        if self._is_first:
            save_weights(self.folder / "weights" / f"{name}.safetensors", module.state_dict())

    def _save_record(self) -> None:
        if self._is_first:
            rec.write_record(self._record_path, self.record)

    def _fail(self, error: BaseException) -> None:
        if not self.record:
            return
        interrupted = isinstance(error, (KeyboardInterrupt, Stopped))
        self.record.update(
            status="interrupted" if interrupted else "failed",
            error=_reason(error),
            finished=rec.now(),
        )
        try:
            self._save_record()
        except OSError as full:  # the disk, often; the first error is the one to be told
            if not isinstance(error, WriteError):
                error.add_note(f"{self._record_path} could not be written either: {full}")
        message = str(error) if isinstance(error, Stopped) else self.record["status"]
        self._context("run").event("run-end", message=message)


def _reason(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return f"{type(error).__name__}: {error}"


def _is_due(every: Every, result: StepResult) -> bool:
    if every == "epoch":
        return result.end_of_epoch
    return isinstance(every, int) and result.step % every == 0


def _scores(evaluator: Evaluator, model: DualEncoder, ctx: RunContext) -> Iterable[Score]:
    """Return the scores; several processes share decoding where the evaluator can, else encoding."""
    if distributed.world_size() == 1:
        return evaluator.evaluate(model, ctx)
    if isinstance(evaluator, HasEvaluateMany):
        joint = Joint(rank=distributed.rank(), num_ranks=distributed.world_size())
        return evaluator.evaluate_many([cast(DualEncoder, SplitTexts(model))], ctx, joint)[0]
    return evaluator.evaluate(cast(DualEncoder, SplitEncoder(model)), ctx)
