"""Retrieval of images by caption and of captions by image (`retrieval`)."""

# N images, M captions, D embedding
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from perceptinit.configs import PositiveInt
from perceptinit.errors import DataError
from perceptinit.evaluators.classifier import embed_texts
from perceptinit.evaluators.metrics import chance_of_any, hits_at_k, share_score
from perceptinit.evaluators.set_measure import EmbeddedSetMeasure, Features, SuiteConfig, main_score
from perceptinit.judgments.scoring import clustered_stderr
from perceptinit.protocols import DualEncoder
from perceptinit.test_sets.sets import RetrievalSet
from perceptinit.types import Items, RunContext, Score


class Retrieval(EmbeddedSetMeasure):
    """Recall of images by caption and of captions by image.

    The score `image_recall_K/<set>` is the share of captions whose image is among the K nearest, with a
    standard error clustered by image. `text_recall_K/<set>` is the share of images with one of their captions
    among the K nearest. `mean_recall_1/<set>` is their mean at K = 1, and `main/<set>` repeats it for sets
    of the suites. In fp32, scores equal those of clip-benchmark with `--no_amp`.
    """

    needed_part = "text"
    name = "retrieval"
    splits = ("",)

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(SuiteConfig):
        kinds = ("retrieval",)

        ks: tuple[PositiveInt, ...] = (1, 5, 10)
        """Values of K."""

        def __post_init__(self) -> None:
            SuiteConfig.__post_init__(self)
            if not self.ks or len(set(self.ks)) < len(self.ks):
                raise ValueError(f"ks: expected distinct numbers, got {list(self.ks)}")

    config: Config

    def read(self, dataset: str, split: str) -> RetrievalSet:
        """Return a set; DataError for a set without captions."""
        test_set = self.choice.read(dataset, split)
        if not isinstance(test_set, RetrievalSet):
            raise DataError(f"test set '{dataset}' has labels instead of captions. Use evaluator 'zero-shot'")
        return test_set

    @torch.no_grad()
    def scores(
        self, model: DualEncoder, sets: Sequence[RetrievalSet], features: Features, ctx: RunContext
    ) -> list[Score]:
        """Return the recalls."""
        [test_set], [images], c = sets, features, self.config
        embeddings = embed_texts(model, test_set.captions, ctx.device, c.precision, c.batch_size)
        captions = embeddings.of(test_set.captions)
        gallery = torch.from_numpy(images).to(captions.device)
        owners = test_set.owners
        everyone = np.arange(len(images))
        ks = sorted({*c.ks, 1})
        by_caption = hits_at_k(captions, gallery, owners, everyone, ks)
        by_image = hits_at_k(gallery, captions, everyone, owners, ks)
        num = len(images)
        total = len(owners)
        num_captions = np.bincount(owners, minlength=num)
        facts = {
            "num_images": num,
            "num_captions": total,
            "precision": c.precision,
            "simulated": test_set.simulated,
        }
        result = []
        for column, k in enumerate(ks):
            if k in c.ks:
                hits = by_caption[:, column]
                found = share_score(f"image_recall_{k}/{test_set.name}", hits, min(1.0, k / num), facts)
                # captions of an image are dependent, but images are independent
                stderr = clustered_stderr(hits.astype(float), owners)
                chance = chance_of_any(num_captions, total, min(k, total))
                items = Items(hits, owners[:, None])
                result.append(replace(found, stderr=stderr, items=items, unit="captions"))
                result.append(
                    share_score(f"text_recall_{k}/{test_set.name}", by_image[:, column], chance, facts)
                )
        # both recalls at 1 for each image, scaled so that their mean is DataComp's metric
        own = np.bincount(owners, weights=by_caption[:, 0], minlength=num) * num / total
        values = (own + by_image[:, 0]) / 2
        mean = Score(
            name=f"mean_recall_1/{test_set.name}",
            value=float(values.mean()),
            num_examples=num,
            stderr=clustered_stderr(values, everyone),
            chance=(1 / num + chance_of_any(num_captions, total, 1)) / 2,
            extra=facts,
        )
        return [*result, mean, *main_score(test_set.name, [mean])]
