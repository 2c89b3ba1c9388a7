"""Tables of the pages that scripts write whole, rebuilt a second time with other formulas (the package is not imported).

    python benchmarks/studies/rebuilt_pages.py      -> the number of compared cells by page, and each difference

The scripts of these pages read records with from_records.py. Here, intervals over seeds and images come from mean squares,
and the values of images are those of the score in question.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
from from_records import read_items
from rebuilt_cells import KEPT, NUMBER, Row, level_of_looks, renumbered, tables, word_of
from scipy import optimize, stats

RATES = ("3e-4", "1e-3", "3e-3")
SIZES = {"250": "beyond-labels", "1,000": "beyond-labels-1000"}
LOSS, TOP_1, FEW = "cross-entropy/shares", "top1/aside", "accuracy/few-labels"
PEAK = "top1/at-peak"


@cache
def runs(folder: str, arm: str) -> Mapping[int, tuple[dict[str, float], dict[str, float], Path]]:
    """Return the final scores, the metrics of stage 1 and the folder of each finished run of an arm, by seed."""
    found = {}
    for path in sorted((KEPT / folder / arm).glob("seed*/record.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["status"] == "finished":
            last = {row["name"]: row["value"] for row in record["scores"]}
            metrics = {name: value for stage in record["init"] for name, value in stage["metrics"].items()}
            found[record["seed"]] = last, metrics, path.parent
    return found


def text_of(values: Sequence[float], factor: float = 1.0, digits: int = 3) -> str:
    """Return a mean with its standard error over seeds."""
    if not values:
        return ""
    error = np.std(values, ddof=1) / len(values) ** 0.5
    middle = np.mean(factor * np.asarray(values))  # scaled first, as some means are halfway between two texts
    return f"{middle:.{digits}f} ± {factor * error:.{digits}f}"


def value(folder: str, score: str, arm: str, factor: float = 100, digits: int = 1) -> str:
    return text_of([scores[score] for scores, *_ in runs(folder, arm).values()], factor, digits)


def stage(folder: str, metric: str, arm: str, factor: float = 1, digits: int = 3) -> str:
    found = [metrics[metric] for _, metrics, _ in runs(folder, arm).values() if metric in metrics]
    return text_of(found, factor, digits)


def learned(folder: str, arm: str) -> str:
    """Return 2AFC before and after stage 1; empty without stage 1."""
    texts = [stage(folder, f"2afc_val_{moment}", arm, 100, 1) for moment in ("before", "after")]
    return ", ".join(filter(None, texts))


def differences_of(
    first: tuple[str, str], second: tuple[str, str], score: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return differences by seed (S,), and by seed and image (S, N) if the values of images are saved."""
    own, others = runs(*first), runs(*second)
    seeds = sorted(own.keys() & others.keys())
    by_seed = np.array([own[seed][0][score] - others[seed][0][score] for seed in seeds])
    items = [(read_items(own[seed][2]), read_items(others[seed][2])) for seed in seeds]
    if not all(score in each for pair in items for each in pair):
        return by_seed, None
    return by_seed, np.array([a[score] - b[score] for a, b in items])


def limits(by_seed: np.ndarray, by_image: np.ndarray | None, num_family: float) -> tuple[float, float, float]:
    """Return a mean with the limits of its interval; over seeds and images by the mean squares of the two-way layout."""
    num, middle = len(by_seed), float(by_seed.mean())
    variance, degrees = float(by_seed.var(ddof=1)) / num, num - 1.0
    if by_image is not None:
        images = by_image.shape[1]
        rows, columns, grand = (
            by_image.mean(1, keepdims=True),
            by_image.mean(0, keepdims=True),
            by_image.mean(),
        )
        squares = {
            "seeds": (images * ((rows - grand) ** 2).sum(), num - 1),
            "images": (num * ((columns - grand) ** 2).sum(), images - 1),
            "both": (((by_image - rows - columns + grand) ** 2).sum(), (num - 1) * (images - 1)),
        }
        parts = {name: total / free / num / images for name, (total, free) in squares.items()}
        variance = max(parts["seeds"] + parts["images"] - parts["both"], parts["seeds"], parts["images"])
        spread = sum(parts[name] ** 2 / free for name, (_, free) in squares.items())
        degrees = max(variance**2 / spread, num - 1)
    reach = stats.t.ppf(1 - 0.025 / num_family, degrees) * variance**0.5
    return middle, middle - reach, middle + reach


