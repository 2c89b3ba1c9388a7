"""Captions that mention some of a picture's factors in varied words, as people would."""

from __future__ import annotations

import numpy as np

from perceptinit.world.factors import BACKGROUND, EXPOSURE, OFFSET, RADIUS, Picture, Scene

# Chance that a caption mentions a factor; what is not mentioned cannot be learned from it.
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


def caption(picture: Picture, rng: np.random.Generator) -> str:
    """Return a caption of 2 to about 16 words; colour and shape stand in most but not all."""
    draws = rng.random(len(P_MENTION)).tolist()
    mentions = {f for (f, p), u in zip(P_MENTION.items(), draws, strict=True) if u < p}
    thing, scene = picture.thing, picture.scene
    words = [_size(scene)] if "size" in mentions else []
    words += [thing.texture] if "texture" in mentions else []
    words += [thing.colour] if "colour" in mentions else []
    noun = _pick(WORDS[thing.shape] if "shape" in mentions else UNNAMED, rng)
    phrase = " ".join([*(_pick(WORDS.get(w, (w,)), rng) for w in words if w), noun])
    phrase = f"{_determiner(phrase, rng)} {phrase}"
    tail = {"place": _place(scene), "backdrop": _backdrop(scene), "lighting": _lighting(scene)}
    text = " ".join(
        [phrase, *(text for factor, text in tail.items() if text and factor in mentions)]
    )
    return _pick(OPENINGS, rng).format(text)


def _pick(options: tuple[str, ...], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def _determiner(phrase: str, rng: np.random.Generator) -> str:
    word = _pick(DETERMINERS, rng)
    return "an" if word == "a" and phrase[0] in "aeiou" else word


def _size(scene: Scene) -> str:
    """Return a word for a size in the lower or upper third, else nothing."""
    share = (scene.radius - RADIUS[0]) / (RADIUS[1] - RADIUS[0])
    return _third(share, "small", "", "large")


def _place(scene: Scene) -> str:
    x, y = (p / OFFSET / 2 + 0.5 for p in scene.place)
    if abs(x - 0.5) >= abs(y - 0.5):
        return _third(x, "on the left", "in the middle", "on the right")
    return _third(y, "at the top", "in the middle", "at the bottom")


def _backdrop(scene: Scene) -> str:
    brightness = sum(max(rgb) for rgb in scene.backdrop) / 2
    share = (brightness - BACKGROUND[0]) / (BACKGROUND[1] - BACKGROUND[0])
    return _third(share, "on a dark background", "", "on a light background")


def _lighting(scene: Scene) -> str:
    share = (scene.exposure - EXPOSURE[0]) / (EXPOSURE[1] - EXPOSURE[0])
    return _third(share, "in dim light", "", "in bright light")


def _third(share: float, low: str, middle: str, high: str) -> str:
    return low if share < 1 / 3 else middle if share < 2 / 3 else high
