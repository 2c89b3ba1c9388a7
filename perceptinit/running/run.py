"""A run: one arm with one seed, from the initial weights to the record."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from perceptinit.components.building import (
    Spec,
    build_model,
    count_planned_steps,
    find_component_warnings,
    walk,
)
from perceptinit.compute import distributed
from perceptinit.compute.devices import fetch
from perceptinit.compute.split_encoding import SplitEncoder, SplitTexts
from perceptinit.errors import Stopped, writing
from perceptinit.evaluators.features import HasEvaluateMany, Joint
from perceptinit.evaluators.judged import find_crops
from perceptinit.files.checkpoints import save_weights
from perceptinit.protocols import (
    DualEncoder,
    Evaluator,
    HasDataFiles,
    HasDataSha256,
    HasEvaluated,
    HasModel,
    Initializer,
    Pretrainer,
)
from perceptinit.recipe.recipe import EvalSlot
from perceptinit.results.measures import SEEN, split_name
from perceptinit.results.record import new_record
from perceptinit.running.cells import Cell
from perceptinit.running.checkpoints import Checkpoints
from perceptinit.running.interruption import StopSignals
from perceptinit.running.journal import RunJournal, find_earlier, load_earlier
from perceptinit.running.readiness import find_seen
from perceptinit.running.tracking import Trackers
from perceptinit.seeding import named_torch_seed
from perceptinit.types import Event, Fit, RunContext, Score, State, StepResult

LOG_EVERY_STEPS = 10


class Run:
    """Executes the stages of one cell and writes its record, weights and checkpoints.

    Several processes can share a run; only rank 0 writes and reports.
    """

    def __init__(
        self, cell: Cell, device: str, evaluators: Sequence[Evaluator], trackers: Trackers, num_workers: int
    ) -> None:
        self.cell = cell
        self.recipe = cell.recipe
        self.arm = cell.arm
        self.device = device
        self.trackers = trackers
        self.num_workers = num_workers
        self.evaluators = list(zip(cell.recipe.evals, evaluators, strict=True))
        self._signals = StopSignals()
        self._journal = RunJournal(cell.folder)
        self._checkpoints = Checkpoints(
            cell.folder / "checkpoints",
            cell.recipe.checkpoint,
            lambda text: self._context("run").warn(text),
            self._signals,
        )

    def execute(self, fresh: bool = False) -> dict[str, Any]:
        """Execute the remaining stages and return the record. The caller must hold the lock of the folder.

        Raises:
            Stopped: After SIGTERM or SIGUSR1.
        """
        done = None if fresh else distributed.decide(self._read_finished)
        if done is not None:
            self._checkpoints.sweep(everything=True)
            self._context("run").event("run-end", message="already finished")
            return done
        with writing(self.cell.folder):
            self.cell.folder.mkdir(parents=True, exist_ok=True)
        self.trackers.start(self._context("run"), self.recipe)
        try:
            with self._signals.listen():
                with self._recording_failure():
                    self._checkpoints.sweep(everything=fresh)
                    self._do_stages()
                self._checkpoints.sweep(everything=True)  # the run is finished even if this fails
                self._context("run").event("run-end", message="finished")
                distributed.exchange(None)  # no process reads the record before it is written
        finally:
            self._checkpoints.close()
        return self._journal.record

    @cached_property
    def pretrainer(self) -> Pretrainer | None:
        """The pretrainer of the recipe, or None."""
        return self.recipe.pretrain.build() if self.recipe.pretrain else None

    def _read_finished(self) -> dict[str, Any] | None:
        found = self.cell.verify_state()
        return found.record if found.state == "finished" else None

    @contextmanager
    def _recording_failure(self) -> Iterator[None]:
        """Record the failure of the block; raise OtherProcessError if another process is the cause."""
        try:
            yield
        except BaseException as error:
            lost = distributed.lost_contact(error) if isinstance(error, RuntimeError) else None
            reason = lost or error
            if self._journal.record:
                self._journal.end(reason)
                message = str(reason) if isinstance(reason, Stopped) else self._journal.record["status"]
                self._context("run").event("run-end", message=message)
            if lost is not None:
                raise lost from error
            raise

    def _do_stages(self) -> None:
        start = time.perf_counter()
        model = self._prepare_model()
        if "init" not in self._journal.done:
            self._initialize(model, self.arm.init, "init")
            early = [slot for slot in self.recipe.evals if slot.every != "end"]
            self._evaluate(model, "init", early)
            self._finish_stage(model, "init", is_saved=bool(self.arm.init))
        if "pretrain" not in self._journal.done:
            self._pretrain(model)
            if self.arm.posthoc:
                self._journal.note_hashes("pretrain", model)
                self._save_weights("pretrain", model)
            self._finish_stage(model, "pretrain", is_saved=True)
        if self.arm.posthoc:
            self._initialize(model, self.arm.posthoc, "posthoc")
        last = "posthoc" if self.arm.posthoc else "pretrain"
        self._evaluate(model, last, self.recipe.evals)
        self._save_weights("final", model)
        self._journal.note_hashes("final", model)
        self._journal.note_seconds("total", time.perf_counter() - start)
        self._journal.end()

    def _prepare_model(self) -> Any:
        """Start the record and return the model: new, or with the weights of a checkpoint or another run."""
        self._journal.begin(new_record(self.recipe, self.arm, self.cell.seed, self.device))
        model = self._new_model(self.cell.seed)  # the same for all arms of a seed
        if isinstance(self.pretrainer, HasModel):
            model = self.pretrainer.model(model, self.cell.seed)
        self._journal.note_hashes("built", model)
        model.to(self.device)
        state = self._checkpoints.newest(self._journal.record["fingerprint"])
        if state is not None:
            model.load_state_dict(state["model"])
            self._journal.resume(state)
            self._journal.record.setdefault("continued", []).append(state["place"])
            self._context("run").event("notice", message=f"continued after {state['place']}")
        if self._journal.is_new:
            self._warn_of_judgments(model)
            self._take_stages(model)
        return model

    def _warn_of_judgments(self, model: DualEncoder) -> None:
        """Record the warnings of judgments and evaluators, and of images that the model's fit crops."""
        specs = walk([*self.arm.init, *self.arm.posthoc, *(slot.spec for slot in self.recipe.evals)])
        judgments = [spec.build() for spec in specs if spec.entry.kind == "judgments"]
        components = [*judgments, *(evaluator for _, evaluator in self.evaluators)]
        found = [text for component in components for text in find_component_warnings(component)]
        found += [text for each in judgments for text in find_crops(each, Fit.of(model))]
        for message in dict.fromkeys(found):
            self._context("run").warn(message)

    def _new_model(self, seed: int) -> Any:
        """Return a new model of the backbone with weights drawn from a seed."""
        with named_torch_seed(seed, "backbone"):
            return build_model(self.recipe.backbone)

    def _take_stages(self, model: DualEncoder) -> None:
        """Skip the first stages if another experiment has completed them, and load the resulting weights."""
        roots = [self.cell.folder.parents[2] / name for name in self.recipe.checkpoint.stages_from]
        for root in roots:
            if not root.is_dir():
                message = f"[checkpoint] stages_from: {root} not found, so no stages are copied from it"
                self._context("init").warn(message)
        folder = distributed.decide(lambda: find_earlier(roots, self._journal.record))
        if folder is not None:
            rows = load_earlier(Path(folder), model.image)
            self._journal.record["init"] += rows
            self._journal.done += [row["stage"] for row in rows]

    def _finish_stage(self, model: DualEncoder, name: str, is_saved: bool) -> None:
        self._journal.done.append(name)
        if is_saved:
            self._save_checkpoint(model)

    def _context(self, stage: str) -> RunContext:
        return RunContext(
            seed=self.cell.seed,
            arm=self.arm.name,
            stage=stage,
            device=self.device,
            folder=self.cell.folder if distributed.is_first() else None,
            samples_seen=self._journal.samples_seen,
            num_workers=self.num_workers,
            send=self._send,
        )

    def _send(self, event: Event) -> None:
        if event.kind == "warning" and self._journal.record:
            self._journal.record["warnings"].append({"stage": event.stage, "message": event.message})
        self.trackers.log(event)

    def _initialize(self, model: DualEncoder, specs: Sequence[Spec], slot: str) -> None:
        for index, spec in enumerate(specs):
            stage = f"{slot}.{index}"
            if stage in self._journal.done:
                continue
            ctx = replace(
                self._context(stage),
                resumed=self._journal.take_resumed(),
                offer=partial(self._offer, model, stage),
                new_model=self._new_model,
            )
            initializer: Initializer = spec.build()
            ctx.event("stage-start", message=spec.name, total_steps=count_planned_steps(initializer))
            with self._signals.defer(at_once=False):  # `_offer` starts to defer
                report = initializer.initialize(model.image, ctx)
                self._journal.note_stage(report, stage)
                ctx.event("stage-end", message=spec.name, metrics=dict(report.metrics))
                self._finish_stage(model, stage, is_saved=True)
        self._journal.note_hashes(slot, model)
        if slot == "init":
            self._save_weights("init", model.image)
        self._journal.save()

    def _offer(self, model: DualEncoder, stage: str, step: int, state: Callable[[], State]) -> None:
        self._signals.defer_now()
        save = partial(self._save_checkpoint, model, state, f"step {step} of {stage}")
        self._checkpoints.after_step(step, save)

    def _pretrain(self, model: DualEncoder) -> None:
        pretrainer = self.pretrainer
        journal = self._journal
        if self.recipe.pretrain is None or pretrainer is None:
            return
        resumed = journal.take_resumed()
        if isinstance(pretrainer, HasDataFiles):
            journal.note_data_files(pretrainer.data_files(), f"[{self.recipe.pretrain.where}.pairs]")
        if resumed is not None:
            pretrainer.load_state_dict(resumed)
        ctx = self._context("pretrain")
        total = count_planned_steps(pretrainer)
        ctx.event("stage-start", message=self.recipe.pretrain.name, total_steps=total)
        start = time.perf_counter()
        with self._signals.defer():
            for result in pretrainer.steps(model, ctx):
                journal.samples_seen = result.samples_seen
                journal.epoch = result.epoch
                if result.step % LOG_EVERY_STEPS == 0 or result.end_of_epoch:
                    where = {"step": result.step, "samples_seen": result.samples_seen}
                    ctx.event("step", metrics=fetch(result.metrics), total_steps=total, **where)
                self._after_step(model, pretrainer, result, total)
        journal.note_seconds("pretrain", time.perf_counter() - start)
        journal.record["hashes"]["pretrain_data"] = (
            pretrainer.data_sha256 if isinstance(pretrainer, HasDataSha256) else None
        )
        ctx.event("stage-end", message=self.recipe.pretrain.name, samples_seen=journal.samples_seen)

    def _after_step(
        self, model: DualEncoder, pretrainer: Pretrainer, result: StepResult, total: int | None
    ) -> None:
        is_last = result.step == total
        due = [slot for slot in self.recipe.evals if slot.is_due(result.step, result.end_of_epoch)]
        if due and (not is_last or self.arm.posthoc):  # the last step is evaluated once, after the loop
            with pretrainer.evaluated() if isinstance(pretrainer, HasEvaluated) else nullcontext():
                self._evaluate(model, "pretrain", due)
        save = partial(self._save_checkpoint, model, pretrainer.state_dict)
        self._checkpoints.after_step(result.step, save, always=result.end_of_epoch and not is_last)

    def _evaluate(self, model: DualEncoder, stage: str, due: Sequence[EvalSlot]) -> None:
        was_training = model.training
        model.eval()
        start = time.perf_counter()
        for index, (slot, evaluator) in enumerate(self.evaluators):
            if slot not in due:
                continue
            ctx = self._context(f"eval.{index}")
            with torch.no_grad():
                scores = tuple(map(self._note_seen, _scores(evaluator, model, ctx)))
            self._journal.note_scores(scores, stage)
            shown = tuple(score.without_arrays() for score in scores)
            ctx.event("scores", samples_seen=ctx.samples_seen, scores=shown, message=stage)
        model.train(was_training)
        self._journal.note_seconds("eval", time.perf_counter() - start)
        self._journal.save()

    def _note_seen(self, score: Score) -> Score:
        """Return a score with the share of its images that the stages of the arm were trained on."""
        share = self._seen.get(split_name(score.name)[1])
        return score if share is None else replace(score, extra={**score.extra, SEEN: share})

    @cached_property
    def _seen(self) -> dict[str, float]:
        """The result of `find_seen` in the process that writes the record."""
        evaluators = [evaluator for _, evaluator in self.evaluators]
        return find_seen(self.arm, evaluators) if distributed.is_first() else {}

    def _save_checkpoint(
        self, model: DualEncoder, stage: Callable[[], State] | None = None, place: str = ""
    ) -> None:
        """Save the model, the record and the state of the current stage."""
        # all processes call `stage`, which may gather shards into the model, so it precedes `state_dict`
        of_stage = stage() if stage is not None else None
        if distributed.is_first():
            self._checkpoints.save({"model": model.state_dict(), **self._journal.state(place, of_stage)})

    def _save_weights(self, name: str, module: nn.Module | DualEncoder) -> None:
        if distributed.is_first():
            save_weights(self.cell.folder / "weights" / f"{name}.safetensors", module.state_dict())


def _scores(evaluator: Evaluator, model: DualEncoder, ctx: RunContext) -> Iterable[Score]:
    """Return the scores. Processes share the decoding if the evaluator supports it, else the encoding."""
    if distributed.world_size() == 1:
        return evaluator.evaluate(model, ctx)
    if isinstance(evaluator, HasEvaluateMany):
        joint = Joint(rank=distributed.rank(), num_ranks=distributed.world_size())
        return evaluator.evaluate_many([cast(DualEncoder, SplitTexts(model))], ctx, joint)[0]
    return evaluator.evaluate(cast(DualEncoder, SplitEncoder(model)), ctx)
