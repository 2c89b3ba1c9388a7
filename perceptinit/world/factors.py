"""Factors of rendered images, and their distributions.

An image shows one object (shape, texture, color) in a scene (size, position, background, lighting). Simulated
observers judge only objects; captions may also mention the scene. The factors of an image depend only on its
seed and names.
"""

import colorsys
from dataclasses import dataclass

import numpy as np

from perceptinit.seeding import derive_seed

RGB = tuple[float, float, float]
Range = tuple[float, float]

SHAPES = ("circle", "square", "triangle", "star", "cross", "ring", "heart", "crescent")
TEXTURES = ("plain", "striped", "dotted", "checked")

# Name -> (hue in degrees, saturation, value) of the central shade
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
# 64 classes for classification
CLASSNAMES = tuple(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES)
COLOUR_JITTER = (6.0, 0.07, 0.08)  # half-widths of hue, saturation, value; color names remain unambiguous

RADIUS: Range = (0.55, 0.78)  # height of the object relative to the image
OFFSET = 0.15  # maximum distance of the object from the center along x or y; half the image is 1
TILT = 10.0  # maximum rotation in either direction, degrees; a square remains distinct from a diamond
BACKGROUND: Range = (0.6, 1.0)  # value (brightness) of the backdrop
BACKGROUND_SATURATION: Range = (0.0, 0.25)
EXPOSURE: Range = (0.65, 1.2)  # overall brightness of the light
SHADE = 0.3  # maximum change of brightness from the center to one edge
WARMTH = 0.12  # maximum share by which the light raises red and lowers blue, or the reverse
NOISE: Range = (0.0, 0.07)  # standard deviation of the pixel noise; 1 is white


@dataclass(frozen=True, slots=True)
class Thing:
    """The object in an image; `colour` names its surface color `rgb`, in [0, 1] before lighting."""

    shape: str
    texture: str
    colour: str
    rgb: RGB


@dataclass(frozen=True, slots=True)
class Scene:
    """The surroundings of an object. Half the image has length 1, with x to the right and y down.

    Attributes:
        radius: Size of the object, in the range `RADIUS`.
        place: Position of the object, (x, y).
        tilt: Rotation of the object, in degrees.
        backdrop: Two colors, blended along `backdrop_angle`.
        backdrop_angle: Direction of the color gradient, in degrees.
        exposure: Brightness factor.
        shade: Change of brightness per unit of x and of y.
        warmth: Share by which red is raised and blue is lowered.
        noise: Standard deviation of the pixel noise; white is 1.
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
class ImageFactors:
    """The factors of an image, which determine its pixels."""

    thing: Thing
    scene: Scene
    noise_seed: int


def label_of(factors: ImageFactors) -> int:
    """Return the class of an image: the index of its color and shape in CLASSNAMES."""
    return CLASSNAMES.index(f"{factors.thing.colour} {factors.thing.shape}")


def draw_factors(seed: int, *names: str | int) -> ImageFactors:
    """Return independent random factors of an image, seeded by `seed` and names."""
    noise_seed = derive_seed(seed, "world", *names)
    rng = np.random.default_rng(noise_seed)
    return ImageFactors(draw_thing(rng), draw_scene(rng), noise_seed)


def draw_thing(rng: np.random.Generator) -> Thing:
    """Return an object with uniformly drawn shape, texture and color."""
    shape = SHAPES[rng.integers(len(SHAPES))]
    texture = TEXTURES[rng.integers(len(TEXTURES))]
    colour = tuple(COLOURS)[rng.integers(len(COLOURS))]
    return Thing(shape, texture, colour, draw_rgb(colour, rng))


def draw_rgb(colour: str, rng: np.random.Generator) -> RGB:
    """Return a random shade of a named color, each channel in [0, 1]."""
    offsets = rng.uniform(-1, 1, 3) * COLOUR_JITTER
    hue, saturation, value = (m + o for m, o in zip(COLOURS[colour], offsets, strict=True))
    return colorsys.hsv_to_rgb(hue / 360 % 1, min(saturation, 1.0), min(value, 1.0))


def draw_scene(rng: np.random.Generator) -> Scene:
    """Return a scene with factors drawn uniformly from their ranges."""
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
