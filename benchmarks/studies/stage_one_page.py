"""The page docs/results/stage-one.md, from the records of its runs alone (no module of the package is imported).

    python benchmarks/studies/stage_one_page.py     -> docs/results/stage-one.md; prints its row for docs/results.md

stage_one.py makes the records, and stage_one_plan.md is the plan.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import from_records
import numpy as np
from from_records import Answer
from scipy import stats

STUDIES = Path(__file__).parent
RECORDS = STUDIES.parent / "results" / "stage_one.jsonl"
PAGE = STUDIES.parents[1] / "docs" / "results" / "stage-one.md"
NUM_PLANNED = 20
# points of the plan's rule
MAX_HALF_WIDTH = 2.5
MIN_MEAN = -0.5
CHEAP = 0.5  # CPU seconds of the call, as a share of those of the loop
OVERLAP = 40 / 60  # unseen and training images of a split of materials (Nadeau and Bengio 2003)
NETWORKS = {
    "lite0": "EfficientNet-Lite0, ImageNet",
    "alexnet": "AlexNet trunk, BAPPS",
    "random-vit": "ViT, random",
    "random-resnet": "ResNet, random",
}
SETS = {"materials": "materials", "cifar10h": "CIFAR-10H"}
CALL, LOOP, FIXED, BEFORE = "default", "loop", "fixed loop", "untouched"
OTHERS = ("last blocks", "linear")
HEAD = [
    "network",
    "trained on",
    "scored on",
    "before, %",
    "rate, steps of loop",
    "loop, %",
    "call, %",
    "call - loop, points [95 %]",
    "CPU s of loop",
    "CPU s of call",
    "better, or half the CPU s",
]
OTHER_HEAD = [
    "network",
    "method",
    "trained on",
    "scored on",
    "2AFC, %",
    "- loop, points [95 %]",
    "CPU s",
]
LOOP_HEAD = [
    "network",
    "trained on",
    "loop",
    "rate, steps",
    "2AFC on unseen images of this set, %",
    "opponent",
]

TITLE = "Does stage 1 do as well as a plain training loop?"
QUESTION = """`apply_perceptual_init(model, judgments=...)` without other arguments is compared with a plain loop: AdamW without weight
decay, the logistic loss on vote shares, batch norm in eval mode, and all judgments in each step
([stage_one.py](../../benchmarks/studies/stage_one.py)). Both train on the judgments within 60 images, at 64 pixels. The score is
2AFC on judgments of other images of the same set, and on those of the other set; chance is 50 %. Each run has its own split and seed,
which are in no earlier trial. Judgments: 100 photographs of materials (Lagunas et al. 2019), and triplets of
CIFAR-10H from people's labels. CPU seconds of both sides are of one process.

The call has other defaults since this study, because of its answer. Those measured here are the hinge loss with 3e-4 and 30 steps for
learned weights, and with 1e-3 and 256 steps for random ones. A [second study](../../benchmarks/studies/stage_one_second_plan.md)
of the present ones is not finished."""
PLANNED = """The [plan](../../benchmarks/studies/stage_one_plan.md) was committed before the first run. Intervals are Student's t over
runs, and the {num} differences between call and loop are simultaneous (Bonferroni)."""
SEARCHED = """The opponent of a network and training set is the loop with the higher mean 2AFC on unseen images of this set, over the
runs of the study: this choice favors the loop. Nine settings were tried for the searched loop and each kind of weights. That of
a training set is the best on the other set and on photographs with simulated answers
([search](../../benchmarks/studies/stage_one_search.py)). The call has the same settings for both sets."""
LIMITS = """* Four small networks at 64 pixels, 60 training images; other sizes and numbers of images may differ.
* The call's settings were chosen with one seed on one split of each set, which are not among these, and on photographs with
  simulated answers: six were tried for learned weights, nine for random ones ([search](../../benchmarks/studies/stage_one_call_search.py)).
  Its runs on CIFAR-10H took half of their stated steps, by a mistake that was found after the study.
* A split of CIFAR-10H shares no photograph with another one. Splits of materials are choices of 60 of the same 100 images, so
  their intervals cover other choices and seeds, and not other materials. {corrected}
