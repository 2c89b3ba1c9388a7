"""Export the trunk for `timm.create_model("local-dir:FOLDER", pretrained=True)`."""

from pathlib import Path
from typing import Any

from perceptinit.exporting.source import TrainedRun, Written
from perceptinit.files.atomic import write_json
from perceptinit.files.checkpoints import save_weights

CROP_MODES = {"center-crop": "center", "squash": "squash", "pad": "border"}
USAGE = """\
import timm

model = timm.create_model("local-dir:FOLDER", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))  # for an RGB image
features = model(images)  # pooled; num_classes=10 adds a classifier
"""


def write(run: TrainedRun, folder: Path) -> Written:
    """Write `config.json` and `model.safetensors`.

    The projection is omitted, because timm models do not have one.

    Raises:
        UsageError: If the image tower is not a timm model.
    """
    trunk = timm_trunk(run)
    if trunk is None:
        raise run.cannot("timm", f"its image tower is a {type(run.model.image.trunk).__name__} of open_clip")
    write_json(folder / "config.json", config(run, trunk))
    save_weights(folder / "model.safetensors", trunk.state_dict(), {"format": "pt"})
    return Written(USAGE, has_projection=False)


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
        "num_classes": 0,
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
            "num_classes": 0,
        },
    }
