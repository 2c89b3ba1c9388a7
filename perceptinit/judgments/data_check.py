"""Look at human judgments before training on them: counts, files, duplicates, leaks, votes, ceilings."""

from __future__ import annotations

# N judgments
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from perceptinit.components.building import preflight
from perceptinit.errors import DataError, EmptySplitError, UsageError
from perceptinit.files.checksums import file_sha256
from perceptinit.images.background import transparent_share
from perceptinit.images.encoded import pixels_of
from perceptinit.judgments import leaks
from perceptinit.judgments.balance import check_balance
from perceptinit.judgments.baselines import Baseline, odd_one_out_baselines, two_afc_baselines
from perceptinit.judgments.ceilings import (
    MIN_VOTES,
    Bounds,
    ceiling,
    ceiling_of_split,
    pair_agreement,
)
from perceptinit.judgments.forms.odd_one_out import HasOddOneOut
from perceptinit.judgments.forms.same_pairs import HasSamePairs
from perceptinit.judgments.forms.splits import SPLITS
from perceptinit.judgments.image_files import list_some
from perceptinit.judgments.own.own_table import OwnTable
from perceptinit.types import DataCard, Split, Triplets

# an answer that is on one side for all of fewer judgments than this may be chance
MIN_CONSTANT = 20
HISTOGRAM_BINS = 10
NO_CEILING = (
    "{split}: no human ceiling is known: it takes "
    f"{MIN_VOTES} votes on questions that two people or more answered themselves"
)

Severity = Literal["error", "warning", "note"]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a user should know: errors spoil training or scores, warnings may."""

    severity: Severity
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSummary:
    """What one split holds.

    ceiling: how well people predict one person's choices, from the others' and from all, in [0, 1].
    pair_agreement: chance that two different people agree. Both are None where they have no basis:
    fewer than `ceilings.MIN_VOTES` votes on questions that two people or more answered.
    histogram: judgments by share of votes for the favourite of the row's two sides, from p_second = 0
    to 1 in equal bins. p_second_wins: share of decided judgments that `second` wins.
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


