"""Judgments that show how models and people, or two models, differ."""

# L models, N judgments of three images
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from perceptinit.images.thumbnails import thumbnail
from perceptinit.judgments.image_files import are_without_files
from perceptinit.results.measures import split_name, split_variant
from perceptinit.seeding import generator
from perceptinit.types import Score, Stimuli, Triplets

if TYPE_CHECKING:
    from perceptinit.evaluating.agreement import JudgedSet
    from perceptinit.evaluating.measure import Measured

NUM_SHOWN = 3  # judgments of each kind
EXAMPLES = "examples"  # key in `Score.extra` of the best model on a set


def add_examples(measured: Sequence[Measured], sets: Sequence[JudgedSet], *, with_images: bool) -> None:
    """Add examples to the score of the best model on each set; matrices contain no choices, so have none.

    Args:
        measured: The models.
        sets: The sets on which they were measured.
        with_images: Whether to add small copies of images, and not only their names.
    """
    for each in sets:
        found = {
            (place, row): score
            for place, model in enumerate(measured)
            for row, score in enumerate(model.scores)
            if score.choices is not None and _is_of(score, each)
        }
        if not found:
            continue
        order = sorted(found, key=lambda key: -found[key].value)
        titles = [measured[place].title for place, _ in order]
        choices = np.array([found[key].choices for key in order])
        place, row = order[0]
        best = found[order[0]]
        examples = _choose(each.measure.data, titles, choices)
        if with_images:
            examples["pictures"] = _shrink(each.measure.data.stimuli, examples["kinds"])
        measured[place].scores[row] = replace(best, extra={**best.extra, EXAMPLES: examples})


def _choose(data: Any, titles: Sequence[str], choices: np.ndarray) -> dict[str, Any]:
    """Return the examples of a set.

    Args:
        data: N judgments.
        titles: Models, the best first.
        choices: Column of the image that each model chooses in each judgment, (L, N); -1 for a tie.
    """
    images, votes = _list_votes(data)
    rows = np.arange(len(votes))
    # votes by which the image that most people chose leads over the choice of each model
    leads = np.where(choices < 0, 0, votes.max(axis=1) - votes[rows, choices])
    kinds = {"best": (leads[0], leads[0] > 0, 1)}
    if len(titles) > 1:
        kinds["all"] = leads.min(axis=0), (leads > 0).all(axis=0), len(titles)
        first, second = choices[:2]
        gaps = np.abs(votes[rows, first] - votes[rows, second])
        kinds["two"] = gaps, (first != second) & (first >= 0) & (second >= 0), 2
    by_chance = generator(0, "examples").permutation(len(rows))  # the order of equal leads
    shown: list[dict[str, Any]] = []
    for kind, (lead, differs, num_models) in kinds.items():
        ordered = by_chance[np.argsort(-lead[by_chance], kind="stable")]
        chosen = ordered[differs[ordered]][:NUM_SHOWN]
        named = titles[:num_models]
        ids = [[data.stimuli.ids[image] for image in images[row]] for row in chosen]
        judgments = [
            _describe(own, votes[row], dict(zip(named, choices[:num_models, row], strict=True)))
            for own, row in zip(ids, chosen, strict=True)
        ]
        shown.append({"kind": kind, "models": named, "num": int(differs.sum()), "judgments": judgments})
    return {"num": len(rows), "kinds": shown, "pictures": {}}


def _is_of(score: Score, each: JudgedSet) -> bool:
    """Return whether a score is that of a set, and no other variant of it, which has other judgments."""
    measure, title = split_name(score.name)
    return title == each.title and f"_{split_variant(measure)[1]}" == (each.measure.variant or "_")


def _describe(ids: Sequence[str], votes: np.ndarray, choices: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return the image names of a judgment with their votes, and with the models that choose them."""
    return [
        {
            "name": name,
            "votes": round(float(num), 3),
            "models": [model for model, own in choices.items() if own == column],
            "is_picked": bool(num == votes.max()),
        }
        for column, (name, num) in enumerate(zip(ids, votes, strict=True))
    ]


def _list_votes(data: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the images of each judgment, and the votes for each image, (N, 3); none for an anchor."""
    if not isinstance(data, Triplets):
        return data.images, data.votes.astype(float)
    for_second = data.p_second.astype(float) * data.num_votes
    return data.roles.T, np.stack([0 * for_second, data.num_votes - for_second, for_second], axis=1)


def _shrink(stimuli: Stimuli, kinds: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return small copies of the shown images by name; empty if only the names are available."""
    if are_without_files(stimuli):
        return {}
    judgments = [judgment for kind in kinds for judgment in kind["judgments"]]
    names = {image["name"] for judgment in judgments for image in judgment}
    rows = [row for row, name in enumerate(stimuli.ids) if name in names]
    return {
        stimuli.ids[row]: thumbnail(stimuli.images[row], stimuli.ids[row], stimuli.background) for row in rows
    }
