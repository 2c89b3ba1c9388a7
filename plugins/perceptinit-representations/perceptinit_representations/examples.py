"""Example judgments with a model's choices, class predictions and text-to-image retrieval, for the report."""

# N triplets or images, C classes, D embedding
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from perceptinit.companion import (
    RetrievalSet,
    ZeroShotSet,
    embed_judged,
    load_batch,
    thumbnail,
    zero_shot_classifier,
)
from perceptinit.plugin import Fit, Judgments, ShownRun, StimulusImages, Triplets, generator

NUM_SAMPLED = 256  # test examples, before the choice of those to show
NUM_SHOWN = 3


def triplet_examples(run: ShownRun, judgments: Judgments) -> dict[str, Any]:
    """Return held-out judgments on which the image tower agrees or disagrees with people after stage 1.

    Of a random sample, the judgments with the largest margins in distances and votes are selected, as "right"
    and "wrong". "num_sampled" and "num_right" count the decided and the correct judgments of the sample.
    """
    triplets = judgments.load("test")
    triplets = triplets.select(draw_sample(len(triplets), "triplets"))
    encoder: Any = run.load("init")
    images = StimulusImages(triplets.stimuli, encoder.image_size, fit=Fit.of(encoder))
    d_first, d_second = embed_judged(encoder.encode_image, triplets, images).distances(triplets)
    decided = triplets.p_second != 0.5
    agrees = decided & ((d_second < d_first) == (triplets.p_second > 0.5))
    clarity = np.abs(d_first - d_second) * np.abs(2 * triplets.p_second - 1)
    order = np.argsort(-clarity)

    def choose(rows: np.ndarray) -> list[dict[str, Any]]:
        return [_triplet(triplets, i, d_first[i], d_second[i]) for i in rows[:NUM_SHOWN]]

    return {
        "right": choose(order[agrees[order]]),
        "wrong": choose(order[(decided & ~agrees)[order]]),
        "num_sampled": int(decided.sum()),
        "num_right": int(agrees.sum()),
    }


def _triplet(triplets: Triplets, row: int, d_first: float, d_second: float) -> dict[str, Any]:
    """Return a judgment with three images (data URIs), human votes and the model's cosine distances."""
    stimuli = triplets.stimuli
    anchor, first, second = (
        thumbnail(stimuli.images[i], stimuli.ids[i], stimuli.background)
        for i in (triplets.anchor[row], triplets.first[row], triplets.second[row])
    )
    num_votes = int(triplets.num_votes[row])
    num_second = round(float(triplets.p_second[row]) * num_votes)
    return {
        "anchor": anchor,
        "first": first,
        "second": second,
        "first_votes": num_votes - num_second,
        "second_votes": num_second,
        "d_first": float(d_first),
        "d_second": float(d_second),
        "model_picks": "first" if d_first < d_second else "second",
    }


def draw_sample(count: int, name: str) -> np.ndarray:
    """Return sorted random row indices, the same for all arms and reports."""
    return np.sort(generator(0, "report", name).permutation(count)[:NUM_SAMPLED])


@torch.no_grad()
def named_images(runs: Sequence[ShownRun]) -> tuple[str, list[dict[str, Any]]] | None:
    """Return the name of a test set, and example images with their class and the prediction of each arm.

    Selects up to two images for each combination of correct and incorrect arms. Returns None without a
    suitable test set, or if a model has neither a text tower nor a classifier for this set.
    """
    test_set = next((s for s in runs[0].test_sets() if _has_one_label(s)), None)
    if test_set is None:
        return None
    rows = draw_sample(len(test_set.labels), test_set.name)
    truth = test_set.labels[rows]
    encoders = [run.load("final") for run in runs]
    found = [_classify(encoder, test_set, rows) for encoder in encoders]
    guesses = [guess for guess in found if guess is not None]
    if len(guesses) < len(runs):
        return None
    by_case: dict[tuple[bool, ...], list[int]] = {}
    for row, case in enumerate(zip(*(guess == truth for guess in guesses), strict=True)):
        by_case.setdefault(case, []).append(row)
    shown = [row for case in sorted(by_case, reverse=True) for row in by_case[case][:2]]
    named = [
        {
            "image": _show(test_set, rows[i]),
            "truth": test_set.classnames[truth[i]],
            "guesses": [(run, test_set.classnames[g[i]]) for run, g in zip(runs, guesses, strict=True)],
        }
        for i in shown
    ]
    return test_set.name, named