@dataclass
class CheckReport:
    """Everything that was found; `ok` when there is no error.

    baselines: 2AFC of trivial models by held-out split (`train` where there is no other); empty when images
    were not decoded.
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
        self.findings += [Finding(severity, message) for message in messages]


def check_judgments(
    judgments: Any, *, decode: bool = True, num_workers: int = 2, progress: Progress | None = None
) -> CheckReport:
    """Return what there is to know about a `judgments` component.

    decode: read every image once, to find those that cannot be.
    """
    report = CheckReport(judgments.name)
    report.add("error", preflight(judgments))
    for split in SPLITS:
        try:
            report.triplets[split] = judgments.load(split)
        except DataError as error:
            if not any(str(error) in f.message or f.message in str(error) for f in report.findings):
                # a set may have no val or test, or be for measuring only
                missing: Severity = "warning" if isinstance(error, EmptySplitError) else "error"
                report.add(missing if split == "train" else "note", [str(error)])
    for split, triplets in report.triplets.items():
        report.splits.append(summarize(judgments, split, triplets))
        report.add("warning", find_constant_answers(split, triplets))
        report.add("warning", leaks.find_repeated_questions(split, triplets))
        if report.splits[-1].ceiling is None:
            report.add("note", [NO_CEILING.format(split=split)])
    # whoever uses a published split can only know of its leaks
    is_published = isinstance(getattr(type(judgments), "card", None), DataCard)
    split_by = getattr(getattr(judgments, "config", None), "split_by", None)
    found = leaks.find_leaks(report.triplets, split_by)
    report.add("warning" if is_published else "error", found)
    report.add("warning", leaks.find_shared_anchors(report.triplets))
    report.add("note", leaks.find_shared_images(report.triplets))
    if report.triplets and isinstance(judgments, OwnTable):
        report.add("warning", leaks.find_left_out(judgments))
        report.add("note", leaks.recommend_split(judgments, report.triplets))
        try:
            for is_fine, sentence in check_balance(judgments.config.path):
                report.add("note" if is_fine else "warning", [sentence])
        except DataError as error:
            report.add("error", [str(error)])
    report.add("error", find_wrong_checksums(judgments))
    if decode:
        _check_images(report, num_workers, progress)
    report.add("note", describe_other_forms(judgments, report.baselines, num_workers))
    return report


def summarize(judgments: Any, split: Split, triplets: Triplets) -> SplitSummary:
    """Return the counts and ceilings of a split."""
    p = triplets.p_second.astype(np.float64)
    decided = p != 0.5
    histogram, _ = np.histogram(p, bins=HISTOGRAM_BINS, range=(0, 1))
    return SplitSummary(
        split=split,
        num_judgments=len(triplets),
        num_votes=int(triplets.num_votes.sum()),
        num_images=len(triplets.used_names),
        num_anchors=len(np.unique(triplets.anchor)),
        num_groups=len(np.unique(triplets.group)),
        num_ties=int((~decided).sum()),
        ceiling=ceiling_of_split(judgments, split, triplets),
        pair_agreement=pair_agreement(triplets),
        histogram=tuple(histogram.tolist()),
        p_second_wins=float((p[decided] > 0.5).mean()) if decided.any() else None,
    )


def find_constant_answers(split: str, triplets: Triplets) -> Iterator[str]:
    """Yield whether one side always wins: then the column gives the answer away, or was misread."""
    decided = triplets.p_second[triplets.p_second != 0.5]
    if len(decided) < MIN_CONSTANT:
        if not len(decided):
            yield f"{split}: all {len(triplets):,} judgments are ties; nobody preferred an image"
        return
    for side, wins in (("second", decided > 0.5), ("first", decided < 0.5)):
        if wins.all():
            yield (
                f"{split}: '{side}' wins all {len(decided):,} judgments that are no ties. If the file lists the "
                "winner in a fixed column, use columns anchor, positive, negative: sides are drawn then"
            )


def find_wrong_checksums(judgments: Any) -> Iterator[str]:
    """Yield the files whose checksum is not the recorded one."""
    root = getattr(getattr(judgments, "config", None), "root", None)
    if root is None:
        return
    for name, recorded in sorted(judgments.card.sha256.items()):
        path = Path(root) / name
        if path.is_file() and file_sha256(path) != recorded:
            yield f"{path}: not the published file (sha256 {file_sha256(path)[:12]}..., recorded {recorded[:12]}...)"


def _check_images(report: CheckReport, num_workers: int, progress: Progress | None) -> None:
    """Add images that cannot be decoded, transparent parts, and the scores of trivial models."""
    found = _look_at_images(report.triplets, num_workers, progress)
    problems = [seen for seen in found if isinstance(seen, str)]
    if problems:
        some = list_some(problems)
        report.add("error", [f"{len(problems):,} of {len(found):,} images cannot be read: {some}"])
    shares = [seen for seen in found if isinstance(seen, float) and seen]
    if shares:
        ground = next(iter(report.triplets.values())).stimuli.background
        transparent = (
            f"{len(shares):,} of {len(found) - len(problems):,} images have transparent parts, "
            f"{np.mean(shares):.1%} of their pixels on average; behind them is put "
            f"#{bytes(ground).hex()} (key background)"
        )
        report.add("note", [transparent])
    if not problems:  # trivial models are scored where scores are taken
        held_out = [split for split in report.triplets if split != "train"]
        for split in held_out or report.triplets:
            report.baselines[split] = two_afc_baselines(report.triplets[split], "votes", num_workers)


def _look_at_images(
    triplets: Mapping[Split, Triplets], num_workers: int, progress: Progress | None
) -> list[float | str]:
    """Return the transparent share of each image, or why it cannot be decoded."""
    sources = {
        name: image
        for t in triplets.values()
        for name, image in zip(t.stimuli.ids, t.stimuli.images, strict=True)
    }
    used = sorted({name for t in triplets.values() for name in t.used_names})

    def look(key: str) -> float | str:
        try:
            return transparent_share(pixels_of(sources[key], key))
        except DataError as error:
            return str(error)

    found: list[float | str] = []
    with ThreadPoolExecutor(max(1, num_workers)) as pool:
        for done, seen in enumerate(pool.map(look, used), start=1):
            if progress:
                progress(done, len(used))
            found.append(seen)
    return found


def describe_other_forms(judgments: Any, scored: Collection[Split], num_workers: int) -> Iterator[str]:
    """Yield what the data set has besides anchored triplets, split by split.

    scored: splits on which trivial models are scored as well; their images can be read.
    """
    for split in SPLITS:
        try:
            if isinstance(judgments, HasOddOneOut):
                yield _describe_odd_one_out(judgments, split, split in scored, num_workers)
            if isinstance(judgments, HasSamePairs):
                pairs = judgments.load_same_pairs(split)
                yield f'{split}: {len(pairs):,} same-or-different pairs, {pairs.base_rate:.1%} of answers "same"'
        except (DataError, UsageError):
            continue  # wrappers and sets that have this form in some splits, or around others, only


def _describe_odd_one_out(judgments: HasOddOneOut, split: Split, is_scored: bool, num_workers: int) -> str:
    whole = judgments.load_odd_one_out(split)
    known = ceiling(whole.votes)
    people = f"human ceiling {known[0]:.3f} to {known[1]:.3f}, " if known else ""
    baselines = odd_one_out_baselines(whole, num_workers) if is_scored else ()
    trivial = "".join(f"{baseline.name} {baseline.text}, " for baseline in baselines)
    return f"{split}: {len(whole):,} odd-one-out questions, {people}{trivial}chance 0.333"