def lead(
    first: tuple[str, str], second: tuple[str, str], score: str, num_family: float = 1, points: bool = True
) -> str:
    """Return a difference with its interval, in points or in the unit of the score."""
    factor, digits = (100, 1) if points else (1, 3)
    found = limits(*differences_of(first, second, score), num_family)
    middle, low, high = (f"{factor * each:+.{digits}f}" for each in found)
    return f"{middle} [{low}, {high}]"


def outcome(
    first: tuple[str, str],
    second: tuple[str, str],
    score: str,
    lower_is_better: bool = False,
    num_family: float = 1,
) -> str:
    """Return the answer by the rule of docs/compare.md with delta 0.01; the sign-flip test counts from six seeds on."""
    by_seed, by_image = differences_of(first, second, score)
    middle, low, high = limits(by_seed, by_image, num_family)
    is_seen = low > 0 or high < 0
    if len(by_seed) >= 6:
        is_seen &= sign_flips(by_seed) <= 0.05 / num_family
    word = "better" if (middle < 0) == lower_is_better else "worse"
    if low > -0.01 and high < 0.01:
        return "equivalent (better by less than 0.01)" if is_seen and word == "better" else "equivalent"
    return word if is_seen else "undecided"


def sign_flips(by_seed: np.ndarray) -> float:
    """Return the share of all signs of differences whose sum is at least as far from 0."""
    half = len(by_seed) // 2
    first, second = (
        np.array([*product((1, -1), repeat=len(part))]) @ part for part in (by_seed[:half], by_seed[half:])
    )
    sums = np.abs(first[:, None] + second)  # half of the signs each, as all at once need 3 GB for 24 seeds
    return float((sums >= abs(by_seed.sum()) - 1e-12).mean())


def power(first: tuple[str, str], second: tuple[str, str], score: str, num: int, sign: int = 1) -> str:
    """Return the power of Student's t test over seeds for the observed difference and deviation."""
    values = sign * differences_of(first, second, score)[0]
    shift = values.mean() / values.std(ddof=1) * num**0.5
    return f"{100 * stats.nct.sf(stats.t.ppf(0.975, num - 1), num - 1, shift):.0f} %"


def ladder(head: Row, rows: Sequence[Row], title: str) -> Iterator[Row]:
    for arm, *_ in rows:
        num = 1 if arm == "imagenet-people" else len(rows) - 2
        against = "" if arm == "imagenet" else lead(("ladder", arm), ("ladder", "imagenet"), FEW, num)
        own = [value("ladder", name, arm) for name in (FEW, f"{FEW}-as-trained", "2afc/materials")]
        yield [arm, own[0], against, *own[1:], stage("ladder", "spread_after", arm)]


def ladder_frozen(head: Row, rows: Sequence[Row], title: str) -> Iterator[Row]:
    name = "ladder-frozen-96" if title.startswith("96") else "ladder-frozen"
    for arm, *_ in rows:
        num = 1 if arm == "people" else len(rows) - 2
        pair = (name, arm), (name, "imagenet")
        against = "" if arm == "imagenet" else lead(*pair, f"{FEW}-as-trained", num)
        own = [value(name, score, arm) for score in (f"{FEW}-as-trained", "2afc/materials")]
        yield [arm, own[0], against, own[1], stage(name, "spread_after", arm)]


