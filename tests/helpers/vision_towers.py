"""Small vision transformers as image towers, and initializers on them."""

import timm
import torch
from torch import nn

from perceptinit.backbones.encoders import ImageTower
from perceptinit.types import RunContext

HALF = (0.5, 0.5, 0.5)


def vit(width=32, depth=2, heads=2, size=32):
    return timm.create_model(
        "vit_tiny_patch16_224",
        img_size=size,
        patch_size=8,
        embed_dim=width,
        num_heads=heads,
        depth=depth,
        num_classes=0,
    )


def tower(seed=0, **options):
    def fresh():
        trunk = vit(**options)
        return ImageTower(
            trunk,
            nn.Linear(trunk.embed_dim, 8, bias=False),
            image_size=trunk.patch_embed.img_size[0],
            embed_dim=8,
            mean=HALF,
            std=HALF,
            fresh=fresh,
        )

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return fresh()


def context(seed=0, messages=None):
    send = (lambda event: messages.append(event.message)) if messages is not None else None
    options = {"send": send} if send else {}
    return RunContext(seed=seed, stage="init.0", num_workers=0, **options)


def initialize(cls, model, seed=0, **options):
    return cls(cls.Config(**options)).initialize(model, context(seed))
