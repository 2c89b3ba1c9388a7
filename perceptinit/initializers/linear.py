"""A linear map of the embeddings, fitted on judgments (`linear`)."""

# M images, D embedding
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from perceptinit.components.building import preflight
from perceptinit.configs import PositiveFloat
from perceptinit.errors import InitializerError, problems_of
from perceptinit.images.stimuli import StimulusImages
from perceptinit.initializers.held_out import gain_stderr
from perceptinit.initializers.weights import only_training, reporting, trainable_names
from perceptinit.judgments.linear_map import fit_linear
from perceptinit.judgments.scoring import agreement
from perceptinit.judgments.two_afc import Embedded, embed, score, unit_rows
from perceptinit.protocols import Judgments
from perceptinit.types import Fit, InitReport, RunContext, Split, Triplets

NUM_PROBED = 4  # images on which an output layer is recognized
PROBED_FACTOR = -2.0  # which no activation function and no normalization preserves
PROBED_TOLERANCE = 1e-3  # of the largest value


class Linear:
    """Map the embeddings linearly, so that their cosines predict human judgments. No other weight changes.

    The map is folded into the last linear layer, if the embedding is its output. Other models of
    `apply_perceptual_init` receive a layer `embedding_map` that follows their embedding. The map minimizes a
    convex loss: the logistic loss of the votes, with cosines linearized at the identity, and a pull to the
    identity. The strength of the pull is chosen by 2AFC on images without a part in the fit. The embeddings
    are unchanged if no map is better than the identity by two standard errors.

    The metrics `unseen_images_gain` and `unseen_images_gain_stderr` are the gain in 2AFC in this
    cross-validation. The pull is the one with the highest gain, so the gain is slightly optimistic.

    Source: after gLocal (Muttenthaler et al. 2023), with another loss and without its local term.
    """

    name = "linear"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        pull: PositiveFloat | None = None
        """Weight of the mean square of the map's eigenvalues minus 1. None chooses one of 10, 3, 1, 0.3, 0.1,
        0.03 or the identity by cross-validation over images."""
        eval_split: Split = "val"
        """Split for evaluating 2AFC and embedding spread; "train" if the judgments have no other split."""

        def smoke(self) -> Self:
            """Return a copy with a fixed pull, because few judgments do not allow cross-validation."""
            return replace(self, pull=1.0)

    def __init__(self, config: Config, judgments: Judgments) -> None:
        self.config = config
        self.judgments = judgments

    def preflight(self) -> Iterator[str]:
        """Yield problems with the training and the held-out judgments."""
        if not preflight(self.judgments):
            yield from problems_of(self._load)

    def _load(self) -> tuple[Triplets, Triplets]:
        return self.judgments.load("train"), self.judgments.load(self.config.eval_split)

    def initialize(self, model: Any, ctx: RunContext) -> InitReport:
        """Fit the map and fold it into the model in place.

        Raises:
            DataError: If the judgments are too few for cross-validation.
            InitializerError: If the model has no layer for the map, or the layer is frozen.
        """
        triplets, held_out = self._load()
        with reporting(self.name, model) as report, only_training(model, trainable_names(model, "all")):
            model.eval()
            embedded, judged = _embed(model, [triplets, held_out], ctx)
            fitted = fit_linear(embedded, triplets, ctx.rng("halves"), self.config.pull)
            report.may_be_unchanged = fitted.is_identity
            if report.may_be_unchanged:
                ctx.warn(
                    f"linear: no map is shown to be better than the identity on images without a part in the "
                    f"fit (gain {fitted.gain or 0:+.3f}), so the embeddings are unchanged"
                )
            else:
                fold(model, torch.from_numpy(fitted.matrix), _few_images(model, triplets, ctx))
                report.metrics["pull"] = fitted.pull
            if fitted.gain is not None:
                report.metrics["unseen_images_gain"] = fitted.gain
            if fitted.stderr is not None:
                report.metrics["unseen_images_gain_stderr"] = fitted.stderr
            report.metrics |= self._held_out_metrics(judged, held_out, fitted.matrix)
        return report.result

    def _held_out_metrics(self, before: Embedded, triplets: Triplets, matrix: np.ndarray) -> dict[str, float]:
        name = f"2afc_{self.config.eval_split}"
        after = Embedded(before.used, unit_rows(torch.from_numpy(before.z @ matrix)))
        values = [agreement(*z.distances(triplets), triplets.p_second) for z in (before, after)]
        old, new = (score(z, triplets) for z in (before, after))
        stderr = gain_stderr(*map(torch.from_numpy, values), triplets)
        found = {
            f"{name}_before": old.accuracy,
            f"{name}_after": new.accuracy,
            "spread_before": old.spread,
            "spread_after": new.spread,
            f"{name}_stderr": new.stderr,
            f"{name}_gain_stderr": stderr,
            f"{name}_judgments": new.num_judgments,
            f"{name}_units": new.num_units,
        }
        return {key: value for key, value in found.items() if value is not None}


