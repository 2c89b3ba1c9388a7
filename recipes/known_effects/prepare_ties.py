"""Make the judgments of ties.toml and beyond_labels.toml: triplets of CIFAR-10H that class labels do not answer.

    python recipes/known_effects/prepare_ties.py FOLDER OUT

FOLDER is the folder of prepare.py. The closeness of two photographs is the probability that random human labels of
them are equal. A triplet is a tie if both candidates have the anchor's class or neither has. OUT/ties/ gets the
photographs and six tables with the columns of judgments `table`:

    people.csv   ties that classes do not answer either, a third each: three photographs of one class (`one class`),
                 candidates that share another class (`candidates`), and three classes where the class table, the mean
                 label shares of each class, has the opposite answer (`against classes`)
    ties.csv     random ties, three for each anchor. Here and in people.csv, the closeness of the candidates differs by more than 0.1
    pixels.csv   the triplets of ties.csv, answered by the cosine similarity of centered gray pixels
    labels.csv   one candidate has the anchor's class and wins
    classes.csv  three classes, answered by the class table
    table.csv    the triplets of ties.csv, answered by the class table; half a vote for each side if it is equal

Rows of held-out photographs are those of ties.csv in every table but people.csv. OUT also gets labels-N.parquet, balanced samples of
250 and 1,000 training photographs with their class; votes-N.parquet, the same photographs once for each label that a
person gave; stage-one-images.parquet, the 7,000 photographs of the training triplets; and shares-val.parquet and shares-test.parquet, the held-out photographs with people's label shares.
"""

# M photographs, C classes, N triplets
import csv
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet as parquet

from perceptinit.plugin import assign_splits

SEED = 45
MIN_GAP = 0.1
NUM_KINDS = 3
SHARES = {"val_share": 0.1, "test_share": 0.2}  # as in beyond_labels.toml
NUM_LABELS = (250, 1000)
ROWS_OF_A_GROUP = 500
MOST_USES = 30  # of a photograph in a kind
MOST_ANCHORS = 20  # tried for a winner
COLUMNS = ("anchor", "first", "second", "p_second", "num_votes", "kind")
Candidates = Callable[["Photographs", int, int], np.ndarray]


@dataclass(frozen=True, slots=True)
class Photographs:
    """The photographs of a split.

    index: rows of the test set, int64 (M,). classes: official labels, int64 (M,). shares: share of people who gave
    each label, (M, C). num_labels: labels of each photograph, int64 (M,). table: closeness of two classes, (C, C).
    """

    index: np.ndarray
    classes: np.ndarray
    shares: np.ndarray
    num_labels: np.ndarray
    table: np.ndarray


def main(source: Path, out: Path) -> None:
    rows = parquet.read_table(source / "test.parquet")
    images = rows["image"].to_pylist()
    labels = np.array(rows["label"].to_pylist())
    counts = np.load(source / "human_counts.npy")
    folder = out / "ties"
    (folder / "photographs").mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        (folder / "photographs" / name_of(number)).write_bytes(image)
    parts = split_photographs(labels, counts)
    rng = np.random.default_rng(SEED)
    gray = centered_gray(folder / "photographs", len(images))
    people = {name: list(draw_beyond(part, rng)) for name, part in parts.items()}
    write(folder / "people.csv", people["train"] + people["val"] + people["test"])
    ties = {name: draw_ties(part, rng) for name, part in parts.items()}
    held_out = ties["val"] + ties["test"]
    train = parts["train"]
    num = len(ties["train"])
    pixels = [answer_by_pixels(row, gray) for row in ties["train"]]
    write(folder / "ties.csv", ties["train"] + held_out)
    write(folder / "pixels.csv", pixels + held_out)
    by_table = [answer_by_table(row, labels, train.table) for row in ties["train"]]
    write(folder / "table.csv", by_table + held_out)
    write(folder / "labels.csv", draw_labels(train, num, rng) + held_out)
    write(folder / "classes.csv", draw_classes(train, num, rng) + held_out)
    write_photographs(out, rows, parts, counts)


def name_of(number: int) -> str:
    return f"{number:05d}.jpg"


def split_photographs(labels: np.ndarray, counts: np.ndarray) -> dict[str, Photographs]:
    """Return the photographs of each split. The class table uses training photographs only."""
    names = [name_of(number) for number in range(len(labels))]
    # the splits of judgments `table` with split_by = "image" and seed 0
    splits = assign_splits(names, 0, "judgments", "table", "split", **SHARES)
    shares = counts / counts.sum(axis=1, keepdims=True)
    is_train = splits == "train"
    means = np.stack([shares[is_train & (labels == c)].mean(axis=0) for c in range(shares.shape[1])])
    table = means @ means.T
    found = {}
    for name in ("train", "val", "test"):
        index = np.flatnonzero(splits == name)
        found[name] = Photographs(index, labels[index], shares[index], counts[index].sum(axis=1), table)
    return found


