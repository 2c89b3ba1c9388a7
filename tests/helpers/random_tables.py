"""Random tables of scores with a known truth: measure, direction, unit and difference of two arms.

The names of measures are those of public exports. They are written here on purpose and are not read from the
package, so that its word lists are tested.
"""

import csv
import io
import re
from dataclasses import dataclass, replace

import numpy as np

ARM, BASE = "ours", "base"
# name -> whether higher is better, None if the name does not state it; and a typical value
MEASURES = {
    "accuracy": (True, 0.62),
    "val_acc": (True, 0.62),
    "test/acc": (True, 0.62),
    "top1": (True, 0.62),
    "F1": (True, 0.62),
    "mIoU": (True, 0.41),
    "AUROC": (True, 0.83),
    "R@1": (True, 0.35),
    "bleu": (True, 27.0),
    "PSNR": (True, 31.0),
    "val_loss": (False, 1.9),
    "testLoss": (False, 1.9),
    "cross_entropy": (False, 1.9),
    "CrossEntropy": (False, 1.9),
    "nll": (False, 2.4),
    "perplexity": (False, 18.0),
    "val_bpb": (False, 1.1),
    "WER": (False, 0.14),
    "top1_err": (False, 0.31),
    "FID": (False, 12.0),
    "RMSE": (False, 3.3),
    "ECE": (False, 0.05),
    "latency_ms": (False, 41.0),
    "metric": (None, 0.62),
    "result": (None, 1.9),
    "m1": (None, 12.0),
    "power": (None, 4.1),
    "objective": (None, 1.9),
}
SHARES = {"accuracy", "val_acc", "test/acc", "top1", "F1", "mIoU", "AUROC", "R@1", "WER", "top1_err", "ECE"}
RENAMED = {"arm": ("method", "init", "model", "run_name"), "seed": ("run_seed", "random_seed", "rng")}
DAMAGE = ("", "", "row dropped", "row doubled", "units mixed", "one odd cell", "renamed", "decoys")


@dataclass(frozen=True, kw_only=True)
class RandomTable:
    """A table as CSV, and what is true of it.

    gain: Whether `ARM` is better (1), worse (-1) or drawn from the distribution of `BASE` (0).
    delta: A difference that does not matter, in points for shares and in the unit of the values otherwise.
    is_healthy: Whether names state measure and direction, and nothing is damaged.
    """

    text: str
    measure: str
    gain: int
    delta: float
    damage: str
    is_healthy: bool


def make(number: int, is_noise: bool = False) -> RandomTable:
    """Return the table with this number. The arms of `is_noise` tables do not differ."""
    rng = np.random.default_rng([20261201, number])
    measure = str(rng.choice(list(MEASURES)))
    higher, level = MEASURES[measure]
    damage = "" if is_noise else str(rng.choice(DAMAGE))
    num_seeds = int(rng.integers(3, 9))
    spread = 0.01 * level
    # four standard errors of the paired difference, or more
    size = 0.0 if is_noise else float(rng.uniform(4, 8)) * spread * (2 / num_seeds) ** 0.5
    gain = 0 if is_noise else int(rng.choice((1, -1)))
    truly_higher = bool(rng.integers(2)) if higher is None else higher
    shift = size * gain * (1 if truly_higher else -1)
    factor = 100.0 if measure in SHARES and rng.random() < 0.5 else 1.0
    if damage == "units mixed":
        factor = 1.0
        damage = damage if measure in SHARES else ""
    rows = []
    for seed in range(num_seeds):
        for arm, mean in ((BASE, level), (ARM, level + shift)):
            value = factor * (mean + spread * rng.standard_normal())
            rows.append({"arm": arm, "seed": seed, measure: round(value, 5)})
    if damage == "decoys":
        _add_decoys(rows, rng, opposite=-shift)
    rows = _damage(rows, damage, measure, rng)
    rng.shuffle(rows)
    delta = 0.3 * size * (100 if measure in SHARES else 1) or 0.1 * spread
    return RandomTable(
        text=_write(rows),
        measure=measure,
        gain=gain,
        delta=round(delta, 6),
        damage=damage,
        is_healthy=not damage and higher is not None,
    )


def _add_decoys(rows, rng, opposite):
    """Add columns that are not results, in which the other arm looks better."""
    names = rng.choice(["best_epoch", "train_acc", "train_loss", "runtime", "global_step"], 2, replace=False)
    for row in rows:
        lead = 40 * np.sign(opposite) * (row["arm"] == ARM)
        values = {str(name): round(float(50 + lead + rng.random()), 3) for name in names}
        measured = {key: row.pop(key) for key in list(row)[2:]}
        row |= values | measured


def _damage(rows, damage, measure, rng):
    place = int(rng.integers(len(rows)))
    if damage == "row dropped":
        del rows[place]
    elif damage == "row doubled":
        rows.append({**rows[place], measure: round(rows[place][measure] * 1.01, 5)})
    elif damage == "units mixed":
        for row in rows:
            row[measure] = round(row[measure] * (100 if row["arm"] == ARM else 1), 5)
    elif damage == "one odd cell":
        rows[place][measure] = round(rows[place][measure] * 100, 5)
    elif damage == "renamed":
        names = {field: str(rng.choice(others)) for field, others in RENAMED.items()}
        return [{names.get(key, key): value for key, value in row.items()} for row in rows]
    return rows


def spoil(table: RandomTable, how: str) -> RandomTable:
    """Return a table whose runs no longer support a claim.

    Args:
        table: A healthy table.
        how: "copied seed" lists the first run of each arm again under another seed. "other setting" adds a column
            that differs between arms alone.
    """
    rows = list(csv.DictReader(io.StringIO(table.text)))
    if how == "copied seed":
        first = rows[0]["seed"]
        rows += [{**row, "seed": "99"} for row in rows if row["seed"] == first]
    else:
        rows = [{**row, "lr": "0.1" if row["arm"] == ARM else "0.3"} for row in rows]
    return replace(table, text=_write(rows), damage=how, is_healthy=False)


def _write(rows):
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def firm_words(text: str) -> set[int]:
    """Return the claims of an output: 1 if it says that `ARM` is worth it, -1 if not, 0 if they are equivalent."""
    line = " ".join(text.split())
    claims = {
        1: rf"(?<!hether ){ARM} is worth it",
        -1: f"{ARM} is not worth it",
        0: f"{ARM} makes no difference",
    }
    return {claim for claim, pattern in claims.items() if re.search(pattern, line)}


def is_wrong(table: RandomTable, text: str) -> bool:
    """Return whether an output claims something that the table does not show.

    Nothing is shown by mixed units, nor by a measure whose name does not state which direction is better.
    """
    is_shown = table.damage != "units mixed" and MEASURES[table.measure][0] is not None
    return bool(firm_words(text) - ({table.gain} if is_shown else set()))