def _has_one_label(test_set: Any) -> bool:
    return isinstance(test_set, ZeroShotSet) and not test_set.is_multilabel


def _classify(encoder: Any, test_set: ZeroShotSet, rows: np.ndarray) -> np.ndarray | None:
    """Return the predicted class of each row, shape (N,); None if the model cannot predict these classes."""
    if hasattr(encoder, "head"):
        if not set(test_set.classnames) <= set(encoder.classnames):
            return None
        columns = [encoder.classnames.index(name) for name in test_set.classnames]
        logits = encoder.classify(_load_rows(encoder, test_set, rows))[:, columns]
    elif hasattr(encoder, "text"):
        vectors = zero_shot_classifier(encoder, test_set.classnames, _templates(test_set))
        logits = _embed_rows(encoder, test_set, rows) @ vectors.T
    else:
        return None
    return np.asarray(logits.argmax(dim=1))


def _templates(test_set: ZeroShotSet) -> tuple[str, ...]:
    return test_set.templates or ("{c}",)


def _embed_rows(encoder: Any, test_set: Any, rows: np.ndarray) -> torch.Tensor:
    batch = _load_rows(encoder, test_set, rows)
    return torch.nn.functional.normalize(encoder.encode_image(batch).float(), dim=1)


def _load_rows(encoder: Any, test_set: Any, rows: np.ndarray) -> torch.Tensor:
    images = [test_set.images[i] for i in rows]
    keys = [test_set.keys[i] for i in rows]
    return load_batch(images, keys, encoder.image_size, Fit.of(encoder))


@torch.no_grad()
def found_images(run: ShownRun) -> tuple[str, int, list[dict[str, Any]]] | None:
    """Return the name of a test set, the number of images, and three queries with the retrieved images.

    Queries are captions, or prompts with class names if the set has no captions. `images` contains the top
    five images and whether each is relevant. Returns None without a test set or a text tower.
    """
    sets = list(run.test_sets())
    test_set = next((s for s in sets if isinstance(s, RetrievalSet)), None)
    test_set = test_set or next((s for s in sets if _has_one_label(s)), None)
    encoder = run.load("final")
    if test_set is None or not hasattr(encoder, "text"):
        return None
    rows = draw_sample(len(test_set.images), test_set.name)
    queries, relevant = _find_queries(test_set, rows)
    texts = encoder.encode_text(encoder.tokenize(queries)).float()
    texts = torch.nn.functional.normalize(texts, dim=1)
    best = (texts @ _embed_rows(encoder, test_set, rows).T).topk(min(5, len(rows)), dim=1).indices
    found = [
        {"query": query, "images": [(_show(test_set, rows[i]), bool(own[i])) for i in hits]}
        for query, own, hits in zip(queries, relevant, best.tolist(), strict=True)
    ]
    return test_set.name, len(rows), found


def _show(test_set: Any, row: int) -> str:
    return thumbnail(test_set.images[row], test_set.keys[row])


def _find_queries(test_set: Any, rows: np.ndarray) -> tuple[list[str], list[np.ndarray]]:
    """Return three queries, and for each a mask of the relevant images in the sample, bool (N,)."""
    if isinstance(test_set, RetrievalSet):
        chosen = [int(np.flatnonzero(test_set.owners == row)[0]) for row in rows[:NUM_SHOWN]]
        captions = [test_set.captions[i] for i in chosen]
        return captions, [rows == test_set.owners[i] for i in chosen]
    classes = list(dict.fromkeys(map(int, test_set.labels[rows])))[:NUM_SHOWN]
    prompts = [_templates(test_set)[0].format(c=test_set.classnames[c]) for c in classes]
    return prompts, [test_set.labels[rows] == c for c in classes]
