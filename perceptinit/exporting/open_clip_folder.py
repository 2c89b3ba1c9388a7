"""Export both towers for `open_clip.create_model_and_transforms("local-dir:FOLDER")`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from perceptinit.backbones.open_clip_backbone import RESIZE_MODES, OpenClip, resolve_table
from perceptinit.exporting.source import TrainedRun, Written
from perceptinit.exporting.timm_folder import timm_trunk
from perceptinit.exporting.vit import as_open_clip, has_quick_gelu
from perceptinit.files.atomic import write_json
from perceptinit.files.checkpoints import save_weights

USAGE = """\
import open_clip

model, _, transform = open_clip.create_model_and_transforms("local-dir:FOLDER")
tokenize = open_clip.get_tokenizer("local-dir:FOLDER")
image_features, text_features = model.encode_image(images), model.encode_text(tokenize(texts))
"""


def write(run: TrainedRun, folder: Path) -> Written:
    """Write `open_clip_config.json` and `open_clip_model.safetensors`; UsageError as in `convert`."""
    table, visual = convert(run)
    preprocess = {
        "mean": run.mean,
        "std": run.std,
        "interpolation": "bicubic",
        "resize_mode": RESIZE_MODES[run.model.fit.mode],
        "fill_color": run.model.fit.fill,
    }
    config = {"model_cfg": {**table, "custom_text": True}, "preprocess_cfg": preprocess}
    write_json(folder / "open_clip_config.json", config)
    weights = {f"visual.{k}": v for k, v in visual.items()}
    weights |= {f"text.{k}": v for k, v in run.model.text.transformer.state_dict().items()}
    weights["logit_scale"] = run.model.logit_scale.detach()
    save_weights(folder / "open_clip_model.safetensors", weights, {"format": "pt"})
    return Written(USAGE)


def convert(run: TrainedRun) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return open_clip's configuration and the weights of its image tower.

    Raises:
        UsageError: If open_clip cannot represent the image tower, or there is no text tower.
    """
    if not run.has_text:
        raise run.cannot("open-clip", "the model has no text tower")
    return _from_table(run) if run.backbone["use"] == "open-clip" else _from_timm(run)


def _from_table(run: TrainedRun) -> tuple[dict[str, Any], dict[str, Tensor]]:
    config = OpenClip.Config(**{key: value for key, value in run.backbone.items() if key != "use"})
    if config.text_args.get("pool_type") == "none":
        raise run.cannot("open-clip", "its text embedding averages over tokens")
    table = resolve_table(replace(config, image_size=run.model.image_size))
    table.pop("preprocess_cfg", None)
    return table, dict(run.model.image.trunk.state_dict())


def _from_timm(run: TrainedRun) -> tuple[dict[str, Any], dict[str, Tensor]]:
    image: Any = run.model.image
    vit: Any = as_open_clip(image)
    # the activation of both towers, unless the image tower is a timm model
    quick_gelu = has_quick_gelu(run.model.text.transformer.transformer)
    if not isinstance(vit, str) and has_quick_gelu(vit.transformer) == quick_gelu:
        vision = _vision_config(vit)
        visual = dict(vit.state_dict())
    else:
        why = vit if isinstance(vit, str) else "its towers use different activations"
        vision = _timm_config(run, why)
        visual = {f"trunk.{k}": v for k, v in image.trunk.state_dict().items()}
        visual["head.proj.weight"] = image.projection.weight.detach()
    table = {
        "embed_dim": run.model.embed_dim,
        "quick_gelu": quick_gelu,
        "vision_cfg": vision,
        "text_cfg": _text_config(run),
    }
    return table, visual


def _vision_config(vit: Any) -> dict[str, Any]:
    """Return the `vision_cfg` of a plain open_clip ViT."""
    width = vit.transformer.width
    blocks = vit.transformer.resblocks
    return {
        "image_size": vit.image_size[0],
        "patch_size": vit.patch_size[0],
        "width": width,
        "layers": len(blocks),
        "head_width": width // blocks[0].attn.num_heads,
        "mlp_ratio": blocks[0].mlp.c_fc.out_features / width,
        "no_ln_pre": isinstance(vit.ln_pre, nn.Identity),
        "norm_kwargs": {"eps": vit.ln_post.eps},
    }


def _timm_config(run: TrainedRun, why: str) -> dict[str, Any]:
    about = getattr(timm_trunk(run), "pretrained_cfg", {})
    size = run.model.image_size
    # open_clip builds the published size; models without a fixed size accept any image
    fits = bool(about) and (size == about["input_size"][-1] or not about.get("fixed_input_size"))
    if not fits or run.backbone.get("model_args"):
        why += ", and open_clip supports neither model_args nor other sizes of timm models with a fixed size"
        raise run.cannot("open-clip", why)
    return {
        "timm_model_name": run.backbone["model"],
        "timm_model_pretrained": False,
        "timm_pool": "",
        "timm_proj": "linear",
        "image_size": run.model.image_size,
    }


def _text_config(run: TrainedRun) -> dict[str, Any]:
    text: Any = run.model.text.transformer
    return {
        "context_length": run.model.context_length,
        "vocab_size": text.vocab_size,
        "width": text.width,
        "heads": text.heads,
        "layers": text.layers if hasattr(text, "layers") else len(text.transformer.resblocks),
    }