def fewer_pairs(head: Row, rows: Sequence[Row], title: str) -> Iterator[Row]:
    folder, simulated = "fewer-pairs-250", "simulated-pairs"
    for arm, *_ in rows:
        if head[0] == "wrong class labels":
            pair = (simulated, "people"), (simulated, f"labels-{arm.removesuffix(' %')}")
            own = value(simulated, TOP_1, pair[1][1])
            yield [arm, own, lead(*pair, TOP_1), outcome(*pair, TOP_1), power(*pair, TOP_1, 16)]
            continue
        num = 1 if arm == "people" else len(rows) - 2
        fresh = "" if arm == "random" else lead((folder, arm), (folder, "random"), TOP_1, num)
        labels = lead((folder, arm), (folder, "labels"), TOP_1) if arm == "people" else ""
        spread = stage(folder, "spread_after", arm)
        yield [
            arm,
            value(folder, TOP_1, arm),
            fresh,
            labels,
            learned(folder, arm),
            spread,
            str(len(runs(folder, arm))),
        ]


@cache
def family_of_looks() -> float:
    """Return the number of contrasts whose Bonferroni level is that of looks at 10 to 24 seeds."""
    return 0.05 / (1 - level_of_looks(10, 24))


def few_pairs_peak(head: Row, rows: Sequence[Row], title: str) -> Iterator[Row]:
    folder, looks = "few-pairs-peak", family_of_looks()
    is_open = True
    for name, *_ in rows:
        if head[0] == "contrast":
            pair = (folder, "people"), (folder, name.removeprefix("people - "))
            by_seed, _ = differences_of(*pair, PEAK)
            found = outcome(*pair, PEAK, num_family=looks).partition(" (")[0] if is_open else "not tested"
            is_open &= found not in ("undecided", "not tested")
            yield [name, lead(*pair, PEAK, looks), found, f"{sign_flips(by_seed):.3f}", lead(*pair, TOP_1)]
            continue
        pair = (folder, name), (folder, "random")
        records = [
            json.loads((each / "record.json").read_text("utf-8")) for *_, each in runs(*pair[0]).values()
        ]
        chosen = [
            [s["extra"]["chosen_at"] for s in each["scores"] if s["name"] == PEAK][-1] for each in records
        ]
        yield [
            name,
            value(folder, PEAK, name),
            "" if name == "random" else lead(*pair, PEAK, looks),
            value(folder, TOP_1, name),
            "" if name == "random" else lead(*pair, TOP_1),
            f"{np.median(chosen):,.0f} ({min(chosen):,} to {max(chosen):,})",
            learned(folder, name),
            stage(folder, "spread_after", name),
            str(len(chosen)),
        ]


def simulated_share(head: Row, rows: Sequence[Row], title: str) -> Iterator[Row]:
    for share, *_ in rows:
        folder = f"simulated-{share.removesuffix(' %')}"
        pairs = [((folder, "people"), (folder, arm)) for arm in ("classes", "table")]
        after = [stage(folder, "2afc_val_after", arm, 100, 1) for arm in ("classes", "table")]
        yield [
            share,
            *(value(folder, LOSS, arm, 1, 3) for arm in ("people", "classes", "table")),
            *(lead(*pair, LOSS, points=False) for pair in pairs),
            ", ".join(outcome(*pair, LOSS, lower_is_better=True) for pair in pairs),
            ", ".join(power(*pair, LOSS, 7, sign=-1) for pair in pairs),
            learned(folder, "people"),
            *after,
        ]


def drawings(head: Row, rows: Sequence[Row], title: str) -> Iterator[Row]:
    names = ("image_recall_10/titles", "image_recall_1/titles", "text_recall_10/titles", "top1/topics")
    record = json.loads(next((KEPT / "drawings/random").glob("*/record.json")).read_text(encoding="utf-8"))
    chances = {row["name"]: f"{100 * row['chance']:.1f}" for row in record["scores"]}
    for arm, *_ in rows:
        yield [arm, *(chances[name] if arm == "chance" else value("drawings", name, arm) for name in names)]


