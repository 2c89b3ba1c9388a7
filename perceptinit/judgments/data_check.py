"""Look at human judgments before training on them: counts, files, duplicates, leaks, votes, ceilings."""

from __future__ import annotations

# N judgments
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from perceptinit.components.building import preflight
from perceptinit.errors import DataError, EmptySplitError
from perceptinit.files.checksums import file_sha256
from perceptinit.images.background import transparent_share
from perceptinit.images.encoded import pixels_of
from perceptinit.judgments.balance import balance
from perceptinit.judgments.baselines import Baseline, two_afc_baselines
from perceptinit.judgments.ceilings import MIN_VOTES, Bounds, ceiling_of_split
from perceptinit.judgments.forms.splits import SPLITS
from perceptinit.judgments.image_files import list_some
from perceptinit.judgments.other_forms import other_forms
from perceptinit.judgments.own.own_table import OwnTable
from perceptinit.types import DataCard, Split, Triplets

# an answer that is on one side for all of fewer judgments than this may be chance
MIN_CONSTANT = 20
HISTOGRAM_BINS = 10
# judgments that a test split should have: of fewer, 2AFC has a standard error above 5 points
MIN_TEST = 100

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

    def add(self, severity: Severity, messages: Iterator[str]) -> None:
        self.findings += [Finding(severity, message) for message in messages]


def check_judgments(
    judgments: Any, *, decode: bool = True, num_workers: int = 2, progress: Progress | None = None
) -> CheckReport:
    """Return what there is to know about a `judgments` component.

    decode: read every image once, to find those that cannot be.
    """
    report = CheckReport(judgments.name)
    report.add("error", iter(preflight(judgments)))
    for split in SPLITS:
        _load(judgments, split, report)
    for name, triplets in report.triplets.items():
        report.splits.append(summarize(judgments, name, triplets))
        report.add("warning", constant_answers(name, triplets))
        report.add("warning", repeated_questions(name, triplets))
        report.add("note", no_ceiling(report.splits[-1]))
    # whoever uses a published split can only know of its leaks
    is_published = isinstance(getattr(type(judgments), "card", None), DataCard)
    report.add("warning" if is_published else "error", leaks(report.triplets, _split_by(judgments)))
    report.add("warning", shared_anchors(report.triplets))
    report.add("note", shared_images(report.triplets))
    if report.triplets:
        report.add("warning", left_out(judgments))
        report.add("note", recommended_split(judgments, report.triplets))
    _balance(judgments, report)
    report.add("error", wrong_sums(judgments))
    if decode:
        shares, problems = look_at_images(report.triplets, num_workers, progress)
        report.add("error", unreadable(problems, len(shares) + len(problems)))
        report.add("note", transparent(shares, report.triplets))
        if not problems:
            report.baselines = _baselines(report.triplets, num_workers)
    report.add("note", other_forms(judgments, report.baselines, num_workers))
    return report


def _baselines(
    triplets: Mapping[Split, Triplets], num_workers: int
) -> dict[Split, tuple[Baseline, ...]]:
    """Return what trivial models score on the held-out splits, where scores are taken."""
    held_out: list[Split] = [split for split in triplets if split != "train"]
    held_out = held_out or list(triplets)
    return {
        split: two_afc_baselines(triplets[split], num_workers=num_workers) for split in held_out
    }


def _split_by(judgments: Any) -> str | None:
    return getattr(getattr(judgments, "config", None), "split_by", None)


def _load(judgments: Any, split: Split, report: CheckReport) -> None:
    try:
        report.triplets[split] = judgments.load(split)
    except DataError as error:
        told = any(str(error) in f.message or f.message in str(error) for f in report.findings)
        if not told:
            report.findings.append(Finding(_severity(split, error), str(error)))


def _severity(split: Split, error: DataError) -> Severity:
    """Return how bad it is that a split cannot be had: a set may have no val or test, or be for measuring only."""
    if split != "train":
        return "note"
    return "warning" if isinstance(error, EmptySplitError) else "error"


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


