"""A request to `perceptinit eval`."""

from collections.abc import Sequence
from dataclasses import dataclass

from perceptinit.evaluating.layers import Pooling
from perceptinit.types import FitMode


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The options of `perceptinit eval`; fields are parameters of the command, which states the defaults."""

    models: Sequence[str]
    on: Sequence[str]
    fit: FitMode | None
    layer: Sequence[str]
    pooling: Pooling | None
    baseline: str
    backbone: str
    weights: str
    workers: int | None
    at_once: int
    device: str
    no_cache: bool
    thumbnails: bool
