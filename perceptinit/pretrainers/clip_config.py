"""The keys of `clip`, and of pretrainers that change only its loss."""

from __future__ import annotations

from dataclasses import dataclass

from perceptinit.configs import PositiveFloat
from perceptinit.pretrainers.preparation import Lock
from perceptinit.pretrainers.training_config import TrainingConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipConfig(TrainingConfig):
    """How a dual encoder is trained on image-text pairs."""

    lock: Lock = "none"
    """What is not trained: "image" (LiT) or "text", a tower; "patches", the layer that embeds an image's patches
    (MoCo v3, DeCLIP); or "none"."""
    max_logit_scale: PositiveFloat = 100.0
    """Largest inverse temperature (CLIP: 100)."""
    min_logit_scale: PositiveFloat | None = None
    """Smallest inverse temperature; 1 unless given (DeCLIP: e^3)."""

    def __post_init__(self) -> None:
        TrainingConfig.__post_init__(self)  # slots: super() would not find its class
        least = 1.0 if self.min_logit_scale is None else self.min_logit_scale
        if self.max_logit_scale < least:
            raise ValueError(f"max_logit_scale = {self.max_logit_scale:g} is below {least:g}")
