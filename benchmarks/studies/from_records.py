"""Differences of runs from their records alone: no module of the package is imported.

Intervals are over seeds and images: the variance over seeds plus that over images minus their interaction, at least
the larger of the two, with Satterthwaite's degrees of freedom (docs/compare.md#the-verdict).
"""

# S seeds, N images
from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy import stats

MIN_SEEDS_OF_SIGN_TEST = 6


@dataclass(frozen=True, slots=True)
class Run:
    """A run: its final scores by name, their values of images, (N,), where there are any, and metrics of stage 1."""

    arm: str
    seed: int
    scores: Mapping[str, float]
    items: Mapping[str, np.ndarray]
    stage_1: Mapping[str, float]
    record: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a chart: x, y, and the limits of y, each (K,)."""

    x: np.ndarray
    y: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean difference with its interval, and the p-value of a sign test (None for few seeds)."""

    mean: float
    low: float
    high: float
    p: float | None
    num_seeds: int

    @property
    def is_decided(self) -> bool:
        """Whether the interval excludes 0 and the sign test agrees."""
        return (self.low > 0 or self.high < 0) and (self.p is None or self.p <= 0.05)

    def text(self, factor: float = 1.0, digits: int = 3) -> str:
        """Return the difference and its interval, such as `-0.012 [-0.020, -0.004]`."""
        mean, low, high = (f"{factor * value:+.{digits}f}" for value in (self.mean, self.low, self.high))
        return f"{mean} [{low}, {high}]"


Runs = Mapping[tuple[str, int], Run]


