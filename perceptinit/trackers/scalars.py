"""Convert events to named scalars over an x axis, as experiment trackers expect."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from perceptinit.types import Event

SAMPLES = "samples_seen"
STEPS = "step"


@dataclass(frozen=True, slots=True)
class Scalars:
    """Scalars at one position on an x axis.

    Attributes:
        axis: "STAGE/step" for steps of stages without pairs, else "samples_seen".
        at: Position on the axis.
        values: Finite numbers by name.
    """

    axis: str
    at: int
    values: Mapping[str, float]


def scalars(event: Event) -> Scalars | None:
    """Return the numbers of an event, without NaN and infinity; None if there are none.

    Names are "STAGE/METRIC" for steps and "STAGE/end/METRIC" for the end of a stage. A score keeps its name,
    and "NAME/stderr" is its standard error.
    """
    if event.kind == "scores":
        values = {score.name: score.value for score in event.scores}
        values |= {f"{s.name}/stderr": s.stderr for s in event.scores if s.stderr is not None}
        return _finite(SAMPLES, event.samples_seen or 0, values)
    if event.kind == "step":
        values = {f"{event.stage}/{name}": value for name, value in event.metrics.items()}
        if event.samples_seen is not None:
            return _finite(SAMPLES, event.samples_seen, values)
        return _finite(f"{event.stage}/{STEPS}", event.step or 0, values)
    if event.kind == "stage-end":
        values = {f"{event.stage}/end/{name}": value for name, value in event.metrics.items()}
        return _finite(SAMPLES, event.samples_seen or 0, values)
    return None


def _finite(axis: str, at: int, values: Mapping[str, float]) -> Scalars | None:
    known = {name: float(v) for name, v in values.items() if math.isfinite(float(v))}
    return Scalars(axis, at, known) if known else None


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as a flat dict, with names such as "init.0.judgments.use"."""
    result: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
            value = {str(i): item for i, item in enumerate(value)}
        if isinstance(value, Mapping):
            result |= flat(value, f"{name}.")
        else:
            result[name] = value
    return result