def beyond_labels(head: Row, rows: Sequence[Row], title: str) -> Iterator[Row]:
    name = SIZES[title.split()[0]]
    for arm, *_ in rows:
        if "tuning" in head[1]:
            folders = {rate: name if rate == "3e-4" else f"{name}-rate-{rate}" for rate in RATES}
            losses = {
                rate: value(folder, "tuning_loss/shares", arm, 1, 3) for rate, folder in folders.items()
            }
            best = min(losses, key=lambda rate: float(losses[rate].split()[0]))
            yield [arm, *losses.values(), f"{value(folders[best], LOSS, arm, 1, 3)} ({best})"]
            continue
        folder = "beyond-labels-table" if arm == "table" else name
        own, unplanned = (folder, arm), arm == "table"
        num = 1 if arm == "people" else 4
        classes = lead(own, (name, "classes"), LOSS, num, False) if arm != "classes" and not unplanned else ""
        fresh = lead(own, (name, "random"), LOSS, 6, False) if arm != "random" and not unplanned else ""
        yield [
            arm,
            value(folder, LOSS, arm, 1, 3),
            classes,
            fresh,
            value(folder, "accuracy/shares", arm),
            value(folder, "calibration_error/shares", arm, 1, 3),
            learned(folder, arm),
            stage(folder, "spread_after", arm),
            value(folder, "2afc/ties", arm),
            value(folder, "2afc/people", arm),
        ]


def no_answers(head: Row, rows: Sequence[Row], title: str) -> Iterator[Row]:
    name = "no-answers"
    for arm, *_ in rows:
        against = "" if arm == "random" else lead((name, arm), (name, "random"), LOSS, points=False)
        kept = share_text(arm) if arm not in ("people", "random") and people_help() else ""
        yield [
            arm,
            value(name, LOSS, arm, 1, 3),
            against,
            kept,
            value(name, "accuracy/shares", arm),
            learned(name, arm),
            stage(name, "spread_after", arm),
            str(len(runs(name, arm))),
        ]


def people_help() -> bool:
    return outcome(("no-answers", "people"), ("no-answers", "random"), LOSS, lower_is_better=True) == "better"


def share_limits(arm: str, reference: str = "random") -> tuple[float, float, float]:
    """Return the gain of an arm as a share of people's gain with Fieller's limits: where Student's t is critical."""
    name = "no-answers"
    part = -differences_of((name, arm), (name, reference), LOSS)[0]
    whole = -differences_of((name, "people"), (name, "random"), LOSS)[0]
    critical = stats.t.ppf(1 - 0.05 / 3 / 2, len(part) - 1)

    def excess(ratio: float) -> float:
        rest = part - ratio * whole
        return abs(rest.mean()) - critical * stats.sem(rest)

    middle = part.mean() / whole.mean()
    if whole.mean() <= critical * stats.sem(whole):
        return middle, -np.inf, np.inf
    low, high = (optimize.brentq(excess, middle, middle + far) for far in (-1e3, 1e3))
    return middle, low, high


def share_text(arm: str, reference: str = "random") -> str:
    middle, low, high = share_limits(arm, reference)
    limits = f"{100 * low:.0f}, {100 * high:.0f}" if np.isfinite(low) else "unbounded"
    return f"{100 * middle:.0f} % [{limits}]"


def box_of_shares(rows: Sequence[Row]) -> Iterator[Row]:
    """Yield the rows of the box of no-answers, one for each control."""
    for arm, (question, _, _, change) in zip(("shuffled", "views", "pixels"), rows, strict=True):
        _, low, high = share_limits(arm)
        words = {low > 1: "more than all", high < 0: "none, it costs", low <= 0 <= high: "undecided"}
        word = words.get(True) or ("a part" if high < 1 else "a part or all")
        yield [
            question,
            word,
            f"{share_text(arm)} of people's gain, {len(runs('no-answers', arm))} seeds",
            change,
        ]


def boxes(page: str, rows: Sequence[Row]) -> Iterator[Row]:
    """Yield the rows of the box of a page. Recall of drawings above chance is an interval over seeds."""
    if page == "no-answers" and people_help():
        yield from box_of_shares(rows)
        return
    score = SCORES[page]
    for question, shown, number, change in rows:
        told = NUMBER.fullmatch(number)
        planted = re.search(r"with (\d+) % planted", told["rest"])
        folder = f"simulated-{planted[1]}" if planted else FOLDERS.get(page, page)
        if "at 96 pixels" in question:
            folder = "ladder-frozen-96"
        other = "beyond-labels-table" if page == "beyond-labels" and told["reference"] == "table" else folder
        pair, nats = ((folder, told["arm"]), (other, told["reference"])), score == LOSS
        if told["reference"] == "chance":
            text = renumbered(number, above_chance(*pair[0], score), len(runs(*pair[0])))
            yield [question, shown, text, change]
            continue
        num = family_of_looks() if score == PEAK else 1
        mean, interval = lead(*pair, score, num, points=not nats).split(" ", 1)
        own = f"{mean} {'nats' if nats else 'points'} {interval}"
        num_seeds = len(differences_of(*pair, score)[0])
        word = word_of(outcome(*pair, score, nats, num).partition(" (")[0], shown)
        yield [question, word, renumbered(number, own, num_seeds), change]


