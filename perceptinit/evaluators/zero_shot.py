"""Zero-shot classification (`zero-shot`): images against class names, without training on the set."""

from __future__ import annotations

# N images, C classes, D embedding
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from perceptinit.compute.optim import Precision
from perceptinit.configs import DrawnSide, NonNegativeInt, NumDrawn, PositiveInt
from perceptinit.errors import DataError
from perceptinit.evaluators.classifier import Classifiers, set_prompts
from perceptinit.evaluators.features import ALONE, Encoding, Joint, Subjects, embed_images
from perceptinit.evaluators.zero_shot_scores import scores
from perceptinit.protocols import DualEncoder
from perceptinit.test_sets.choice import SYNTHETIC, Missing, SetChoice, SyntheticSettings
from perceptinit.test_sets.sets import ZeroShotSet
from perceptinit.types import RunContext, Score


class ZeroShot:
    """Does the class name whose text embedding is closest to the image embedding fit the image?

    Gives for each set `top1/<set>`, `top5/<set>` (from 6 classes on; below it says nothing) and
    `mean_per_class_recall/<set>` (over the classes that have images); for multi-label sets
    `mean_average_precision/<set>`; for sets of the suites also `main/<set>`, the set's own metric.
    Chance is that of guessing evenly among the class names, the standard error that of independent
    images. The recall of each class stands in the record. Images are resized and cropped as
    open_clip's evaluation does, so that in fp32 the numbers are those of clip-benchmark with `--no_amp`.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        datasets: tuple[str, ...] = ()
        """Test sets: folders under `root`, in the clip-benchmark layout or with a folder per class;
        keys of the suites, which are found under the folder names of DataComp and clip-benchmark; hub
        addresses; `synthetic` is the built-in simulated set."""
        suite: str = ""
        """A named suite, measured before `datasets`: "paper29", "paper29-script" or "smoke"."""
        root: str = ""
        """Folder of the test sets; empty: `datasets` are paths."""
        missing: Missing = "error"
        """What an absent set is: an error before anything starts, or left out with a warning ("skip")."""
        batch_size: PositiveInt = 256
        """Images, and prompts, that go through the model at once."""
        precision: Precision = "fp32"
        """Arithmetic of both towers; bf16 moved scores by up to 1.7 points against fp32."""
        cache_mib: NonNegativeInt = 2048
        """Decoded images are kept between measurements while all sets together fit into this, MiB."""
        synthetic_seed: NonNegativeInt = 0
        """World that the images of `synthetic` come from; the seed of the pairs, or a score says nothing."""
        synthetic_num_images: NumDrawn = 1000
        """Images of `synthetic`."""
        synthetic_image_size: DrawnSide = 32
        """Height and width that `synthetic` is rendered at, pixels."""

        def __post_init__(self) -> None:
            self.choice().check()

        def choice(self) -> SetChoice:
            """Return the sets that are meant."""
            return SetChoice(
                datasets=self.datasets,
                suite=self.suite,
                root=self.root,
                missing=self.missing,
                kinds=("classification", "multilabel"),
                synthetic=SyntheticSettings(
                    seed=self.synthetic_seed,
                    num_images=self.synthetic_num_images,
                    image_size=self.synthetic_image_size,
                ),
            )

        def smoke(self) -> ZeroShot.Config:
            """Return a copy that measures on 64 simulated images."""
            return replace(
                self, datasets=(SYNTHETIC,), suite="", synthetic_num_images=64, batch_size=64
            )

    def __init__(self, config: Config) -> None:
        self.config = config
        self.choice = config.choice()

    def preflight(self) -> Iterator[str]:
        """Yield what is missing or wrong in each set; images are decoded only when they are used."""
        return self.choice.problems()

    def evaluate(self, model: DualEncoder, ctx: RunContext) -> Iterable[Score]:
        """Return the scores of all sets.

        Raises DataError for an image that cannot be decoded, naming it (a set that lacks images is
        another set), and TrainingError for embeddings that are not finite.
        """
        return self.evaluate_many([model], ctx)[0]

    @torch.no_grad()
    def evaluate_many(
        self, models: Sequence[DualEncoder], ctx: RunContext, joint: Joint = ALONE
    ) -> list[list[Score]]:
        """Return the scores of each model; the images of a set are decoded once for all of them."""
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
                for result, ranking in zip(results, ranked, strict=True):
                    result += scores(test_set, ranking, encoding.precision)
        return results

    def _read_all(self, ctx: RunContext, joint: Joint) -> dict[str, ZeroShotSet]:
        present, absent = self.choice.present()
        if absent:
            ctx.warn(f"zero-shot: {len(absent)} sets are absent and skipped: {', '.join(absent)}")
        sets = {}
        for name in present:
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
