"""The background of transparent images."""

from __future__ import annotations

# H W image
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
