"""A model and data that are small enough for a test of a second."""

from __future__ import annotations

from perceptinit.backbones.encoders import DualTower
from perceptinit.backbones.image_models import ImageClassifier
from perceptinit.backbones.timm_backbone import Timm
from perceptinit.judgments.controls.synthetic import SyntheticJudgments
from perceptinit.pairs.synthetic import SyntheticPairs
from perceptinit.seeding import named_torch_seed


def tiny_model(seed: int = 0) -> DualTower:
    """Return a dual encoder for 32 x 32 pixels: a ViT and a text transformer of one block each."""
    with named_torch_seed(seed, "tiny-model"):
        return Timm(Timm.Config().smoke()).build()


def tiny_classifier(seed: int = 0) -> ImageClassifier:
    """Return the image tower of `tiny_model` with a classifier for the classes of `tiny_pairs`."""
    return ImageClassifier(tiny_model(seed).image, tiny_pairs().read_classes().names, seed)


def tiny_judgments() -> SyntheticJudgments:
    """Return simulated judgments, a few dozen in each split."""
    return SyntheticJudgments(SyntheticJudgments.Config().smoke())


def tiny_pairs() -> SyntheticPairs:
    """Return rendered pictures with captions, a few dozen."""
    return SyntheticPairs(SyntheticPairs.Config().smoke())
