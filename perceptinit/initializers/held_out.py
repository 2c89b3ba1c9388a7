"""Evaluation of stage 1 on held-out judgments."""

# N held-out judgments
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from perceptinit.compute.split_encoding import split
from perceptinit.errors import TrainingError
from perceptinit.initializers.stage_report import find_loss, gain_metrics, gains_by_training, score_metrics
from perceptinit.judgments.baselines import Bounds
from perceptinit.judgments.scoring import COLLAPSED_SPREAD, agreement, find_shape, is_above_chance
from perceptinit.judgments.two_afc import Embedded, ImageArray, TwoAFCResult, embed_judged, score
from perceptinit.types import RunContext, Triplets

EXPANDED = 2.0  # factor of the mean cosine distance beyond which learned weights count as expanded


class HeldOut:
    """Evaluates the tower on held-out judgments during training.

    Args:
        model: Image tower.
        triplets: Held-out judgments.
        images: Pixels of their stimuli.
        split: Split name in metrics and messages.
        ceiling: Lower and upper noise ceiling of 2AFC on the split; None if unknown.
        unseen: Whether no image of a judgment is in training, bool (N,).
        ctx: Receives progress and warnings.

    Attributes:
        results: Result by number of completed epochs; 0 is before training.
        epochs: Training loss and margin violations by epoch.
        second: Judgments that are not trained on, with their images; measured before and after training.
        seconds_per_image: Time to encode an image in the last evaluation, with all processes.
    """

    def __init__(
        self,
        model: Any,
        triplets: Triplets,
        images: ImageArray,
        split: str,
        ceiling: Bounds | None,
        unseen: np.ndarray,
        ctx: RunContext,
    ) -> None:
        self.results: dict[int, TwoAFCResult] = {}
        self.epochs: dict[int, dict[str, float]] = {}
        self.second: tuple[Triplets, ImageArray] | None = None
        self.seconds_per_image = 0.0
        self._agreement: dict[int, Tensor] = {}  # share of votes that agree, by judgment (N,)
        self._second_before: Tensor | None = None  # the same for `second`, before training
        self._model = model
        self._triplets = triplets
        self._images = images
        self._split = split
        self._ceiling = ceiling
        self._unseen = unseen
        self._ctx = ctx

    @property
    def image_sets(self) -> list[tuple[ImageArray, np.ndarray]]:
        """The images of the held-out judgments and of `second`, each with the indices in use."""
        sets = [(self._triplets, self._images), *([self.second] if self.second else [])]
        return [(images, triplets.used) for triplets, images in sets]

    def replace_images(self, model: Any, images: Sequence[ImageArray]) -> None:
        """Encode other inputs with another model: those of `image_sets`, in the same order."""
        self._model = model
        self._images = images[0]
        self.second = self.second and (self.second[0], images[1])

    @property
    def best(self) -> int:
        """Epoch of the highest 2AFC, the first one of several; 0 before the first evaluation in training."""
        trained = [epoch for epoch in self.results if epoch]
        return max(trained, key=lambda epoch: (self.results[epoch].accuracy, -epoch), default=0)

    def measure(self, epoch: int, step: int, total_steps: int) -> None:
        """Evaluate the tower after an epoch, in eval mode, and report the result as progress at `step`."""
        self._seconds = 0.0
        embedded, self._agreement[epoch] = self._embed(self._triplets, self._images)
        self.seconds_per_image = self._seconds / len(embedded.used)
        if self.second and epoch == 0:
            self._second_before = self._embed(*self.second)[1]
        result = self.results[epoch] = score(embedded, self._triplets)
        scores = {f"2afc_{self._split}": result.accuracy, "spread": result.spread}
        self._ctx.progress(step, total_steps, **scores)

    def _embed(self, triplets: Triplets, images: ImageArray) -> tuple[Embedded, Tensor]:
        """Return embeddings in eval mode, and the share of votes that agree, by judgment (N,)."""
        self._model.eval()
        embedded = embed_judged(split(self._encode), triplets, images, device=self._ctx.device)
        return embedded, torch.from_numpy(agreement(*embedded.distances(triplets), triplets.p_second))

    def _encode(self, images: Tensor) -> Tensor:
        start = time.perf_counter()
        embeddings: Tensor = self._model.encode_image(images)
        if embeddings.is_cuda:
            torch.cuda.synchronize(embeddings.device)
        self._seconds += time.perf_counter() - start
        return embeddings

    def check(self, kept: int, is_shuffled: bool, allow_collapse: bool, was_learned: bool) -> None:
        """Warn if stage 1 contracted or expanded the embeddings, or did not learn to predict the judgments.

        Args:
            kept: Epoch of the weights that stage 1 keeps.
            was_learned: Whether the initial weights were learned. Random weights often have embeddings with
                small distances, which then may increase.
            is_shuffled: Whether the training votes are shuffled, so that 2AFC is expected at chance.
            allow_collapse: Whether collapsed embeddings are a warning.

        Raises:
            TrainingError: If the embeddings collapsed.
        """
        before = self.results[0]
        after = self.results[kept]
        shape = find_shape(before.spread, after.spread, None if is_shuffled else after.accuracy, after.stderr)
        is_expanded = was_learned and after.spread > EXPANDED * before.spread
        change = "expanded" if is_expanded else shape
        text = (
            f"stage 1 {change} the embeddings: the mean cosine distance of two images is {after.spread:.2g} "
            f"(range 0 to 2), and was {before.spread:.2g}"
        )
        advice = "Increase the margin or the number of steps"
        if shape == "collapsed" and before.spread < COLLAPSED_SPREAD:
            text = (
                "the embeddings of all images were nearly equal before stage 1, and are after it: the mean "
                f"cosine distance of two images was {before.spread:.2g} (range 0 to 2), "
                f"and is {after.spread:.2g}"
            )
            advice = "Use other initial weights, another pooling or depth, or more steps"
        if shape == "collapsed" and not allow_collapse:
            raise TrainingError(f"{text}. {advice}, or set allow_collapse = true to continue")
        if change:
            self._ctx.warn(f"{text} (docs/controls.md)")
        if not is_shuffled and not is_above_chance(after.accuracy, after.stderr):
            self._ctx.warn(
                f"2AFC on the {self._split} judgments is {after.accuracy:.3f}, not more than two standard "
                "errors above chance (0.5). Stage 1 is not shown to predict them. Check the votes, or use "
                f"more {self._split} judgments"
            )

    def metrics(self, kept: int) -> dict[str, float]:
        """Return the metrics for the report; `after` refers to the epoch `kept`."""
        name = f"2afc_{self._split}"
        metrics = score_metrics(self._split, self.results[0], self.results[kept])
        if self._ceiling is not None:
            metrics[f"{name}_ceiling_lower"], metrics[f"{name}_ceiling"] = self._ceiling
        metrics |= self._by_training(kept)
        between = [epoch for epoch in self.results if epoch not in (0, kept)]
        metrics |= {f"{name}_epoch_{epoch:02d}": self.results[epoch].accuracy for epoch in between}
        metrics |= {f"train_loss_epoch_{epoch:02d}": self.epochs[epoch]["loss"] for epoch in between}
        metrics["train_loss"] = self.epochs[kept]["loss"]
        metrics["margin_violations"] = self.epochs[kept]["margin_violations"]
        return metrics

    def _by_training(self, kept: int) -> dict[str, float]:
        """Return the gains without and with training images and on `second`, and the best trivial model.

        A loss on `second` beyond its error is a warning.
        """
        before = self._agreement[0].numpy()
        after = self._agreement[kept].numpy()
        metrics = gains_by_training(before, after, self._triplets, self._unseen, self._ctx.num_workers)
        if self.second and self._second_before is not None:
            after = self._embed(*self.second)[1].numpy()
            metrics |= gain_metrics("also_on", self._second_before.numpy(), after, self.second[0])
            if loss := find_loss(metrics):
                self._ctx.warn(loss)
        return metrics

    def state(self) -> dict[str, Any]:
        """Return the state for `resume`: tensors and plain values."""
        return {
            "agreement": {epoch: asdict(result) for epoch, result in self.results.items()},
            "epochs": dict(self.epochs),
            "values": dict(self._agreement),
            "second": self._second_before,
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Resume from a state that `state` returned."""
        self.results.update({e: TwoAFCResult(**r) for e, r in state["agreement"].items()})
        self.epochs.update(state["epochs"])
        self._agreement.update(state["values"])
        self._second_before = state["second"]
