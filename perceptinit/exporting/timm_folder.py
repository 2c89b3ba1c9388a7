"""Export the trunk for `timm.create_model("local-dir:FOLDER", pretrained=True)`."""

# B batch, D embedding, S image size
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from perceptinit.exporting.source import TrainedRun, Written
from perceptinit.files.atomic import write_json
from perceptinit.files.checkpoints import save_weights

CROP_MODES = {"center-crop": "center", "squash": "squash", "pad": "border"}
LOADING = """\
import timm

model = timm.create_model("local-dir:FOLDER", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))  # for an RGB image
"""
USAGE = f"{LOADING}features = model(images)  # pooled; num_classes=10 adds a classifier\n"
MAPPED_USAGE = f"{LOADING}embeddings = model(images)  # the classifier contains the linear map\n"


def write(run: TrainedRun, folder: Path) -> Written:
    """Write `config.json` and `model.safetensors`.

    The projection is omitted, because timm models do not have one. If it contains the map of initializer
    `linear`, it becomes the classifier.

    Raises:
        UsageError: If the image tower is not a timm model.
    """
    trunk = timm_trunk(run)
    if trunk is None:
        raise run.cannot("timm", f"its image tower is a {type(run.model.image.trunk).__name__} of open_clip")
    trunk = with_classifier(run, trunk) if run.has_map else trunk
    write_json(folder / "config.json", config(run, trunk))
    save_weights(folder / "model.safetensors", trunk.state_dict(), {"format": "pt"})
    return Written(MAPPED_USAGE if run.has_map else USAGE, run.has_map, is_classifier=run.has_map)


@torch.no_grad()
def with_classifier(run: TrainedRun, trunk: Any) -> Any:
    """Return a copy of the trunk whose classifier is the projection, so that its logits are the embedding.

    Raises:
        UsageError: If the classifier of the architecture is not one linear layer after the pooled features.
    """
    projection: Any = run.model.image.projection
    model = deepcopy(trunk)
    model.reset_classifier(run.model.embed_dim)
    head = model.get_classifier()
    if isinstance(head, nn.Linear) and head.weight.shape == projection.weight.shape:
        head.weight.copy_(projection.weight)
        head.bias.zero_()
        images = torch.linspace(-1, 1, 3 * run.model.image_size**2).reshape(1, 3, run.model.image_size, -1)
        if torch.allclose(model.eval()(images), projection(trunk.eval()(images)), rtol=1e-4, atol=1e-4):
            return model
    raise run.cannot(
        "timm or huggingface", "its classifier is not a linear layer, which could contain the map"
    )


def timm_trunk(run: TrainedRun) -> Any:
    """Return the timm model of the image tower, or None."""
    trunk: Any = run.model.image.trunk
    return trunk if (getattr(trunk, "pretrained_cfg", None) or {}).get("architecture") else None


def config(run: TrainedRun, trunk: Any) -> dict[str, Any]:
    """Return a model configuration in timm's Hugging Face Hub format.

    Raises:
        UsageError: If timm cannot rebuild the model from the configuration.
    """
    size = run.model.image_size
    args = dict(run.backbone.get("model_args", {}))
    about = dict(trunk.pretrained_cfg)
    if args and about["architecture"].startswith("convmixer"):
        raise run.cannot("timm or huggingface", "timm supports ConvMixers in the published sizes only")
    if about.get("fixed_input_size") and size != about["input_size"][-1]:
        args["img_size"] = size
    kept = ("fixed_input_size", "first_conv", "classifier")
    return {
        "architecture": about["architecture"],
        "num_classes": trunk.num_classes,
        "num_features": trunk.num_features,
        "model_args": args,
        "pretrained_cfg": {
            **{key: about[key] for key in kept if key in about},
            "tag": "perceptinit",
            "custom_load": False,
            "input_size": [3, size, size],
            "mean": run.mean,
            "std": run.std,
            "interpolation": "bicubic",
            "crop_pct": 1.0,
            "crop_mode": CROP_MODES[run.model.fit.mode],
            "num_classes": trunk.num_classes,
        },
    }
