"""The random schemes of timm as starts (`timm-scheme`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from perceptinit.errors import InitializerError
from perceptinit.initializers.report import reporting
from perceptinit.seeding import named_torch_seed
from perceptinit.types import InitReport, RunContext


class TimmScheme:
    """Draws the weights of a vision transformer again by one of timm's schemes; no data.

    Libraries initialize the same architecture differently, some of them for years without a word about it
    (transformers issues 19449 and 38987). A control: does the random scheme alone make a difference? No
    effect is published. Weights outside the trunk stay unchanged.

    Source: timm, `VisionTransformer.init_weights`.
    """

    name = "timm-scheme"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        scheme: Literal["jax", "moco", "reset"] = "jax"
        """"jax": that of the original ViT; "moco": of MoCo v3; "reset": timm's default, drawn again."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def initialize(self, model: Any, ctx: RunContext) -> InitReport:
        """Draw the weights in place.

        Raises:
            InitializerError: If the trunk is not a vision transformer of timm.
        """
        trunk = getattr(model, "trunk", model)
        if not hasattr(trunk, "init_weights"):
            raise InitializerError(
                f"initializer '{self.name}' needs a vision transformer of timm, and {type(trunk).__name__} "
                "has no init_weights"
            )
        scheme = "" if self.config.scheme == "reset" else self.config.scheme
        device = next(trunk.parameters()).device
        with reporting(self.name, model) as report, named_torch_seed(ctx.seed, ctx.stage, self.name):
            trunk.to("cpu")  # the same draws on every device
            trunk.init_weights(scheme)
            trunk.to(device)
        return report.result
