"""Shape bias, and errors that a model shares with people, on images of 16 classes (`shape-bias`)."""

# N images, D embedding, C classes
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from perceptinit.companion import (
    ALONE,
    Encoding,
    Joint,
    LabeledMeasure,
    Subjects,
    ZeroShotSet,
    all_features,
    jackknife,
    leave_out_groups,
    problems_of,
    read_table,
    zero_shot_classifier,
)
from perceptinit.plugin import NEUTRAL, DataError, Items, PositiveFloat, RunContext, Score, SetConfig

# ImageNet's classes of each of the 16 classes, from 0. Source: human_categories.py of model-vs-human (MIT)
IMAGENET: Mapping[str, Sequence[int]] = {
    "airplane": (404,),
    "bear": range(294, 298),
    "bicycle": (444, 671),
    "bird": (
        8,
        *range(10, 17),
        *range(18, 21),
        *range(22, 25),
        *range(80, 84),
        *range(87, 97),
        *range(98, 101),
        *range(127, 134),
        *range(135, 146),
    ),
    "boat": (472, 554, 625, 814, 914),
    "bottle": (440, 720, 737, 898, 899, 901, 907),
    "car": (436, 511, 817),
    "cat": range(281, 287),
    "chair": (423, 559, 765, 857),
    "clock": (409, 530, 892),
    "dog": (
        *range(152, 192),
        *range(193, 204),
        *range(205, 227),
        *range(228, 242),
        *range(243, 251),
        *range(252, 258),
        259,
        *range(261, 264),
        *range(265, 269),
    ),
    "elephant": (385, 386),
    "keyboard": (508, 878),
    "knife": (499,),
    "oven": (766,),
    "truck": (555, 569, 656, 675, 717, 734, 864, 867),
}
NUMBERED = tuple(map(str, range(1000)))  # names of ImageNet's classes in classifiers of timm
PERSON = "subject"  # start of the names of people, in files that also contain networks
CUES = re.compile(r"([a-z]+)\d+-([a-z]+)\d+")  # shape and texture: airplane1-bicycle2
ANSWERS = ("subj", "imagename", "object_response", "category")


