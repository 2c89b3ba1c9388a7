"""Random initialization: by the backbone, by timm's schemes, or with the scales of weights after stage 1."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from perceptinit.errors import InitializerError
from perceptinit.initializers.weights import (
    as_matrix,
    copy_weights,
    num_fused_parts,
    reporting,
    singular_values,
)
from perceptinit.seeding import named_torch_seed, torch_generator
from perceptinit.types import InitReport, RunContext


@dataclass(eq=False)
class Random:
    """Reinitialize all weights of the image tower with the seed of the run.

    Use it to undo an earlier stage, or to measure the effect of another random initialization. An arm without
    an initializer also has random weights, which are the same in every arm.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        """This initializer has no keys."""

    config: Config

    def initialize(self, model: Any, ctx: RunContext) -> InitReport:
        """Reinitialize the weights of the tower in place."""
        with reporting("random", model, hint="Does the model's 'reset_parameters' change them?") as report:
            model.reset_parameters(ctx.seed_for("random"))
        return report.result


@dataclass(eq=False)
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

    config: Config

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


@dataclass(eq=False)
class NormMatched:
    """Scale each matrix and kernel to its Frobenius norm at initialization. Use it after stage 1.

    The weights keep their directions and lose their norms, the opposite of `statistics-matched`. Gains,
    biases and tensors that are 0 now or at initialization do not change.

    Source: this project. No effect is published.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        """This initializer has no keys."""

    config: Config

    def initialize(self, model: Any, ctx: RunContext) -> InitReport:
        """Scale the weights in place to the norms of a random initialization with the seed of the run."""
        with reporting("norm-matched", model) as report:
            model.reset_parameters(ctx.seed_for("norm-matched"))
            fresh = copy_weights(model)
            model.load_state_dict({n: _match_norm(own, fresh[n]) for n, own in report.before.items()})
        return report.result


def _match_norm(own: Tensor, fresh: Tensor) -> Tensor:
    if own.ndim < 2 or not own.is_floating_point() or not own.any() or not fresh.any():
        return own
    return own * (fresh.norm() / own.norm())


@dataclass(eq=False)
class StatisticsMatched:
    """Randomize each parameter but preserve its current statistics. Use it after stage 1 in `[[init]]`.

    The tower keeps the scales of stage 1 and loses its structure. If it performs as well as stage 1, the
    content of the judgments did not matter. Query, key and value projections in one tensor are randomized
    separately. Buffers do not change.

    Source: this project. No effect is published.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        keep: Literal["spectrum", "values", "moments"] = "spectrum"
        """Statistics of matrices and kernels to keep: "spectrum", the singular values; "values", the values,
        in random order; "moments", mean and standard deviation of a Gaussian. Vectors keep values or
        moments."""

    config: Config

    @torch.no_grad()
    def initialize(self, model: Any, ctx: RunContext) -> InitReport:
        """Randomize all parameters in place. Each depends only on the seed and the parameter's name."""
        redraw = REDRAWS[self.config.keep]
        with reporting("statistics-matched", model) as report:
            for name, parameter in model.named_parameters():
                generator = torch_generator(ctx.seed, ctx.stage, "statistics-matched", name)
                parts = parameter.detach().cpu().chunk(num_fused_parts(name))
                parameter.copy_(torch.cat([redraw(part, generator) for part in parts]))
        return report.result


def _keep_values(weight: Tensor, generator: torch.Generator) -> Tensor:
    order = torch.randperm(weight.numel(), generator=generator)
    return weight.flatten()[order].reshape(weight.shape)


def _keep_moments(weight: Tensor, generator: torch.Generator) -> Tensor:
    """Return Gaussian values with exactly the mean and standard deviation of the weight."""
    if weight.numel() < 2:
        return weight.clone()
    drawn = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
    drawn = (drawn - drawn.mean()) / drawn.std(correction=0)
    return weight.mean() + weight.std(correction=0) * drawn


def _keep_spectrum(weight: Tensor, generator: torch.Generator) -> Tensor:
    """Return a matrix with the same singular values and random singular vectors, or a shuffled vector."""
    if weight.ndim < 2:
        return _keep_values(weight, generator)
    values = singular_values(weight)
    rows, columns = as_matrix(weight).shape
    left = _draw_orthonormal(rows, len(values), generator)
    right = _draw_orthonormal(columns, len(values), generator)
    return ((left * values) @ right.T).reshape(weight.shape).to(weight.dtype)


def _draw_orthonormal(length: int, count: int, generator: torch.Generator) -> Tensor:
    """Return uniformly distributed orthonormal columns, (length, count)."""
    q, r = torch.linalg.qr(torch.randn(length, count, generator=generator))
    return q * torch.sign(r.diagonal())  # QR alone does not give uniform signs


REDRAWS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "spectrum": _keep_spectrum,
    "values": _keep_values,
    "moments": _keep_moments,
}
