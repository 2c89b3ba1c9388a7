"""Contract tests of backbones and initializers."""

import itertools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch

from perceptinit.files.checkpoints import load_state, save_state, weights_sha256
from perceptinit.protocols.required import find_missing_members
from perceptinit.seeding import named_torch_seed
from perceptinit.testing.contract import Contract, name_few, tiny_model
from perceptinit.types import InitReport, State

TEXTS = ["a red cup", "two dogs and a much longer caption"]


class BackboneContract(Contract):
    """Contract test of backbones: two towers with a shared embedding space and seeded weights.

    Override `options` with keys of a small model, because it is built several times.
    """

    kind: ClassVar[str] = "backbone"

    def model(self, tmp_path: Path, seed: int = 0) -> Any:
        """Return a new model in eval mode."""
        with named_torch_seed(seed, "backbone"):
            return self.build(tmp_path).build().eval()

    def test_build_returns_a_dual_encoder(self, tmp_path: Path) -> None:
        for problem in find_missing_members(self.model(tmp_path)):
            self.must(False, problem)

    def test_embeddings_have_the_stated_length(self, tmp_path: Path) -> None:
        model = self.model(tmp_path)
        size = model.image_size
        with torch.no_grad():
            image = model.encode_image(torch.zeros(2, 3, size, size, dtype=torch.uint8))
            text = model.encode_text(model.tokenize(TEXTS))
        for what, found in (("encode_image", image), ("encode_text", text)):
            shape = tuple(found.shape)
            self.must(
                shape == (2, model.embed_dim), f"{what} returned {shape}, embed_dim is {model.embed_dim}"
            )

    def test_uint8_and_float_images_give_equal_embeddings(self, tmp_path: Path) -> None:
        model = self.model(tmp_path)
        size = model.image_size
        images = torch.arange(3 * size * size).reshape(1, 3, size, size).remainder(256).byte()
        with torch.no_grad():
            a = model.encode_image(images)
            b = model.encode_image(images / 255)
        self.must(
            torch.allclose(a, b, atol=1e-4), "uint8 images and float images / 255 have different embeddings"
        )

    def test_weights_depend_on_the_seed_only(self, tmp_path: Path) -> None:
        same = weights_sha256(self.model(tmp_path, 0))
        again = weights_sha256(self.model(tmp_path, 0))
        other = weights_sha256(self.model(tmp_path, 1))
        advice = "draw all weights from torch's global generator, which the run seeds"
        self.must(same == again, f"two models with the same seed have different weights: {advice}")
        self.must(same != other, f"two models with different seeds have the same weights: {advice}")

    def test_reset_parameters_redraws_the_tower(self, tmp_path: Path) -> None:
        tower = self.model(tmp_path).image
        before = weights_sha256(tower)
        tower.reset_parameters(1)
        first = weights_sha256(tower)
        tower.reset_parameters(1)
        is_drawn = first != before and first == weights_sha256(tower)
        self.must(is_drawn, "image.reset_parameters(seed) must reinitialize the weights from the seed")


class _Interrupted(BaseException):
    """Simulates a kill of the process."""