class ShapeBias(LabeledMeasure):
    """Shape bias, accuracy, and error consistency with people, in the layouts of model-vs-human.

    The scores are `accuracy/<set>`; `shape_bias/<set>`, if the names of all images state shape and texture:
    the share of decisions for the shape among those for shape or texture, on images whose cues differ; and
    `kappa/<set>`, if `answers` is set: the mean error consistency with each person (Cohen's kappa of correct
    answers). Its ceiling is the mean between two people. Intervals are over images (jackknife).

    A model with a text tower decides by class names (zero-shot), and a classifier of ImageNet's 1,000 classes
    by the mean probability of the classes in each of the 16. For other models, a linear probe is fitted on
    the set `probe`, and the measures are `accuracy_probe`, `shape_bias_probe` and `kappa_probe`.

    Source: Geirhos et al. (2019, 2020, 2021).
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(SetConfig):
        answers: Annotated[Path | None, NEUTRAL] = None
        """Folder of the people's answers, with a folder of CSV files for each set, named as the set."""
        probe: str = ""
        """Test set in folders of the same classes, such as photographs, that linear probes are fitted on."""
        strength: PositiveFloat = 10.0
        """Inverse penalty of a linear probe (scikit-learn's C)."""

    splits = ("test",)

    def preflight(self) -> Iterator[str]:
        """Yield problems of the sets, the answers and the set of the probe."""
        yield from super().preflight()
        for dataset in self.choice.all if self.config.answers else ():
            yield from problems_of(lambda name: self._people(self.read(name, "test")), dataset)
        if self.config.probe:
            yield from problems_of(self.read, self.config.probe, "test")

    def read(self, dataset: str, split: str) -> ZeroShotSet:
        """Return a set; the class of an image in a folder `session-...` is in its name."""
        found = super().read(dataset, split)
        if not all(name.startswith("session-") for name in found.classnames):
            return found
        classes = [Path(key).name.split("_")[4] for key in found.keys]
        classnames, labels = np.unique(classes, return_inverse=True)
        return replace(found, classnames=tuple(classnames.tolist()), labels=labels)

    def evaluate_many(
        self, models: Sequence[Any], ctx: RunContext, joint: Joint = ALONE
    ) -> list[list[Score]]:
        """Return the scores of each model, with one decoding pass per set."""
        return super().evaluate_many([as_probabilities(model) for model in models], ctx, joint)

    def scores(
        self, model: Any, sets: Sequence[ZeroShotSet], features: Sequence[np.ndarray], ctx: RunContext
    ) -> list[Score]:
        """Return the scores of a model from its unit embeddings, or probabilities of ImageNet's classes."""
        [images] = sets
        people = self._people(images)
        mark = ""
        if hasattr(model, "encode_text"):
            about = images.classnames, images.templates, ctx.device, self.config.precision
            vectors = zero_shot_classifier(model, *about, self.config.batch_size).cpu().numpy()
            said = np.array(images.classnames)[(features[0] @ vectors.T).argmax(axis=1)]
        elif hasattr(model, "has_probabilities"):
            said = decide(features[0])
        elif self.config.probe:
            said = self._fit(model, images, ctx).predict(features[0])
            mark = "_probe"
        else:
            ctx.warn(
                f"shape-bias/{images.name}: a model without text tower and ImageNet classifier has no score. "
                "Set probe to a folder with the same classes"
            )
            return []
        shape = np.array(images.classnames)[images.labels]
        cues = [CUES.fullmatch(Path(key).stem.rpartition("_")[2]) for key in images.keys]
        found = [self.accuracy(f"accuracy{mark}", images, said == shape)]
        if all(cues):
            texture = np.array([cue[2] for cue in cues if cue])
            found += score_shape_bias(f"shape_bias{mark}/{images.name}", said, shape, texture)
        return [*found, *score_errors(f"kappa{mark}/{images.name}", said == shape, people)]

    def _fit(self, model: Any, images: ZeroShotSet, ctx: RunContext) -> Any:
        """Return a logistic regression of class names, fitted on the set `probe`."""
        train = self.read(self.config.probe, "test")
        if set(train.classnames) != set(images.classnames):
            raise DataError(f"probe '{self.config.probe}': its classes differ from those of '{images.name}'")
        [z] = all_features(Subjects.of([model]), train, Encoding.of(self.config, ctx, ALONE))
        names = np.array(train.classnames)[train.labels]
        return LogisticRegression(C=self.config.strength, max_iter=1000).fit(z, names)

    def _people(self, images: ZeroShotSet) -> dict[str, np.ndarray]:
        """Return the correct answers of each person; empty without `answers`."""
        folder = self.config.answers
        return read_people(folder / images.name, images.keys) if folder else {}


def as_probabilities(model: Any) -> Any:
    """Return a model whose embeddings are probabilities of ImageNet's classes, if it classifies them."""
    if tuple(getattr(model, "classnames", ())) != NUMBERED:
        return model
    return SimpleNamespace(
        image_size=model.image_size,
        fit=model.fit,
        embed_dim=len(NUMBERED),
        encode_image=lambda images: model.classify(images).float().softmax(dim=-1),
        has_probabilities=True,
    )


def decide(probabilities: np.ndarray) -> np.ndarray:
    """Return the class of 16 with the largest mean probability of its ImageNet classes, (N,).

    probabilities: (N, 1000), in any positive unit of each row.
    """
    means = [probabilities[:, list(numbers)].mean(axis=1) for numbers in IMAGENET.values()]
    return np.array(list(IMAGENET))[np.argmax(means, axis=0)]