def pair_agreement(triplets: Triplets) -> float | None:
    """Return the chance that two different people who judged the same question agree, in [0, 1].

    Questions weigh by their votes; those with one vote say nothing. None when the others have fewer
    than `ceilings.MIN_VOTES` votes.
    """
    n = triplets.num_votes.astype(np.float64)
    k = np.rint(triplets.p_second * n)
    many = n > 1
    if n[many].sum() < MIN_VOTES:
        return None
    n, k = n[many], k[many]
    agree = (k * (k - 1) + (n - k) * (n - k - 1)) / (n * (n - 1))
    return float(np.average(agree, weights=n))


def constant_answers(split: str, triplets: Triplets) -> Iterator[str]:
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


def repeated_questions(split: str, triplets: Triplets) -> Iterator[str]:
    """Yield how many rows ask what an earlier row of the split asks."""
    if triplets.unit == "group" and not (triplets.num_votes > 1).any():
        return  # a row is what one person said: others may be asked the same
    count = len(triplets.stimuli)
    rows = len(triplets) - len(np.unique(_questions(triplets, np.arange(count), count)))
    if rows:
        yield (
            f"{split}: {rows:,} of {len(triplets):,} rows ask a question that is there already "
            "(same anchor, same two candidates); adding their votes up gives a truer ceiling"
        )


def no_ceiling(summary: SplitSummary) -> Iterator[str]:
    """Yield that a split does not tell how well people agree."""
    if summary.ceiling is None:
        yield (
            f"{summary.split}: no human ceiling is known: it takes {MIN_VOTES} votes on questions that two people or "
            "more answered themselves"
        )


def leaks(triplets: dict[Split, Triplets], split_by: str | None = None) -> Iterator[str]:
    """Yield the groups and the questions that two splits share: scores on them are flattered.

    split_by: what the splits were dealt by, if a recipe states it; people may be asked the same.
    """
    for a, b in _pairs_of_splits(triplets):
        shared = np.intersect1d(triplets[a].group, triplets[b].group)
        if len(shared):
            yield f"leak: {len(shared):,} groups are in both '{a}' and '{b}'"
        common = [] if split_by == "person" else _common_questions(triplets[a], triplets[b])
        if len(common):
            first = " / ".join(common[0])
            yield f"leak: {len(common):,} questions are in both '{a}' and '{b}', such as {first}"


def shared_anchors(triplets: dict[Split, Triplets]) -> Iterator[str]:
    """Yield how many anchors two splits share: allowed where the source splits by judgment."""
    for a, b in _pairs_of_splits(triplets):
        anchors = [
            {t.stimuli.ids[i] for i in np.unique(t.anchor)} for t in (triplets[a], triplets[b])
        ]
        common = anchors[0] & anchors[1]
        if common:
            yield (
                f"{len(common):,} of {len(anchors[1]):,} anchors of '{b}' are anchors in '{a}' as well: scores are "
                "about these images, not about unseen ones"
            )


def shared_images(triplets: dict[Split, Triplets]) -> Iterator[str]:
    """Yield how many images two splits share in any role."""
    used = {s: set(t.used_names) for s, t in triplets.items()}
    for a, b in _pairs_of_splits(triplets):
        common = used[a] & used[b]
        if common:
            yield f"{len(common):,} of {len(used[b]):,} images of '{b}' occur in '{a}' in some role"


def left_out(judgments: Any) -> Iterator[str]:
    """Yield how many judgments are in no split, because their images are in several."""
    if isinstance(judgments, OwnTable):
        rows = int((judgments.splits == "").sum())
        if rows:
            yield (
                f"{rows:,} of {len(judgments.splits):,} judgments are left out: their images are in several "
                'splits (split_by = "image")'
            )


