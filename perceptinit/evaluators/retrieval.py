"""Retrieval (`retrieval`): find the image of a caption, and a caption of an image."""

from __future__ import annotations

# N images, M captions, D embedding
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from perceptinit.configs import PositiveInt
from perceptinit.errors import DataError
from perceptinit.evaluators.classifier import embed_texts
from perceptinit.evaluators.features import ALONE, Encoding, Joint, Subjects, all_features
from perceptinit.evaluators.metrics import chance_of_any, hits_at_k, share_score
from perceptinit.evaluators.readable import mark_incomplete, readable_rows
from perceptinit.evaluators.set_measure import SetMeasure, SuiteConfig, main_score
from perceptinit.judgments.scoring import clustered_stderr
from perceptinit.protocols import DualEncoder
from perceptinit.test_sets.sets import RetrievalSet
from perceptinit.types import RunContext, Score


class Retrieval(SetMeasure):
    """Is the right image among the k nearest to a caption, and a right caption to an image?

    Gives `image_recall_K/<set>`, the share of captions whose image is found (its standard error
    treats the captions of an image as dependent), `text_recall_K/<set>`, the share of images of which
    any caption is found, `mean_recall_1/<set>` of the two, and for sets of the suites `main/<set>`.
    In fp32 the numbers are those of clip-benchmark with `--no_amp`.
    """

    needed_part = "text"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(SuiteConfig):
        kinds = ("retrieval",)

        ks: tuple[PositiveInt, ...] = (1, 5, 10)
        """How many nearest items are looked at, each giving two scores."""

        def __post_init__(self) -> None:
            SuiteConfig.__post_init__(self)
            if not self.ks or len(set(self.ks)) < len(self.ks):
                raise ValueError(f"ks: expected different numbers, got {list(self.ks)}")

    config: Config

    @torch.no_grad()
    def evaluate_many(
        self, models: Sequence[DualEncoder], ctx: RunContext, joint: Joint = ALONE
    ) -> list[list[Score]]:
        encoding = Encoding.of(self.config, ctx, joint)
        subjects = Subjects.of(models)
        results: list[list[Score]] = [[] for _ in models]
        for dataset in self.present(ctx, "retrieval"):
            with joint.guard(dataset):
                test_set = self._read(dataset)
                features = all_features(subjects, test_set, encoding)
                rows = readable_rows(test_set, encoding.merge, ctx.warn)
                kept = test_set.only(rows)
                for model, images, result in zip(models, features, results, strict=True):
                    found = self._scores(kept, model, images[rows], encoding)
                    result += mark_incomplete(found, [test_set], [rows])
        return results

    def _read(self, dataset: str) -> RetrievalSet:
        test_set = self.choice.read(dataset)
        if not isinstance(test_set, RetrievalSet):
            raise DataError(f"test set '{dataset}': labels, no captions; use evaluator 'zero-shot'")
        return test_set

    def _scores(
        self, test_set: RetrievalSet, model: DualEncoder, images: np.ndarray, encoding: Encoding
    ) -> list[Score]:
        embeddings = embed_texts(
            model, test_set.captions, encoding.device, encoding.precision, encoding.batch_size
        )
        captions = embeddings.of(test_set.captions)
        gallery = torch.from_numpy(images).to(captions.device)
        owners, everyone = test_set.owners, np.arange(len(images))
        ks = sorted({*self.config.ks, 1})
        found_images = hits_at_k(captions, gallery, owners, everyone, ks)
        found_texts = hits_at_k(gallery, captions, everyone, owners, ks)
        facts = {
            "num_images": len(images),
            "num_captions": len(owners),
            "precision": encoding.precision,
            "simulated": test_set.simulated,
        }
        return recall_scores(test_set, ks, found_images, found_texts, facts, self.config.ks)


def recall_scores(
    test_set: RetrievalSet,
    ks: Sequence[int],
    found_images: np.ndarray,
    found_texts: np.ndarray,
    facts: dict[str, Any],
    shown: Sequence[int],
) -> list[Score]:
    """Return the scores of a set from what was found at each of `ks` (1 is the first), bool (., len(ks)).

    shown: the k that get scores of their own.
    """
    num, total = len(found_texts), len(found_images)
    num_captions = np.bincount(test_set.owners, minlength=num)
    result = []
    for column, k in enumerate(ks):
        by_caption, by_image = found_images[:, column], found_texts[:, column]
        if k in shown:
            # the captions of an image are dependent, images are not
            images = share_score(f"image_recall_{k}/{test_set.name}", by_caption, min(1.0, k / num), facts)
            stderr = clustered_stderr(by_caption.astype(float), test_set.owners)
            chance = chance_of_any(num_captions, total, min(k, total))
            texts = share_score(f"text_recall_{k}/{test_set.name}", by_image, chance, facts)
            result += [replace(images, stderr=stderr), texts]
    mean = _mean_recall(test_set, found_images[:, 0], found_texts[:, 0], facts)
    return [*result, mean, *main_score(test_set.name, [mean])]


def _mean_recall(
    test_set: RetrievalSet, by_caption: np.ndarray, by_image: np.ndarray, facts: dict[str, Any]
) -> Score:
    """Return the mean of both recalls at 1, DataComp's metric; an image and its captions err together."""
    num, total = len(by_image), len(by_caption)
    num_captions = np.bincount(test_set.owners, minlength=num)
    # each image's share of both means, scaled so that their mean is the score
    own = np.bincount(test_set.owners, weights=by_caption, minlength=num) * num / total
    values = (own + by_image) / 2
    return Score(
        name=f"mean_recall_1/{test_set.name}",
        value=float(values.mean()),
        num_examples=num,
        stderr=clustered_stderr(values, np.arange(num)),
        chance=(1 / num + chance_of_any(num_captions, total, 1)) / 2,
        extra=facts,
    )
