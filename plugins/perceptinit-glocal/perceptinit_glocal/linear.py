"""Linear alignment of frozen embeddings with human judgments (`glocal/linear`)."""

from __future__ import annotations

# N triplets, M images, B batch, D embedding
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from perceptinit.plugin import (
    Fit,
    InitializerError,
    InitReport,
    Judgments,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    RunContext,
    Share,
    StimulusImages,
    Triplets,
    embed,
    measure,
    reporting,
)


class Linear:
    """Train a linear map of the embeddings on human judgments and fold it into the projection.

    The trunk does not change. The reported metrics are the 2AFC scores of the val split before and after.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        epochs: PositiveInt = 20
        """Passes over the judgments; embeddings are computed once."""
        batch_size: PositiveInt = 256
        """Judgments per optimizer step."""
        lr: PositiveFloat = 1e-3
        """Constant learning rate of Adam (gLocal: 1e-3)."""
        temperature: PositiveFloat = 0.1
        """Temperature of the softmax over the two cosine similarities."""
        identity_pull: NonNegativeFloat = 0.1
        """Weight of the penalty on the squared distance between the map and a multiple of the identity."""
        local_share: Share = 0.1
        """Share of the local loss (gLocal's alpha); 0 uses only the global loss."""

        def smoke(self) -> Linear.Config:
            """Return a copy with two epochs and small batches."""
            return replace(self, epochs=2, batch_size=16)

    def __init__(self, config: Config, judgments: Judgments) -> None:
        self.config, self.judgments = config, judgments

    def initialize(self, model: Any, ctx: RunContext) -> InitReport:
        """Fold the map into `model.projection` in place.

        Raises:
            InitializerError: If the image tower has no linear projection.
        """
        if not isinstance(getattr(model, "projection", None), nn.Linear):
            raise InitializerError(
                "initializer 'glocal/linear' needs a tower with a linear projection. Use the backbone 'timm'"
            )
        triplets, held_out = self.judgments.load("train"), self.judgments.load("val")
        modes = {module: module.training for module in model.modules()}
        model.eval()
        with reporting("glocal/linear", model) as report:
            report.metrics["2afc_val_before"] = self._two_afc(model, held_out, ctx)
            embeddings, places = self._embeddings(model, triplets, ctx)
            matrix = self._train(embeddings, places, torch.from_numpy(triplets.p_second), ctx)
            with torch.no_grad():
                weight = model.projection.weight
                weight.copy_(matrix.to(weight) @ weight)
                if model.projection.bias is not None:
                    model.projection.bias.copy_(matrix.to(weight) @ model.projection.bias)
            report.metrics["2afc_val_after"] = self._two_afc(model, held_out, ctx)
        for module, mode in modes.items():
            module.training = mode
        return report.result

    def _two_afc(self, model: Any, triplets: Triplets, ctx: RunContext) -> float:
        images = _images(model, triplets, ctx)
        return measure(model.encode_image, triplets, images, device=ctx.device).accuracy

    def _embeddings(self, model: Any, triplets: Triplets, ctx: RunContext) -> tuple[Tensor, Tensor]:
        """Return unit-length embeddings (M, D) and the row indices of each triplet's images, int64 (3, N)."""
        used = np.unique(triplets.roles)
        z = embed(model.encode_image, _images(model, triplets, ctx), used, device=ctx.device)
        places = np.searchsorted(used, triplets.roles)
        return torch.from_numpy(z).float(), torch.from_numpy(places)

    def _train(self, z: Tensor, places: Tensor, p_second: Tensor, ctx: RunContext) -> Tensor:
        """Train the map on the CPU and return it, float32 (D, D)."""
        c = self.config
        matrix = torch.eye(z.shape[1], requires_grad=True)
        optimizer = torch.optim.Adam([matrix], lr=c.lr)
        total = c.epochs * -(-len(p_second) // c.batch_size)
        step = 0
        with torch.enable_grad():
            for epoch in range(c.epochs):
                order = torch.from_numpy(ctx.rng("order", epoch).permutation(len(p_second)))
                for rows in order.split(c.batch_size):
                    a, f, s = (z[places[role][rows]] for role in range(3))
                    loss = self._loss(matrix, a, f, s, p_second[rows])
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    step += 1
                ctx.progress(step, total, loss=loss.item())
        return matrix.detach()

    def _loss(self, matrix: Tensor, a: Tensor, f: Tensor, s: Tensor, p_second: Tensor) -> Tensor:
        """Return the scalar loss of a batch; a, f, s: embeddings (B, D) of anchor, first and second."""
        c = self.config
        to_first = _cosine(matrix, a, f)
        to_second = _cosine(matrix, a, s)
        logit = (to_second - to_first) / c.temperature
        people = functional.binary_cross_entropy_with_logits(logit, p_second)
        scale = matrix.diagonal().mean() * torch.eye(len(matrix))
        pull = c.identity_pull * (matrix - scale).square().mean() * len(matrix)
        if not c.local_share:
            return people + pull
        return (1 - c.local_share) * people + c.local_share * _local(matrix, a, c.temperature) + pull


def _images(model: Any, triplets: Triplets, ctx: RunContext) -> StimulusImages:
    size, fit = model.image_size, Fit.of(model)
    return StimulusImages(triplets.stimuli, size, fit=fit, num_workers=ctx.num_workers)


def _cosine(matrix: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return functional.cosine_similarity(a @ matrix.T, b @ matrix.T, dim=-1)


def _local(matrix: Tensor, a: Tensor, temperature: float) -> Tensor:
    """Return the mean cross-entropy between the similarities of the images before and after the map."""
    itself = torch.eye(len(a), dtype=torch.bool)
    mapped = functional.normalize(a @ matrix.T, dim=-1)
    before = (a @ a.T / temperature).masked_fill(itself, -1e9)
    after = (mapped @ mapped.T / temperature).masked_fill(itself, -1e9)
    return functional.cross_entropy(after, before.softmax(dim=-1))
