"""Evaluator `known-effects/at-peak`: zero-shot top-1 at the evaluation that other images choose.

Recipes list this file in `plugins`.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from perceptinit.evaluators.zero_shot import ZeroShot
from perceptinit.plugin import Component, Score, hookimpl

CHOOSING = "top1/"


@hookimpl
def perceptinit_evaluators() -> list[Component]:
    return [
        Component(
            name="known-effects/at-peak",
            target=f"{__name__}:AtPeak",
            summary="zero-shot top-1 at the evaluation that other images choose",
        )
    ]


class AtPeak(ZeroShot):
    """Zero-shot scores of two sets, and top-1 on the second one where the first one is highest so far.

    The first of `datasets` chooses an evaluation, the earliest of equal ones; no image of the second takes part. The
    score is `top1/at-peak`. After the last evaluation, it is that of the whole run. The chosen evaluation is saved as
    at-peak.json in the run's folder, so that a resumed run continues with it.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config(ZeroShot.Config):
        def __post_init__(self) -> None:
            ZeroShot.Config.__post_init__(self)
            if len(set(self.datasets)) != 2 and self.datasets != ("synthetic",):
                raise ValueError(
                    f"datasets = {list(self.datasets)}: expected a set that chooses and another one that is scored"
                )

    def evaluated_images(self) -> Iterator[tuple[str, Sequence[object]]]:
        """Yield the names of the scores and the evaluated images."""
        found = list(super().evaluated_images())
        yield from found
        yield "at-peak", found[-1][1]

    @torch.no_grad()
    def evaluate(self, model, ctx) -> Iterable[Score]:
        """Yield the scores of both sets, and the one at the chosen evaluation."""
        scores = list(super().evaluate(model, ctx))
        chooser, scored = (self._top_1(scores, index) for index in (0, -1))
        best = load(ctx.folder, ctx.samples_seen)
        if best is None or chooser.value > best["chooser"]:
            correct = np.asarray(scored.items.values).astype(int).tolist()
            best = {"samples_seen": ctx.samples_seen, "chooser": chooser.value, "correct": correct}
            save(ctx.folder, best)
        yield from scores
        yield at_peak(scored, best)

    def _top_1(self, scores: Sequence[Score], index: int) -> Score:
        name = CHOOSING + Path(self.config.datasets[index]).name
        return next(score for score in scores if score.name == name)


def at_peak(scored: Score, best: dict) -> Score:
    """Return the score of a set at the chosen evaluation."""
    correct = np.array(best["correct"], dtype=float)
    share = float(correct.mean())
    return replace(
        scored,
        name="top1/at-peak",
        value=share,
        stderr=float(np.sqrt(share * (1 - share) / len(correct))),
        extra={**scored.extra, "chosen_at": best["samples_seen"], "chooser": best["chooser"]},
        items=replace(scored.items, values=correct),
    )


def load(folder: Path | None, samples_seen: int) -> dict | None:
    """Return the chosen evaluation so far; None at the start of a run."""
    path = folder and folder / "at-peak.json"
    if not path or not path.is_file() or not samples_seen:
        return None
    best = json.loads(path.read_text(encoding="utf-8"))
    return best if best["samples_seen"] <= samples_seen else None


def save(folder: Path | None, best: dict) -> None:
    """Write the chosen evaluation to the run's folder."""
    if folder is not None:
        (folder / "at-peak.json").write_text(json.dumps(best), encoding="utf-8")
