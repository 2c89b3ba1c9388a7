"""The pages of two studies of stage 1, from the records of their runs alone (no module of the package is imported).

    python benchmarks/studies/stage_one_page.py     -> the pages; prints their rows for docs/results.md

stage_one.py makes the records. The plans are stage_one_plan.md and stage_one_second_plan.md. A study without records has no page.
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
PAGES = STUDIES.parents[1] / "docs" / "results"
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

COMPARED = """`apply_perceptual_init(model, judgments=...)` without other arguments is compared with a plain loop: AdamW without weight
decay, the logistic loss on vote shares, batch norm in eval mode, and all judgments in each step
([stage_one.py](../../benchmarks/studies/stage_one.py)). Both train on the judgments within 60 images, at 64 pixels. The score is
2AFC on judgments of other images of the same set, and on those of the other set; chance is 50 %. Judgments: 100 photographs of
materials (Lagunas et al. 2019), and triplets of CIFAR-10H from people's labels. CPU seconds of both sides are of one process."""
PLANNED = """The [plan](../../benchmarks/studies/{plan}) was committed before the first run. Intervals are Student's t over
{sample}, and the {num} differences between call and loop are simultaneous (Bonferroni)."""
LIMITS = """* Four small networks at 64 pixels, 60 training images; other sizes and numbers of images may differ.
{chosen}
* A split of CIFAR-10H shares no photograph with another one. Splits of materials are choices of 60 of the same 100 images, so
  their intervals cover other choices and seeds, and not other materials. {corrected}
* Networks trained on one set are scored on fixed images of the other: 500 photographs, or all materials. Their intervals do not
  cover other images."""


@dataclass(frozen=True, slots=True)
class Study:
    """What is special to a study.

    Attributes:
        records: Name of the file of records.
        page: Name of the page.
        plan: Name of the plan.
        title: Title of the page.
        question: Question of the box.
        sample: What the intervals are over: "runs", or "units" of several runs.
        about: Paragraph on splits, seeds and settings.
        opponent: Paragraph on the choice of the loop.
        chosen: Bullets on the choice of settings, as limits of the study.
        rerun: Commands, with what they need.
    """

    records: str
    page: str
    plan: str
    title: str
    question: str
    sample: str
    about: str
    opponent: str
    chosen: str
    rerun: str


FIRST = Study(
    records="stage_one.jsonl",
    page="stage-one-earlier.md",
    plan="stage_one_plan.md",
    title="Did stage 1, with its earlier settings, do as well as a plain training loop?",
    question="Is stage 1 of the library call, with its earlier defaults, never worse than a plain loop?",
    sample="runs",
    about="""Each run has its own split and seed, which are in no earlier trial. The call has other defaults since this study, because of its
answer. Those measured here are the hinge loss with 3e-4 and 30 steps for learned weights, and with 1e-3 and 256 steps for random
ones. A [later study](stage-one.md) is about the present ones.""",
    opponent="""The opponent of a network and training set is the loop with the higher mean 2AFC on unseen images of this set, over the
runs of the study: this choice favors the loop. Nine settings were tried for the searched loop and each kind of weights. That of
a training set is the best on the other set and on photographs with simulated answers
([search](../../benchmarks/studies/stage_one_search.py)). The call has the same settings for both sets.""",
    chosen="""* The call's settings were chosen with one seed on one split of each set, which are not among these, and on photographs with
  simulated answers: six were tried for learned weights, nine for random ones ([search](../../benchmarks/studies/stage_one_call_search.py)).
  Its runs on CIFAR-10H took half of their stated steps, by a mistake that was found after the study.
* The search for the loop's settings for CIFAR-10H used other splits of the same 100 materials.""",
    rerun="""At the commit 520484fb, which has these defaults:

```console
python benchmarks/studies/stage_one_search.py --data SETS --weights WEIGHTS
python benchmarks/studies/stage_one.py --data SETS --weights WEIGHTS --keep benchmarks/results/stage_one.jsonl
```""",
)
SECOND = Study(
    records="stage_one_second.jsonl",
    page="stage-one.md",
    plan="stage_one_second_plan.md",
    title="Does stage 1 do as well as a plain training loop?",
    question="Is stage 1 of the library call, with its defaults, never worse than a plain loop?",
    sample="units",
    about="""An [earlier study](stage-one-earlier.md), which also has the methods `linear` and `last_blocks=2`, answered "no", and the
settings of the call were changed. A unit is a split of each set: of materials with one seed, of CIFAR-10H with the mean of two.
Splits of materials and all seeds are in no earlier run; the splits of CIFAR-10H are those of the earlier study.""",
    opponent="""The loop is the better one of two in the earlier study, for each network and training set.""",
    chosen="""* The call's settings were chosen on other splits of both sets and on photographs with simulated answers: six were tried for
  learned weights, 16 for random ones, and then 22 for random ones on one set a network. The reason to try them was the earlier
  study, on the same splits of CIFAR-10H.""",
    rerun="""```console
python benchmarks/studies/stage_one_call_search.py --data SETS --weights WEIGHTS
python benchmarks/studies/stage_one.py --data SETS --weights WEIGHTS --keep benchmarks/results/stage_one_second.jsonl
python benchmarks/studies/stage_one_page.py
```""",
)

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
    """A network with its training set and a scored set, and values of the units that have all methods of the cell.

    A unit is a run of the first study, and the runs of a split in the second one, whose values are averaged.

    Attributes:
        network: Name of the network.
        trained: Name of the training set.
        scored: Name of the scored set.
        scores: 2AFC in percent by method, one value for each unit. "loop" is the opponent.
        seconds: CPU seconds by method, one value for each unit.
        setting: Rate and steps of the opponent.
        units: Numbers of the units, in the order of values.
    """

    network: str
    trained: str
    scored: str
    scores: Mapping[str, np.ndarray]
    seconds: Mapping[str, np.ndarray]
    setting: str
    units: Sequence[int]

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


