"""Built-in backbones. A new backbone needs a file, an entry below, a test and a card."""

from __future__ import annotations

from perceptinit.hookspecs import hookimpl
from perceptinit.registry import Component


@hookimpl
def perceptinit_backbones() -> list[Component]:
    return [
        Component(
            name="timm",
            target="perceptinit.backbones.timm_backbone:Timm",
            summary="any timm vision model as the image tower, with CLIP's text tower",
        ),
        Component(
            name="open-clip",
            target="perceptinit.backbones.open_clip_backbone:OpenClip",
            summary="any open_clip model, by config name or JSON file",
        ),
    ]