* Networks trained on one set are scored on fixed images of the other: 500 photographs, or all materials. Their intervals do not
  cover other images.
* The search for the loop's settings for CIFAR-10H used other splits of the same 100 materials."""
RERUN = """At the commit 520484fb, which has these defaults:

```console
python benchmarks/studies/stage_one_search.py --data SETS --weights WEIGHTS
python benchmarks/studies/stage_one.py --data SETS --weights WEIGHTS --keep benchmarks/results/stage_one.jsonl
python benchmarks/studies/stage_one_page.py
```"""

Records = Sequence[Mapping]


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean in points with the limits of its interval, and the number of runs."""

    mean: float
    low: float
    high: float
    num: int

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2

    def text(self) -> str:
        return f"{self.mean:+.1f} [{self.low:+.1f}, {self.high:+.1f}]"


@dataclass(frozen=True, slots=True)
class Cell:
    """A network with its training set and a scored set, and values of the runs that have all methods of the cell.

    Attributes:
        network: Name of the network.
        trained: Name of the training set.
        scored: Name of the scored set.
        scores: 2AFC in percent by method, one value for each run. "loop" is the opponent.
        seconds: CPU seconds by method, one value for each run.
        setting: Rate and steps of the opponent.
        seeds: Seeds of the runs, in the order of values.
    """

    network: str
    trained: str
    scored: str
    scores: Mapping[str, np.ndarray]
    seconds: Mapping[str, np.ndarray]
    setting: str
    seeds: Sequence[int]

    def lead(self, num_family: int, method: str = CALL) -> Interval:
        """Return 2AFC of a method minus that of the loop."""
        return interval(self.scores[method] - self.scores[LOOP], num_family)

    def is_cheap(self) -> bool:
        """Return whether the call takes at most half of the CPU seconds of the loop."""
        return self.seconds[CALL].mean() <= CHEAP * self.seconds[LOOP].mean()


def interval(values: np.ndarray, num_family: int = 1) -> Interval:
    """Return a mean over runs with Student's interval; simultaneous over a family (Bonferroni)."""
    reach = stats.t.ppf(1 - 0.025 / num_family, len(values) - 1) * stats.sem(values)
    mean = float(values.mean())
    return Interval(mean, mean - reach, mean + reach, len(values))


def read() -> list[dict]:
    return [json.loads(line) for line in RECORDS.read_text("utf-8").splitlines()]


def cells_of(records: Records) -> list[Cell]:
    """Return the cells that have at least two runs, in the order of networks and sets."""
    found = {}
    for record in records:
        key = (record["network"], record["trained"], record["method"])
        found.setdefault(key, {})[record["seed"]] = record
    cells = []
    for network in NETWORKS:
        for trained in SETS:
            methods = {name[2]: runs for name, runs in found.items() if name[:2] == (network, trained)}
            seeds = sorted(set.intersection(*map(set, methods.values()))) if methods else []
            if len(seeds) > 1:
                methods[LOOP] = methods[find_opponent(methods, trained, seeds)]
                cells += [cell(network, trained, scored, methods, seeds) for scored in SETS]
    return cells


def find_opponent(methods: Mapping[str, Mapping], trained: str, seeds: Sequence[int]) -> str:
    """Return the loop with the higher mean 2AFC on unseen images of the training set."""
    loops = [name for name in (LOOP, FIXED) if name in methods]
    return max(loops, key=lambda name: np.mean([methods[name][seed]["scores"][trained][0] for seed in seeds]))


def setting_of(record: Mapping) -> str:
    """Return rate and steps of a loop."""
    rate, steps = record["loop"]
    return f"{rate:g}, {steps}"


def cell(
    network: str, trained: str, scored: str, methods: Mapping[str, Mapping], seeds: Sequence[int]
) -> Cell:
    """Return a cell from the records of its methods by seed."""
    scores = {
        name: np.array([100 * runs[seed]["scores"][scored][0] for seed in seeds])
        for name, runs in methods.items()
    }
    seconds = {
        name: np.array([runs[seed]["cpu_seconds"] for seed in seeds]) for name, runs in methods.items()
    }
    setting = setting_of(methods[LOOP][seeds[0]])
    return Cell(network, trained, scored, scores, seconds, setting, seeds)


