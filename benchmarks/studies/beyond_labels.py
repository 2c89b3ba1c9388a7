"""The page docs/results/beyond-labels.md, from the records of its runs alone (no module of the package is imported).

    python benchmarks/studies/known_effects.py keep runs/beyond-labels*     -> docs/results/beyond-labels*/ARM/seedN/
    python benchmarks/studies/beyond_labels.py                              -> docs/results/beyond-labels.md and its image

Recipes and plan are in recipes/known_effects/.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import from_records as records
from from_records import Answer, Difference, Runs

DOCS = Path(__file__).parents[2] / "docs"
KEPT = DOCS / "results"
PAGE = "beyond-labels"
SCORE = "cross-entropy/shares"
DELTA = 0.01  # nats
ARMS = ("random", "people", "labels", "classes", "pixels", "shuffled")
SIZES = {250: "beyond-labels", 1000: "beyond-labels-1000"}
TABLE = "beyond-labels-table"  # the arm `table`, with 250 labels, which has a plan of its own
SOFT = {250: "beyond-labels-soft", 1000: "beyond-labels-1000-soft"}
RATES = ("3e-4", "1e-3", "3e-3")
SHARED_RATE = "3e-4"
NUM_CONTROLLED = len(ARMS)  # soft labels and five arms against random
BASELINE = "classes"
REFERENCES = "entropy of the shares 0.154, class means 0.257, the official labels at 0.99 0.334"
HEAD = [
    "arm", "cross-entropy", "- classes [95 %]", "- random [simultaneous]", "top-1, %", "calibration error",
    "2AFC before, after stage 1, %", "spread after", "2AFC of the classifier on held-out ties", "on those beyond classes",
]  # fmt: skip


def load() -> dict[str, Runs]:
    """Return the runs of each experiment that has records, by name. Those of the arm `table` are with the others."""
    names = [
        *SIZES.values(),
        TABLE,
        *SOFT.values(),
        *(at(name, rate) for name in SIZES.values() for rate in RATES),
    ]
    folders = {name: KEPT / name for name in names}
    found = {name: records.read_runs(folder) for name, folder in folders.items() if folder.is_dir()}
    found[SIZES[250]] = {**found[SIZES[250]], **found.pop(TABLE, {})}
    return {name: runs for name, runs in found.items() if runs}


def at(name: str, rate: str) -> str:
    """Return the name of an experiment at another learning rate."""
    return f"{name}-rate-{rate.replace('.', 'p')}"


def page(found: Mapping[str, Runs]) -> str:
    """Return the page."""
    runs = found[SIZES[250]]
    parts = [
        f"# {TITLE}",
        records.box(box(found)),
        QUESTION,
        f"![Differences in cross-entropy from the arm classes, by arm.](../images/{PAGE}.svg)",
        f"**{answer(found)}**",
        before(),
        "## Results",
        *tables(found),
        "## What this does not say",
        LIMITS,
        "## Rerun",
        RERUN,
        about(runs, PAGE),
    ]
    return "\n\n".join(parts) + "\n"


TITLE = "Do people's answers help beyond class labels and classes?"
CHANGE = "triplets that neither labels nor the table of classes answer, a larger network, direct judgments of similarity"

QUESTION = f"""Does stage 1 on human similarity judgments help a classifier beyond class labels and a table of classes? In
CIFAR-10H, people's answers on random triplets agree with class labels in 99.9 % of those that labels decide, so a gain
from them could mean more labeled images. Here, stage 1 learns from 21,000 ties of 7,000 photographs: triplets whose
candidates both have the anchor's class or both another. In most of them the table of classes, the mean label shares of
each class, has people's answer, so `classes` learns from as many triplets answered by this table. `labels` learns from
triplets that class labels decide; `pixels` and `shuffled` from the ties with other answers; `table` from the ties with
the answers of the table of classes. Then 250 or 1,000 labeled photographs of the 7,000 train a classifier. Score:
cross-entropy with people's label shares on 2,000 photographs that neither stage sees, in nats, with one temperature a run, fitted on 1,000 others. Lower is better ({REFERENCES})."""

