"""Transparency and aspect ratio of images before they are resized to squares."""

# H W image
from collections.abc import Sequence

import numpy as np

from perceptinit.types import WHITE, Color


def colour_of(text: str | None) -> Color:
    """Return the RGB color of a CSS name or `#rrggbb`, or white for None.

    Raises:
        ValueError: If the color is unknown or not opaque.
    """
    from PIL import ImageColor

    if text is None:
        return WHITE
    try:
        red, green, blue, alpha = ImageColor.getcolor(text, "RGBA")  # type: ignore[misc]
    except ValueError:
        alpha = 0
    if alpha != 255:
        raise ValueError(
            f"background = '{text}': not an opaque color. Use a CSS name or a code such as '#8090a0'"
        )
    return red, green, blue


def flatten(pixels: np.ndarray, background: Color) -> np.ndarray:
    """Composite an image, uint8 (H, W, 3 or 4), over a background color, and return uint8 (H, W, 3).

    The fourth channel is alpha. As in browsers, sRGB values are blended: alpha * color + (1 - alpha) *
    background.
    """
    if pixels.shape[2] == 3:
        return pixels
    alpha = pixels[..., 3:].astype(np.uint16)
    mixed = pixels[..., :3] * alpha + np.array(background, np.uint16) * (255 - alpha)
    return ((mixed + 127) // 255).astype(np.uint8)


def transparent_share(pixels: np.ndarray) -> float:
    """Return the share of pixels that are not opaque in an image (H, W, 3 or 4)."""
    return float((pixels[..., 3] < 255).mean()) if pixels.shape[2] == 4 else 0.0


def cropped_share(pixels: np.ndarray) -> float:
    """Return the share of an image (H, W, C) that a center crop removes; 0 for a square."""
    return 1 - min(pixels.shape[:2]) / max(pixels.shape[:2])


def describe_crops(shares: Sequence[float]) -> str:
    """Describe the non-square images, given all `cropped_share` values; empty if all images are square."""
    cut = [share for share in shares if share]
    if not cut:
        return ""
    return (
        f"{len(cut):,} of {len(shares):,} images ({len(cut) / len(shares):.1%}) are not square: the default "
        f"center crop removes a median of {np.median(cut):.1%} of their area, at most {max(cut):.1%}. "
        'Set [backbone] fit = "squash" or "pad" to retain all of it'
    )
