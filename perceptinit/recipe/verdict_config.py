"""What difference would matter, stated before the runs: the recipe's `[verdict]`. No result depends on it."""

from __future__ import annotations

from dataclasses import dataclass

from perceptinit.configs import PositiveFloat, PositiveInt


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictConfig:
    delta: PositiveFloat | None = None
    """Points within which a difference does not matter (hundredths of measures that are no shares). Without it,
    arms cannot be called equivalent."""
    max_seeds: PositiveInt | None = None
    """Most seeds that `run --until-decided` may go up to. Intervals then hold however often one looks on the way."""
    primary: str = ""
    """Score that speaks for the comparison: a name such as "top1/imagenet1k", or a measure such as "top1", averaged over
    its sets. Without it, the first of zero-shot, retrieval and perceptual measures that the runs have."""
    hypothesis: str = ""
    """What is expected, in a sentence, for `preregister`; without it, one that the arms say."""
    noise: PositiveFloat | None = None
    """Standard deviation over seeds of the difference of two equal arms, points, as an A/A run tells it;
    `validate` reckons with it."""
    published_effect: PositiveFloat | None = None
    """Smallest published effect that the experiment is about, points; `validate` warns of a delta above half of it."""
    source: str = ""
    """Where `published_effect` was published."""

    def __post_init__(self) -> None:
        if self.delta is not None and self.delta >= 100:
            raise ValueError(
                f"delta = {self.delta:g}: points are hundredths of a score, so below 100"
            )
        if self.published_effect is not None and not self.source:
            raise ValueError("published_effect needs its source: where was it published?")