def read_people(folder: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return whether each person classified each image correctly, float (N,); NaN without an answer.

    Args:
        folder: CSV files with columns `subj`, `imagename`, `object_response`, `category` and `condition`.
        names: Names of the N images.

    Raises:
        DataError: If there are no answers of people about these images, or several conditions.
    """
    found: dict[str, dict[str, bool]] = {}
    conditions: set[str] = set()
    for path in sorted(folder.glob("*.csv")):
        columns = read_table(path)
        conditions.update(columns.texts("condition"))
        for person, image, answer, category in zip(*map(columns.texts, ANSWERS), strict=True):
            found.setdefault(person, {})[short_name(image)] = answer == category
    if len(conditions) > 1:
        raise DataError(f'answers = "{folder}": {len(conditions)} conditions. Keep the files of one')
    people = {
        person: np.array([own.get(short_name(name), np.nan) for name in names], dtype=np.float64)
        for person, own in found.items()
        if person.startswith(PERSON)
    }
    if np.isnan(list(people.values())).all():
        raise DataError(f'answers = "{folder}": no answers of people ({PERSON}-...) about these images')
    return people


def short_name(name: str) -> str:
    """Return the name of an image without the prefix of a trial: `0001_s5n_s01_0_bird_00_bird3-bird2.png`.

    Source: plotting_helper.py of model-vs-human; names of ImageNet (`n01440764_1.png`) keep their prefix.
    """
    *_, prefix, last = ["", *Path(name).name.split("_")]
    return f"{prefix}_{last}" if prefix.startswith("n0") else last


def kappa(first: np.ndarray, second: np.ndarray) -> float:
    """Return the error consistency of two observers, at most 1; 0 is the agreement expected by chance.

    Args:
        first: Whether the first observer is correct, 0 or 1, (N,); NaN without an answer.
        second: The same for the second observer. Images without both answers are ignored.

    Source: Geirhos, Meding and Wichmann (2020).
    """
    known = ~np.isnan(first + second)
    share = first[known].mean()
    other = second[known].mean()
    observed = (first[known] == second[known]).mean()
    expected = share * other + (1 - share) * (1 - other)
    return 1.0 if observed == 1 else float((observed - expected) / (1 - expected))


def score_images(name: str, statistic: Callable[[np.ndarray], float], num: int, **own: Any) -> Score:
    """Return a statistic of N images, which maps a mask (N,) to a value, with its jackknife error."""
    value = statistic(np.ones(num, dtype=bool))
    without = leave_out_groups(statistic, np.arange(num))
    # pseudo-values, whose mean is the score
    pseudo = Items(value + (num - 1) * (without.mean() - without), np.arange(num)[:, None])
    return Score(
        name=name, value=value, num_examples=num, stderr=jackknife(without), pseudo_items=pseudo, **own
    )


def score_shape_bias(name: str, said: np.ndarray, shape: np.ndarray, texture: np.ndarray) -> list[Score]:
    """Return the shape bias of decisions, class names (N,); empty if no decision is for shape or texture.

    Images without a conflict of cues are ignored.
    """
    conflict = shape != texture
    by_shape = (said == shape)[conflict]
    is_decided = by_shape | (said == texture)[conflict]
    if not is_decided.any():
        return []

    def statistic(rows: np.ndarray) -> float:
        return float(by_shape[rows].sum() / max(1, is_decided[rows].sum()))

    about = {"num_shape": int(by_shape.sum()), "num_texture": int((is_decided & ~by_shape).sum())}
    return [score_images(name, statistic, len(by_shape), extra=about)]


def score_errors(name: str, correct: np.ndarray, people: Mapping[str, np.ndarray]) -> list[Score]:
    """Return the mean error consistency with people, and the mean between people as its ceiling."""
    if not people:
        return []
    values = correct.astype(np.float64)

    def statistic(rows: np.ndarray) -> float:
        return float(np.mean([kappa(values[rows], own[rows]) for own in people.values()]))

    between = {pair: kappa(people[pair[0]], people[pair[1]]) for pair in combinations(people, 2)}
    by_person = {
        person: {
            "value": kappa(values, own),
            "others": float(np.mean([k for pair, k in between.items() if person in pair])),
        }
        for person, own in people.items()
    }
    ceiling = float(np.mean(list(between.values()))) if between else None
    return [
        score_images(
            name, statistic, len(values), chance=0.0, ceiling=ceiling, extra={"by_person": by_person}
        )
    ]