def above_chance(folder: str, arm: str, score: str) -> str:
    """Return the mean of a score minus chance in points, with the interval over seeds."""
    values = [scores[score] - CHANCE_OF_RECALL for scores, *_ in runs(folder, arm).values()]
    middle, low, high = (f"{100 * each:+.1f}" for each in limits(np.array(values), None, 1))
    return f"{middle} points [{low}, {high}]"


PAGES = {
    "beyond-labels": beyond_labels,
    "drawings": drawings,
    "few-pairs-peak": few_pairs_peak,
    "fewer-pairs": fewer_pairs,
    "ladder": ladder,
    "ladder-frozen": ladder_frozen,
    "no-answers": no_answers,
    "simulated-share": simulated_share,
}
CHANCE_OF_RECALL = 10 / 500  # ten of 500 drawings
FOLDERS = {"fewer-pairs": "fewer-pairs-250"}  # of boxes, if not the name of the page
SCORES = {
    "beyond-labels": LOSS,
    "drawings": "image_recall_10/titles",
    "few-pairs-peak": PEAK,
    "fewer-pairs": TOP_1,
    "ladder": FEW,
    "ladder-frozen": f"{FEW}-as-trained",
    "no-answers": LOSS,
    "simulated-share": LOSS,
}
# a contrast in a list: page, score, whether in points
LISTED = {
    "beyond-labels": (LOSS, False),
    "ladder": (FEW, True),
    "ladder-frozen": (f"{FEW}-as-trained", True),
}


def listed(page: str, text: str) -> Iterator[tuple[str, str]]:
    """Yield contrasts in lists, such as `* people - random: +0.8 [...]`, and their rebuilt texts."""
    score, points = LISTED[page]
    sizes = (
        re.split(r"\*\*([\d,]+) labeled photographs\*\*", text) if page == "beyond-labels" else ["", "", text]
    )
    for size, part in zip(sizes[1::2], sizes[2::2], strict=True):
        name = SIZES[size] if size else page
        for arm, reference, shown, rest in re.findall(
            r"^\* ([\w-]+) - ([\w-]+): (\S+ \[.*?\])(.*)$", part, re.MULTILINE
        ):
            family = re.search(r"simultaneous over (\d)", rest)
            folder = "beyond-labels-table" if reference == "table" else name
            pair = (name, arm), (folder, reference)
            yield f"{arm} - {reference}: {shown}", lead(*pair, score, int(family[1]) if family else 1, points)


def differences(page: str) -> tuple[int, list[str]]:
    """Return the number of compared cells and contrasts of a page, and a message for each that differs."""
    count, found = 0, []
    text = (KEPT / f"{page}.md").read_text(encoding="utf-8")
    for title, (head, _, *rows) in tables(text):
        rebuilt = boxes(page, rows) if head[0] == "question" else PAGES[page](head, rows, title)
        for row, expected in zip(rows, rebuilt, strict=True):
            for column, cell, own in zip(head, row, expected, strict=True):
                count += 1
                if cell != own:
                    found.append(f"{page}, {row[0]}, {column}: {cell}, rebuilt {own}")
    for shown, own in listed(page, text) if page in LISTED else ():
        count += 1
        if not shown.endswith(own):
            found.append(f"{page}, {shown}, rebuilt {own}")
    return count, found


if __name__ == "__main__":
    for each in PAGES:
        number, wrong = differences(each)
        print("\n".join([f"{each}: {number} cells, {len(wrong)} differ", *wrong]))
