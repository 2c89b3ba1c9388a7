"""The contracts of backbones and of initializers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch

from perceptinit.files.checkpoints import load_state, save_state, weights_sha256
from perceptinit.protocols import Backbone, DualEncoder, ImageEncoder, Initializer
from perceptinit.seeding import named_torch_seed
from perceptinit.testing.contract import Contract, members_of, name_few, tiny_model
from perceptinit.types import InitReport, State

TEXTS = ["a red cup", "two dogs and a much longer caption"]


class BackboneContract(Contract):
    """Two towers share a space, take images as they come, and follow torch's generator.

    Choose options for a small model: it is built several times.
    """

    kind: ClassVar[str] = "backbone"
    protocol: ClassVar[type] = Backbone

    def model(self, tmp_path: Path, seed: int = 0) -> Any:
        """Return a model, drawn under a seed."""
        with named_torch_seed(seed, "backbone"):
            return self.build(tmp_path).build().eval()

    def test_build_gives_a_dual_encoder(self, tmp_path: Path) -> None:
        model = self.model(tmp_path)
        for protocol, what, value in (
            (DualEncoder, "build()", model),
            (ImageEncoder, ".image", getattr(model, "image", None)),
        ):
            missing = [name for name in members_of(protocol) if not hasattr(value, name)]
            self.must(
                not missing,
                f"{what} lacks {', '.join(missing)}; "
                "perceptinit.plugin.DualTower and ImageTower have them all",
            )

    def test_embeddings_have_the_length_that_is_stated(self, tmp_path: Path) -> None:
        model = self.model(tmp_path)
        size = model.image_size
        with torch.no_grad():
            image = model.encode_image(torch.zeros(2, 3, size, size, dtype=torch.uint8))
            text = model.encode_text(model.tokenize(TEXTS))
        for what, found in (("encode_image", image), ("encode_text", text)):
            self.must(
                found.shape == (2, model.embed_dim),
                f"{what} gave {tuple(found.shape)}, embed_dim says (2, {model.embed_dim})",
            )

    def test_uint8_and_float_images_give_equal_embeddings(self, tmp_path: Path) -> None:
        model = self.model(tmp_path)
        size = model.image_size
        images = torch.arange(3 * size * size).reshape(1, 3, size, size).remainder(256).byte()
        with torch.no_grad():
            a, b = model.encode_image(images), model.encode_image(images / 255)
        self.must(
            torch.allclose(a, b, atol=1e-4),
            "uint8 images in 0..255 and float ones in [0, 1] give different embeddings: "
            "normalise both inside the tower, as ImageTower does",
        )

    def test_weights_follow_the_seed(self, tmp_path: Path) -> None:
        same, again, other = (weights_sha256(self.model(tmp_path, seed)) for seed in (0, 0, 1))
        self.must(
            same == again != other,
            f"weights must follow torch's global generator, which the runner seeds: "
            f"two builds with one seed are {'equal' if same == again else 'different'}, with another "
            f"seed {'equal' if same == other else 'different'}",
        )

    def test_reset_parameters_draws_the_tower_anew(self, tmp_path: Path) -> None:
        tower = self.model(tmp_path).image
        before = weights_sha256(tower)
        tower.reset_parameters(1)
        first = weights_sha256(tower)
        tower.reset_parameters(1)
        self.must(
            first != before and first == weights_sha256(tower),
            "image.reset_parameters(seed) must draw all weights anew, the same for one seed",
        )


class _Interrupted(BaseException):
    """As a kill."""


class InitializerContract(Contract):
    """Weights change, the report tells the truth, a seed repeats, and nothing else is touched."""

    kind: ClassVar[str] = "initializer"
    protocol: ClassVar[type] = Initializer

    def tower(self) -> Any:
        """Return the image tower to initialise; override for one that needs another architecture."""
        return tiny_model().image

    def _initialize(self, tmp_path: Path, seed: int = 0) -> tuple[Any, Any]:
        tower = self.tower()
        return tower, self.build(tmp_path).initialize(tower, self.context(tmp_path, seed))

    def test_initialize_changes_weights_and_reports_which(self, tmp_path: Path) -> None:
        before = {k: v.clone() for k, v in self.tower().state_dict().items()}
        tower, report = self._initialize(tmp_path)
        advice = "; wrap the work in perceptinit.plugin.reporting and return report.result"
        self.must_be(report, InitReport, "initialize()", advice)
        after = tower.state_dict()
        changed = {k for k in before if not torch.equal(before[k], after[k])}
        self.must(bool(changed), "initialize() changed no weight of the tower in place")
        self.must(
            set(report.changed) == changed,
            f"report.changed is wrong about {name_few(set(report.changed) ^ changed)}; "
            "perceptinit.plugin.reporting finds out by itself",
        )
        self.must(
            report.sha256_after == weights_sha256(tower),
            "weights changed after report.sha256_after was taken",
        )

    def test_weights_are_finite(self, tmp_path: Path) -> None:
        tower, _ = self._initialize(tmp_path)
        bad = [k for k, v in tower.state_dict().items() if not torch.isfinite(v.float()).all()]
        self.must(not bad, f"{name_few(bad)} are not finite")

    def test_the_same_seed_gives_the_same_weights(self, tmp_path: Path) -> None:
        first, second = (weights_sha256(self._initialize(tmp_path)[0]) for _ in range(2))
        self.must(
            first == second,
            "two calls with one seed give different weights: draw from ctx.rng('name') or "
            "perceptinit.plugin.torch_generator(ctx.seed, ctx.stage), never from a global generator",
        )

    def test_the_global_generators_are_left_alone(self, tmp_path: Path) -> None:
        torch.manual_seed(0)
        before = torch.get_rng_state()
        self._initialize(tmp_path)
        self.must(
            torch.equal(before, torch.get_rng_state()),
            "initialize() moved torch's global generator, so what follows differs between "
            "arms: put library code that draws in `with perceptinit.plugin.named_torch_seed(...)`",
        )

    def test_what_is_interrupted_ends_with_the_same_weights(self, tmp_path: Path) -> None:
        """For those that offer their state: stop after the first, a middle and the last offer."""
        offers: list[int] = []
        tower = self.tower()
        context = self.context(tmp_path)
        counting = replace(context, offer=lambda step, state: offers.append(step))
        self.build(tmp_path).initialize(tower, counting)
        for number in sorted({0, len(offers) // 2, len(offers) - 1}) if offers else ():
            again = self._interrupt_and_continue(tmp_path, number)
            self.must(
                weights_sha256(again) == weights_sha256(tower),
                f"stopped at its offer {number + 1} of {len(offers)} and continued from ctx.resumed, "
                "it ends with other weights: put all that the rest of the work depends on into the state",
            )

    def _interrupt_and_continue(self, tmp_path: Path, number: int) -> Any:
        """Return a tower that was interrupted at this offer, from 0, and continued by another object."""
        num_seen = 0

        def offer(step: int, state: Callable[[], State]) -> None:
            nonlocal num_seen
            if num_seen == number:
                save_state(tmp_path / "offered", {"stage": state(), "tower": tower.state_dict()})
                raise _Interrupted
            num_seen += 1

        tower = self.tower()
        context = self.context(tmp_path)
        with suppress(_Interrupted):
            self.build(tmp_path).initialize(tower, replace(context, offer=offer))
        kept = load_state(tmp_path / "offered")
        again = self.tower()
        again.load_state_dict(kept["tower"])
        self.build(tmp_path).initialize(again, replace(context, resumed=kept["stage"]))
        return again

    def test_modes_and_gradients_are_left_as_found(self, tmp_path: Path) -> None:
        tower = self.tower().eval()
        first = next(iter(tower.parameters()))
        first.requires_grad_(False)
        self.build(tmp_path).initialize(tower, self.context(tmp_path))
        advice = "perceptinit.plugin.only_training restores both"
        self.must(
            not any(m.training for m in tower.modules()),
            f"a tower in eval mode came back in training mode; {advice}",
        )
        self.must(
            not first.requires_grad and all(p.requires_grad for p in tower.parameters() if p is not first),
            f"requires_grad of a parameter came back changed; {advice}",
        )
