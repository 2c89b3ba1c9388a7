"""The page docs/results/fewer-pairs.md, from the records of its runs alone (no module of the package is imported).

python benchmarks/studies/known_effects.py keep runs/fewer-pairs-* runs/simulated-pairs
python benchmarks/studies/fewer_pairs.py                     -> docs/results/fewer-pairs.md and its image
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import from_records as records
from beyond_labels import about, stage_1
from from_records import Answer, Difference, Runs
from when_pairs import emerged_by, fades_from, in_words, lead_of, read_curves

DOCS = Path(__file__).parents[2] / "docs"
KEPT = DOCS / "results"
PAGE = "fewer-pairs"
SCORE = "top1/aside"
DELTA = 0.01
NUM_SEEDS = 16
SIZES = {size: f"{PAGE}-{size}" for size in (125, 250, 500, 1000)}
PLANNED = SIZES[250]
CAPTIONED = f"{PAGE}-captioned-250"
SIMULATED = "simulated-pairs"
NUM_SIMULATED = 5  # seeds of simulated_pairs.toml
ARMS = ("random", "people", "labels", "shuffled", "pixels")
OTHERS = ARMS[2:]  # their intervals are simultaneous; people - random is the first contrast of the plan
SHARES = (0, 5, 20, 50)  # percent of wrong class labels in the simulated world
HEAD = [
    "arm", "top-1, %", "- random, points [95 %]", "- labels, points [95 %]", "2AFC before, after stage 1", "spread after", "seeds",
]  # fmt: skip

TITLE = "Does stage 1 help when pairs are few?"

QUESTION = """When image-text pairs are few, does stage 1 on people's labels help, until when, and more than stage 1 on class labels?
Stage 1 is that of [few-pairs](few-pairs.md): two epochs of 21,000 triplets of 7,000 CIFAR-10 images. `people` learns from
triplets that the labels of about 51 people per image answer (CIFAR-10H), `labels` from as many that class labels answer, `shuffled`
and `pixels` from those of people with other answers. CLIP then sees 17,500 pairs, 250 different ones. Score: zero-shot top-1 on
10,000 images that are in neither set and chose no settings; chance is 10 %."""

LIMITS = """* Random triplets with people's labels agree with class labels in 99.9 % of those that labels decide. A lead over random can
  therefore be that of 7,000 more images with class labels; people - labels asks for more than these.
* A lead that is largest early and fades can be a faster start and not a better end. Training ends after 17,500 pairs.
* `random` has no stage 1, so every other arm takes more computation than it and sees 7,000 images without captions.
* The network is a ViT of 0.8 million parameters on 32-pixel images, at one learning rate, chosen before on other images.
* The answers are computed from labels that people gave to single images, not from direct similarity judgments.
* Captions are templates with the name of the class, so pairs contain class labels."""

PLANNED_TOO = {  # experiments that the plan has, and what they are
    SIZES[125]: "125 pairs",
    SIZES[500]: "500 pairs",
    SIZES[1000]: "1,000 pairs",
    CAPTIONED: "no stage 1 but its 7,000 images with captions among 250 pairs (`captioned`, a reference for information)",
}

SIMULATION = """In a simulated world, images show an object with one of eight shapes, its class. 51 people label each image, and
class labels of a planted share of the images of stage 1 are wrong, so that only people know their class. All else is as above, with
a network of 0.4 million parameters and 5,000 test images; chance is 12.5 %.

**15 of the 30 runs were repeated after their scores were seen.** When all runs had finished, those with 5, 20 and 50 % had the
scores of 0 %: the wrong labels were in a column that stage 1 does not read. The column was corrected, and these 15 runs were
removed and repeated. The other 15 and the plan did not change."""

RERUN = """```console
python recipes/known_effects/prepare.py FOLDER data/known_effects
python recipes/known_effects/prepare_fewer_pairs.py FOLDER data/known_effects
perceptinit run recipes/known_effects/fewer_pairs_250.toml --jobs 2
python benchmarks/studies/known_effects.py keep runs/fewer-pairs-* runs/simulated-pairs
perceptinit compare recipes/known_effects/fewer_pairs_250.toml --out docs/results --when
python benchmarks/studies/fewer_pairs.py
```