def _images(model: Any, triplets: Triplets, ctx: RunContext) -> StimulusImages:
    return StimulusImages(triplets.stimuli, model.image_size, fit=Fit.of(model), num_workers=ctx.num_workers)


def _few_images(model: Any, triplets: Triplets, ctx: RunContext) -> Tensor:
    return _images(model, triplets, ctx)[triplets.used[:NUM_PROBED]].to(ctx.device)


def _embed(model: Any, sets: list[Triplets], ctx: RunContext) -> list[Embedded]:
    """Return the embeddings of each set; sets with the same stimuli are embedded together."""
    found: dict[int, Embedded] = {}
    for triplets in sets:
        key = id(triplets.stimuli)
        if key not in found:
            used = np.unique(np.concatenate([t.used for t in sets if t.stimuli is triplets.stimuli]))
            z = embed(model.encode_image, _images(model, triplets, ctx), used, device=ctx.device)
            found[key] = Embedded(used, z)
    return [found[id(triplets.stimuli)].select(triplets.used) for triplets in sets]


@torch.no_grad()
def fold(model: Any, matrix: Tensor, images: Tensor) -> None:
    """Multiply the embeddings of a model by a matrix, in place.

    Args:
        model: Image tower in eval mode.
        matrix: Shape (D, D).
        images: A few images that the model encodes.

    Raises:
        InitializerError: If the embedding is not the output of a linear layer and the model cannot receive
            another layer, or if the layer is frozen.
    """
    embeddings = model.encode_image(images)
    layers = _linear_layers(model, embeddings.shape[1])
    last = next((layer for layer in layers if layer.is_last(model, images, embeddings)), None)
    if last is None:
        if not hasattr(model, "add_map"):
            raise InitializerError(
                "initializer 'linear': the embedding is not the output of a linear layer, into which the map "
                "could be folded. Use a backbone with a projection, such as 'timm'"
            )
        last = _Layer([model.add_map().weight])
    if not all(parameter.requires_grad for parameter in last.parameters):
        raise InitializerError(
            "initializer 'linear': the last linear layer, into which the map is folded, is frozen. Call "
            "requires_grad_(True) on it"
        )
    for weights in last.weights:
        weights.copy_(matrix.to(weights.device) @ weights.to(matrix.dtype))


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    """The parameters of a linear layer: weight and bias, or a weight whose last dimension is the output."""

    parameters: list[nn.Parameter]
    is_transposed: bool = False

    @property
    def weights(self) -> list[Tensor]:
        """Views of the parameters whose first dimension is the output."""
        return [p.detach().T if self.is_transposed else p.detach() for p in self.parameters]

    def is_last(self, model: Any, images: Tensor, embeddings: Tensor) -> bool:
        """Return whether the output of the layer is the embedding.

        Permuted and negated outputs distinguish it from the input of another layer, activation or norm.
        """
        copies = [weights.clone() for weights in self.weights]
        try:
            for weights, copy in zip(self.weights, copies, strict=True):
                weights.copy_(PROBED_FACTOR * copy.flip(0))
            found = model.encode_image(images)
        finally:
            for weights, copy in zip(self.weights, copies, strict=True):
                weights.copy_(copy)
        wanted = PROBED_FACTOR * embeddings.flip(1)
        return torch.allclose(found, wanted, rtol=0, atol=float(wanted.abs().max()) * PROBED_TOLERANCE)


def _linear_layers(model: nn.Module, embed_dim: int) -> Iterator[_Layer]:
    """Yield each linear layer with D outputs, from the last module to the first."""
    for module in reversed([*model.modules()]):
        projection = getattr(module, "proj", None)
        if isinstance(projection, nn.Parameter) and projection.shape[-1] == embed_dim:  # open_clip's ViT
            yield _Layer([projection], is_transposed=True)
        if isinstance(module, nn.Linear) and module.out_features == embed_dim:
            parameters = [module.weight, module.bias]
            yield _Layer([parameter for parameter in parameters if parameter is not None])