LIMITS = """* The network is a ViT of 0.8 million parameters on 32-pixel photographs; larger networks may learn more from the same
  triplets.
* InfoNCE also uses the other photographs of a batch as negatives. A triplet of one class, 11 % of the ties, therefore
  reveals that its photographs have one class. `shuffled` keeps this and loses people's answers.
* `classes` has random triplets of three classes. The class table has a median difference of 0.008 in them, and of 0.026 in
  the triplets of people. A lead over `classes` can therefore come from better triplets, as it does in a
  [simulated world](simulated-share.md). Stage 1 of `classes` also contracted the embeddings (column "spread"). `table`
  has people's triplets; where the class table is equal, in 18 % of them, it has no answer. Its plan was written when
  seeds 50 and 51 of `people` had finished, which `compare` names as a departure.
* Every arm is best at the lowest of the three learning rates; a lower one was not tried.
* `random` has no stage 1, so every arm also sees 7,000 photographs without labels and takes more computation than it.
* The answers are computed from labels that people gave to single photographs, not from direct similarity judgments."""

RERUN = """```console
python recipes/known_effects/prepare_ties.py FOLDER data/known_effects
export KNOWN_EFFECTS=$PWD/data/known_effects      # paths of the recipe's plug-in are relative to the recipe
perceptinit run recipes/known_effects/beyond_labels.toml --jobs 2
perceptinit run recipes/known_effects/beyond_labels_soft.toml --jobs 2
perceptinit run recipes/known_effects/beyond_labels_1000.toml --jobs 2
perceptinit run recipes/known_effects/beyond_labels_1000_soft.toml --jobs 2
perceptinit run recipes/known_effects/beyond_labels_table.toml --jobs 2
perceptinit run recipes/known_effects/beyond_labels.toml --set 'name="beyond-labels-rate-1e-3"' --set pretrain.lr=1e-3 --set 'checkpoint.stages_from=["beyond-labels"]'
perceptinit run recipes/known_effects/beyond_labels.toml --set 'name="beyond-labels-rate-3e-3"' --set pretrain.lr=3e-3 --set 'checkpoint.stages_from=["beyond-labels"]'
python benchmarks/studies/known_effects.py keep runs/beyond-labels*
perceptinit compare recipes/known_effects/beyond_labels.toml --out docs/results
python benchmarks/studies/beyond_labels.py
```"""


def before() -> str:
    """Return a sentence on the runs of ties.toml, which decided the triplets."""
    runs = records.read_runs(KEPT / "ties")
    if not runs:
        return ""
    scores = {
        arm: records.mean_text(records.values_of(runs, arm, "2afc/people"), 100, 1)
        for arm in ("people", "random")
    }
    record = runs["people", records.seeds_of(runs)[0]].record
    extra = next(row["extra"] for row in record["scores"] if row["name"] == "2afc/people")
    pixels = extra["baselines"]["pixels 32 x 32"]
    trivial = f"{100 * pixels['value']:.1f} ± {100 * pixels['stderr']:.1f}"
    return (
        "An earlier stage 1 learned from ties that the table of classes does not answer either: three photographs of one "
        "class, candidates that share a class, or three classes where the table has the opposite answer. On such "
        f"triplets of 2,000 unseen photographs, 2AFC was {scores['people']} % ({len(records.seeds_of(runs))} seeds), "
        f"{scores['random']} % with fresh weights and {trivial} % for pixels. It was not shown to be above pixels, so the "
        "experiment uses all ties."
    )


def contrast(runs: Runs, arm: str, reference: str, num_family: int = 1) -> Difference | None:
    return records.difference(records.paired(runs, arm, reference), SCORE, num_family)


