"""Random initialization, by the backbone (`random`) or by timm's schemes (`timm-scheme`)."""

from dataclasses import dataclass
from typing import Any, Literal

from perceptinit.errors import InitializerError
from perceptinit.initializers.weights import reporting
from perceptinit.seeding import named_torch_seed
from perceptinit.types import InitReport, RunContext


class Random:
    """Reinitialize all weights of the image tower with the seed of the run.

    Use it to undo an earlier stage, or to measure the effect of another random initialization. An arm without
    an initializer also has random weights, which are the same in every arm.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        pass

    def __init__(self, config: Config) -> None:
        self.config = config

    def initialize(self, model: Any, ctx: RunContext) -> InitReport:
        """Reinitialize the weights of the tower in place."""
        with reporting("random", model, hint="Does the model's 'reset_parameters' change them?") as report:
            model.reset_parameters(ctx.seed_for("random"))
        return report.result


class TimmScheme:
    """Reinitialize a vision transformer with one of timm's random schemes.

    Control for the effect of the random scheme alone: libraries initialize the same architecture differently
    (transformers issues 19449 and 38987). No effect is published. Weights outside the trunk do not change.

    Source: timm, `VisionTransformer.init_weights`.
    """

    name = "timm-scheme"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        scheme: Literal["jax", "moco", "reset"] = "jax"
        """"jax": the original ViT. "moco": MoCo v3. "reset": timm's default, with another seed."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def initialize(self, model: Any, ctx: RunContext) -> InitReport:
        """Reinitialize the weights in place.

        Raises:
            InitializerError: If the trunk is not a timm vision transformer.
        """
        trunk = getattr(model, "trunk", model)
        if not hasattr(trunk, "init_weights"):
            raise InitializerError(
                f"initializer '{self.name}' needs a timm vision transformer, got {type(trunk).__name__} "
                "without init_weights"
            )
        scheme = "" if self.config.scheme == "reset" else self.config.scheme
        device = next(trunk.parameters()).device
        with reporting(self.name, model) as report, named_torch_seed(ctx.seed, ctx.stage, self.name):
            trunk.to("cpu")  # the same weights on every device
            trunk.init_weights(scheme)
            trunk.to(device)
        return report.result
