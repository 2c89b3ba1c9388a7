"""Training steps of a model with an objective, and their state."""

# b rows on this rank
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from perceptinit.backbones.text import TextTower
from perceptinit.compute import distributed, optim
from perceptinit.compute.devices import to_device
from perceptinit.errors import CheckpointError
from perceptinit.pairs.batches import PairBatch, UnusablePairs, fingerprint
from perceptinit.pretrainers import sharding
from perceptinit.pretrainers.non_finite import NonFiniteSteps
from perceptinit.pretrainers.objective import Objective
from perceptinit.pretrainers.preparation import PatchDropout
from perceptinit.pretrainers.towers import Around, Tower
from perceptinit.pretrainers.training_config import TrainingConfig
from perceptinit.seeding import named_torch_seed
from perceptinit.types import RunContext


class Training:
    """Training of a model with an objective.

    Args:
        config: Configuration of the pretraining.
        model: Model prepared for the stage, and sharded if `config.sharding` is "fsdp".
        ctx: Device, seed, folder and warnings of the run.
        objective: Objective, which is moved to the device.
        towers: Names of the parts of the model that have inputs in `objective.rows`.
        num_pairs: Number of pairs in the data set, for the share of unusable pairs.
        total_steps: Number of optimizer steps of the whole run.
        rate: Returns the learning rate of a step; the first step is 1.
        dropouts: Patch dropout modules of the image tower.

    Attributes:
        num_steps: Number of completed steps.
        data_sha256: Hash of the batches of these steps.
    """

    def __init__(
        self,
        config: TrainingConfig,
        model: Any,
        ctx: RunContext,
        objective: Objective,
        towers: Sequence[str],
        num_pairs: int,
        total_steps: int,
        rate: Callable[[int], float],
        dropouts: Sequence[PatchDropout] = (),
    ) -> None:
        self.num_steps = 0
        self.data_sha256 = ""
        self._config = config
        self._model = model
        self._ctx = ctx
        self._total_steps = total_steps
        self._rate = rate
        self._dropouts = dropouts
        self.objective = objective.to(ctx.device)
        self._towers = {
            name: Tower(
                getattr(model, name),
                getattr(model, f"encode_{name}"),
                micro_batch=config.micro_batch,
                # `compile_blocks` compiles the blocks of other towers
                backend="" if sharding.blocks_of(getattr(model, name)) else config.compile,
                is_sharded=config.sharding == "fsdp",
            )
            for name in towers
        }
        trained = (model, objective)
        self._parameters = [p for m in trained for p in m.parameters() if p.requires_grad]
        self._optimizer = optim.make_optimizer(
            trained,
            config.optimizer,
            lr=config.lr,
            weight_decay=config.weight_decay,
            betas=config.betas,
            eps=config.eps,
            fused=config.fused,
            lr_scales=optim.layer_lr_scales(model.image, config.layer_decay),
            no_decay=config.no_decay or (),
        )
        self._optimizer.zero_grad(set_to_none=True)  # an earlier stage may have left gradients
        device = torch.device(ctx.device).type
        self._scaler = torch.amp.GradScaler(device, enabled=config.precision == "fp16")
        self._unusable = UnusablePairs(num_pairs, config.max_bad_share, ctx.warn)
        self._not_finite = NonFiniteSteps(config.on_non_finite, ctx)
        self._average = sharding.WeightAverage(self._parameters if config.ema_decay else [], config.ema_decay)

    def step(self, batch: PairBatch) -> dict[str, Any]:
        """Perform one optimizer step and return its metrics, scalars or 0-d tensors by name.

        A loss or gradient that is not finite leaves the weights unchanged.

        Raises:
            TrainingError: If the previous step was not finite, unless such steps are skipped. `finish` and
                `state_dict` check the last step.
        """
        step = self.num_steps + 1
        self._unusable.note(batch.unusable)
        lr = self._rate(step)
        optim.set_lr(self._optimizer, lr)
        with optim.matmul_precision(self._config.precision):
            loss = self._gradients(batch, step)
        self._scaler.unscale_(self._optimizer)
        grad_norm = sharding.clip_gradients(self._parameters, self._config.clip_norm)
        is_finite = torch.isfinite(loss)
        if not self._scaler.is_enabled():  # otherwise the scaler skips the step and lowers the scale
            is_finite &= torch.isfinite(grad_norm)
        self._not_finite.settle()  # checks the previous step
        self._not_finite.watch(step, is_finite, loss, grad_norm, batch.keys)
        self._update(is_finite)
        self.num_steps = step
        self.data_sha256 = fingerprint(self.data_sha256, batch)
        metrics: dict[str, Any] = {
            "loss": loss,
            "lr": lr,
            "grad_norm": grad_norm,
            **self.objective.metrics(self._model),
        }
        if self._unusable.num_replaced:
            metrics["num_replaced"] = self._unusable.num_replaced
        if self._not_finite.num_skipped:
            metrics["num_skipped"] = self._not_finite.num_skipped
        return metrics

    def _gradients(self, batch: PairBatch, step: int) -> Tensor:
        """Compute the gradients of the parameters and return the loss of the whole batch, 0-d."""
        device = self._ctx.device
        tokens = batch.tokens
        tower = self._towers.get("text")
        packs = tower and not tower.is_compiled and isinstance(self._model.text, TextTower)
        if not packs:  # a TextTower reads the lengths of texts on the CPU
            tokens = to_device(tokens, device)
        on_device = replace(batch, images=to_device(batch.images, device), tokens=tokens)
        rows = self.objective.rows(on_device, self._ctx.seed_for("objective", step))
        around = {name: self._around(name, step, len(rows[name])) for name in self._towers}
        kept = next((name for name, tower in self._towers.items() if tower.is_trained), "")
        features = {}
        for name in reversed(self._towers):  # the last graph is used first, so only one is in memory
            features[name] = self._towers[name].features(rows[name], around[name], name == kept)
        loss = self.objective(self._model, {**rows, **features})
        with optim.matmul_precision("fp32"):  # the backward pass of the loss, before those of the towers
            self._scaler.scale(loss).backward()
        for name, tower in self._towers.items():
            gradients = features[name].grad
            if gradients is not None:  # None for a frozen tower
                tower.backward(gradients, around[name])
        return loss.detach()

    def _around(self, tower: str, step: int, num_rows: int) -> Around:
        """Return a function that sets up a micro-batch: its precision, and the same seed in both passes."""
        seed = self._ctx.seed
        stage = self._ctx.stage
        rank = distributed.rank()

        @contextmanager
        def around(start: int) -> Iterator[None]:
            first_row = rank * num_rows + start
            for dropout in self._dropouts:
                dropout.at(seed, stage, step, first_row, num_rows * distributed.world_size())
            draws = named_torch_seed(seed, stage, "step", step, tower, first_row)
            with draws, optim.autocast(self._ctx.device, self._config.precision):
                yield

        return around

    def _update(self, is_finite: Tensor) -> None:
        """Update the weights if the gradients are finite, without synchronization if possible."""
        if self._scaler.is_enabled():
            self._scaler.step(self._optimizer)
            self._scaler.update()
        elif self._config.fused and optim.is_adamw(self._config.optimizer):
            # the kernel checks it, so the host does not synchronize
            self._optimizer.found_inf = (~is_finite).float()  # type: ignore[attr-defined]
            self._optimizer.step()
        elif is_finite:
            self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.objective.after_step(self._model)
        self._average.update()

    def finish(self) -> None:
        """Finish the training, and load the averaged weights into the model if there is an average.

        Raises:
            TrainingError: If the last step was not finite, unless such steps are skipped.
        """
        self._not_finite.settle()
        self._average.swap()

    @contextmanager
    def use_average(self) -> Iterator[None]:
        """Use the averaged weights in the model for the block, if there is an average."""
        self._average.swap()
        try:
            yield
        finally:
            self._average.swap()

    def state_dict(self) -> dict[str, Any]:
        """Return the state, as tensors and plain values. All processes must call it.

        Raises:
            TrainingError: If the last step was not finite, unless such steps are skipped.
        """
        self._not_finite.settle()
        return {
            "num_steps": self.num_steps,
            "total_steps": self._total_steps,
            "data_sha256": self.data_sha256,
            "optimizer": sharding.gather_optimizer_state(self._optimizer),
            "scaler": self._scaler.state_dict(),
            "loss": dict(self.objective.state_dict()),
            "average": self._average.state(),
            "unusable": sorted(self._unusable.indices),
            "num_replaced": self._unusable.num_replaced,
            "num_skipped": self._not_finite.num_skipped,
            "skipped_in_a_row": self._not_finite.in_a_row,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from a state of the same run.

        Raises:
            CheckpointError: If the state is from a run with another number of steps.
        """
        if state["total_steps"] != self._total_steps:
            raise CheckpointError(
                f"the saved state is from a run of {state['total_steps']} steps, but this run has "
                f"{self._total_steps}. If the pairs changed, start over with --fresh"
            )
        self.num_steps = state["num_steps"]
        self.data_sha256 = state["data_sha256"]
        sharding.load_optimizer_state(self._optimizer, state["optimizer"])
        self._scaler.load_state_dict(dict(state["scaler"]))
        self.objective.load_state_dict(dict(state["loss"]))
        self._average.load(state["average"])
        self._unusable.indices = set(state["unusable"])
        self._unusable.num_replaced = state["num_replaced"]
        self._not_finite.num_skipped = state["num_skipped"]
        self._not_finite.in_a_row = state["skipped_in_a_row"]
