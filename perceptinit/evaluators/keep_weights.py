"""Save the weights at each evaluation for later measurements (`keep-weights`)."""

from collections.abc import Iterable
from dataclasses import dataclass

from perceptinit.files.checkpoints import save_weights
from perceptinit.protocols import DualEncoder
from perceptinit.types import RunContext, Score


@dataclass(eq=False)
class KeepWeights:
    """Save the model to `weights/samples-<samples seen>.safetensors` in the run's folder.

    `perceptinit eval RUN --weights all` evaluates these files. The scores equal those of an evaluation during
    the run.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        """This evaluator has no keys."""

    config: Config

    def evaluate(self, model: DualEncoder, ctx: RunContext) -> Iterable[Score]:
        """Save the weights if the run has a folder; return no scores."""
        if ctx.folder is not None:
            path = ctx.folder / "weights" / f"samples-{ctx.samples_seen:012d}.safetensors"
            save_weights(path, model.state_dict())
        return ()