class InitializerContract(Contract):
    """Contract test of initializers: weights change, the report is correct, and draws are seeded."""

    kind: ClassVar[str] = "initializer"

    def tower(self) -> Any:
        """Return the image tower. Override it if the initializer needs another architecture."""
        return tiny_model().image

    def _initialize(self, tmp_path: Path, seed: int = 0) -> tuple[Any, Any]:
        tower = self.tower()
        return tower, self.build(tmp_path).initialize(tower, self.context(tmp_path, seed))

    def test_initialize_changes_weights_and_reports_them(self, tmp_path: Path) -> None:
        before = {k: v.clone() for k, v in self.tower().state_dict().items()}
        tower, report = self._initialize(tmp_path)
        advice = "; wrap the work in perceptinit.plugin.reporting and return report.result"
        self.must_be(report, InitReport, "initialize()", advice)
        after = tower.state_dict()
        changed = {k for k in before if not torch.equal(before[k], after[k])}
        self.must(changed, "initialize() changed no weight of the tower in place")
        wrong = set(report.changed) ^ changed
        self.must(not wrong, f"report.changed is wrong for {name_few(wrong)}{advice}")
        self.must(report.sha256_after == weights_sha256(tower), f"report.sha256_after is wrong{advice}")

    def test_weights_are_finite(self, tmp_path: Path) -> None:
        tower, _ = self._initialize(tmp_path)
        bad = [k for k, v in tower.state_dict().items() if not torch.isfinite(v.float()).all()]
        self.must(not bad, f"initialize() left non-finite values in {name_few(bad)}")

    def test_initialize_is_reproducible_under_a_seed(self, tmp_path: Path) -> None:
        first = weights_sha256(self._initialize(tmp_path)[0])
        second = weights_sha256(self._initialize(tmp_path)[0])
        advice = "draw from ctx.rng('name') or perceptinit.plugin.torch_generator(ctx.seed, ctx.stage)"
        self.must(first == second, f"two calls with the same seed give different weights: {advice}")

    def test_global_generators_are_unchanged(self, tmp_path: Path) -> None:
        torch.manual_seed(0)
        before = torch.get_rng_state()
        self._initialize(tmp_path)
        advice = "wrap library code that draws in `with perceptinit.plugin.named_torch_seed(...)`"
        is_same = torch.equal(before, torch.get_rng_state())
        self.must(is_same, f"initialize() advanced torch's global generator: {advice}")

    def test_interrupted_initialize_resumes_to_the_same_weights(self, tmp_path: Path) -> None:
        """Interrupt at the first, middle and last state that the initializer offers, if any."""
        offers: list[int] = []
        tower = self.tower()
        context = self.context(tmp_path)
        counting = replace(context, offer=lambda step, state: offers.append(step))
        self.build(tmp_path).initialize(tower, counting)
        for number in sorted({0, len(offers) // 2, len(offers) - 1}) if offers else ():
            again = self._interrupt_and_resume(tmp_path, number)
            problem = f"resuming after call {number + 1} of {len(offers)} to offer() gives different weights"
            advice = "save everything that later steps depend on in the state, and resume from ctx.resumed"
            self.must(weights_sha256(again) == weights_sha256(tower), f"{problem}: {advice}")

    def _interrupt_and_resume(self, tmp_path: Path, number: int) -> Any:
        """Return the tower of a run interrupted at call `number` (from 0) of `ctx.offer` and resumed."""
        count = itertools.count()

        def offer(step: int, state: Callable[[], State]) -> None:
            if next(count) == number:
                save_state(tmp_path / "offered", {"stage": state(), "tower": tower.state_dict()})
                raise _Interrupted

        tower = self.tower()
        context = self.context(tmp_path)
        with suppress(_Interrupted):
            self.build(tmp_path).initialize(tower, replace(context, offer=offer))
        kept = load_state(tmp_path / "offered")
        again = self.tower()
        again.load_state_dict(kept["tower"])
        self.build(tmp_path).initialize(again, replace(context, resumed=kept["stage"]))
        return again

    def test_modes_and_gradient_flags_are_restored(self, tmp_path: Path) -> None:
        tower = self.tower().eval()
        next(iter(tower.parameters())).requires_grad_(False)
        before = [p.requires_grad for p in tower.parameters()]
        self.build(tmp_path).initialize(tower, self.context(tmp_path))
        advice = "use perceptinit.plugin.only_training"
        self.must(
            not any(m.training for m in tower.modules()), f"the tower was left in training mode: {advice}"
        )
        after = [p.requires_grad for p in tower.parameters()]
        self.must(before == after, f"initialize() changed requires_grad of a parameter: {advice}")
