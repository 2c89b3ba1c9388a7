"""Built-in backbones. A new one needs its file, one entry below, its test and its card."""

from __future__ import annotations

from perceptinit.hookspecs import hookimpl
from perceptinit.registry import Component


@hookimpl
def perceptinit_backbones() -> list[Component]:
    return [
        Component(
            name="timm",
            target="perceptinit.backbones.timm_backbone:Timm",
            summary="any timm vision model as image tower, with CLIP's text tower",
        ),
        Component(
            name="open-clip",
            target="perceptinit.backbones.open_clip_backbone:OpenClip",
            summary="any open_clip model, by config name or JSON file",
        ),
    ]