def read_runs(folder: Path) -> Runs:
    """Return the finished runs of an experiment by arm and seed."""
    found = {}
    for path in sorted(folder.glob("*/seed*/record.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["status"] != "finished":
            continue
        arm = path.parents[1].name
        seed = int(path.parent.name.removeprefix("seed"))
        last = {row["name"]: row["value"] for row in record["scores"]}  # rows are in the order of training
        metrics = {k: v for row in record["init"] for k, v in row["metrics"].items()}
        found[arm, seed] = Run(arm, seed, last, read_items(path.parent), metrics, record)
    return found


def read_items(folder: Path) -> dict[str, np.ndarray]:
    """Return the values of images by score, from items.safetensors; empty without the file."""
    path = folder / "items.safetensors"
    if not path.is_file():
        return {}
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    about = json.loads(header.pop("__metadata__")["sealed"].partition(" ")[2])
    found = {}
    for score in about:
        low, high = header[score]["data_offsets"]
        stored = content[start + low : start + high]
        if header[score]["dtype"] == "F32":
            found[score] = np.frombuffer(stored, "<f4").astype(np.float64)
        else:
            bits = np.unpackbits(np.frombuffer(stored, np.uint8), count=about[score]["num"])
            found[score] = bits.astype(np.float64)
    return found


def arms_of(runs: Runs) -> list[str]:
    return list(dict.fromkeys(arm for arm, _ in runs))


def seeds_of(runs: Runs) -> list[int]:
    return sorted({seed for _, seed in runs})


def values_of(runs: Runs, arm: str, score: str) -> list[float]:
    """Return a score of an arm by seed, in the order of seeds."""
    return [runs[arm, seed].scores[score] for seed in seeds_of(runs) if (arm, seed) in runs]


def mean_text(values: Sequence[float], factor: float = 1.0, digits: int = 3) -> str:
    """Return a mean with its standard error over seeds."""
    if not values:
        return ""
    scaled = factor * np.asarray(values)
    text = f"{scaled.mean():.{digits}f}"
    return text if len(scaled) < 2 else f"{text} ± {scaled.std(ddof=1) / np.sqrt(len(scaled)):.{digits}f}"


def difference(pairs: Iterable[tuple[Run, Run]], score: str, num_family: float = 1) -> Difference | None:
    """Return the mean difference of paired runs; None for fewer than two pairs.

    Args:
        pairs: An arm and its reference, one pair for each seed.
        score: Name of the score. Without values of its images, the interval is over seeds.
        num_family: Number of contrasts whose intervals hold together with at least 95 % (Bonferroni).
    """
    pairs = list(pairs)
    if len(pairs) < 2:
        return None
    by_seed = np.array([a.scores[score] - b.scores[score] for a, b in pairs])
    known = [a.items[score] - b.items[score] for a, b in pairs if score in a.items and score in b.items]
    return mean_of(by_seed, np.array(known) if len(known) == len(pairs) else None, num_family)


def mean_of(by_seed: np.ndarray, by_image: np.ndarray | None = None, num_family: float = 1) -> Difference:
    """Return the mean of differences (S,) with its interval over seeds, or over seeds and images (S, N)."""
    variance, degrees = by_seed.var(ddof=1) / len(by_seed), len(by_seed) - 1.0
    if by_image is not None:
        variance, degrees = two_way(by_image)
    reach = stats.t.ppf(1 - 0.025 / num_family, degrees) * np.sqrt(variance)
    mean = float(by_seed.mean())
    return Difference(mean, mean - reach, mean + reach, sign_test(by_seed), len(by_seed))


def two_way(values: np.ndarray) -> tuple[float, float]:
    """Return variance and degrees of freedom of the mean of differences (S, N) over seeds and images."""
    num_seeds, num_images = values.shape
    by_seed, by_image = values.mean(axis=1), values.mean(axis=0)
    rest = values - by_seed[:, None] - by_image + values.mean()
    seeds = by_seed.var(ddof=1) / num_seeds
    images = by_image.var(ddof=1) / num_images
    both = rest.var(axis=1, ddof=1).sum() / num_images / num_seeds / (num_seeds - 1)
    variance = max(seeds + images - both, seeds, images)
    if not variance:
        return 0.0, num_seeds - 1.0
    free = num_seeds - 1, num_images - 1, (num_seeds - 1) * (num_images - 1)
    spread = sum(part**2 / num for part, num in zip((seeds, images, both), free, strict=True))
    return variance, max(variance**2 / spread, num_seeds - 1)


def sign_test(by_seed: np.ndarray) -> float | None:
    """Return the two-sided p-value of the sign-flip test of a mean; None below six seeds."""
    if len(by_seed) < MIN_SEEDS_OF_SIGN_TEST:
        return None
    sums = np.zeros(1)
    for value in by_seed:  # 2 ** S sums, without the matrix of their signs
        sums = np.concatenate([sums + value, sums - value])
    return float((np.abs(sums) >= abs(by_seed.sum()) - 1e-12).mean())


def paired(runs: Runs, arm: str, reference: str) -> list[tuple[Run, Run]]:
    """Return the runs of two arms that have the same seed."""
    return across(runs, arm, runs, reference)


def across(runs: Runs, arm: str, others: Runs, reference: str) -> list[tuple[Run, Run]]:
    """Return the runs of an arm and of a reference in another experiment that have the same seed."""
    seeds = [seed for seed in seeds_of(runs) if (arm, seed) in runs and (reference, seed) in others]
    return [(runs[arm, seed], others[reference, seed]) for seed in seeds]


def answer(found: Difference | None, delta: float, lower_is_better: bool = False) -> str:
    """Return better, worse, equivalent or undecided, by the rule of docs/compare.md."""
    if found is None:
        return "undecided"
    if -delta < found.low and found.high < delta:
        return "equivalent"
    if not found.is_decided:
        return "undecided"
    return "better" if (found.mean < 0) == lower_is_better else "worse"


def power(leads: Sequence[float], num_seeds: int) -> float:
    """Return the probability that a number of seeds shows a lead, with the mean and deviation of the leads of seeds."""
    values, degrees = np.asarray(leads), num_seeds - 1
    shift = values.mean() / values.std(ddof=1) * num_seeds**0.5
    return float(stats.nct.sf(stats.t.ppf(0.975, degrees), degrees, shift))


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; all columns but the first are aligned to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines).replace("| --- |", "|---|", 1)


@dataclass(frozen=True, slots=True)
class Answer:
    """A row of the box at the top of a page: a question, its answer in a word or two, one number, and what would change it."""

    question: str
    word: str
    number: str
    change: str


def box(*answers: Answer) -> str:
    """Return the box at the top of a page."""
    head = ["question", "answer", "number [95 % interval]", "what would change it"]
    rows = ([each.question, each.word, each.number, each.change] for each in answers)
    first, *others = (f"| {' | '.join(row)} |" for row in (head, *rows))
    return "\n".join([first, "|---|---|---|---|", *others])


def word(outcome: str) -> str:
    """Return the answer to the question whether an arm is better: yes, no or undecided."""
    return {"better": "yes", "worse": "no", "equivalent": "no"}.get(outcome, outcome)


def number(found: Difference | None, contrast: str, in_nats: bool = False) -> str:
    """Return the number of a box, such as `people - random +1.3 points [+0.5, +2.2], 16 seeds`."""
    if found is None:
        return "fewer than two seeds"
    text, unit = (found.text(), "nats") if in_nats else (found.text(100, 1), "points")
    mean, interval = text.split(" ", 1)
    return f"{contrast} {mean} {unit} {interval}, {found.num_seeds} seeds"


def dot_plot(rows: Sequence[tuple[str, Difference]], title: str, factor: float = 1.0) -> str:
    """Return an SVG image of differences with their intervals, a row each."""
    width, left, top, height = 640, 190, 34, 26
    edges = [factor * edge for _, found in rows for edge in (found.low, found.high, 0.0)]
    low, high = min(edges), max(edges)
    margin = 0.05 * (high - low)

    def x(value: float) -> float:
        return left + (width - left - 20) * (value - low + margin) / (high - low + 2 * margin)

    bottom = top + height * len(rows)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom + 30}" font-family="sans-serif" font-size="13">',
        f"<title>{title}</title>",
        f'<rect width="{width}" height="{bottom + 30}" fill="#fff"/>',
        f'<text x="10" y="18" fill="#1a1a1a">{title}</text>',
        f'<line x1="{x(0):.1f}" x2="{x(0):.1f}" y1="{top - 6}" y2="{bottom}" stroke="#6b6b6b"/>',
    ]
    for place, (name, found) in enumerate(rows):
        y = top + height * place + height / 2
        ends = [x(factor * edge) for edge in (found.low, found.high)]
        lines += [
            f'<text x="10" y="{y + 4:.1f}" fill="#1a1a1a">{name}</text>',
            f'<line x1="{ends[0]:.1f}" x2="{ends[1]:.1f}" y1="{y:.1f}" y2="{y:.1f}" stroke="#0072b2" stroke-width="2"/>',
            f'<circle cx="{x(factor * found.mean):.1f}" cy="{y:.1f}" r="4" fill="#0072b2"/>',
        ]
    for value in (low, 0.0, high):
        lines.append(
            f'<text x="{x(value):.1f}" y="{bottom + 18}" fill="#6b6b6b" text-anchor="middle">{value:+.3g}</text>'
        )
    return "\n".join([*lines, "</svg>"]) + "\n"


