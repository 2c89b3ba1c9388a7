"""A linear map of the embeddings, fitted on judgments (`linear`)."""

# N judgments, M images, D embedding
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
from perceptinit.initializers.stage_report import (
    find_loss,
    find_unseen,
    gain_metrics,
    gains_by_training,
    score_metrics,
)
from perceptinit.initializers.weights import only_training, reporting, trainable_names
from perceptinit.judgments.linear_map import IDENTITY, fit_linear
from perceptinit.judgments.scoring import agreement
from perceptinit.judgments.two_afc import Embedded, embed_judged, prepare_rows, score
from perceptinit.protocols import Judgments
from perceptinit.types import Fit, InitReport, RunContext, Split, Triplets

NUM_PROBED = 4  # images on which an output layer is recognized
PROBED_FACTOR = -2.0  # which no activation function and no normalization preserves
PROBED_TOLERANCE = 1e-3  # of the largest value


@dataclass(eq=False)
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
        """Weight of the mean square of the map's change; see docs/library.md. None chooses 3, 1, 0.3, 0.1,
        0.03, 0.01 or the identity by cross-validation over images."""
        eval_split: Split = "val"
        """Split for evaluating 2AFC and embedding spread; "train" if the judgments have no other split."""

        def smoke(self) -> Self:
            """Return a copy with a fixed pull, because few judgments do not allow cross-validation."""
            return replace(self, pull=0.1)

    config: Config
    judgments: Judgments
    also_on: Judgments | None = None

    def preflight(self) -> Iterator[str]:
        """Yield problems with the training, the held-out and the second judgments."""
        if not preflight(self.judgments):
            yield from problems_of(self._load)

    def _load(self) -> tuple[Triplets, Triplets, Triplets | None]:
        split = self.config.eval_split
        second = self.also_on.load(split) if self.also_on else None
        return self.judgments.load("train"), self.judgments.load(split), second

    def initialize(self, model: Any, ctx: RunContext) -> InitReport:
        """Fit the map and fold it into the model in place.

        Raises:
            DataError: If the judgments are too few for cross-validation.
            InitializerError: If the model has no layer for the map.
        """
        triplets, held_out, second = self._load()
        with reporting(self.name, model) as report, only_training(model, trainable_names(model, "all")):
            model.eval()
            embedded = _embed(model, triplets, ctx)
            has_all = held_out.stimuli is triplets.stimuli and np.isin(held_out.used, embedded.used).all()
            judged = embedded.select(held_out.used) if has_all else _embed(model, held_out, ctx)
            others = _embed(model, second, ctx) if second else None
            fitted = fit_linear(embedded, triplets, ctx.rng("halves"), self.config.pull)
            report.may_be_unchanged = fitted.pull == IDENTITY
            if report.may_be_unchanged:
                ctx.warn(
                    f"linear: no map is shown to be better than the identity on images without a part in the "
                    f"fit (gain {fitted.gain or 0:+.3f}), so the embeddings are unchanged"
                )
            else:
                few = _images(model, triplets, ctx)[triplets.used[:NUM_PROBED]]
                fold(model, torch.from_numpy(fitted.matrix), few.to(ctx.device))
                report.metrics["pull"] = fitted.pull
            found = {"unseen_images_gain": fitted.gain, "unseen_images_gain_stderr": fitted.stderr}
            report.metrics |= {name: value for name, value in found.items() if value is not None}
            unseen = find_unseen(held_out, triplets.stimuli, triplets.roles)
            old = score(judged, held_out)
            new = score(_map(judged, fitted.matrix), held_out)
            report.metrics |= score_metrics(self.config.eval_split, old, new)
            values = _agreements(judged, held_out, fitted.matrix)
            report.metrics |= gains_by_training(*values, held_out, unseen, ctx.num_workers)
            if second and others:
                values = _agreements(others, second, fitted.matrix)
                report.metrics |= gain_metrics("also_on", *values, second)
                if loss := find_loss(report.metrics, "Increase pull"):
                    ctx.warn(loss)
        return report.result


def _images(model: Any, triplets: Triplets, ctx: RunContext) -> StimulusImages:
    return StimulusImages(triplets.stimuli, model.image_size, fit=Fit.of(model), num_workers=ctx.num_workers)


def _embed(model: Any, triplets: Triplets, ctx: RunContext) -> Embedded:
    return embed_judged(model.encode_image, triplets, _images(model, triplets, ctx), device=ctx.device)


def _map(embedded: Embedded, matrix: np.ndarray) -> Embedded:
    return Embedded(embedded.used, prepare_rows(torch.from_numpy(embedded.z @ matrix)))


def _agreements(before: Embedded, triplets: Triplets, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of votes that agree with each judgment, before and after the map, (N,) each."""
    old = agreement(*before.distances(triplets), triplets.p_second)
    return old, agreement(*_map(before, matrix).distances(triplets), triplets.p_second)


@torch.no_grad()
def fold(model: Any, matrix: Tensor, images: Tensor) -> None:
    """Multiply the embeddings of a model by a matrix, in place.

    Args:
        model: Image tower in eval mode.
        matrix: Shape (D, D).
        images: A few images that the model encodes.

    Raises:
        InitializerError: If the embedding is not the output of a trainable linear layer, and the model cannot
            receive another layer.
    """
    embeddings = model.encode_image(images)
    layers = _linear_layers(model, embeddings.shape[1])
    last = next((layer for layer in layers if _is_last(layer, model, images, embeddings)), None)
    if last is None:
        if not hasattr(model, "add_map"):
            raise InitializerError(
                "initializer 'linear': the embedding is not the output of a linear layer with trainable "
                "weights, which could contain the map. Use a backbone with a projection, such as 'timm'"
            )
        last = [model.add_map().weight]
    for weight in last:
        weight.copy_(matrix.to(weight.device) @ weight.to(matrix.dtype))


def _linear_layers(model: nn.Module, embed_dim: int) -> Iterator[list[Tensor]]:
    """Yield weight and bias of each trainable linear layer with D outputs, which come first in the shape."""
    for module in reversed([*model.modules()]):
        is_linear = isinstance(module, nn.Linear)
        weight: Any = getattr(module, "weight" if is_linear else "proj", None)  # "proj" of open_clip's ViT
        if isinstance(weight, nn.Parameter) and weight.requires_grad:
            layer: list[Any] = [weight, module.bias] if is_linear else [weight.T]
            if len(layer[0]) == embed_dim:
                yield [tensor for tensor in layer if tensor is not None]


def _is_last(layer: list[Tensor], model: Any, images: Tensor, embeddings: Tensor) -> bool:
    """Return whether the output of a layer is the embedding.

    Permuted and negated outputs distinguish it from the input of another layer, activation or norm.
    """
    copies = [weight.clone() for weight in layer]
    for weight, copy in zip(layer, copies, strict=True):
        weight.copy_(PROBED_FACTOR * copy.flip(0))
    found = model.encode_image(images)
    for weight, copy in zip(layer, copies, strict=True):
        weight.copy_(copy)
    wanted = PROBED_FACTOR * embeddings.flip(1)
    return torch.allclose(found, wanted, rtol=0, atol=float(wanted.abs().max()) * PROBED_TOLERANCE)