def control(found: Mapping[str, Runs], size: int) -> Difference | None:
    """Return soft labels minus hard labels, both from fresh weights, simultaneous with the arms."""
    soft = found.get(SOFT[size], {})
    pairs = records.across(soft, "random", found[SIZES[size]], "random")
    return records.difference(pairs, SCORE, NUM_CONTROLLED)


def box(found: Mapping[str, Runs]) -> Answer:
    """Return the box, with the control that people beat by least."""
    contrasts = {arm: contrast(found[SIZES[250]], "people", arm) for arm in (BASELINE, "labels", "table")}
    known = {arm: each for arm, each in contrasts.items() if each}
    closest = max(known, key=lambda arm: known[arm].high, default=BASELINE)
    number = records.number(known.get(closest), f"people - {closest}", in_nats=True)
    return Answer(TITLE, answer(found).partition(".")[0].partition(":")[0].lower(), number, CHANGE)


def answer(found: Mapping[str, Runs]) -> str:
    """Return the answer by the rule of the plan, in a sentence or two."""
    soft, first = control(found, 250), contrast(found[SIZES[250]], "people", BASELINE)
    if first is None:
        return "Not answered: fewer than two seeds."
    if soft is None or soft.high >= 0:
        return "Void: soft labels are not shown to lower the cross-entropy, so this experiment cannot answer."
    runs = found[SIZES[250]]
    controls = {
        "random triplets answered by the table of classes": first,
        "triplets answered by class labels": contrast(runs, "people", "labels"),
        "the same triplets answered by the table of classes": contrast(runs, "people", "table"),
    }
    known = {name: each for name, each in controls.items() if each}
    outcomes = [records.answer(each, DELTA, lower_is_better=True) for each in known.values()]
    begin = {"better": "Not shown", "undecided": "Undecided"}.get(outcomes[0], "No")
    if set(outcomes) == {"better"}:
        begin = "Yes"
    parts = [
        f"{name} {each.text()} ({outcome})"
        for outcome, (name, each) in zip(outcomes, known.items(), strict=True)
    ]
    half = f" The half-width is {(first.high - first.low) / 2:.3f}." if begin == "Undecided" else ""
    head = f"Cross-entropy of people minus that of each control, in nats, {first.num_seeds} seeds, each interval at 95 %"
    return f"{begin}. {head}: {', '.join(parts)}.{half}"


def tables(found: Mapping[str, Runs]) -> Iterator[str]:
    """Yield the table of each size, its control, and the table of learning rates."""
    for size, name in SIZES.items():
        if name in found:
            runs = found[name]
            seeds = ", ".join(map(str, records.seeds_of(runs)))
            shown = [*ARMS, *(arm for arm in records.arms_of(runs) if arm not in ARMS)]
            yield f"**{size:,} labeled photographs**, seeds {seeds}."
            yield records.markdown(HEAD, (row(runs, arm) for arm in shown))
            yield notes(found, size)
    yield from rates(found)


def row(runs: Runs, arm: str) -> list[str]:
    """Return the cells of an arm."""
    others = len(ARMS) - 2  # simultaneous; people - classes is the first contrast of the plan
    against = contrast(runs, arm, BASELINE, 1 if arm == "people" else others)
    fresh = contrast(runs, arm, "random", NUM_CONTROLLED)
    is_planned = arm in ARMS  # the plan of `table` has no contrast with these references
    texts = [
        each.text() if each and is_planned and arm != reference else ""
        for each, reference in ((against, BASELINE), (fresh, "random"))
    ]
    learned = [stage_1(runs, arm, f"2afc_val_{when}", 100, 1) for when in ("before", "after")]
    return [
        arm,
        records.mean_text(records.values_of(runs, arm, SCORE)),
        *texts,
        records.mean_text(records.values_of(runs, arm, "accuracy/shares"), 100, 1),
        records.mean_text(records.values_of(runs, arm, "calibration_error/shares")),
        ", ".join(filter(None, learned)),
        stage_1(runs, arm, "spread_after"),
        *(
            records.mean_text(records.values_of(runs, arm, name), 100, 1)
            for name in ("2afc/ties", "2afc/people")
        ),
    ]


