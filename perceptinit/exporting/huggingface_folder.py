"""Export to transformers as a CLIPModel, or the image tower alone as a TimmWrapperModel."""

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from perceptinit.exporting.source import TrainedRun, Written
from perceptinit.exporting.timm_folder import config as timm_config, timm_trunk, with_classifier
from perceptinit.exporting.vit import as_open_clip, has_quick_gelu
from perceptinit.files.atomic import write_json
from perceptinit.files.checkpoints import load_strict

# parameter name in open_clip -> in transformers
VISION_NAMES = {
    "class_embedding": "embeddings.class_embedding",
    "conv1.weight": "embeddings.patch_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_pre.weight": "pre_layrnorm.weight",
    "ln_pre.bias": "pre_layrnorm.bias",
    "ln_post.weight": "post_layernorm.weight",
    "ln_post.bias": "post_layernorm.bias",
}
TEXT_NAMES = {
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_final.weight": "final_layer_norm.weight",
    "ln_final.bias": "final_layer_norm.bias",
}
BLOCK_NAMES = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
# special token in open_clip -> in transformers
SPECIAL_TOKENS = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}

MAPPED_USAGE = """\
from transformers import AutoImageProcessor, AutoModelForImageClassification

model = AutoModelForImageClassification.from_pretrained("FOLDER").eval()  # the image tower, requires timm
processor = AutoImageProcessor.from_pretrained("FOLDER")
embeddings = model(**processor(images, return_tensors="pt")).logits  # the classifier contains the linear map
"""
CLIP_USAGE = """\
from transformers import AutoProcessor, CLIPModel

model = CLIPModel.from_pretrained("FOLDER").eval()
processor = AutoProcessor.from_pretrained("FOLDER")
outputs = model(**processor(text=texts, images=images, padding=True, return_tensors="pt"))
outputs.image_embeds, outputs.text_embeds  # L2-normalized
"""
TIMM_USAGE = """\
from transformers import AutoImageProcessor, AutoModel

model = AutoModel.from_pretrained("FOLDER").eval()  # the image tower, requires timm
processor = AutoImageProcessor.from_pretrained("FOLDER")
features = model(**processor(images, return_tensors="pt")).pooler_output
"""


def write(run: TrainedRun, folder: Path) -> Written:
    """Write configuration, weights and preprocessing.

    Raises:
        UsageError: If transformers does not support the model.
    """
    vit: Any = as_open_clip(run.model.image)
    text: Any = run.model.text if run.has_text else None
    is_clip = text and text.can_be_trimmed and isinstance(text.transformer.text_projection, Tensor)
    if is_clip and not isinstance(vit, str) and isinstance(vit.ln_pre, nn.LayerNorm):
        return _write_clip(run, vit, folder)
    if timm_trunk(run) is not None:
        return _write_timm(run, folder)
    why = vit if isinstance(vit, str) else "its towers differ from CLIP's"
    raise run.cannot("huggingface", why)


def _write_clip(run: TrainedRun, vit: Any, folder: Path) -> Written:
    from transformers import CLIPModel, CLIPProcessor

    text: Any = run.model.text.transformer
    model = CLIPModel(_clip_config(run, vit))
    vision_state = vit.state_dict()
    text_state = text.state_dict()
    weights = {
        "logit_scale": run.model.logit_scale.detach(),
        "visual_projection.weight": vision_state["proj"].T,
        "text_projection.weight": text_state["text_projection"].T,
        **_rename(vision_state, VISION_NAMES, "vision_model"),
        **_rename(text_state, TEXT_NAMES, "text_model"),
    }
    buffers = {k: v for k, v in model.state_dict().items() if k.endswith("position_ids")}
    load_strict(model, weights | buffers, run.title)
    model.save_pretrained(folder)
    tokenizer = _tokenizer(folder, run.model.context_length)
    CLIPProcessor(_image_processor(run), tokenizer).save_pretrained(folder)
    return Written(CLIP_USAGE)


