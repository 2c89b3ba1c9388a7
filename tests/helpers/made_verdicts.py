"""Records with known differences between arms."""

from helpers.made_runs import record, score, write
from perceptinit.analysis.compare import compare
from perceptinit.results.runs import load_runs

BASE = (0.50, 0.52, 0.54)
LEARNED = {"trivial_2afc/pixels 16 x 16": 0.6, "steps": 580.0, "triplets": 13_900.0}


def trained_on(judgments):
    return [{"use": "triplet-hinge", "judgments": judgments}]


def made(
    folder,
    arms,
    name="top1/x",
    baseline="random",
    plan="delta = 0.1\n",
    overrides=(),
    with_items=False,
    **more,
):
    """Return the comparison of arms, given as name -> (init stages, a value per seed).

    plan: the text of `[verdict]`; overrides: of all runs but the first.
    """
    names = "".join(f'[[arm]]\nname = "{arm}"\n' for arm in arms)
    records = []
    for arm, (stages, values) in arms.items():
        for seed, value in enumerate(values):
            one = record(arm, seed, [score(value, name=name, **more)])
            one["arm"]["resolved"]["init"] = stages
            for row in one["init"]:
                row["metrics"] |= LEARNED | (
                    {"2afc_val_after": 0.5} if "shuffled-votes" in str(stages) else {}
                )
            one["arm"]["by_people"] = "pixel-triplets" not in str(stages)
            text = f"seeds = [0, 1, 2]\n{names}[verdict]\n{plan}"
            one["recipe"] |= {"baseline": baseline, "text": text}
            if records:
                one["recipe"]["overrides"] = list(overrides)
                one["started"] = "2026-01-02T00:00:00+00:00"
            records.append(one)
    return compare(load_runs([write(folder, records, with_items)]))