def mean_lead(cells: Sequence[Cell]) -> Interval:
    """Return the mean of the differences of all cells, with the interval over the runs that all cells have."""
    common = sorted(set.intersection(*(set(each.seeds) for each in cells)))
    leads = []
    for each in cells:
        places = [each.seeds.index(seed) for seed in common]
        leads.append((each.scores[CALL] - each.scores[LOOP])[places])
    return interval(np.mean(leads, axis=0))


def page(records: Records) -> str:
    """Return the page."""
    cells = cells_of(records)
    parts = [
        f"# {TITLE}",
        from_records.box(box(cells)),
        QUESTION,
        answer(cells),
        "## Results",
        PLANNED.format(num=len(cells)),
        *missing(cells),
        "**Call and loop**",
        from_records.markdown(HEAD, (row(each, len(cells)) for each in cells)),
        "**Other methods** of the call; they are described and need not win. Intervals are not simultaneous.",
        from_records.markdown(OTHER_HEAD, other_rows(cells)),
        "**Loops**",
        from_records.markdown(LOOP_HEAD, loop_rows(records, cells)),
        SEARCHED,
        "## What this does not say",
        "\n".join([LIMITS.format(corrected=corrected(cells)), *mistaken(records)]),
        "## Rerun",
        RERUN,
        about(records),
    ]
    return "\n\n".join(parts) + "\n"


def box(cells: Sequence[Cell]) -> Answer:
    """Return the row of the box."""
    lead = mean_lead(cells)
    number = lead.text().replace(" [", " points [")
    return Answer(
        "Is stage 1 of the library call, with its earlier defaults, never worse than a plain loop?",
        word(cells),
        f"call - loop {number}, mean over {len(cells)} cells, {lead.num} runs; worse in {num_worse(cells)} cells",
        "other networks, larger images, more training images",
    )


def num_worse(cells: Sequence[Cell]) -> int:
    """Return the number of cells whose simultaneous interval is wholly below 0."""
    return sum(each.lead(len(cells)).high < 0 for each in cells)


def rules(cells: Sequence[Cell]) -> dict[str, bool]:
    """Return the sentences of the plan's rule, and whether each holds."""
    leads = [each.lead(len(cells)) for each in cells]
    widest = max(lead.half_width for lead in leads)
    num_good = sum(lead.low > 0 or each.is_cheap() for lead, each in zip(leads, cells, strict=True))
    mean = mean_lead(cells)
    return {
        f"the widest interval reaches {widest:.1f} points to each side (at most {MAX_HALF_WIDTH})": widest
        <= MAX_HALF_WIDTH,
        f"{num_worse(cells)} of {len(cells)} intervals are wholly below 0 (none)": num_worse(cells) == 0,
        f"the mean over cells is {mean.text()} points (above {MIN_MEAN})": mean.low > MIN_MEAN,
        f"in {num_good} of {len(cells)} cells, the call is better or takes at most half of the CPU seconds (half)": num_good
        >= len(cells) / 2,
    }


def word(cells: Sequence[Cell]) -> str:
    """Return the answer in a word or two."""
    if all(rules(cells).values()):
        return "yes"
    return "no" if num_worse(cells) or mean_lead(cells).high < MIN_MEAN else "not shown"


def answer(cells: Sequence[Cell]) -> str:
    """Return the answer with a line for each part of the rule."""
    parts = [f"* {'holds' if holds else 'fails'}: {text}" for text, holds in rules(cells).items()]
    head = f"**{word(cells).capitalize()}.** The rule of the plan, with its limits in parentheses:"
    return "\n".join([f"{head}\n", *parts])


def missing(cells: Sequence[Cell]) -> Iterator[str]:
    """Yield a sentence if planned runs are missing."""
    few = min(len(each.seeds) for each in cells)
    if few < NUM_PLANNED or len(cells) < 2 * len(NETWORKS) * len(SETS):
        yield f"{NUM_PLANNED} runs of {2 * len(NETWORKS) * len(SETS)} cells were planned; each of {len(cells)} has at least {few}."


