"""Conversion of a timm or open_clip image tower to a plain open_clip ViT."""

# W token width, D embedding
from functools import partial
from itertools import product
from typing import Any

import torch
from open_clip.transformer import LayerNorm, QuickGELU, VisionTransformer as OpenClipViT
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from perceptinit.backbones.encoders import ImageTower

BLOCK_NAMES = {
    "norm1": "ln_1.",
    "attn.qkv": "attn.in_proj_",  # gives in_proj_weight, as in torch's attention
    "attn.proj": "attn.out_proj.",
    "norm2": "ln_2.",
    "mlp.fc1": "mlp.c_fc.",
    "mlp.fc2": "mlp.c_proj.",
}


def as_open_clip(tower: ImageTower) -> OpenClipViT | str:
    """Return the tower with its projection as an open_clip ViT, or the reason why it is not plain."""
    trunk: Any = tower.trunk
    if isinstance(trunk, OpenClipViT):
        return trunk if _is_plain(trunk) else "its ViT has nonstandard pooling, layer scale or attention"
    if isinstance(trunk, VisionTransformer) and isinstance(tower.projection, nn.Linear):
        return _not_plain(trunk) or _convert(tower, trunk, tower.projection)
    return f"its image tower is a {type(trunk).__name__}, not a ViT"


def has_quick_gelu(transformer: Any) -> bool:
    """Return whether the blocks of an open_clip transformer use QuickGELU."""
    return isinstance(transformer.resblocks[0].mlp.gelu, QuickGELU)


def _is_plain(vit: Any) -> bool:
    block = vit.transformer.resblocks[0]
    return (
        type(block).__name__ == "ResidualAttentionBlock"
        and isinstance(block.ls_1, nn.Identity)
        and (vit.pool_type == "tok" and vit.attn_pool is None and not vit.final_ln_after_pool)
        and vit.proj is not None
    )


def _convert(tower: ImageTower, vit: Any, projection: nn.Linear) -> OpenClipViT:
    block = vit.blocks[0]
    converted = OpenClipViT(
        image_size=tower.image_size,
        patch_size=vit.patch_embed.patch_size[0],
        width=vit.embed_dim,
        layers=len(vit.blocks),
        heads=block.attn.num_heads,
        mlp_ratio=block.mlp.fc1.out_features / vit.embed_dim,
        act_layer=QuickGELU if _is_quick(block.mlp.act) else nn.GELU,
        norm_layer=partial(LayerNorm, eps=vit.norm.eps),
        no_ln_pre=not isinstance(vit.norm_pre, nn.LayerNorm),
        output_dim=projection.out_features,
    )
    converted.load_state_dict(_open_clip_names(vit, projection))
    return converted


def _not_plain(vit: Any) -> str:
    """Return how a timm ViT differs from a plain ViT, or an empty string."""
    blocks = vit.blocks
    # difference from a plain ViT -> whether it is absent
    plain = {
        "no class token pooling": vit.cls_token is not None and vit.global_pool == "token",
        "register tokens": vit.num_prefix_tokens == 1 and not vit.no_embed_class,
        "another final norm": isinstance(vit.fc_norm, nn.Identity) and isinstance(vit.norm, nn.LayerNorm),
        "attention pooling": getattr(vit, "attn_pool", None) is None,
        "nonstandard blocks": all(type(b) is Block for b in blocks),
        "layer scale": all(isinstance(b.ls1, nn.Identity) for b in blocks),
        "query normalization": all(isinstance(b.attn.q_norm, nn.Identity) for b in blocks),
        "an activation other than GELU": isinstance(blocks[0].mlp.act, nn.GELU)
        or _is_quick(blocks[0].mlp.act),
    }
    return next((f"its ViT has {difference}" for difference, is_plain in plain.items() if not is_plain), "")


def _is_quick(activation: nn.Module) -> bool:
    return type(activation).__name__ == "QuickGELU"


def _open_clip_names(vit: Any, projection: nn.Linear) -> dict[str, Tensor]:
    own = {k: v.detach() for k, v in vit.state_dict().items()}
    positions = own["pos_embed"][0].clone()
    if "patch_embed.proj.bias" in own:  # open_clip's patch embedding has no bias
        positions[1:] += own["patch_embed.proj.bias"]
    named = {
        "class_embedding": own["cls_token"][0, 0],
        "positional_embedding": positions,
        "conv1.weight": own["patch_embed.proj.weight"],
        "proj": projection.weight.detach().T.contiguous(),
    }
    for theirs, ours in {"norm_pre": "ln_pre", "norm": "ln_post"}.items():
        named |= {f"{ours}.{p}": own[f"{theirs}.{p}"] for p in ("weight", "bias") if f"{theirs}.{p}" in own}
    for i, (theirs, ours) in product(range(len(vit.blocks)), BLOCK_NAMES.items()):
        weight = own[f"blocks.{i}.{theirs}.weight"]
        bias = own.get(f"blocks.{i}.{theirs}.bias", torch.zeros(len(weight)))
        named |= {f"transformer.resblocks.{i}.{ours}weight": weight}
        named |= {f"transformer.resblocks.{i}.{ours}bias": bias}
    return named