COLORS = ("#0072b2", "#d55e00", "#4d4d4d", "#009e73", "#cc79a7")


def line_plot(lines: Mapping[str, Line], title: str) -> str:
    """Return an SVG image of lines with their bands, each with its name at its end."""
    width, height, left, right, top, bottom = 640, 320, 44, 560, 34, 280
    x_high = max(line.x.max() for line in lines.values())
    low = min(0.0, *(line.low.min() for line in lines.values()))
    high = max(0.0, *(line.high.max() for line in lines.values()))

    def place(x: np.ndarray, y: np.ndarray) -> str:
        across = left + (right - left) * x / x_high
        down = bottom - (bottom - top) * (y - low) / (high - low)
        return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across, down, strict=True))

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">',
        f"<title>{title}</title>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="10" y="18" fill="#1a1a1a">{title}</text>',
        f'<polyline points="{place(np.array([0, x_high]), np.zeros(2))}" stroke="#6b6b6b"/>',
    ]
    label_y: list[float] = []
    for color, (name, line) in zip(COLORS, lines.items(), strict=False):
        band = f"{place(line.x, line.low)} {place(line.x[::-1], line.high[::-1])}"
        parts.append(f'<polygon points="{band}" fill="{color}" fill-opacity="0.15"/>')
        parts.append(
            f'<polyline points="{place(line.x, line.y)}" fill="none" stroke="{color}" stroke-width="2"/>'
        )
        y = float(place(line.x[-1:], line.y[-1:]).partition(",")[2])
        while any(abs(y - other) < 14 for other in label_y):  # names that would overlap move down
            y += 1
        label_y.append(y)
        parts.append(f'<text x="{right + 6}" y="{y + 4:.1f}" fill="{color}">{name}</text>')
    for value in sorted({low, 0.0, high}):
        y = float(place(np.zeros(1), np.array([value])).partition(",")[2])
        parts.append(
            f'<text x="{left - 4}" y="{y + 4:.1f}" fill="#6b6b6b" text-anchor="end">{value:+.1f}</text>'
        )
    for x, anchor in ((0, "start"), (x_high, "end")):
        at = left if x == 0 else right
        parts.append(f'<text x="{at}" y="{bottom + 20}" fill="#6b6b6b" text-anchor="{anchor}">{x:,}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