def stage_1(runs: Runs, arm: str, name: str, factor: float = 1.0, digits: int = 3) -> str:
    """Return the mean of a metric of stage 1, empty for an arm without stage 1."""
    values = [run.stage_1[name] for run in runs.values() if run.arm == arm and name in run.stage_1]
    return records.mean_text(values, factor, digits)


def notes(found: Mapping[str, Runs], size: int) -> str:
    """Return the contrasts that the plan names beside those of the table."""
    runs = found[SIZES[size]]
    lines = []
    for reference in ("classes", "table", "labels", "shuffled", "pixels", "random"):
        if each := contrast(runs, "people", reference):
            outcome = records.answer(each, DELTA, lower_is_better=True)
            p = "" if each.p is None else f", sign test p = {each.p:.3f}"
            lines.append(f"* people - {reference}: {each.text()}, {outcome}{p}")
    if soft := control(found, size):
        lines.append(
            f"* Positive control, soft labels - random: {soft.text()}, simultaneous over {NUM_CONTROLLED}"
        )
    return "\n".join(lines)


def rates(found: Mapping[str, Runs]) -> Iterator[str]:
    """Yield a table of the arms at the learning rate with the lowest loss on the 1,000 photographs of `tuning`."""
    for size, name in SIZES.items():
        by_rate = {rate: found.get(name if rate == SHARED_RATE else at(name, rate), {}) for rate in RATES}
        arms = [
            arm
            for arm in ARMS
            if all(
                (arm, seed) in runs
                for runs in by_rate.values()
                for seed in records.seeds_of(found.get(name, {}))
            )
        ]
        if name not in found or not arms:
            continue
        yield f"**{size:,} labeled photographs, each arm at its best rate of three** (loss on `tuning`):"
        yield records.markdown(["arm", *(f"tuning loss at {rate}" for rate in RATES), "cross-entropy at the best"],
                               (rate_row(by_rate, arm) for arm in arms))  # fmt: skip


def rate_row(by_rate: Mapping[str, Runs], arm: str) -> list[str]:
    tuning = {rate: records.values_of(runs, arm, "tuning_loss/shares") for rate, runs in by_rate.items()}
    best = min(tuning, key=lambda rate: sum(tuning[rate]) / len(tuning[rate]))
    losses = (records.mean_text(values) for values in tuning.values())
    return [arm, *losses, f"{records.mean_text(records.values_of(by_rate[best], arm, SCORE))} ({best})"]


def about(runs: Runs, name: str) -> str:
    """Return a sentence on the machine and the versions of the runs."""
    record = next(iter(runs.values())).record
    environment = record["environment"]
    versions = ", ".join(f"{name} {version}" for name, version in environment["packages"].items())
    days = sorted({run.record["started"][:10] for run in runs.values()})
    return (
        f"{len(runs)} runs of {name}, {' to '.join(dict.fromkeys((days[0], days[-1])))}; {environment['processor']}, "
        f"{environment['threads']} thread a run; Python {environment['python']}, {versions}."
    )


def write() -> None:
    """Write the page and its image."""
    found = load()
    runs = found[SIZES[250]]
    arms = [arm for arm in (*ARMS, "table") if arm != BASELINE]
    rows = [(arm, each) for arm in arms if (each := contrast(runs, arm, BASELINE))]
    image = records.dot_plot(rows, "cross-entropy minus that of classes, nats (left is better), 250 labels")
    (DOCS / "images" / f"{PAGE}.svg").write_text(image, encoding="utf-8")
    (KEPT / f"{PAGE}.md").write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    write()
