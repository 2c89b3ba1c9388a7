"""A plain ViT under open_clip's names, from an open_clip or a timm tower: the way between libraries."""

from __future__ import annotations

# W width of the tokens, D embedding
from dataclasses import dataclass
from typing import Any

import torch
from open_clip.transformer import QuickGELU
from open_clip.transformer import VisionTransformer as OpenClipViT
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from perceptinit.backbones.encoders import ImageTower

BLOCK_NAMES = {
    "norm1": "ln_1",
    "attn.qkv": "attn.in_proj",
    "attn.proj": "attn.out_proj",
    "norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}


@dataclass(frozen=True, slots=True)
class PlainViT:
    """A ViT that reads its class token, and its projection to the embedding.

    weights: under the names of open_clip's `visual`, projection `proj` (W, D) included.
    """

    image_size: int
    patch_size: int
    width: int
    layers: int
    heads: int
    mlp_width: int
    eps: float
    quick_gelu: bool
    has_pre_norm: bool
    weights: dict[str, Tensor]


def plain_vit(tower: ImageTower) -> PlainViT | str:
    """Return the tower as a plain ViT, or what it has that a plain ViT has not."""
    if isinstance(tower.trunk, OpenClipViT):
        return _from_open_clip(tower.trunk)
    if isinstance(tower.trunk, VisionTransformer) and isinstance(tower.projection, nn.Linear):
        return _from_timm(tower, tower.trunk, tower.projection)
    return f"its image tower is a {type(tower.trunk).__name__}, not a ViT"


def _from_open_clip(vit: Any) -> PlainViT | str:
    block = vit.transformer.resblocks[0]
    standard = type(block).__name__ == "ResidualAttentionBlock" and isinstance(
        block.ls_1, nn.Identity
    )
    reads_token = vit.pool_type == "tok" and vit.attn_pool is None and not vit.final_ln_after_pool
    if not standard or not reads_token or vit.proj is None:
        return "its ViT pools, scales or attends in ways of its own"
    return PlainViT(
        image_size=vit.image_size[0],
        patch_size=vit.patch_size[0],
        width=vit.conv1.out_channels,
        layers=len(vit.transformer.resblocks),
        heads=block.attn.num_heads,
        mlp_width=block.mlp.c_fc.out_features,
        eps=vit.ln_post.eps,
        quick_gelu=isinstance(block.mlp.gelu, QuickGELU),
        has_pre_norm=not isinstance(vit.ln_pre, nn.Identity),
        weights=dict(vit.state_dict()),
    )


def _from_timm(tower: ImageTower, vit: Any, projection: nn.Linear) -> PlainViT | str:
    differs = _not_plain(vit)
    if differs:
        return differs
    block = vit.blocks[0]
    return PlainViT(
        image_size=tower.image_size,
        patch_size=vit.patch_embed.patch_size[0],
        width=vit.embed_dim,
        layers=len(vit.blocks),
        heads=block.attn.num_heads,
        mlp_width=block.mlp.fc1.out_features,
        eps=vit.norm.eps,
        quick_gelu=_is_quick(block.mlp.act),
        has_pre_norm=isinstance(vit.norm_pre, nn.LayerNorm),
        weights=_open_clip_names(vit, projection),
    )


def _not_plain(vit: Any) -> str:
    """Return what a timm ViT has that open_clip's has not; empty when nothing."""
    blocks = vit.blocks
    plain = {
        "a class token that is read": vit.cls_token is not None and vit.global_pool == "token",
        "no register tokens": vit.num_prefix_tokens == 1 and not vit.no_embed_class,
        "no second norm or attention pooling": isinstance(vit.fc_norm, nn.Identity)
        and getattr(vit, "attn_pool", None) is None
        and isinstance(vit.norm, nn.LayerNorm),
        "standard blocks": all(type(b) is Block for b in blocks),
        "no layer scale": all(isinstance(b.ls1, nn.Identity) for b in blocks),
        "no norm of queries": all(isinstance(b.attn.q_norm, nn.Identity) for b in blocks),
        "GELU": isinstance(blocks[0].mlp.act, nn.GELU) or _is_quick(blocks[0].mlp.act),
    }
    lacking = [what for what, holds in plain.items() if not holds]
    return f"a plain ViT has {lacking[0]}, this one has not" if lacking else ""


def _is_quick(activation: nn.Module) -> bool:
    return type(activation).__name__ == "QuickGELU"


def _open_clip_names(vit: Any, projection: nn.Linear) -> dict[str, Tensor]:
    own = {k: v.detach() for k, v in vit.state_dict().items()}
    positions = own["pos_embed"][0].clone()
    if (
        "patch_embed.proj.bias" in own
    ):  # open_clip's patches have no bias: each gets it by its place
        positions[1:] += own["patch_embed.proj.bias"]
    named = {
        "class_embedding": own["cls_token"][0, 0],
        "positional_embedding": positions,
        "conv1.weight": own["patch_embed.proj.weight"],
        "proj": projection.weight.detach().T.contiguous(),
    }
    for theirs, ours in {"norm_pre": "ln_pre", "norm": "ln_post"}.items():
        named |= {
            f"{ours}.{p}": own[f"{theirs}.{p}"]
            for p in ("weight", "bias")
            if f"{theirs}.{p}" in own
        }
    for i in range(len(vit.blocks)):
        named |= _block(own, f"blocks.{i}", f"transformer.resblocks.{i}")
    return named


def _block(own: dict[str, Tensor], theirs: str, ours: str) -> dict[str, Tensor]:
    named = {}
    for old, new in BLOCK_NAMES.items():
        join = "_" if new == "attn.in_proj" else "."  # torch's attention has in_proj_weight
        weight = own[f"{theirs}.{old}.weight"]
        named[f"{ours}.{new}{join}weight"] = weight
        bias = own.get(f"{theirs}.{old}.bias")
        named[f"{ours}.{new}{join}bias"] = torch.zeros(len(weight)) if bias is None else bias
    return named
