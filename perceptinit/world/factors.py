"""The named factors a simulated picture is made of, and how they are drawn.

A picture shows one *thing* (shape, texture, colour) in a *scene* (size, place, background,
lighting). Observers judge things; captions may speak of both. Every picture comes from
`(seed, names)` alone: picture 7 of a set is the same whatever else was drawn.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

from perceptinit.seeding import derive_seed

RGB = tuple[float, float, float]
Range = tuple[float, float]

SHAPES = ("circle", "square", "triangle", "star", "cross", "ring", "heart", "crescent")
TEXTURES = ("plain", "striped", "dotted", "checked")

# Name -> (hue in degrees, saturation, value): the middle of what goes by that name.
COLOURS = {
    "red": (0, 0.85, 0.85),
    "orange": (29, 0.92, 0.97),
    "yellow": (56, 0.80, 0.97),
    "green": (125, 0.70, 0.62),
    "blue": (222, 0.80, 0.85),
    "purple": (276, 0.62, 0.62),
    "pink": (338, 0.42, 0.97),
    "brown": (25, 0.65, 0.44),
}
# what a picture shows, to be told apart: 64 classes
CLASSNAMES = tuple(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES)
COLOUR_JITTER = (6.0, 0.07, 0.08)  # half-widths of hue, saturation, value; keeps names unambiguous

RADIUS: Range = (0.55, 0.78)  # half the height of a thing over half the height of the picture
OFFSET = 0.15  # largest distance of a thing from the middle along x or y; half the picture is 1
TILT = 10.0  # largest rotation either way, degrees; keeps a square from becoming a diamond
BACKGROUND: Range = (0.6, 1.0)  # value (brightness) of the backdrop
BACKGROUND_SATURATION: Range = (0.0, 0.25)
EXPOSURE: Range = (0.65, 1.2)  # overall brightness of the light
SHADE = 0.3  # largest fall-off of the light from the middle to one side
WARMTH = 0.12  # largest shift of the light, red up and blue down by this share, or the reverse
NOISE: Range = (0.0, 0.07)  # standard deviation of the pixel noise; 1 is white


@dataclass(frozen=True, slots=True)
class Thing:
    """What people look at. `colour` is the name of `rgb` (each in [0, 1], before lighting)."""

    shape: str
    texture: str
    colour: str
    rgb: RGB


@dataclass(frozen=True, slots=True)
class Scene:
    """What people look past. Lengths count half the picture as 1, x to the right, y down.

    backdrop: two colours, blended along `backdrop_angle` (degrees).
    shade: change of brightness per unit of x and of y.
    """

    radius: float
    place: tuple[float, float]
    tilt: float
    backdrop: tuple[RGB, RGB]
    backdrop_angle: float
    exposure: float
    shade: tuple[float, float]
    warmth: float
    noise: float


@dataclass(frozen=True, slots=True)
class Picture:
    """All that decides the pixels; `noise_seed` picks the noise of this one picture."""

    thing: Thing
    scene: Scene
    noise_seed: int


def label_of(picture: Picture) -> int:
    """Return the place of a picture's colour and shape in CLASSNAMES."""
    return CLASSNAMES.index(f"{picture.thing.colour} {picture.thing.shape}")


def draw_picture(seed: int, *names: str | int) -> Picture:
    """Return the picture called `names` in the world of `seed`, all factors independent."""
    noise_seed = derive_seed(seed, "world", *names)
    rng = np.random.default_rng(noise_seed)
    return Picture(draw_thing(rng), draw_scene(rng), noise_seed)


def draw_thing(rng: np.random.Generator) -> Thing:
    """Return a thing of any shape, texture and colour, all equally likely."""
    shape = SHAPES[rng.integers(len(SHAPES))]
    texture = TEXTURES[rng.integers(len(TEXTURES))]
    colour = tuple(COLOURS)[rng.integers(len(COLOURS))]
    return Thing(shape, texture, colour, draw_rgb(colour, rng))


def draw_rgb(colour: str, rng: np.random.Generator) -> RGB:
    """Return a shade that goes by the name `colour`."""
    offsets = rng.uniform(-1, 1, 3) * COLOUR_JITTER
    hue, saturation, value = (m + o for m, o in zip(COLOURS[colour], offsets, strict=True))
    return colorsys.hsv_to_rgb(hue / 360 % 1, min(saturation, 1.0), min(value, 1.0))


def draw_scene(rng: np.random.Generator) -> Scene:
    """Return a scene; every factor is uniform in its range."""
    u = rng.random(16).tolist()
    return Scene(
        radius=_between(RADIUS, u[0]),
        place=(OFFSET * (2 * u[1] - 1), OFFSET * (2 * u[2] - 1)),
        tilt=TILT * (2 * u[3] - 1),
        backdrop=(_backdrop_rgb(*u[4:7]), _backdrop_rgb(*u[7:10])),
        backdrop_angle=360 * u[10],
        exposure=_between(EXPOSURE, u[11]),
        shade=(SHADE * (2 * u[12] - 1), SHADE * (2 * u[13] - 1)),
        warmth=WARMTH * (2 * u[14] - 1),
        noise=_between(NOISE, u[15]),
    )


def _backdrop_rgb(hue: float, saturation: float, value: float) -> RGB:
    return colorsys.hsv_to_rgb(hue, _between(BACKGROUND_SATURATION, saturation), _between(BACKGROUND, value))


def _between(bounds: Range, share: float) -> float:
    low, high = bounds
    return low + (high - low) * share