def _image_processor(run: TrainedRun) -> Any:
    """Return CLIP's image processor; for "pad", Janus's, which pads with the mean color."""
    from transformers import CLIPImageProcessor

    size = run.model.image_size
    mode = run.model.fit.mode
    square = {"height": size, "width": size}
    if mode == "pad":
        from transformers import JanusImageProcessor

        return JanusImageProcessor(size=square, min_size=1, image_mean=run.mean, image_std=run.std)
    return CLIPImageProcessor(
        size=square if mode == "squash" else {"shortest_edge": size},
        crop_size=square,
        image_mean=run.mean,
        image_std=run.std,
    )


def _clip_config(run: TrainedRun, vit: Any) -> Any:
    from transformers import CLIPConfig

    text: Any = run.model.text.transformer
    num_ids = text.token_embedding.num_embeddings
    vision = {
        **_transformer_config(vit.transformer, vit.ln_post),
        "image_size": run.model.image_size,
        "patch_size": vit.patch_size[0],
    }
    words = {
        **_transformer_config(text.transformer, text.ln_final),
        "max_position_embeddings": run.model.context_length,
        "vocab_size": num_ids,
        "bos_token_id": num_ids - 2,
        "eos_token_id": num_ids - 1,
    }
    return CLIPConfig(text_config=words, vision_config=vision, projection_dim=run.model.embed_dim)


def _transformer_config(transformer: Any, norm: Any) -> dict[str, Any]:
    block = transformer.resblocks[0]
    return {
        "hidden_size": transformer.width,
        "intermediate_size": block.mlp.c_fc.out_features,
        "num_hidden_layers": len(transformer.resblocks),
        "num_attention_heads": block.attn.num_heads,
        "hidden_act": "quick_gelu" if has_quick_gelu(transformer) else "gelu",
        "layer_norm_eps": norm.eps,
    }


def _rename(own: dict[str, Tensor], names: dict[str, str], start: str) -> dict[str, Tensor]:
    """Return open_clip weights under the names of transformers, with q, k and v separated."""
    named = {f"{start}.{theirs}": own[ours] for ours, theirs in names.items()}
    for name, tensor in own.items():
        if not name.startswith("transformer.resblocks."):
            continue
        index, _, rest = name.removeprefix("transformer.resblocks.").partition(".")
        layer = f"{start}.encoder.layers.{index}"
        if rest.startswith("attn.in_proj_"):
            kind = rest.removeprefix("attn.in_proj_")
            parts = zip("qkv", tensor.chunk(3), strict=True)
            named |= {f"{layer}.self_attn.{q}_proj.{kind}": part for q, part in parts}
        else:
            module, _, kind = rest.rpartition(".")
            named[f"{layer}.{BLOCK_NAMES[module]}.{kind}"] = tensor
    return named


def _tokenizer(folder: Path, context_length: int) -> Any:
    """Return CLIP's tokenizer, built from open_clip's byte-pair merges."""
    from open_clip.tokenizer import SimpleTokenizer
    from transformers import CLIPTokenizer

    table = SimpleTokenizer()
    pairs = sorted(table.bpe_ranks, key=table.bpe_ranks.__getitem__)
    names = {token: SPECIAL_TOKENS.get(token, token) for token in table.encoder}
    write_json(folder / "vocab.json", {names[t]: i for t, i in table.encoder.items()})
    merges = "\n".join(["#version: 0.2", *(" ".join(pair) for pair in pairs)])
    (folder / "merges.txt").write_text(merges + "\n", encoding="utf-8")
    return CLIPTokenizer.from_pretrained(str(folder), model_max_length=context_length)


def _write_timm(run: TrainedRun, folder: Path) -> Written:
    from transformers import (
        TimmWrapperConfig,
        TimmWrapperForImageClassification,
        TimmWrapperImageProcessor,
        TimmWrapperModel,
    )

    trunk = with_classifier(run, timm_trunk(run)) if run.has_map else timm_trunk(run)
    about = timm_config(run, trunk)
    wrapper = TimmWrapperForImageClassification if run.has_map else TimmWrapperModel
    model = wrapper(TimmWrapperConfig.from_dict(about))
    weights = {f"timm_model.{k}": v for k, v in trunk.state_dict().items()}
    load_strict(model, weights, run.title)
    model.save_pretrained(folder)
    TimmWrapperImageProcessor(about["pretrained_cfg"], about["architecture"]).save_pretrained(folder)
    return Written(MAPPED_USAGE if run.has_map else TIMM_USAGE, run.has_map, is_classifier=run.has_map)
