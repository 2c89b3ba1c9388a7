"""Check human judgments before training on them: counts, files, duplicates, leaks, votes, ceilings."""

# N judgments
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from perceptinit.components.building import find_component_warnings, preflight
from perceptinit.errors import DataError, EmptySplitError, UsageError, list_some
from perceptinit.files.reading import file_sha256
from perceptinit.images.background import cropped_share, describe_crops, transparent_share
from perceptinit.images.encoded import Traits, pixels_of, place_of, read, traits_of
from perceptinit.judgments import checks
from perceptinit.judgments.baselines import (
    MIN_VOTES,
    Baseline,
    Bounds,
    baselines_of_splits,
    ceiling,
    ceiling_of_split,
    odd_one_out_baselines,
    pair_agreement,
)
from perceptinit.judgments.forms.named_triplets import sort_distinct
from perceptinit.judgments.forms.odd_one_out import HasOddOneOut, HasSamePairs
from perceptinit.judgments.forms.splits import SPLITS
from perceptinit.judgments.own.matrix_set import RdmSet
from perceptinit.judgments.own.own_table import OwnTable
from perceptinit.judgments.own.table import Table, find_winner
from perceptinit.judgments.scoring import find_few
from perceptinit.types import Color, DataCard, ImageSource, Split, Triplets

HISTOGRAM_BINS = 10