def read(study: Study) -> list[dict]:
    """Return the records of a study; none if they are missing."""
    path = STUDIES.parent / "results" / study.records
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.is_file() else []


def cells_of(records: Records) -> list[Cell]:
    """Return the cells that have at least two units, in the order of networks and sets."""
    found: dict[tuple[str, ...], dict[int, list[Mapping]]] = {}
    for record in records:
        by_unit = found.setdefault((record["network"], record["trained"], record["method"]), {})
        by_unit.setdefault(unit_of(record), []).append(record)
    cells = []
    for network in NETWORKS:
        for trained in SETS:
            methods = {name[2]: units for name, units in found.items() if name[:2] == (network, trained)}
            units = find_complete(methods)
            if len(units) > 1:
                methods[LOOP] = methods[find_opponent(methods, trained, units)]
                cells += [cell(network, trained, scored, methods, units) for scored in SETS]
    return cells


def unit_of(record: Mapping) -> int:
    """Return the number of the unit. The second study has two seeds a unit for CIFAR-10H, 100 apart."""
    return record["seed"] % 100


def find_complete(methods: Mapping[str, Mapping[int, Sequence]]) -> list[int]:
    """Return the units of which all methods have all runs."""
    numbers = [len(records) for units in methods.values() for records in units.values()]
    whole = [
        {unit for unit, records in units.items() if len(records) == max(numbers)}
        for units in methods.values()
    ]
    return sorted(set.intersection(*whole)) if whole else []


def find_opponent(methods: Mapping[str, Mapping], trained: str, units: Sequence[int]) -> str:
    """Return the loop with the higher mean 2AFC on unseen images of the training set."""
    loops = [name for name in (LOOP, FIXED) if name in methods]
    return max(loops, key=lambda name: scores_of(methods[name], trained, units).mean())


def scores_of(runs: Mapping[int, Records], scored: str, units: Sequence[int]) -> np.ndarray:
    """Return 2AFC in percent, one value for each unit."""
    return np.array([np.mean([100 * record["scores"][scored][0] for record in runs[unit]]) for unit in units])


def setting_of(record: Mapping) -> str:
    """Return rate and steps of a loop."""
    rate, steps = record["loop"]
    return f"{rate:g}, {steps}"


def cell(
    network: str, trained: str, scored: str, methods: Mapping[str, Mapping], units: Sequence[int]
) -> Cell:
    """Return a cell from the records of its methods by unit."""
    scores = {name: scores_of(runs, scored, units) for name, runs in methods.items()}
    seconds = {
        name: np.array([np.mean([record["cpu_seconds"] for record in runs[unit]]) for unit in units])
        for name, runs in methods.items()
    }
    return Cell(network, trained, scored, scores, seconds, setting_of(methods[LOOP][units[0]][0]), units)


