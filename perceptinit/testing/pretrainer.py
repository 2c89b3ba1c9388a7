"""The contract of pretrainers."""

from __future__ import annotations

import copy
import math
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, ClassVar

import torch

from perceptinit.files.checkpoints import weights_sha256
from perceptinit.protocols import HasDataSha256, HasEvaluated, HasModel, Pretrainer
from perceptinit.testing.contract import Contract, name_few, tiny_model
from perceptinit.types import StepResult


class PretrainerContract(Contract):
    """Steps count up, weights move, and an interrupted run continues as if it had not been.

    Choose options for at least four steps on a few dozen pairs.
    """

    kind: ClassVar[str] = "pretrainer"
    protocol: ClassVar[type] = Pretrainer

    def _model(self, pretrainer: Any) -> Any:
        """Return the model of a run: of both tiny towers, or what the pretrainer makes of them."""
        model: Any = tiny_model()
        if not isinstance(pretrainer, HasModel):
            return model
        made = pretrainer.model(model, 0)
        lacking = [part for part in pretrainer.parts if not hasattr(made, part)]
        self.must(
            not lacking,
            f"`parts` names {lacking[:1]}, but what model() returns has no such attribute",
        )
        return made

    def _run(
        self, tmp_path: Path, model: Any, pretrainer: Any, num_steps: int | None = None
    ) -> Any:
        steps = pretrainer.steps(model, self.context(tmp_path))
        results = list(islice(steps, num_steps))
        close = getattr(steps, "close", None)
        if close:
            close()
        return results

    def test_steps_count_from_one_and_losses_are_finite(self, tmp_path: Path) -> None:
        pretrainer = self.build(tmp_path)
        model = self._model(pretrainer)
        before = {k: v.clone() for k, v in model.state_dict().items()}
        results = self._run(tmp_path, model, pretrainer)
        self.must(
            len(results) >= 4 and all(isinstance(r, StepResult) for r in results),
            f"steps() must yield four StepResults or more with these options, got {len(results)}",
        )
        self.must(
            [r.step for r in results] == list(range(1, len(results) + 1)),
            f"StepResult.step must count 1, 2, 3, ..., got {[r.step for r in results[:4]]}",
        )
        seen = [r.samples_seen for r in results]
        self.must(
            all(a < b for a, b in pairwise(seen)),
            f"samples_seen must grow with every step, got {seen[:4]}",
        )
        self.must(
            results[-1].end_of_epoch,
            "the last step must say end_of_epoch=True: that is when weights are kept",
        )
        bad = [r.step for r in results if not math.isfinite(float(r.metrics.get("loss", math.nan)))]
        self.must(not bad, f"metrics['loss'] is missing or not finite at steps {bad[:3]}")
        still = [
            k for k, v in model.image.named_parameters() if torch.equal(before[f"image.{k}"], v)
        ]
        self.must(
            len(still) < len(list(model.image.parameters())), "no weight of the image tower moved"
        )

    def test_an_interrupted_run_ends_with_the_same_weights(self, tmp_path: Path) -> None:
        undisturbed, first = self.build(tmp_path), self.build(tmp_path)
        whole, parted = self._model(undisturbed), self._model(first)
        self._run(tmp_path, whole, undisturbed)
        self._run(tmp_path, parted, first, 2)
        state = copy.deepcopy(first.state_dict())
        second = self.build(tmp_path)
        second.load_state_dict(state)
        self._run(tmp_path, parted, second)
        ends = whole.state_dict()
        differ = [k for k, v in parted.state_dict().items() if not torch.equal(v, ends[k])]
        self.must(
            not differ,
            f"after state_dict(), a new object, load_state_dict() and the rest of the steps, "
            f"{len(differ)} tensors differ from a run in one go, such as {name_few(differ)}: keep the optimiser "
            "and all counters in the state, and draw by step from ctx.rng(...)",
        )

    def test_evaluated_gives_the_model_back_as_it_was(self, tmp_path: Path) -> None:
        pretrainer = self.build(tmp_path)
        model = self._model(pretrainer)
        for _ in pretrainer.steps(model, self.context(tmp_path)):
            if not isinstance(pretrainer, HasEvaluated):
                return
            before = weights_sha256(model)
            with pretrainer.evaluated():
                pass
            break
        self.must(
            weights_sha256(model) == before,
            "after `with evaluated()` the weights differ from those before it",
        )

    def test_data_sha256_tells_whether_the_batches_were_the_same(self, tmp_path: Path) -> None:
        found = []
        for num_steps in (2, 2, 3):
            pretrainer = self.build(tmp_path)
            self._run(tmp_path, self._model(pretrainer), pretrainer, num_steps)
            if not isinstance(pretrainer, HasDataSha256):
                return
            found.append(pretrainer.data_sha256)
        self.must(
            bool(found[0]) and found[0] == found[1] != found[2],
            f"data_sha256 must be equal after the same batches and another one after more of "
            f"them; got {found}",
        )