def draw_beyond(part: Photographs, rng: np.random.Generator) -> Iterator[tuple]:
    """Yield as many triplets of each kind as there are photographs, answered by people.

    Few photographs are ambiguous, so winners take turns, and the least used anchors and losers are preferred.
    """
    kinds: dict[str, tuple[Candidates, Candidates]] = {
        "one class": (is_of_winner, is_of_winner),
        "candidates": (is_of_other, is_of_winner),
        "against classes": (is_of_other, is_preferred_by_table),
    }
    for kind, (anchors, losers) in kinds.items():
        found: dict[tuple[int, int, int], None] = {}
        winners = in_turn(part, rng)
        uses = np.zeros(len(part.index))
        while len(found) < len(part.index):
            order = np.where(uses < MOST_USES, uses + rng.random(len(uses)), np.inf)
            triplet = draw_triplet(part, next(winners), anchors, losers, order)
            if triplet and triplet not in found:
                found[triplet] = None
                uses[list(triplet)] += 1
        for anchor, winner, loser in found:
            yield answer_by_people(part, anchor, winner, loser, kind, rng)


def is_of_winner(part: Photographs, anchor: int, winner: int) -> np.ndarray:
    return part.classes == part.classes[winner]


def is_of_other(part: Photographs, anchor: int, winner: int) -> np.ndarray:
    return part.classes != part.classes[winner]


def is_preferred_by_table(part: Photographs, anchor: int, winner: int) -> np.ndarray:
    """Return a mask of the photographs of a third class that the class table puts nearer than the winner's."""
    own, other = part.classes[anchor], part.classes[winner]
    is_third = (part.classes != own) & (part.classes != other)
    return is_third & (part.table[own][part.classes] > part.table[own, other])


def draw_triplet(
    part: Photographs, winner: int, anchors: Candidates, losers: Candidates, order: np.ndarray
) -> tuple[int, int, int] | None:
    """Return anchor, winner and loser, or None if the winner has no such triplet.

    order: photographs with smaller values are preferred, (M,).
    """
    is_anchor = anchors(part, winner, winner) & (part.shares @ part.shares[winner] > MIN_GAP)
    is_anchor &= np.isfinite(order)
    is_anchor[winner] = False
    for anchor in sorted(np.flatnonzero(is_anchor).tolist(), key=lambda i: order[i])[:MOST_ANCHORS]:
        closeness = part.shares @ part.shares[anchor]
        is_loser = losers(part, anchor, winner) & (closeness < closeness[winner] - MIN_GAP)
        is_loser &= np.isfinite(order)
        is_loser[anchor] = False
        if is_loser.any():
            return anchor, winner, int(np.where(is_loser, order, np.inf).argmin())
    return None


def draw_ties(part: Photographs, rng: np.random.Generator) -> list[tuple]:
    """Return random triplets that class labels do not answer and people do, three for each anchor."""
    found: dict[tuple[int, int, int], None] = {}
    anchor = np.repeat(np.arange(len(part.index)), NUM_KINDS)
    while len(anchor):
        winner, loser = rng.integers(len(part.index), size=(2, len(anchor)))
        is_own, is_other = (part.classes[each] == part.classes[anchor] for each in (winner, loser))
        lead = ((part.shares[winner] - part.shares[loser]) * part.shares[anchor]).sum(axis=1)
        is_distinct = (anchor != winner) & (anchor != loser)
        is_new = is_distinct & (is_own == is_other) & (lead > MIN_GAP)
        for triplet in zip(
            anchor[is_new].tolist(), winner[is_new].tolist(), loser[is_new].tolist(), strict=True
        ):
            found[triplet] = None
        anchor = anchor[~is_new]
    return [answer_by_people(part, *triplet, kind_of(part, *triplet), rng) for triplet in found]


def kind_of(part: Photographs, anchor: int, winner: int, loser: int) -> str:
    """Return the kind of a tie, named as in `draw_beyond`; `classes` if the class table has the same answer."""
    own, nearer, other = (part.classes[i] for i in (anchor, winner, loser))
    if nearer == other:
        return "one class" if own == nearer else "candidates"
    return "classes" if part.table[own, nearer] > part.table[own, other] else "against classes"


def answer_by_people(
    part: Photographs, anchor: int, winner: int, loser: int, kind: str, rng: np.random.Generator
) -> tuple:
    """Return a row with the share of votes by Luce's choice rule, with random sides."""
    first, second = (winner, loser) if rng.random() < 0.5 else (loser, winner)
    near_first, near_second = (float(part.shares[i] @ part.shares[anchor]) for i in (first, second))
    num_votes = int(min(part.num_labels[first], part.num_labels[second]))
    p_second = near_second / (near_first + near_second)
    images = (int(part.index[i]) for i in (anchor, first, second))
    return (*images, p_second, num_votes, kind)


def answer_by_pixels(row: tuple, gray: np.ndarray) -> tuple:
    anchor, first, second, *_ = row
    p_second = 1.0 if gray[anchor] @ gray[second] > gray[anchor] @ gray[first] else 0.0
    return (anchor, first, second, p_second, 1, row[-1])


