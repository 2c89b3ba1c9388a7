"""One arm with one seed, from fresh weights to its record."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from perceptinit import record as rec
from perceptinit.checkpoints import load_state, save_state, save_weights, weights_sha256
from perceptinit.errors import PerceptInitError
from perceptinit.recipe import Arm, Recipe
from perceptinit.seeding import named_torch_seed
from perceptinit.tracking import Trackers
from perceptinit.types import Event, RunContext, StepResult

LOG_EVERY_STEPS = 10


class Run:
    """Executes one cell of a recipe and keeps its record, weights and checkpoint in `folder`."""

    def __init__(
        self,
        recipe: Recipe,
        arm: Arm,
        seed: int,
        folder: Path,
        device: str,
        evaluators: Sequence[Any],
        trackers: Trackers,
    ) -> None:
        self.recipe, self.arm, self.seed, self.folder = recipe, arm, seed, folder
        self.device, self.trackers = device, trackers
        self.evaluators = list(zip(recipe.evals, evaluators, strict=True))
        self.record: dict[str, Any] = {}
        self.samples_seen = 0
        self.epoch = 0

    @property
    def _record_path(self) -> Path:
        return self.folder / "record.json"

    @property
    def _checkpoint_path(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    def execute(self, fresh: bool = False) -> dict[str, Any]:
        """Do what is not done yet and return the record."""
        if not fresh and self._record_path.is_file():
            done = rec.read_record(self._record_path)
            if done["status"] == "finished":
                self.trackers.skipped(self._context("run"))
                return done
        self.folder.mkdir(parents=True, exist_ok=True)
        if fresh:
            self._checkpoint_path.unlink(missing_ok=True)
        self.trackers.start(self._context("run"))
        try:
            self._execute()
        except BaseException as error:
            self._fail(error)
            raise
        return self.record

    def _execute(self) -> None:
        start = time.perf_counter()
        self.record = self._new_record()
        with named_torch_seed(self.seed, "backbone"):
            model = self.recipe.backbone.build().build()
        self._note_hashes("built", model)
        model.to(self.device)
        resumed = self._load_checkpoint(model)
        if resumed is None:
            self._initialize(model, self.arm.init, "init")
            self._evaluate(model, "init", lambda every: every != "end")
        self._pretrain(model, resumed)
        if self.arm.posthoc:
            save_weights(self.folder / "weights" / "pretrain.safetensors", model.state_dict())
            self._initialize(model, self.arm.posthoc, "posthoc")
        self._evaluate(model, "posthoc" if self.arm.posthoc else "pretrain", lambda every: True)
        save_weights(self.folder / "weights" / "final.safetensors", model.state_dict())
        self._note_hashes("final", model)
        self.record["wall_seconds"]["total"] += round(time.perf_counter() - start, 3)
        self.record.update(status="finished", finished=rec.now())
        self._save_record()
        self._checkpoint_path.unlink(missing_ok=True)
        self._context("run").event("run-end", message="finished")

    def _new_record(self) -> dict[str, Any]:
        recipe = self.recipe
        return {
            "schema": rec.SCHEMA,
            "status": "running",
            "recipe": {
                "name": recipe.name,
                "source": recipe.source,
                "summary": recipe.summary,
                "text": recipe.text,
                "overrides": list(recipe.overrides),
                "smoke": recipe.is_smoke,
                "baseline": recipe.baseline,
            },
            "arm": {
                "name": self.arm.name,
                "summary": self.arm.summary,
                "resolved": recipe.resolved(self.arm),
            },
            "seed": self.seed,
            "fingerprint": recipe.fingerprint(self.arm),
            "environment": rec.environment(self.device),
            "plugins": rec.plugin_table(recipe.plugins),
            "started": rec.now(),
            "hashes": {},
            "init": [],
            "scores": [],
            "warnings": [],
            "wall_seconds": {"total": 0.0},
        }

    def _note_hashes(self, moment: str, model: Any) -> None:
        self.record["hashes"][moment] = {
            "image": weights_sha256(model.image),
            "text": weights_sha256(model.text),
            "model": weights_sha256(model),
        }

    def _context(self, stage: str) -> RunContext:
        return RunContext(
            seed=self.seed,
            arm=self.arm.name,
            stage=stage,
            device=self.device,
            folder=self.folder,
            samples_seen=self.samples_seen,
            send=self._send,
        )

    def _send(self, event: Event) -> None:
        if event.kind == "warning" and self.record:
            self.record["warnings"].append({"stage": event.stage, "message": event.message})
        self.trackers.log(event)

    def _initialize(self, model: Any, specs: Sequence[Any], slot: str) -> None:
        for index, spec in enumerate(specs):
            stage = f"{slot}.{index}"
            ctx = self._context(stage)
            initializer = spec.build()
            ctx.event("stage-start", message=spec.name, total_steps=_planned_steps(initializer))
            report = initializer.initialize(model.image, ctx)
            self.record["init"].append(rec.init_row(report, stage))
            self.record["wall_seconds"][stage] = round(report.seconds, 3)
            ctx.event("stage-end", message=spec.name, metrics=dict(report.metrics))
        self._note_hashes(slot, model)
        if slot == "init":
            save_weights(self.folder / "weights" / "init.safetensors", model.image.state_dict())
        self._save_record()

    def _pretrain(self, model: Any, resumed: dict[str, Any] | None) -> None:
        if self.recipe.pretrain is None:
            return
        pretrainer = self.recipe.pretrain.build()
        if resumed is not None:
            pretrainer.load_state_dict(resumed)
        ctx = self._context("pretrain")
        total = _planned_steps(pretrainer)
        ctx.event("stage-start", message=self.recipe.pretrain.name, total_steps=total)
        start = time.perf_counter()
        for result in pretrainer.steps(model, ctx):
            self.samples_seen, self.epoch = result.samples_seen, result.epoch
            if result.step % LOG_EVERY_STEPS == 0 or result.end_of_epoch:
                self._log_step(ctx, result, total)
            self._after_step(model, pretrainer, result, total)
        seconds = time.perf_counter() - start
        before = self.record["wall_seconds"].get("pretrain", 0.0)
        self.record["wall_seconds"]["pretrain"] = round(before + seconds, 3)
        self.record["hashes"]["pretrain_data"] = getattr(pretrainer, "data_sha256", None)
        ctx.event("stage-end", message=self.recipe.pretrain.name, samples_seen=self.samples_seen)

    def _log_step(self, ctx: RunContext, result: StepResult, total: int | None) -> None:
        metrics = {name: float(value) for name, value in result.metrics.items()}
        ctx.event(
            "step",
            step=result.step,
            total_steps=total,
            samples_seen=result.samples_seen,
            metrics=metrics,
        )

    def _after_step(
        self, model: Any, pretrainer: Any, result: StepResult, total: int | None
    ) -> None:
        last = result.step == total
        if not (last and not self.arm.posthoc):  # the end is evaluated once, after the loop
            self._evaluate(model, "pretrain", lambda every: _is_due(every, result))
        if result.end_of_epoch and not last:
            self._save_checkpoint(model, pretrainer)

    def _evaluate(self, model: Any, stage: str, due: Any) -> None:
        was_training = model.training
        model.eval()
        start = time.perf_counter()
        for index, (slot, evaluator) in enumerate(self.evaluators):
            if not due(slot.every):
                continue
            ctx = self._context(f"eval.{index}")
            with torch.no_grad():
                scores = tuple(evaluator.evaluate(model, ctx))
            rows = [rec.score_row(score, stage, self.epoch, self.samples_seen) for score in scores]
            self.record["scores"] += rows
            ctx.event("scores", samples_seen=self.samples_seen, scores=scores, message=stage)
        model.train(was_training)
        seconds = self.record["wall_seconds"].get("eval", 0.0) + time.perf_counter() - start
        self.record["wall_seconds"]["eval"] = round(seconds, 3)
        self._save_record()

    def _save_checkpoint(self, model: Any, pretrainer: Any) -> None:
        state = {
            "fingerprint": self.record["fingerprint"],
            "model": model.state_dict(),
            "pretrainer": pretrainer.state_dict(),
            "samples_seen": self.samples_seen,
            "epoch": self.epoch,
            "record": copy.deepcopy(self.record),
        }
        save_state(self._checkpoint_path, state)

    def _load_checkpoint(self, model: Any) -> dict[str, Any] | None:
        """Put model and record where the last checkpoint left them; return the pretrainer's state."""
        if not self._checkpoint_path.is_file():
            return None
        state = load_state(self._checkpoint_path)
        if state["fingerprint"] != self.record["fingerprint"]:
            raise PerceptInitError(
                f"{self._checkpoint_path} belongs to another recipe; use --fresh"
            )
        model.load_state_dict(state["model"])
        self.record = {**state["record"], "status": "running"}
        self.samples_seen, self.epoch = state["samples_seen"], state["epoch"]
        self._context("pretrain").warn(f"continued after {self.samples_seen} samples")
        return state["pretrainer"]

    def _save_record(self) -> None:
        rec.write_record(self._record_path, self.record)

    def _fail(self, error: BaseException) -> None:
        if not self.record:
            return
        interrupted = isinstance(error, KeyboardInterrupt)
        self.record.update(
            status="interrupted" if interrupted else "failed",
            error=f"{type(error).__name__}: {error}",
            finished=rec.now(),
        )
        self._save_record()
        self._context("run").event("run-end", message=self.record["status"])


def _planned_steps(component: Any) -> int | None:
    plan = getattr(component, "plan", None)
    return plan().steps if plan else None


def _is_due(every: Any, result: StepResult) -> bool:
    if every == "epoch":
        return result.end_of_epoch
    return isinstance(every, int) and result.step % every == 0
