"""The contract of evaluators."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar

import torch

from perceptinit.evaluators.features import HasEvaluateMany
from perceptinit.files.checkpoints import weights_sha256
from perceptinit.protocols import Evaluator
from perceptinit.test_sets.choice import HasChoice
from perceptinit.testing.contract import Contract, tiny_classifier, tiny_model
from perceptinit.types import Score


class EvaluatorContract(Contract):
    """Scores have names and finite values, repeat, and leave the model alone."""

    kind: ClassVar[str] = "evaluator"
    protocol: ClassVar[type] = Evaluator

    def _model(self, seed: int = 0) -> Any:
        """Return a tiny model in eval mode with what the evaluator needs."""
        is_classifier = getattr(self.component, "needed_part", "") == "head"
        return (tiny_classifier(seed) if is_classifier else tiny_model(seed)).eval()

    def _scores(self, tmp_path: Path) -> list[Score]:
        with torch.no_grad():
            return list(self.build(tmp_path).evaluate(self._model(), self.context(tmp_path)))

    def test_it_gives_scores(self, tmp_path: Path) -> None:
        scores = self._scores(tmp_path)
        self.must(
            bool(scores) and all(isinstance(s, Score) for s in scores),
            f"evaluate() must yield perceptinit.plugin.Score objects, got {scores!r:.60}",
        )
        names = [s.name for s in scores]
        self.must(len(set(names)) == len(names), f"two scores have one name: {names}")
        for score in scores:
            self.must(
                "/" in score.name,
                f"score '{score.name}' must be called measure/set, such as top1/cifar10",
            )
            self.must(math.isfinite(score.value), f"score '{score.name}' is {score.value}")
            self.must(
                score.num_examples > 0,
                f"score '{score.name}' must say in num_examples how many it is a mean over",
            )

    def test_it_repeats(self, tmp_path: Path) -> None:
        first, second = ([s.value for s in self._scores(tmp_path)] for _ in range(2))
        self.must(first == second, f"one model got {first} and {second}: draw from ctx.rng(...)")

    def test_the_model_is_left_as_it_was(self, tmp_path: Path) -> None:
        model = self._model()
        before = weights_sha256(model)
        with torch.no_grad():
            list(self.build(tmp_path).evaluate(model, self.context(tmp_path)))
        self.must(weights_sha256(model) == before, "evaluate() changed the model's weights")
        self.must(not model.training, "evaluate() left the model in training mode")

    def test_several_models_at_once_get_the_scores_they_get_alone(self, tmp_path: Path) -> None:
        evaluator = self.build(tmp_path)
        if not isinstance(evaluator, HasEvaluateMany):
            return
        models: list[Any] = [self._model(seed) for seed in (0, 1)]
        ctx = self.context(tmp_path)
        with torch.no_grad():
            together = evaluator.evaluate_many(models, ctx)
            alone = [list(self.build(tmp_path).evaluate(model, ctx)) for model in models]
        values = [[[(s.name, s.value) for s in scores] for scores in r] for r in (together, alone)]
        self.must(
            values[0] == values[1], f"evaluate_many() gives {values[0]}, evaluate() {values[1]}"
        )

    def test_the_chosen_test_sets_can_be_read(self, tmp_path: Path) -> None:
        evaluator = self.build(tmp_path)
        if isinstance(evaluator, HasChoice):
            present, _ = evaluator.choice.present()
            for name in present:
                self.must(
                    len(evaluator.choice.read(name).images) > 0,
                    f"test set '{name}' of `choice` has no images",
                )
