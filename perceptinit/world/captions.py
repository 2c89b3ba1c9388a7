"""Captions of rendered images, which mention some factors in varied words."""

import numpy as np

from perceptinit.world.factors import BACKGROUND, EXPOSURE, OFFSET, RADIUS, ImageFactors, Range, Scene

# Probability that a caption mentions a factor.
P_MENTION = {
    "colour": 0.75,
    "shape": 0.75,
    "texture": 0.4,
    "size": 0.25,
    "place": 0.25,
    "backdrop": 0.2,
    "lighting": 0.15,
}
WORDS = {
    "circle": ("circle", "circle", "disc"),
    "square": ("square", "square", "box"),
    "triangle": ("triangle",),
    "star": ("star",),
    "cross": ("cross", "cross", "plus sign"),
    "ring": ("ring", "ring", "hoop"),
    "heart": ("heart",),
    "crescent": ("crescent", "crescent", "moon"),
    "plain": ("plain", "solid"),
    "striped": ("striped", "stripy"),
    "dotted": ("dotted", "spotted"),
    "checked": ("checked", "chequered"),
    "small": ("small", "little"),
    "large": ("large", "big"),
}
UNNAMED = ("thing", "object", "shape", "figure")
OPENINGS = ("{}", "{}", "{}", "a picture of {}", "a drawing of {}", "here is {}", "we see {}")
DETERMINERS = ("a", "a", "the", "one")


def caption(factors: ImageFactors, rng: np.random.Generator) -> str:
    """Return a caption of 2 to about 16 words that mentions each factor with probability `P_MENTION`."""
    draws = rng.random(len(P_MENTION)).tolist()
    mentions = {f for (f, p), u in zip(P_MENTION.items(), draws, strict=True) if u < p}
    thing = factors.thing
    scene = factors.scene
    size = _third(scene.radius, RADIUS, "small", "", "large")
    words = {"size": size, "texture": thing.texture, "colour": thing.colour}
    said = [word for factor, word in words.items() if word and factor in mentions]
    noun = _pick(WORDS[thing.shape] if "shape" in mentions else UNNAMED, rng)
    phrase = " ".join([*(_pick(WORDS.get(word, (word,)), rng) for word in said), noun])
    determiner = _pick(DETERMINERS, rng)
    determiner = "an" if determiner == "a" and phrase[0] in "aeiou" else determiner
    brightness = sum(map(max, scene.backdrop)) / 2
    tail = {
        "place": _describe_place(scene),
        "backdrop": _third(brightness, BACKGROUND, "on a dark background", "", "on a light background"),
        "lighting": _third(scene.exposure, EXPOSURE, "in dim light", "", "in bright light"),
    }
    ends = [text for factor, text in tail.items() if text and factor in mentions]
    return _pick(OPENINGS, rng).format(" ".join([determiner, phrase, *ends]))


def _pick(options: tuple[str, ...], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def _describe_place(scene: Scene) -> str:
    x, y = (p / OFFSET / 2 + 0.5 for p in scene.place)
    if abs(x - 0.5) >= abs(y - 0.5):
        return _third(x, (0, 1), "on the left", "in the middle", "on the right")
    return _third(y, (0, 1), "at the top", "in the middle", "at the bottom")


def _third(value: float, bounds: Range, low: str, middle: str, high: str) -> str:
    """Return the text for the third of the range that contains the value."""
    share = (value - bounds[0]) / (bounds[1] - bounds[0])
    return low if share < 1 / 3 else middle if share < 2 / 3 else high