def recommended_split(judgments: Any, triplets: dict[Split, Triplets]) -> Iterator[str]:
    """Yield what holding pictures out would take, where held-out judgments are about pictures seen in training."""
    held_out = [s for s in ("test", "val") if s in triplets]
    seen = set(triplets["train"].used_names) if "train" in triplets else set()
    if not (isinstance(judgments, OwnTable) and held_out and seen):
        return
    names = triplets[held_out[0]].used_names
    num_seen = sum(name in seen for name in names)
    if judgments.config.split_by is not None or not num_seen:
        return
    about = (
        f"{num_seen:,} of {len(names):,} pictures of '{held_out[0]}' are seen in training: scores say how well "
        "votes about these pictures are predicted. For a score about unseen pictures"
    )
    config = replace(judgments.config, split_by="image")
    try:
        splits = type(judgments)(config).splits
    except DataError:  # a column says what is held out
        yield f"{about}, say so in the column 'split' or leave it out and set split_by = \"image\""
        return
    counts = {s: int((splits == s).sum()) for s in SPLITS}
    listed = ", ".join(f"{count:,} {s}" for s, count in counts.items())
    few = " (few: raise test_share)" if counts["test"] < MIN_TEST else ""
    yield f'{about}, split_by = "image" leaves {listed} of {len(splits):,} judgments{few}'


def wrong_sums(judgments: Any) -> Iterator[str]:
    """Yield the files whose checksum is not the recorded one."""
    root = getattr(getattr(judgments, "config", None), "root", None)
    if root is None:
        return
    for name, recorded in sorted(judgments.card.sha256.items()):
        path = Path(root) / name
        if path.is_file() and file_sha256(path) != recorded:
            yield f"{path}: not the published file (sha256 {file_sha256(path)[:12]}..., recorded {recorded[:12]}...)"


def _balance(judgments: Any, report: CheckReport) -> None:
    """Add what a table of collected judgments says of sides and orders, as assigned and as answered."""
    path = getattr(getattr(judgments, "config", None), "path", None)
    if path is None or Path(path).suffix not in (".csv", ".tsv", ".parquet") or not report.triplets:
        return
    try:
        report.findings += [
            Finding("note" if is_fine else "warning", sentence)
            for is_fine, sentence in balance(Path(path))
        ]
    except DataError as error:
        report.findings.append(Finding("error", str(error)))


def look_at_images(
    triplets: dict[Split, Triplets], num_workers: int, progress: Progress | None
) -> tuple[list[float], list[str]]:
    """Return the transparent share of each image that can be decoded, and why others cannot be."""
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
    shares = [seen for seen in found if isinstance(seen, float)]
    return shares, [seen for seen in found if isinstance(seen, str)]


def unreadable(problems: Sequence[str], num_images: int) -> Iterator[str]:
    """Yield how many images cannot be decoded, and the first ones."""
    if problems:
        yield f"{len(problems):,} of {num_images:,} images cannot be read: {list_some(problems)}"


def transparent(shares: Sequence[float], triplets: dict[Split, Triplets]) -> Iterator[str]:
    """Yield how many images have transparent parts, how large these are, and what is put behind them."""
    concerned = [share for share in shares if share]
    if concerned:
        ground = next(iter(triplets.values())).stimuli.background
        yield (
            f"{len(concerned):,} of {len(shares):,} images have transparent parts, "
            f"{np.mean(concerned):.1%} of their pixels on average; behind them is put "
            f"#{bytes(ground).hex()} (key background)"
        )


def _pairs_of_splits(triplets: dict[Split, Triplets]) -> Iterator[tuple[Split, Split]]:
    names = list(triplets)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            yield a, b


def _questions(triplets: Triplets, number: np.ndarray, count: int) -> np.ndarray:
    """Return one number for each question, (N,), whatever the order of its candidates.

    number: (M,), what stimuli are called, below `count`.
    """
    anchor, first, second = (
        number[side] for side in (triplets.anchor, triplets.first, triplets.second)
    )
    return (anchor * count + np.minimum(first, second)) * count + np.maximum(first, second)


def _common_questions(a: Triplets, b: Triplets) -> list[list[str]]:
    """Return the questions that both ask, by name, in alphabetical order."""
    names = sorted({*a.stimuli.ids, *b.stimuli.ids})
    place = {name: i for i, name in enumerate(names)}
    numbers = [np.array([place[name] for name in t.stimuli.ids], np.int64) for t in (a, b)]
    count = len(names)
    asked = [
        np.unique(_questions(t, number, count)) for t, number in zip((a, b), numbers, strict=True)
    ]
    common = np.intersect1d(asked[0], asked[1], assume_unique=True).tolist()
    return [[names[q // count**2], names[q // count % count], names[q % count]] for q in common]
