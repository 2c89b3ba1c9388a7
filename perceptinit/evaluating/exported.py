"""Models in folders that `perceptinit export` wrote, with the input size and preprocessing of the folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
from torch import nn

from perceptinit.backbones.encoders import ImageTower
from perceptinit.backbones.image_models import ImageModel
from perceptinit.backbones.open_clip_backbone import OpenClip, find_published_fit
from perceptinit.errors import UsageError
from perceptinit.files.checkpoints import load_strict, load_weights
from perceptinit.files.reading import read_json
from perceptinit.types import FitMode

OPEN_CLIP = "open_clip_config.json"
TIMM_FITS: dict[str, FitMode] = {"center": "center-crop", "squash": "squash", "border": "pad"}


def is_exported(folder: Path) -> bool:
    """Return whether a folder contains an exported model."""
    names = (OPEN_CLIP, "config.json", "image.onnx")
    return any((folder / name).is_file() for name in names)


def load_exported(folder: Path) -> Any:
    """Return the model of a folder for open_clip or timm, in eval mode; UsageError for other folders."""
    model = folder / OPEN_CLIP
    if model.is_file():
        weights = str(folder / "open_clip_model.safetensors")
        fit = find_published_fit(str(model), "")
        return OpenClip(OpenClip.Config(model=str(model), pretrained=weights, fit=fit)).build().eval()
    config = folder / "config.json"
    about = read_json(config, dict[str, Any], "a configuration") if config.is_file() else {}
    if "pretrained_cfg" not in about:
        raise UsageError(
            f"{folder}: eval reads exports to timm and open-clip. Evaluate the run, or export it again"
        )
    tower = _pooled(about)
    weights_of = load_weights(folder / "model.safetensors")
    names = {name.removeprefix("timm_model."): weight for name, weight in weights_of.items()}
    load_strict(tower.trunk, names, str(folder))
    return ImageModel(tower).eval()


def _pooled(about: Mapping[str, Any]) -> ImageTower:
    """Return a new timm model with pooled features as embeddings, for a configuration of timm's hub."""
    trunk: Any = timm.create_model(about["architecture"], num_classes=0, **about["model_args"])
    cfg = about["pretrained_cfg"]
    return ImageTower(
        trunk,
        nn.Identity(),
        image_size=cfg["input_size"][-1],
        embed_dim=trunk.num_features,
        mean=cfg["mean"],
        std=cfg["std"],
        fresh=lambda: _pooled(about),
        fit=TIMM_FITS[cfg["crop_mode"]],
    )