Severity = Literal["error", "warning", "note"]
Progress = Callable[[int, int], None]
Splits = dict[Split, Triplets]


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding: an error invalidates training or scores, a warning may do so, a note does not."""

    severity: Severity
    message: str


Check = Callable[[Any, Splits], Iterator[Finding]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSummary:
    """Counts and human ceiling of one split.

    Args:
        ceiling: Lower and upper human ceiling in [0, 1]; None for too few votes, see `baselines.ceiling`.
        pair_agreement: Probability that two people agree; None for too few votes.
        histogram: Number of judgments by `p_second`, in equal bins from 0 to 1.
        p_second_wins: Share of decided judgments that `second` wins; None if all are ties.
    """

    split: Split
    num_judgments: int
    num_votes: int
    num_images: int
    num_anchors: int
    num_groups: int
    num_ties: int
    ceiling: Bounds | None
    pair_agreement: float | None
    histogram: tuple[int, ...]
    p_second_wins: float | None


@dataclass(frozen=True, slots=True)
class ReadImage:
    """Properties of an image that can be read.

    Args:
        traits: Properties of its file.
        transparent: Share of pixels that are not opaque.
        cropped: Share of the image that a center crop removes.
    """

    traits: Traits
    transparent: float
    cropped: float


@dataclass
class CheckReport:
    """Findings, and the summary and judgments of each split.

    Args:
        baselines: 2AFC scores of trivial models on each held-out split, or on `train` if there is none;
            empty if images were not decoded.
    """

    name: str
    splits: list[SplitSummary] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    triplets: dict[Split, Triplets] = field(default_factory=dict)
    baselines: dict[Split, tuple[Baseline, ...]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not any(f.severity == "error" for f in self.findings)

    def add(self, severity: Severity, messages: Iterable[str]) -> None:
        self.findings += _as_findings(severity, messages)


def check_judgments(
    judgments: Any, *, decode: bool = True, num_workers: int = 2, progress: Progress | None = None
) -> CheckReport:
    """Return counts, findings and baselines of a `judgments` component.

    Args:
        judgments: The component.
        decode: Whether to decode every image, to find unreadable ones and to score trivial models.
        num_workers: Number of threads that read images.
        progress: Called with the number of images read and the total.
    """
    report = CheckReport(judgments.name)
    report.triplets, report.findings = _load_splits(judgments)
    report.splits = [summarize(judgments, split, triplets) for split, triplets in report.triplets.items()]
    for check in CHECKS:
        report.findings += check(judgments, report.triplets)
    report.add("note", find_missing_ceilings(report.splits))
    if decode:
        _check_images(report, num_workers, progress)
    report.add("note", describe_other_forms(judgments, report.baselines, num_workers))
    return report


def _load_splits(judgments: Any) -> tuple[dict[Split, Triplets], list[Finding]]:
    """Return the splits that can be loaded, and each distinct problem of the data."""
    problems: dict[str, Severity] = dict.fromkeys(preflight(judgments), "error")
    triplets: dict[Split, Triplets] = {}
    for split in SPLITS:
        try:
            triplets[split] = judgments.load(split)
        except DataError as error:
            # a set may have no val or test, or no training split
            missing: Severity = "warning" if isinstance(error, EmptySplitError) else "error"
            problems.setdefault(str(error), missing if split == "train" else "note")
    return triplets, [Finding(severity, message) for message, severity in problems.items()]


def summarize(judgments: Any, split: Split, triplets: Triplets) -> SplitSummary:
    """Return the counts and ceilings of a split."""
    p = triplets.p_second.astype(np.float64)
    decided = p[p != 0.5]
    histogram, _ = np.histogram(p, bins=HISTOGRAM_BINS, range=(0, 1))
    return SplitSummary(
        split=split,
        num_judgments=len(triplets),
        num_votes=int(triplets.num_votes.sum()),
        num_images=len(triplets.used_names),
        num_anchors=len(sort_distinct(triplets.anchor)),
        num_groups=len(sort_distinct(triplets.group)),
        num_ties=len(p) - len(decided),
        ceiling=ceiling_of_split(judgments, split, triplets),
        pair_agreement=pair_agreement(triplets),
        histogram=tuple(histogram.tolist()),
        p_second_wins=float((decided > 0.5).mean()) if len(decided) else None,
    )


def find_missing_ceilings(splits: Iterable[SplitSummary]) -> Iterator[str]:
    """Yield a message for each split with too few votes for a human ceiling."""
    needed = f"{MIN_VOTES} individual votes on questions that at least two people answered"
    for summary in splits:
        if summary.ceiling is None:
            yield f"{summary.split}: no human ceiling. It requires {needed}"


def find_constant_answers(split: str, triplets: Triplets) -> Iterator[str]:
    """Yield a message if all judgments are ties, or if one side wins all decided ones."""
    num_decided = int((triplets.p_second != 0.5).sum())
    if not num_decided:
        yield f"{split}: all {len(triplets):,} judgments are ties"
    elif winner := find_winner(triplets.p_second):
        yield (
            f"{split}: '{winner}' wins all {num_decided:,} decided judgments. If this column lists "
            "the winners, name the columns anchor, positive, negative, so that sides are randomized"
        )


def _check_splits(judgments: Any, triplets: Splits) -> Iterator[Finding]:
    """Yield warnings about constant answers, repeated questions and small splits."""
    for split, own in triplets.items():
        yield from _as_findings("warning", find_constant_answers(split, own))
        yield from _as_findings("warning", checks.find_repeated_questions(split, own))
        if split != "train":
            yield from _as_findings("warning", find_few(split, len(own)))


def _check_leaks(judgments: Any, triplets: Splits) -> Iterator[Finding]:
    """Yield leaks and images in several splits. Users cannot change the splits of a published set."""
    is_published = isinstance(getattr(type(judgments), "card", None), DataCard)
    split_by = getattr(getattr(judgments, "config", None), "split_by", None)
    yield from _as_findings("warning" if is_published else "error", checks.find_leaks(triplets, split_by))
    yield from _as_findings("warning", checks.find_shared_anchors(triplets))
    yield from _as_findings("note", checks.find_shared_images(triplets))


def _check_own_table(judgments: Any, triplets: Splits) -> Iterator[Finding]:
    """Yield findings on the splits, the exclusions and the balance of a user's table."""
    if not triplets or not isinstance(judgments, OwnTable):
        return
    yield from _as_findings("warning", checks.find_left_out(judgments))
    yield from _as_findings("note", checks.recommend_split(judgments, triplets))
    try:
        for is_fine, sentence in checks.check_balance(judgments.config.path, judgments.config.columns):
            yield Finding("note" if is_fine else "warning", sentence)
    except DataError as error:
        yield Finding("error", str(error))


def _check_component(judgments: Any, triplets: Splits) -> Iterator[Finding]:
    """Yield the warnings of the component, and what it says about its people."""
    if triplets:
        yield from _as_findings("warning", find_component_warnings(judgments))
        if isinstance(judgments, RdmSet | Table):
            yield from _as_findings("note", judgments.describe_people())


def _check_files(judgments: Any, triplets: Splits) -> Iterator[Finding]:
    """Yield an error for each file that differs from the published one."""
    if root := getattr(getattr(judgments, "config", None), "root", None):
        yield from _as_findings("error", find_wrong_checksums(judgments.card, Path(root)))


def _as_findings(severity: Severity, messages: Iterable[str]) -> Iterator[Finding]:
    return (Finding(severity, message) for message in messages)


