"""Attention that starts as trained networks have it (`mimetic`), without data."""

from __future__ import annotations

# D width of a token, d of a head, A = heads * d
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from perceptinit.configs import NonNegativeFloat
from perceptinit.initializers.attention import Attention, find_attention, find_positions, sinusoidal
from perceptinit.initializers.report import reporting
from perceptinit.seeding import torch_generator
from perceptinit.types import InitReport, RunContext


class Mimetic:
    """Sets the products of attention's matrices near the identity, as they are in pretrained ViTs.

    For tokens x, queries x Wq and keys x Wk: Wq Wk' is a Z + b I in every head, as far as the rank of
    a head allows; Wv Wproj is a Z - b I; Z has independent normal entries of variance 1 / width. The
    factors are those of the singular value decomposition, its singular values shared out by their
    roots. Other weights stay as they are. Needs no data: a control for what structure alone gives.

    Source: Trockman and Kolter 2023, Mimetic Initialization of Self-Attention Layers.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        qk_noise: NonNegativeFloat = 0.7
        """a of Wq Wk' = a Z + b I."""
        qk_identity: NonNegativeFloat = 0.7
        """b of Wq Wk' = a Z + b I."""
        vo_noise: NonNegativeFloat = 0.4
        """a of Wv Wproj = a Z - b I."""
        vo_identity: NonNegativeFloat = 0.4
        """b of Wv Wproj = a Z - b I."""
        positions: Literal["sinusoidal", "keep"] = "sinusoidal"
        """Position embeddings of the patches: sines and cosines, as in the paper, or as they are."""

    def __init__(self, config: Config) -> None:
        self.config = config

    @torch.no_grad()
    def initialize(self, model: Any, ctx: RunContext) -> InitReport:
        """Set attention and positions in place; InitializerError for a model without attention."""
        layers = find_attention(model, "mimetic")
        with reporting("mimetic", model) as report:
            for layer in layers:
                self._set(layer, torch_generator(ctx.seed, ctx.stage, "mimetic", layer.name))
            if self.config.positions == "sinusoidal":
                positions = find_positions(model, "mimetic")
                width = positions.patches.shape[1]
                positions.patches.copy_(sinusoidal(positions.side, width, "mimetic"))
        return report.result

    def _set(self, layer: Attention, generator: torch.Generator) -> None:
        c, width = self.config, layer.query.shape[1]
        for head in range(layer.num_heads):
            target = near_identity(width, c.qk_noise, c.qk_identity, generator)
            left, right = factors(target, layer.head_dim)
            layer.head(layer.query, head).copy_(left.T)
            layer.head(layer.key, head).copy_(right)
        set_value_and_out(layer, c.vo_noise, c.vo_identity, generator)


def set_value_and_out(layer: Attention, noise: float, identity: float, generator: torch.Generator) -> None:
    """Set Wv and Wproj so that Wv Wproj = noise Z - identity I, as far as their rank allows."""
    target = near_identity(layer.query.shape[1], noise, -identity, generator)
    left, right = factors(target, len(layer.value))
    layer.value.copy_(left.T)
    layer.out.copy_(right.T)


def near_identity(width: int, noise: float, identity: float, generator: torch.Generator) -> Tensor:
    """Return noise Z + identity I, float32 (D, D); entries of Z are normal with variance 1 / D."""
    z = torch.randn(width, width, generator=generator) / width**0.5
    return noise * z + identity * torch.eye(width)


def factors(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Return (D, r) and (r, D) whose product is the best approximation of the matrix at that rank."""
    u, s, vh = torch.linalg.svd(matrix)
    root = s[:rank].sqrt()
    return u[:, :rank] * root, root[:, None] * vh[:rank]