The simulated world, before `keep`, with the environment variable `KNOWN_EFFECTS` set to `data/simulated-pairs`:

```console
python recipes/known_effects/prepare_simulated_pairs.py data/simulated-pairs
perceptinit run recipes/known_effects/simulated_pairs.toml --jobs 2
```"""


def load() -> dict[str, Runs]:
    """Return the runs of each experiment that has records."""
    names = (*SIZES.values(), CAPTIONED, SIMULATED)
    return {name: runs for name in names if (runs := records.read_runs(KEPT / name))}


def contrast(runs: Runs, arm: str, reference: str, num_family: int = 1) -> Difference | None:
    return records.difference(records.paired(runs, arm, reference), SCORE, num_family)


def page(found: Mapping[str, Runs], kept: Path) -> str:
    """Return the page. kept: folder of the records, for scores during training."""
    runs = found[PLANNED]
    parts = [
        f"# {TITLE}",
        records.box(*box(runs)),
        QUESTION,
        f"![Lead over random in top-1 by samples seen, with 250 pairs.](../images/{PAGE}.svg)",
        "Points above random with 250 pairs; bands are 95 % intervals over seeds at each evaluation.",
        f"**{answer(runs)}**",
        "## Results",
        f"250 pairs, seeds {', '.join(map(str, records.seeds_of(runs)))}; mean ± standard error over seeds. Intervals are over "
        f"seeds and images; those of {', '.join(OTHERS)} against random are simultaneous.",
        records.markdown(HEAD, rows(found)),
        "## When does the lead emerge?",
        when(runs, kept / PLANNED),
        *by_size(found),
        *simulation(found),
        "## What this does not say",
        "\n".join([LIMITS, *not_run(found)]),
        "## Rerun",
        RERUN,
        about(runs, PLANNED),
    ]
    return "\n\n".join(parts) + "\n"


def not_run(found: Mapping[str, Runs]) -> Iterator[str]:
    """Yield a sentence on the planned experiments without runs; nothing if all have been run."""
    missing = [text for name, text in PLANNED_TOO.items() if name not in found]
    if missing:
        yield f"* Planned to describe, and not run for want of time: {'; '.join(missing)}."


def box(runs: Runs) -> Iterator[Answer]:
    """Yield the rows of the box: people - labels is tested if people - random is decided."""
    first, second = (contrast(runs, "people", reference) for reference in ("random", "labels"))
    yield Answer(
        TITLE,
        records.word(records.answer(first, DELTA)),
        records.number(first, "people - random"),
        "longer training, because the lead fades; a larger network; photographs with sentences of people",
    )
    if first is not None and first.is_decided:
        yield Answer(
            "And more than stage 1 on class labels?",
            records.word(records.answer(second, DELTA)),
            records.number(second, "people - labels"),
            "images whose class only people know, direct judgments of similarity",
        )


def answer(runs: Runs) -> str:
    """Return the answer by the plan: people - random, then people - labels if the first is decided."""
    first = contrast(runs, "people", "random")
    if first is None:
        return "Not answered: fewer than two seeds."
    outcome = records.answer(first, DELTA)
    begin = {"better": "Yes", "worse": "No, it costs accuracy", "equivalent": "No"}.get(outcome, "Undecided")
    is_open = outcome in ("better", "worse") and min(abs(first.low), abs(first.high)) < DELTA
    end = "; whether by more than 1 point is open" if is_open else ""
    lead = f"people - random is {first.text(100, 1)} points of top-1, {first.num_seeds} seeds{end}"
    text = f"{begin}: with 250 pairs, {lead}."
    if not first.is_decided:
        return f"{text} The half-width is {50 * (first.high - first.low):.1f}. People - labels is not tested."
    second = contrast(runs, "people", "labels")
    if second is None:
        return text
    more = {
        "better": "It helps more than class labels",
        "worse": "It helps less than class labels",
        "equivalent": "It does not differ from class labels by more than 1 point",
    }.get(records.answer(second, DELTA), "Whether it helps more than class labels is undecided")
    return f"{text} {more}: people - labels {second.text(100, 1)}.{without_people(runs)}"


def without_people(runs: Runs) -> str:
    """Return a sentence on triplets answered by pixels, if they are better than random."""
    fresh, against = contrast(runs, "pixels", "random", len(OTHERS)), contrast(runs, "people", "pixels")
    if fresh is None or against is None or records.answer(fresh, DELTA) != "better":
        return ""
    return (
        f" The same triplets answered by pixels are better than random too ({fresh.text(100, 1)}); "
        f"people - pixels, not planned, is {records.answer(against, DELTA)}: {against.text(100, 1)}."
    )


def rows(found: Mapping[str, Runs]) -> Iterator[list[str]]:
    """Yield the row of each arm with 250 pairs and that of the captioned images."""
    runs = found[PLANNED]
    for arm in ARMS:
        fresh = contrast(runs, arm, "random", len(OTHERS) if arm in OTHERS else 1)
        labels = contrast(runs, arm, "labels") if arm == "people" else None
        learned = [stage_1(runs, arm, f"2afc_val_{moment}", 100, 1) for moment in ("before", "after")]
        scores = records.values_of(runs, arm, SCORE)
        yield [
            arm,
            records.mean_text(scores, 100, 1),
            fresh.text(100, 1) if fresh and arm != "random" else "",
            labels.text(100, 1) if labels else "",
            ", ".join(filter(None, learned)),
            stage_1(runs, arm, "spread_after"),
            str(len(scores)),
        ]
    captioned = found.get(CAPTIONED)
    if captioned:
        pairs = records.across(captioned, "random", runs, "random")
        scores = records.values_of(captioned, "random", SCORE)
        against = records.difference(pairs, SCORE)
        text = against.text(100, 1) if against else ""
        yield ["captioned", records.mean_text(scores, 100, 1), text, "", "", "", str(len(scores))]


def when(runs: Runs, folder: Path) -> str:
    """Return when the leads emerge and fade, by the rule of `perceptinit compare --when`."""
    curves = read_curves(folder, SCORE)
    lines = [
        "The rule is that of [`compare --when`](../compare.md#when-a-lead-emerges), in samples seen; leads in points.\n"
    ]
    for arm, reference in (
        ("people", "random"),
        ("labels", "random"),
        ("people", "labels"),
        ("people", "shuffled"),
    ):
        lead = lead_of(curves, arm, reference)
        last = contrast(runs, arm, reference)
        ends_ahead = None if last is None else last.is_decided and last.mean > 0
        text = in_words(lead, emerged_by(lead, ends_ahead=ends_ahead), fades_from(lead))
        lines.append(f"* {arm} - {reference}: {text}")
    return "\n".join(lines)


def by_size(found: Mapping[str, Runs]) -> Iterator[str]:
    """Yield a table of the number of pairs, if there are runs with others than 250."""
    sizes = {size: found[name] for size, name in SIZES.items() if name in found}
    if len(sizes) > 1:
        yield "## With other numbers of pairs"
        yield (
            "These rows describe; each interval is at 95 % and uncorrected. One stage 1 of each arm and seed serves all sizes."
        )
        head = [
            "pairs",
            "random, %",
            *(f"{arm} - random, points" for arm in ARMS[1:]),
            "people - labels, points",
            "seeds",
        ]
        yield records.markdown(head, (size_row(size, runs) for size, runs in sizes.items()))


def size_row(size: int, runs: Runs) -> list[str]:
    scores = records.values_of(runs, "random", SCORE)
    pairs = [*((arm, "random") for arm in ARMS[1:]), ("people", "labels")]
    texts = [found.text(100, 1) if (found := contrast(runs, *pair)) else "" for pair in pairs]
    return [f"{size:,}", records.mean_text(scores, 100, 1), *texts, str(len(scores))]


def simulation(found: Mapping[str, Runs]) -> Iterator[str]:
    """Yield what the design finds in a simulated world."""
    runs = found.get(SIMULATED)
    if not runs:
        return
    yield "## What would this design find?"
    yield SIMULATION
    yield f"**{simulated_answer(runs)}**"
    head = [
        "wrong class labels",
        "labels, %",
        "people - labels, points [95 %]",
        "answer",
        f"shown with {NUM_SEEDS} seeds",
    ]
    yield records.markdown(head, (simulated_row(runs, share) for share in SHARES))
    scores = {
        arm: records.mean_text(records.values_of(runs, arm, SCORE), 100, 1) for arm in ("random", "people")
    }
    fresh = contrast(runs, "people", "random")
    lead = f"{fresh.text(100, 1)} points, {records.answer(fresh, DELTA)}" if fresh else "not known"
    yield (
        f"random {scores['random']} %, people {scores['people']} %; people - random {lead}; {NUM_SIMULATED} seeds. Where no label is wrong, better or worse would be a false answer or an effect of "
        f"people's doubt. The last column is the power of Student's t test over {NUM_SEEDS} seeds for the observed difference and deviation."
    )


def simulated_answer(runs: Runs) -> str:
    """Return the planted shares in which people are better than class labels."""
    outcomes = {share: simulated_outcome(runs, share) for share in SHARES}
    better = [f"{share} %" for share, outcome in outcomes.items() if outcome == "better"]
    rest = ", ".join(f"{share} % {outcome}" for share, outcome in outcomes.items() if outcome != "better")
    shares = (
        f"better with planted shares of {', '.join(better)}"
        if better
        else "not shown to be better with any share"
    )
    return f"People - labels: {shares}{f' ({rest})' if rest else ''}."


def simulated_outcome(runs: Runs, share: int) -> str:
    return records.answer(contrast(runs, "people", f"labels-{share}"), DELTA)


def simulated_power(runs: Runs, arm: str) -> float:
    leads = [a.scores[SCORE] - b.scores[SCORE] for a, b in records.paired(runs, "people", arm)]
    return records.power(leads, NUM_SEEDS)


def simulated_row(runs: Runs, share: int) -> list[str]:
    arm = f"labels-{share}"
    against = contrast(runs, "people", arm)
    return [
        f"{share} %",
        records.mean_text(records.values_of(runs, arm, SCORE), 100, 1),
        against.text(100, 1) if against else "",
        simulated_outcome(runs, share),
        f"{100 * simulated_power(runs, arm):.0f} %" if against else "",
    ]


def leads(folder: Path) -> dict[str, records.Line]:
    """Return the lead of each arm over random in points, with its interval at each evaluation."""
    curves = read_curves(folder, SCORE)
    lines = {}
    for arm in ARMS[1:]:
        lead = lead_of(curves, arm, "random")
        low, high = (100 * limit for limit in lead.limits(0.95))
        lines[arm] = records.Line(lead.counts, 100 * lead.values.mean(axis=1), low, high)
    return lines


def write() -> None:
    """Write the page and its image."""
    image = records.line_plot(
        leads(KEPT / PLANNED), "points of top-1 above random, by samples seen, 250 pairs"
    )
    (DOCS / "images" / f"{PAGE}.svg").write_text(image, encoding="utf-8")
    (KEPT / f"{PAGE}.md").write_text(page(load(), KEPT), encoding="utf-8")


if __name__ == "__main__":
    write()