# in the order of the report
CHECKS: tuple[Check, ...] = (
    _check_splits,
    _check_leaks,
    _check_own_table,
    _check_component,
    _check_files,
)


def find_wrong_checksums(card: DataCard, root: Path) -> Iterator[str]:
    """Yield a message for each file in `root` whose SHA-256 differs from the data card."""
    for name, recorded in sorted(card.sha256.items()):
        path = root / name
        if path.is_file() and (found := file_sha256(path)) != recorded:
            yield f"{path}: not the published file (sha256 {found[:12]}..., expected {recorded[:12]}...)"


def _check_images(report: CheckReport, num_workers: int, progress: Progress | None) -> None:
    """Add findings on unreadable images, transparency and crops, and the scores of trivial models."""
    sources = {
        name: (image, t.stimuli.background)
        for t in report.triplets.values()
        for name, image in zip(t.stimuli.ids, t.stimuli.images, strict=True)
    }
    used = sorted({name for t in report.triplets.values() for name in t.used_names})

    found: list[ReadImage | str] = []
    with ThreadPoolExecutor(max(1, num_workers)) as pool:
        for result in pool.map(lambda key: _read_image(sources[key][0], key), used):
            found.append(result)
            if progress:
                progress(len(found), len(used))
    problems = [result for result in found if isinstance(result, str)]
    readable = [result for result in found if not isinstance(result, str)]
    if used:
        report.add("note", describe_images(readable, sources[used[0]][1]))
    if problems:
        message = (
            f"{len(problems):,} of {len(found):,} images cannot be read: {list_some(problems)}. "
            "Replace or exclude them"
        )
        report.add("error", [message])
        return
    held_out = [split for split in report.triplets if split != "train"]
    scored = {split: report.triplets[split] for split in held_out or report.triplets}
    rows = baselines_of_splits([*scored.values()], num_workers=num_workers)
    report.baselines |= dict(zip(scored, rows, strict=True))


def _read_image(image: ImageSource, key: str) -> ReadImage | str:
    """Return what the notes need of an image, or the reason why it cannot be read."""
    place = place_of(image, key)
    try:
        data = image if isinstance(image, np.ndarray) else read(image, place)
        pixels = pixels_of(data, place)
    except DataError as error:
        return str(error)
    traits = Traits() if isinstance(data, np.ndarray) else traits_of(data)
    return ReadImage(traits, transparent_share(pixels), cropped_share(pixels))


def describe_images(images: Sequence[ReadImage], background: Color) -> Iterator[str]:
    """Yield a sentence for each property of images that changes what a model sees."""
    if crops := describe_crops([image.cropped for image in images]):
        yield crops
    shares = [image.transparent for image in images if image.transparent]
    if shares:
        yield (
            f"{len(shares):,} of {len(images):,} images have transparent pixels ({np.mean(shares):.1%} on "
            f"average), which are shown on background = #{bytes(background).hex()}"
        )
    traits = [image.traits for image in images]
    counts = {
        "are turned by their EXIF orientation, as in browsers": sum(t.is_turned for t in traits),
        "have 16 bits per channel, of which the upper 8 are used": sum(t.is_deep for t in traits),
        "have several frames (animations), of which the first is used": sum(t.is_animated for t in traits),
    }
    for what, count in counts.items():
        if count:
            yield f"{count:,} of {len(images):,} images {what}"


def describe_other_forms(judgments: Any, scored: Collection[Split], num_workers: int) -> Iterator[str]:
    """Describe odd-one-out and same-or-different judgments, with baselines for splits in `scored`."""
    for split in SPLITS:
        try:
            if isinstance(judgments, HasOddOneOut):
                whole = judgments.load_odd_one_out(split)
                bounds = ceiling(whole.votes)
                people = f"human ceiling {bounds[0]:.3f} to {bounds[1]:.3f}, " if bounds else ""
                baselines = odd_one_out_baselines(whole, num_workers) if split in scored else ()
                trivial = "".join(f"{baseline.name} {baseline.text}, " for baseline in baselines)
                yield f"{split}: {len(whole):,} odd-one-out questions, {people}{trivial}chance 0.333"
            if isinstance(judgments, HasSamePairs):
                pairs = judgments.load_same_pairs(split)
                yield f'{split}: {len(pairs):,} same-or-different pairs, {pairs.base_rate:.1%} "same"'
        except (DataError, UsageError):
            continue  # a wrapper around another form, or a set with this form in some splits only