def row(each: Cell, num_family: int) -> list[str]:
    """Return a row of the table of cells."""
    lead = each.lead(num_family)
    reasons = {"better": lead.low > 0, "half the CPU s": each.is_cheap()}
    return [
        NETWORKS[each.network],
        SETS[each.trained],
        SETS[each.scored],
        f"{each.scores[BEFORE].mean():.1f}",
        each.setting,
        *(f"{each.scores[method].mean():.1f}" for method in (LOOP, CALL)),
        lead.text(),
        *(f"{each.seconds[method].mean():.0f}" for method in (LOOP, CALL)),
        ", ".join(name for name, holds in reasons.items() if holds),
    ]


def other_rows(cells: Sequence[Cell]) -> Iterator[list[str]]:
    """Yield the rows of the methods other than the call's default."""
    for each in cells:
        for method, values in each.scores.items():
            if method in OTHERS:
                yield [
                    NETWORKS[each.network],
                    method,
                    SETS[each.trained],
                    SETS[each.scored],
                    f"{values.mean():.1f}",
                    each.lead(1, method).text(),
                    f"{each.seconds[method].mean():.0f}",
                ]


def loop_rows(records: Records, cells: Sequence[Cell]) -> Iterator[list[str]]:
    """Yield both loops of each network and training set, and which of them is the opponent."""
    for each in cells:
        if each.trained == each.scored:
            own = [r for r in records if (r["network"], r["trained"]) == (each.network, each.trained)]
            for name in (LOOP, FIXED):
                runs = {r["seed"]: r for r in own if r["method"] == name and r["seed"] in each.seeds}
                if runs:
                    setting = setting_of(runs[each.seeds[0]])
                    scores = [100 * runs[seed]["scores"][each.trained][0] for seed in each.seeds]
                    yield [
                        NETWORKS[each.network],
                        SETS[each.trained],
                        "fixed" if name == FIXED else "searched",
                        setting,
                        f"{np.mean(scores):.1f}",
                        "yes" if setting == each.setting else "",
                    ]


def mistaken(records: Records) -> Iterator[str]:
    """Yield a sentence for each network whose weights the call takes for another kind."""
    for network in NETWORKS:
        kind = kind_of(network)
        if any(record["taken_for"] != kind for record in records if record["network"] == network):
            other = "random" if kind == "learned" else "learned"
            yield f"* The call takes the weights of {NETWORKS[network]} for {other} ones, and chooses settings for these."


def kind_of(network: str) -> str:
    return "random" if network.startswith("random") else "learned"


def corrected(cells: Sequence[Cell]) -> str:
    """Return a sentence on intervals that allow for the overlap of the splits of materials."""
    own = [each for each in cells if each.trained == each.scored == "materials"]
    if not own:
        return ""
    factor = (1 + min(len(each.seeds) for each in own) * OVERLAP) ** 0.5
    leads = [each.lead(len(cells)) for each in own]
    num_within = sum(factor * lead.half_width <= MAX_HALF_WIDTH for lead in leads)
    return (
        f"With the correction of Nadeau and Bengio (2003) for this overlap, they are {factor:.1f} times as wide where\n  materials "
        f"are also scored, and {num_within} of these {len(own)} reach at most {MAX_HALF_WIDTH} points to each side."
    )


def about(records: Records) -> str:
    """Return a sentence on machine, versions and dates."""
    days = sorted({record["date"] for record in records})
    environment = records[0]["environment"]
    hours = sum(record["cpu_seconds"] for record in records) / 3600
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    return (
        f"{hours:.1f} CPU hours, {' to '.join(dict.fromkeys((days[0], days[-1])))}; {environment['processor']}, "
        f"{environment['threads']} thread a run; {versions}."
    )


def listing(cells: Sequence[Cell]) -> str:
    """Return the row of the page in docs/results.md."""
    lead = mean_lead(cells)
    worse = f", but worse in {num_worse(cells)} of them" if num_worse(cells) else ""
    return (
        f"| [{TITLE}](results/{PAGE.name}) | 60 images of materials or CIFAR-10H; four small networks | {word(cells)}: call - loop "
        f"{lead.text().replace(' [', ' points [')}, mean over {len(cells)} cells{worse} |"
    )


def write() -> None:
    """Write the page, and print its row."""
    records = read()
    PAGE.write_text(page(records), encoding="utf-8")
    print(listing(cells_of(records)))


if __name__ == "__main__":
    write()
