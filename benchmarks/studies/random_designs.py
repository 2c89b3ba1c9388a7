"""Rate of false firm sentences in random designs with a defect, and of firm sentences in sound designs.

    PYTHONPATH=tests python benchmarks/studies/random_designs.py --kind leaks --num 20 --seed 5 --examples 2

A firm sentence says that an arm is (not) worth it, makes no difference that matters, or helps by human structure. It
is false if the true difference or the design does not support it. `design_kinds.py` draws designs and knows the truth;
sentences are read by patterns. `calibration.py write` counts the kinds for docs/calibration-tables.md.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import numpy as np
from calibration_counts import Cells, Counts, Row, Study, share
from design_draws import Truth
from design_edges import make_large, make_sound
from design_kinds import KINDS, Kind
from design_runs import Experiment, headline_in_memory

from perceptinit.results import record
from perceptinit.seeding import generator

sys.path.append(str(Path(__file__).parents[1]))
import bench

NUM = 400  # designs of a kind
MOST_KEPT = 5  # false sentences of a kind
SOUND = (
    Kind(
        "no defect",
        "7 seeds, 2,000 images; people lead the baseline and each control by three deltas",
        make_sound,
    ),
    Kind("no defect, large leads", "6 to 10 seeds; people lead by delta and 12 standard errors", make_large),
)
PATTERNS = {
    "worth": r"(?<![Ww]hether )(?<!that )\b{} is worth it",
    "not worth": r"(?<!that )\b{} is not worth it",
    "equivalent": r"\b{} makes no difference that matters",
    "structure": r"\b{} .*it is the human structure that helps",
}
VERSIONS = record.versions()
record.versions = lambda: deepcopy(VERSIONS)  # half of the time of a record


def firm_claims(lines: list[str], arm: str) -> dict[str, str]:
    """Return the firm claims about an arm, each with its sentence. "So far" is not firm."""
    firm = [line for line in lines if not re.search(r"\b[Ss]o far\b", line)]
    found = {}
    for claim, pattern in PATTERNS.items():
        said = re.compile(pattern.format(re.escape(arm)))
        if line := next(filter(said.search, firm), ""):
            found[claim] = line
    return found


def find_false(experiment: Experiment, truth: Truth, lines: list[str]) -> dict[tuple[str, str], str]:
    """Return the false firm sentences by arm and claim."""
    return {
        (arm, claim): line
        for arm in truth.leads
        for claim, line in firm_claims(lines, arm).items()
        if truth.is_false(claim, arm, experiment.delta)
    }


def count(rng: np.random.Generator, num: int, kind: Kind) -> Counts:
    """Return how many of `num` designs have a firm and a false firm sentence, and the smallest false example."""
    counts: Counts = {"firm": 0, "false": 0, "supported": 0}
    examples: list[tuple[int, str]] = []
    for _ in range(num):
        experiment, truth = kind.make(rng)
        lines = headline_in_memory(experiment)
        claims = set().union(*(firm_claims(lines, arm) for arm in truth.leads))
        false = find_false(experiment, truth, lines)
        counts["firm"] += bool(claims)
        counts["false"] += bool(false)
        counts["supported"] += {"worth", "structure"} <= claims
        runs = experiment.situation.num_seeds * len(experiment.situation.arms)
        examples += [(runs, f"{describe(experiment, truth)}: {line}") for line in false.values()]
    return {
        **counts,
        "examples": [text for _, text in sorted(examples, key=lambda each: each[0])][:MOST_KEPT],
    }  # type: ignore[dict-item]


def describe(experiment: Experiment, truth: Truth) -> str:
    """Return the design in words."""
    s = experiment.situation
    leads = ", ".join(f"{arm} {lead:+.2f}" for arm, lead in truth.leads.items())
    return (
        f"{s.num_seeds} seeds, {s.num_examples} images, delta {experiment.delta:g}; {leads}; {truth.defect}"
    )


def design_rows(cells: Cells) -> Iterator[Row]:
    """Yield the rate of false firm sentences of each kind, and the rate of firm sentences without a defect."""
    for kind in KINDS:
        counts = cells.find(f"designs/{kind.name}", NUM, count, kind)
        num = counts["num"]
        allowed = "up to 5" if kind.needs_statistics else "0"
        yield (
            kind.name,
            kind.known,
            f"{num:,.0f}",
            f"{counts['firm']:,.0f}",
            share(counts["false"], num),
            allowed,
        )


def sound_rows(cells: Cells) -> Iterator[Row]:
    """Yield how often sound designs get firm sentences."""
    for kind in SOUND:
        counts = cells.find(f"designs/{kind.name}", NUM, count, kind)
        num = counts["num"]
        yield kind.known, f"{num:,.0f}", share(counts["supported"], num), share(counts["false"], num)


STUDIES = {
    "designs": Study(("kind", "what is true", "designs", "firm", "false firm, %", "allowed, %"), design_rows),
    "sound-designs": Study(
        ("what is true", "designs", "“worth it” and human structure, %", "false firm, %"), sound_rows
    ),
}


def main() -> None:
    names = [kind.name for kind in (*KINDS, *SOUND)]
    options = bench.parse(
        __doc__, kind={"choices": names, "action": "append"}, num=NUM, seed=0, examples=1, tiny={"num": 2}
    )
    for kind in (*KINDS, *SOUND):
        if options.kind and kind.name not in options.kind:
            continue
        counts = count(generator(options.seed, "designs", kind.name), options.num, kind)
        false = share(counts["false"], options.num)
        print(f"{kind.name:32} {options.num} designs, {counts['firm']} firm, false {false} %", flush=True)
        if kind in SOUND:
            print(f"{'':32} worth it and human structure: {share(counts['supported'], options.num)} %")
        for text in counts["examples"][: options.examples]:  # type: ignore[index]
            print(f"    {text}")


if __name__ == "__main__":
    main()