def answer_by_table(row: tuple, classes: np.ndarray, table: np.ndarray) -> tuple:
    """Return the row of a triplet with one vote by the class table. classes: of all photographs."""
    anchor, first, second, *_, kind = row
    near_first, near_second = (table[classes[anchor], classes[image]] for image in (first, second))
    return (anchor, first, second, float(np.heaviside(near_second - near_first, 0.5)), 1, kind)


def centered_gray(folder: Path, num: int) -> np.ndarray:
    """Return unit vectors of gray pixels minus their mean, (num, 1024)."""
    from PIL import Image

    pixels = np.stack([np.asarray(Image.open(folder / name_of(i)).convert("RGB")) for i in range(num)])
    gray = pixels.mean(axis=3).reshape(num, -1)
    centered = gray - gray.mean(axis=1, keepdims=True)
    return centered / np.linalg.norm(centered, axis=1, keepdims=True)


def draw_labels(part: Photographs, num: int, rng: np.random.Generator) -> list[tuple]:
    """Return triplets in which one candidate has the anchor's class and wins."""
    found: dict[tuple[int, int, int], None] = {}
    anchors = in_turn(part, rng)
    while len(found) < num:
        anchor = next(anchors)
        is_same = part.classes == part.classes[anchor]
        other = int(rng.choice(np.flatnonzero(~is_same)))
        is_same[anchor] = False
        found[anchor, int(rng.choice(np.flatnonzero(is_same))), other] = None
    return [answered(part, *triplet, "labels", rng) for triplet in found]


def draw_classes(part: Photographs, num: int, rng: np.random.Generator) -> list[tuple]:
    """Return triplets of three classes. The candidate whose class the class table puts nearer wins."""
    found: dict[tuple[int, int, int], None] = {}
    anchors = in_turn(part, rng)
    while len(found) < num:
        anchor = next(anchors)
        own = part.classes[anchor]
        a = int(rng.choice(np.flatnonzero(part.classes != own)))
        b = int(rng.choice(np.flatnonzero((part.classes != own) & (part.classes != part.classes[a]))))
        is_nearer = part.table[own, part.classes[a]] > part.table[own, part.classes[b]]
        found[(anchor, a, b) if is_nearer else (anchor, b, a)] = None
    return [answered(part, *triplet, "classes", rng) for triplet in found]


def in_turn(part: Photographs, rng: np.random.Generator) -> Iterator[int]:
    """Yield every photograph equally often, in random order."""
    while True:
        yield from rng.permutation(len(part.index)).tolist()


def answered(
    part: Photographs, anchor: int, winner: int, loser: int, kind: str, rng: np.random.Generator
) -> tuple:
    """Return a row with one vote for the winner, with random sides."""
    is_second = rng.random() < 0.5
    images = (anchor, loser, winner) if is_second else (anchor, winner, loser)
    return (*(int(part.index[i]) for i in images), float(is_second), 1, kind)


def write(path: Path, rows: list[tuple]) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for anchor, first, second, p_second, num_votes, kind in rows:
            names = [name_of(i) for i in (anchor, first, second)]
            table.writerow([*names, f"{p_second:.6f}", num_votes, kind])


def write_photographs(
    out: Path, rows: pyarrow.Table, parts: Mapping[str, Photographs], counts: np.ndarray
) -> None:
    """Write the labeled photographs; smaller samples are part of larger ones."""
    rng = np.random.default_rng(SEED)
    names = class_names(rows)
    train = parts["train"]
    save(out / "stage-one-images.parquet", rows.take(train.index).select(["image", "class"]))
    members = [train.index[train.classes == label] for label in range(len(names))]
    num_of_class = NUM_LABELS[-1] // len(names)
    order = np.stack([rng.permutation(of_class)[:num_of_class] for of_class in members])
    for num in NUM_LABELS:
        chosen = order[:, : num // len(names)].T.ravel()
        save(out / f"labels-{num}.parquet", rows.take(chosen).select(["image", "class"]))
        save(out / f"votes-{num}.parquet", by_vote(rows, chosen, counts, names))
    for name in ("val", "test"):
        part = parts[name]
        table = rows.take(part.index).select(["image", "class"])
        for label, share in zip(names, part.shares.T, strict=True):
            table = table.append_column(label, pyarrow.array(share))
        save(out / f"shares-{name}.parquet", table)


def class_names(rows: pyarrow.Table) -> list[str]:
    """Return the names of the labels, which are numbered from 0."""
    named = dict(zip(rows["label"].to_pylist(), rows["class"].to_pylist(), strict=True))
    return [named[label] for label in sorted(named)]


def by_vote(rows: pyarrow.Table, chosen: np.ndarray, counts: np.ndarray, names: list[str]) -> pyarrow.Table:
    """Return each photograph once for each label that a person gave."""
    photographs = np.repeat(chosen, counts[chosen].sum(axis=1))
    given = np.concatenate([np.repeat(names, counts[photograph]) for photograph in chosen])
    return pyarrow.table({"image": rows["image"].take(photographs), "class": given.tolist()})


def save(path: Path, table: pyarrow.Table) -> None:
    parquet.write_table(table, path, row_group_size=ROWS_OF_A_GROUP)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
