"""Properties of images before they become squares: transparent parts and shape."""

from __future__ import annotations

# H W image
from collections.abc import Sequence

import numpy as np

from perceptinit.types import WHITE, Colour


def colour_of(text: str | None) -> Colour:
    """Return the colour of a CSS name or `#rrggbb`; None is white. ValueError for anything else."""
    from PIL import ImageColor

    if text is None:
        return WHITE
    try:
        red, green, blue, alpha = ImageColor.getcolor(text, "RGBA")  # type: ignore[misc]
    except ValueError:
        alpha = 0
    if alpha != 255:
        raise ValueError(
            f"background = '{text}': not an opaque colour. Use a name such as 'gray' or '#8090a0'"
        )
    return red, green, blue


def flatten(pixels: np.ndarray, background: Colour) -> np.ndarray:
    """Return an image on a background, uint8 (H, W, 3), from uint8 (H, W, 3) or (H, W, 4) with alpha last.

    Blends as browsers do, without a colour transform: alpha * colour + (1 - alpha) * background, rounded.
    """
    if pixels.shape[2] == 3:
        return pixels
    alpha = pixels[..., 3:].astype(np.uint16)
    mixed = pixels[..., :3] * alpha + np.array(background, np.uint16) * (255 - alpha)
    return ((mixed + 127) // 255).astype(np.uint8)


def transparent_share(pixels: np.ndarray) -> float:
    """Return the share of pixels, shape (H, W, 3 or 4), that are not opaque."""
    return float((pixels[..., 3] < 255).mean()) if pixels.shape[2] == 4 else 0.0


def cropped_share(pixels: np.ndarray) -> float:
    """Return the share of an image (H, W, C) that a center crop cuts off; 0 for a square."""
    return 1 - min(pixels.shape[:2]) / max(pixels.shape[:2])


def describe_crops(shares: Sequence[float]) -> str:
    """Return a sentence on images that are not square, from the `cropped_share` of all; empty if none."""
    cut = [share for share in shares if share]
    if not cut:
        return ""
    return (
        f"{len(cut):,} of {len(shares):,} images ({len(cut) / len(shares):.1%}) are not square: a center "
        f"crop, the default of `fit`, cuts off {np.median(cut):.1%} (median), at most {max(cut):.1%}. "
        'fit = "squash" and "pad" keep whole images'
    )