def mean_lead(cells: Sequence[Cell]) -> Interval:
    """Return the mean of the differences of all cells, with the interval over the units that all cells have."""
    common = sorted(set.intersection(*(set(each.units) for each in cells)))
    leads = []
    for each in cells:
        places = [each.units.index(unit) for unit in common]
        leads.append((each.scores[CALL] - each.scores[LOOP])[places])
    return interval(np.mean(leads, axis=0))


def page(records: Records, study: Study) -> str:
    """Return the page of a study."""
    cells = cells_of(records)
    parts = [
        f"# {study.title}",
        from_records.box(box(cells, study)),
        COMPARED,
        study.about,
        answer(cells),
        "## Results",
        PLANNED.format(plan=study.plan, sample=study.sample, num=len(cells)),
        *missing(cells, study),
        "**Call and loop**",
        from_records.markdown(HEAD, (row(each, len(cells)) for each in cells)),
        *other_tables(records, cells),
        study.opponent,
        "## What this does not say",
        "\n".join([LIMITS.format(chosen=study.chosen, corrected=corrected(cells)), *mistaken(records)]),
        "## Rerun",
        study.rerun,
        about(records),
    ]
    return "\n\n".join(parts) + "\n"


def other_tables(records: Records, cells: Sequence[Cell]) -> Iterator[str]:
    """Yield the tables of other methods and of two loops with their headings, if the study has them."""
    others = list(other_rows(cells))
    if others:
        yield "**Other methods** of the call; they are described and need not win. Intervals are not simultaneous."
        yield from_records.markdown(OTHER_HEAD, others)
    if any(record["method"] == FIXED for record in records):
        yield "**Loops**"
        yield from_records.markdown(LOOP_HEAD, loop_rows(records, cells))


def box(cells: Sequence[Cell], study: Study) -> Answer:
    """Return the row of the box."""
    lead = mean_lead(cells)
    number = lead.text().replace(" [", " points [")
    worse = f"{num_worse(cells)} cell{'' if num_worse(cells) == 1 else 's'}"
    return Answer(
        study.question,
        word(cells),
        f"call - loop {number}, mean over {len(cells)} cells, {lead.num} {study.sample}; worse in {worse}",
        "other networks, larger images, more training images",
    )


def num_worse(cells: Sequence[Cell]) -> int:
    """Return the number of cells whose simultaneous interval is wholly below 0."""
    return sum(bool(each.lead(len(cells)).high < 0) for each in cells)


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


def missing(cells: Sequence[Cell], study: Study) -> Iterator[str]:
    """Yield a sentence if planned units are missing."""
    few = min(len(each.units) for each in cells)
    if few < NUM_PLANNED or len(cells) < 2 * len(NETWORKS) * len(SETS):
        yield f"{NUM_PLANNED} {study.sample} of {2 * len(NETWORKS) * len(SETS)} cells were planned; each of {len(cells)} has at least {few}."


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
                runs: dict[int, list] = {}
                for record in own:
                    if record["method"] == name:
                        runs.setdefault(unit_of(record), []).append(record)
                if runs:
                    setting = setting_of(runs[each.units[0]][0])
                    yield [
                        NETWORKS[each.network],
                        SETS[each.trained],
                        "fixed" if name == FIXED else "searched",
                        setting,
                        f"{scores_of(runs, each.trained, each.units).mean():.1f}",
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
    factor = (1 + min(len(each.units) for each in own) * OVERLAP) ** 0.5
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


def listing(cells: Sequence[Cell], study: Study) -> str:
    """Return the row of a page in docs/results.md."""
    lead = mean_lead(cells)
    worse = f", but worse in {num_worse(cells)} of them" if num_worse(cells) else ""
    return (
        f"| [{study.title}](results/{study.page}) | 60 images of materials or CIFAR-10H; four small networks | {word(cells)}: call - loop "
        f"{lead.text().replace(' [', ' points [')}, mean over {len(cells)} cells{worse} |"
    )


def write() -> None:
    """Write the pages, and print their rows."""
    for study in (SECOND, FIRST):
        records = read(study)
        if records:
            (PAGES / study.page).write_text(page(records, study), encoding="utf-8")
            print(listing(cells_of(records), study))


if __name__ == "__main__":
    write()
