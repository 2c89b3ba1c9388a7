"""Rate of false sentences in tables and pages of simulated experiments whose truth is known.

    PYTHONPATH=tests python benchmarks/studies/false_sentences.py --kind "pixels do as well" --num 3

prints the sentences of a few experiments and marks false ones. `calibration.py write` counts them. The kinds of
experiments are in `known_kinds.py`, and the rules that check sentences are in `sentence_rules.py`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from copy import deepcopy
from pathlib import Path

import numpy as np
import sentence_rules
from calibration_counts import Counts
from known_kinds import DELTA, KINDS, Kind
from sentence_rules import Claim, Truth
from situations.made import Situation, write_runs

from perceptinit.analysis.compare import compare
from perceptinit.reports.page import answer_in_words
from perceptinit.results import record
from perceptinit.results.runs import load_runs
from perceptinit.seeding import generator
from perceptinit.verdict.headline import Judged

MOST_KEPT = 5  # false sentences of a kind
VERSIONS = record.versions()
record.versions = lambda: deepcopy(VERSIONS)  # half of the time of a record


def sentences_of(situation: Situation) -> list[str]:
    """Write the records of an experiment, and return the sentences of its table and the cards of its page.

    The other sentences of the page's summary are those of the table.
    """
    with tempfile.TemporaryDirectory() as folder:
        judged = Judged.of(compare(load_runs([write_runs(situation, Path(folder))])))
    cards = [sentence_rules.card(v.contrast.title, v.question, answer_in_words(v)) for v in judged.answers]
    return list(dict.fromkeys([*judged.sentences, *cards]))


def mark(situation: Situation, truth: Truth) -> dict[str, str]:
    """Return each sentence about arms with its false claim; empty if the sentence is true."""
    about = [s for s in sentences_of(situation) if sentence_rules.is_about_arms(s)]
    return {s: sentence_rules.mark(s, situation.baseline, truth, DELTA) for s in about}


def count(rng: np.random.Generator, num: int, kind: Kind) -> Counts:
    """Return how many of `num` experiments have a false sentence, and the claims about the first arm."""
    counts: Counter[str] = Counter(false_experiments=0, sentences=0, false=0, better=0, worth=0, structure=0)
    excess: Counter[str] = Counter()
    kept: list[str] = []
    for _ in range(num):
        situation, truth = kind.make(rng)
        marks = mark(situation, truth)
        false = {s: text for s, text in marks.items() if text}
        claims = [c for s in marks for c in sentence_rules.read(s, situation.baseline) or ()]
        arm = next(name for name in situation.arms if name != situation.baseline)
        counts.update(
            false_experiments=bool(false),
            sentences=len(marks),
            false=len(false),
            better=_has(claims, Claim("better", (arm, situation.baseline))),
            worth=_has(claims, Claim("worth", (arm, situation.baseline))),
            structure=any(c.kind == "better" and c.structure for c in claims),
        )
        excess.update(set(false.values()))
        kept += [f"{text}: {s}" for s, text in false.items()]
    return {**counts, "excess": dict(excess.most_common()), "examples": kept[:MOST_KEPT]}  # type: ignore[dict-item]


def _has(claims: list[Claim], wanted: Claim) -> bool:
    return any((c.kind, c.pair) == (wanted.kind, wanted.pair) for c in claims)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kind", choices=[kind.name for kind in KINDS], action="append")
    parser.add_argument("--num", type=int, default=1)
    options = parser.parse_args()
    for kind in KINDS:
        if options.kind and kind.name not in options.kind:
            continue
        rng = generator(0, "false sentences", kind.name)
        for _ in range(options.num):
            print(f"\n{kind.name}: {kind.known}")
            for sentence, text in mark(*kind.make(rng)).items():
                print(f"  {f'FALSE ({text})' if text else 'true'}: {sentence}")


if __name__ == "__main__":
    main()
