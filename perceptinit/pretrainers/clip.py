"""Contrastive image-text pretraining (`clip`)."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from perceptinit.configs import PositiveFloat
from perceptinit.errors import DataError
from perceptinit.pairs.texts import find_empty
from perceptinit.pretrainers.pair_loss import PairLoss, SoftmaxLoss
from perceptinit.pretrainers.preparation import Lock, lock_parameters
from perceptinit.pretrainers.pretraining import Pretraining
from perceptinit.pretrainers.training_config import TrainingConfig


class Clip(Pretraining):
    """Train both towers and the temperature with CLIP's symmetric softmax loss on image-text pairs.

    The optimizer is AdamW with a linear warm-up and a cosine decay to the last step. Batches, crops and
    dropout depend only on the seed of the run and the step. All arms therefore see the same batches, and an
    interrupted run resumes exactly. `data_sha256` is a hash of the keys, token ids and a sample of the pixels
    of all batches.

    To change the loss, override `make_loss`; to change the initial temperature, override `begin`.

    Source: Radford et al. 2021, Learning Transferable Visual Models From Natural Language Supervision.
    Published effect: 32.8 % zero-shot accuracy on ImageNet for ViT-B/32 on YFCC-15M after 32 epochs (Li et
    al. 2022, DeCLIP).
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(TrainingConfig):
        lock: Lock = "none"
        """Parameters to freeze: "image" (LiT) or "text" for a tower, "patches" for the patch embedding (MoCo
        v3, DeCLIP), or "none"."""
        max_logit_scale: PositiveFloat = 100.0
        """Maximum inverse temperature (CLIP: 100)."""
        min_logit_scale: PositiveFloat | None = None
        """Minimum inverse temperature; None for 1 (DeCLIP: e^3)."""

        def __post_init__(self) -> None:
            TrainingConfig.__post_init__(self)  # plain super() does not work with slots
            least = 1.0 if self.min_logit_scale is None else self.min_logit_scale
            if self.max_logit_scale < least:
                raise ValueError(f"max_logit_scale = {self.max_logit_scale:g} is below {least:g}")

    config: Config

    def make_loss(self) -> PairLoss:
        """Return the loss of a batch of pairs, on any device. Subclasses may override it."""
        return SoftmaxLoss()

    def make_objective(self, model: Any) -> PairLoss:
        """Return the loss, with the bounds of the temperature."""
        loss = self.make_loss()
        loss.max_logit_scale = self.config.max_logit_scale
        loss.min_logit_scale = self.config.min_logit_scale or 1.0
        return loss

    def preflight(self) -> Iterator[str]:
        """Yield problems with the captions, and those common to all pretrainers."""
        try:
            yield from find_empty(self.pairs)
        except DataError:
            return  # the preflight of the pairs reports it
        yield from super().preflight()

    def change(self, stack: ExitStack, model: Any) -> None:
        """Freeze the parameters selected by `lock` for the stage."""
        lock_parameters(stack, model, self.config.lock)
