"""Zero-shot classification (`zero-shot`): images against class names, without training on the set."""

from __future__ import annotations

# N images, C classes, D embedding
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from perceptinit.errors import DataError
from perceptinit.evaluators.classifier import Classifiers, set_prompts
from perceptinit.evaluators.features import ALONE, Encoding, Joint, Subjects, embed_images
from perceptinit.evaluators.readable import marked, readable_rows
from perceptinit.evaluators.set_measure import SetMeasure, SuiteConfig
from perceptinit.evaluators.zero_shot_scores import scores
from perceptinit.protocols import DualEncoder
from perceptinit.test_sets.sets import ZeroShotSet
from perceptinit.types import RunContext, Score


class ZeroShot(SetMeasure):
    """Does the class name whose text embedding is closest to the image embedding fit the image?

    Gives for each set `top1/<set>`, `top5/<set>` (from 6 classes on; below it says nothing) and
    `mean_per_class_recall/<set>` (over the classes that have images); for multi-label sets
    `mean_average_precision/<set>`; for sets of the suites also `main/<set>`, the set's own metric.
    Chance is that of guessing evenly among the class names, the standard error that of independent
    images. The recall of each class stands in the record. Images are resized and cropped as
    open_clip's evaluation does, so that in fp32 the numbers are those of clip-benchmark with `--no_amp`.
    """

    needed_part = "text"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(SuiteConfig):
        kinds = ("classification", "multilabel")

    @torch.no_grad()
    def evaluate_many(
        self, models: Sequence[DualEncoder], ctx: RunContext, joint: Joint = ALONE
    ) -> list[list[Score]]:
        encoding = Encoding.of(self.config, ctx, joint)
        sets = self._read_all(ctx, joint)
        prompts = {name: set_prompts(test_set) for name, test_set in sets.items()}
        make = Classifiers(encoding.precision, encoding.batch_size, joint.classifier_folder).make
        classifiers = [make(model, prompts, ctx.device) for model in models]
        subjects = Subjects.of(models)
        results: list[list[Score]] = [[] for _ in models]
        for name, test_set in sets.items():
            with joint.guard(name):
                ranked = self._rank(test_set, subjects, [c[name] for c in classifiers], encoding)
                rows = readable_rows(test_set, encoding.merge, ctx.warn)
                kept = test_set.only(rows)
                for result, ranking in zip(results, ranked, strict=True):
                    found = scores(kept, ranking[rows], encoding.precision)
                    result += marked(found, [test_set], [rows])
        return results

    def _read_all(self, ctx: RunContext, joint: Joint) -> dict[str, ZeroShotSet]:
        sets = {}
        for name in self.present(ctx, "zero-shot"):
            with joint.guard(name):
                sets[name] = self._read(name)
        return sets

    def _read(self, dataset: str) -> ZeroShotSet:
        test_set = self.choice.read(dataset)
        if not isinstance(test_set, ZeroShotSet):
            raise DataError(f"test set '{dataset}': captions, no labels; use evaluator 'retrieval'")
        return test_set

    def _rank(
        self,
        test_set: ZeroShotSet,
        subjects: Subjects,
        classifiers: Sequence[torch.Tensor],
        encoding: Encoding,
    ) -> list[np.ndarray]:
        """Return for each model the nearest classes int64 (N, up to 5), or all similarities (N, C).

        Ranked batch by batch: only multi-label sets, whose metric sorts by class, keep all of them.
        """
        num_classes = len(test_set.classnames)
        keep_all = test_set.is_multilabel
        shape = len(test_set.labels), num_classes if keep_all else min(5, num_classes)
        kind = np.float32 if keep_all else np.int64
        arrays = [np.zeros(shape, dtype=kind) for _ in classifiers]
        for rows, batch in embed_images(subjects, test_set, encoding):
            for array, features, classifier in zip(arrays, batch, classifiers, strict=True):
                similarity = features @ classifier.T
                best = similarity if keep_all else similarity.topk(shape[1], dim=1).indices
                array[rows] = best.cpu().numpy()
        return [encoding.merge(array) for array in arrays]
