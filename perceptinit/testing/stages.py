"""Contract tests of pretrainers, evaluators and trackers."""

import copy
import math
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import torch

from perceptinit.evaluators.features import HasEvaluateMany
from perceptinit.files.checkpoints import weights_sha256
from perceptinit.protocols import (
    HasDataSha256,
    HasDescribe,
    HasEvaluated,
    HasExpect,
    HasModel,
    HasSay,
)
from perceptinit.test_sets.choice import HasChoice
from perceptinit.testing.contract import Contract, name_few, tiny_classifier, tiny_model
from perceptinit.types import Event, Score, StepResult

EVENTS = (
    Event(kind="run-start", arm="pi", message="run 1 of 1"),
    Event(kind="stage-start", arm="pi", stage="pretrain", total_steps=2),
    Event(kind="step", arm="pi", stage="pretrain", step=1, total_steps=2, metrics={"loss": 1.5}),
    Event(kind="scores", arm="pi", scores=(Score(name="top1/set", value=0.5, num_examples=4),)),
    Event(kind="warning", arm="pi", message="something odd: 100 % [sic]"),
    Event(kind="stage-end", arm="pi", stage="pretrain", metrics={"seconds": 1.0}),
    Event(kind="run-end", arm="pi", message="finished"),
)


class PretrainerContract(Contract):
    """Contract test of pretrainers: steps are counted, weights change, and a run resumes exactly.

    Override `options` with keys for at least four steps on a few dozen pairs.
    """

    kind: ClassVar[str] = "pretrainer"

    def _model(self, pretrainer: Any) -> Any:
        """Return the tiny model, or the pretrainer's own model."""
        model: Any = tiny_model()
        if isinstance(pretrainer, HasModel):
            model = pretrainer.model(model, 0)
            for part in pretrainer.parts:
                self.must(hasattr(model, part), f"`parts` has '{part}', but the result of model() does not")
        return model

    def _run(self, tmp_path: Path, model: Any, pretrainer: Any, num_steps: int | None = None) -> Any:
        steps = pretrainer.steps(model, self.context(tmp_path))
        results = list(islice(steps, num_steps))
        if close := getattr(steps, "close", None):
            close()
        return results

    def test_steps_count_from_one_and_losses_are_finite(self, tmp_path: Path) -> None:
        pretrainer = self.build(tmp_path)
        model = self._model(pretrainer)
        before = {k: v.clone() for k, v in model.state_dict().items()}
        results = self._run(tmp_path, model, pretrainer)
        self.must(
            len(results) >= 4 and all(isinstance(r, StepResult) for r in results),
            f"steps() must yield at least four StepResults with these options, got {len(results)}",
        )
        steps = [r.step for r in results]
        seen = [r.samples_seen for r in results]
        self.must(
            steps == [i + 1 for i in range(len(steps))], f"step must count 1, 2, 3, ..., got {steps[:4]}"
        )
        self.must(seen == sorted(set(seen)), f"samples_seen must increase with every step, got {seen[:4]}")
        self.must(results[-1].end_of_epoch, "the last step needs end_of_epoch=True, which saves the weights")
        bad = [r.step for r in results if not math.isfinite(float(r.metrics.get("loss", math.nan)))]
        self.must(not bad, f"metrics['loss'] is missing or not finite at steps {bad[:3]}")
        still = [k for k, v in model.image.named_parameters() if torch.equal(before[f"image.{k}"], v)]
        self.must(len(still) < len(list(model.image.parameters())), "no weight of the image tower changed")

    def test_interrupted_run_resumes_to_the_same_weights(self, tmp_path: Path) -> None:
        undisturbed = self.build(tmp_path)
        first = self.build(tmp_path)
        whole = self._model(undisturbed)
        parted = self._model(first)
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
            f"resuming with load_state_dict() in a new object changes {len(differ)} tensors, such as "
            f"{name_few(differ)}: save the optimizer and all counters, and draw from ctx.rng('name', step)",
        )

    def test_evaluated_restores_the_weights(self, tmp_path: Path) -> None:
        pretrainer = self.build(tmp_path)
        model = self._model(pretrainer)
        steps = iter(pretrainer.steps(model, self.context(tmp_path)))
        if isinstance(pretrainer, HasEvaluated):
            next(steps)
            before = weights_sha256(model)
            with pretrainer.evaluated():
                pass
            self.must(weights_sha256(model) == before, "`with evaluated()` does not restore the weights")

    def test_data_sha256_identifies_the_batches(self, tmp_path: Path) -> None:
        found = []
        for num_steps in (2, 2, 3):
            pretrainer = self.build(tmp_path)
            self._run(tmp_path, self._model(pretrainer), pretrainer, num_steps)
            if not isinstance(pretrainer, HasDataSha256):
                return
            found.append(pretrainer.data_sha256)
        is_hash = found[0] and found[0] == found[1] != found[2]
        self.must(is_hash, f"data_sha256 must be equal if and only if batches are equal, got {found}")


