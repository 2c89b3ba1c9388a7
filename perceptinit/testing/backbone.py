"""The contract of backbones."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch

from perceptinit.files.checkpoints import weights_sha256
from perceptinit.protocols import Backbone, DualEncoder, ImageEncoder
from perceptinit.seeding import named_torch_seed
from perceptinit.testing.contract import Contract, members_of

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
