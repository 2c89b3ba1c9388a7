"""Built-in backbones. A new backbone needs a file, an entry below, a test and a card."""

from perceptinit.hookspecs import hookimpl
from perceptinit.registry import Component, built_in

_BACKBONES = {
    "timm": ("timm_backbone:Timm", "any timm vision model as the image tower, with CLIP's text tower"),
    "open-clip": ("open_clip_backbone:OpenClip", "any open_clip model, by config name or JSON file"),
}


@hookimpl
def perceptinit_backbones() -> list[Component]:
    return built_in(_BACKBONES, __name__)
