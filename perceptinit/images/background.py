"""What lies behind the transparent parts of an image: a colour, put there before anything else is done."""

from __future__ import annotations

# H W image
import numpy as np

from perceptinit.types import WHITE, Colour


def colour_of(text: str | None) -> Colour:
    """Return the colour that a recipe names: a CSS name or `#rrggbb`; None is white.

    Raises ValueError, with the forms there are, for anything else.
    """
    from PIL import ImageColor

    if text is None:
        return WHITE
    try:
        red, green, blue, alpha = ImageColor.getcolor(text, "RGBA")  # type: ignore[misc]
    except ValueError:
        alpha = 0
    if alpha != 255:
        raise ValueError(f"background = '{text}': no opaque colour; say 'gray' or '#8090a0'")
    return red, green, blue


def flatten(pixels: np.ndarray, background: Colour) -> np.ndarray:
    """Return an image on a ground, uint8 (H, W, 3), of uint8 (H, W, 3) or (H, W, 4) with alpha last.

    As browsers do it, in the values of the file: alpha x colour + (1 - alpha) x ground, rounded.
    """
    if pixels.shape[2] == 3:
        return pixels
    alpha = pixels[..., 3:].astype(np.uint16)
    mixed = pixels[..., :3] * alpha + np.array(background, np.uint16) * (255 - alpha)
    return ((mixed + 127) // 255).astype(np.uint8)


def transparent_share(pixels: np.ndarray) -> float:
    """Return the share of pixels (H, W, 3 or 4) through which the ground is seen, at least in part."""
    return float((pixels[..., 3] < 255).mean()) if pixels.shape[2] == 4 else 0.0
