"""Format scores, differences and intervals, with shares in percent and points."""

from collections.abc import Iterable

from perceptinit.analysis.statistics import Estimate


def number(value: float, is_share: bool, digits: int = 3) -> str:
    """Return a score as text, in percent for shares and with `digits` decimals otherwise."""
    return f"{100 * value:.1f}" if is_share else f"{value:.{digits}f}"


def signed(value: float, is_share: bool, digits: int = 3) -> str:
    """Return a difference with its sign and unit."""
    return f"{100 * value:+.1f} points" if is_share else f"{value:+.{digits}f}"


def interval(value: Estimate, is_share: bool, between: str = " to ", digits: int = 3) -> str:
    """Return the interval of a difference, such as `+0.4 to +3.8`; empty for one seed."""
    if value.low is None or value.high is None:
        return ""
    factor = 100 if is_share else 1
    places = 1 if is_share else digits
    return f"{factor * value.low:+.{places}f}{between}{factor * value.high:+.{places}f}"


def counts(numbers: Iterable[int], between: str = " or ") -> str:
    """Return distinct counts in ascending order, such as `1,000 or 2,000`."""
    return between.join(f"{n:,}" for n in sorted(set(numbers)))