class EvaluatorContract(Contract):
    """Contract test of evaluators: scores are valid and reproducible, and the model is unchanged."""

    kind: ClassVar[str] = "evaluator"

    def _model(self, seed: int = 0) -> Any:
        """Return a tiny model in eval mode with the part that the evaluator needs."""
        is_classifier = getattr(self.component, "needed_part", "") == "head"
        return (tiny_classifier(seed) if is_classifier else tiny_model(seed)).eval()

    def _scores(self, tmp_path: Path) -> list[Score]:
        with torch.no_grad():
            return list(self.build(tmp_path).evaluate(self._model(), self.context(tmp_path)))

    def test_evaluate_yields_valid_scores(self, tmp_path: Path) -> None:
        scores = self._scores(tmp_path)
        is_scores = scores and all(isinstance(s, Score) for s in scores)
        self.must(is_scores, f"evaluate() must yield perceptinit.plugin.Score objects, got {scores!r:.60}")
        names = [s.name for s in scores]
        self.must(len(set(names)) == len(names), f"two scores have the same name: {names}")
        for score in scores:
            title = f"score '{score.name}'"
            self.must("/" in score.name, f"{title} must be named measure/set, such as top1/cifar10")
            self.must(math.isfinite(score.value), f"{title} is {score.value}, not a finite number")
            self.must(
                score.num_examples > 0, f"{title} needs num_examples, the number of examples in its mean"
            )

    def test_scores_are_reproducible(self, tmp_path: Path) -> None:
        first = [s.value for s in self._scores(tmp_path)]
        second = [s.value for s in self._scores(tmp_path)]
        self.must(first == second, f"the same model scored {first} and {second}: draw from ctx.rng(...)")

    def test_evaluate_does_not_change_the_model(self, tmp_path: Path) -> None:
        model = self._model()
        before = weights_sha256(model)
        with torch.no_grad():
            list(self.build(tmp_path).evaluate(model, self.context(tmp_path)))
        self.must(weights_sha256(model) == before, "evaluate() changed the model's weights")
        self.must(not model.training, "evaluate() left the model in training mode")

    def test_evaluate_many_equals_evaluate(self, tmp_path: Path) -> None:
        evaluator = self.build(tmp_path)
        if not isinstance(evaluator, HasEvaluateMany):
            return
        models: list[Any] = [self._model(seed) for seed in (0, 1)]
        ctx = self.context(tmp_path)
        with torch.no_grad():
            together = evaluator.evaluate_many(models, ctx)
            alone = [list(self.build(tmp_path).evaluate(model, ctx)) for model in models]
        values = [[[(s.name, s.value) for s in scores] for scores in r] for r in (together, alone)]
        self.must(values[0] == values[1], f"evaluate_many() gives {values[0]}, evaluate() gives {values[1]}")

    def test_the_chosen_test_sets_can_be_read(self, tmp_path: Path) -> None:
        evaluator = self.build(tmp_path)
        for name in evaluator.choice.present()[0] if isinstance(evaluator, HasChoice) else ():
            self.must(evaluator.choice.read(name).images, f"test set '{name}' of `choice` has no images")


class TrackerContract(Contract):
    """Contract test of trackers: they accept all events of several runs, and ignore unknown kinds."""

    kind: ClassVar[str] = "tracker"

    def _send(self, tracker: Any, event: Event) -> None:
        advice = "; a tracker must ignore events of an unknown kind"
        with self.must_not_raise(Exception, f"log() of an event of kind '{event.kind}'", advice):
            tracker.log(event)

    def test_events_of_two_runs_are_accepted(self, tmp_path: Path) -> None:
        tracker = self.build(tmp_path)
        for seed in (0, 1):
            tracker.start(self.context(tmp_path, seed))
            for event in EVENTS:
                self._send(tracker, event)
        tracker.close()

    def test_unknown_kinds_of_events_are_ignored(self, tmp_path: Path) -> None:
        tracker = self.build(tmp_path)
        tracker.start(self.context(tmp_path))
        self._send(tracker, Event(kind="of-the-future"))  # type: ignore[arg-type]
        tracker.close()

    def test_close_without_a_run_is_accepted(self, tmp_path: Path) -> None:
        self.must(self.build(tmp_path).close() is None, "close() must return nothing")

    def test_optional_methods_accept_their_arguments(self, tmp_path: Path) -> None:
        tracker = self.build(tmp_path)
        ctx = self.context(tmp_path)
        if isinstance(tracker, HasExpect):
            tracker.expect([("pi", 0), ("pi", 1)])
        if isinstance(tracker, HasDescribe):
            tracker.describe(ctx, "schema = 1", {"backbone": {"use": "timm"}, "init": []})
        tracker.start(ctx)
        for event in EVENTS:
            self._send(tracker, event)
        if isinstance(tracker, HasSay):
            tracker.say("a line of a library: 100 % [sic]")
        tracker.close()
