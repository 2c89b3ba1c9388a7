"""Required members of each kind of component."""

from __future__ import annotations

# B batch, T tokens, D embedding, H W image
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self

from typing_extensions import get_protocol_members

if TYPE_CHECKING:
    import torch
    from torch import nn

    from perceptinit.types import (
        DataCard,
        Event,
        InitReport,
        Pair,
        RunContext,
        Score,
        Split,
        StepResult,
        Triplets,
    )


class ImageEncoder(Protocol):
    """An image tower with its input size and normalization (also an nn.Module)."""

    image_size: int
    embed_dim: int

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        """Return image embeddings, not normalized.

        Args:
            images: Shape (B, 3, H, W) with H = W = image_size; uint8 in [0, 255] or float in [0, 1].

        Returns:
            Embeddings, shape (B, D) with D = embed_dim.
        """

    def reset_parameters(self, seed: int) -> None:
        """Reinitialize all weights with the distributions used for a new model."""


class DualEncoder(Protocol):
    """An image tower and a text tower with a shared embedding space (also an nn.Module)."""

    image: nn.Module
    text: nn.Module
    logit_scale: nn.Parameter
    image_size: int
    embed_dim: int
    context_length: int

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        """Return image embeddings (B, D), not normalized; see `ImageEncoder`."""

    def encode_text(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return text embeddings, not normalized.

        Args:
            tokens: Token ids, int64 (B, T) with T up to context_length. Less padding is faster and gives
                the same embeddings.

        Returns:
            Embeddings, shape (B, D) with D = embed_dim.
        """

    def tokenize(self, texts: Sequence[str]) -> torch.Tensor:
        """Return token ids, int64 (B, T), padded with 0 to the longest text. Texts keep their end token."""

    # members of nn.Module that a run uses
    training: bool

    def to(self, device: str, /) -> Self: ...

    def train(self, mode: bool = True) -> Self: ...

    def eval(self) -> Self: ...

    def state_dict(self) -> dict[str, torch.Tensor]: ...

    def load_state_dict(self, state: Mapping[str, torch.Tensor], /) -> Any: ...


class Initializer(Protocol):
    """A method that sets the weights of an image tower."""

    def initialize(self, model: nn.Module, ctx: RunContext) -> InitReport:
        """Set the weights of an image tower in place.

        A long-running initializer can offer its state after each step (`RunContext.offer`) and resume from it
        (`RunContext.resumed`). An interrupted run then has the same final weights.

        Args:
            model: The image tower, an `ImageEncoder`.
            ctx: Seed, device and folder of the run.
        """


class Backbone(Protocol):
    """A network architecture."""

    def build(self) -> DualEncoder:
        """Return a new model, initialized from torch's global generator, which the run seeds."""


class Pretrainer(Protocol):
    """A method that trains a dual encoder on image-text pairs."""

    def steps(self, model: DualEncoder, ctx: RunContext) -> Iterator[StepResult]:
        """Train `model` in place from the loaded state, and yield after each optimizer step."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state after the last yielded step, as tensors and plain values."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load a state that `state_dict` returned. Called before `steps`."""


class Judgments(Protocol):
    """Human similarity judgments. Scores are named `2afc/<name>`."""

    @property
    def name(self) -> str: ...

    @property
    def card(self) -> DataCard: ...

    def load(self, split: Split) -> Triplets:
        """Return the judgments of a split.

        Raises:
            DataError: If the split is empty or a file is invalid.
        """


class Pairs(Protocol):
    """Images with captions, by index.

    `block_sizes` contains the lengths of index ranges that are stored together, such as shards, and sums to
    `num_pairs`. A shuffle can read such ranges in order.
    """

    num_pairs: int
    block_sizes: Sequence[int]

    def pair(self, index: int) -> Pair:
        """Return a pair without decoding its image. Called from several threads.

        Args:
            index: In [0, num_pairs).
        """


class Evaluator(Protocol):
    """A measurement of a model."""

    def evaluate(self, model: DualEncoder, ctx: RunContext) -> Iterable[Score]:
        """Return the scores of a model, which is in eval mode. Gradients are disabled."""


class Tracker(Protocol):
    """A destination for the metrics of runs."""

    def start(self, ctx: RunContext) -> None:
        """Prepare for the events of a run. Files are written to `ctx.folder`."""

    def log(self, event: Event) -> None:
        """Log an event. Events of an unknown kind are ignored."""

    def close(self) -> None:
        """Flush and release resources. Called once after the last run, also after a failure."""


def find_missing_members(model: Any) -> Iterator[str]:
    """Yield a sentence if a model lacks members of `DualEncoder`, and one for its image tower.

    `isinstance` cannot check modules: since Python 3.12 it does not find the submodules and parameters, which
    `torch.nn.Module` stores in dicts.
    """
    image = getattr(model, "image", None)
    for protocol, what, value in ((DualEncoder, "build()", model), (ImageEncoder, "build().image", image)):
        missing = [name for name in sorted(get_protocol_members(protocol)) if not hasattr(value, name)]
        if missing:
            yield f"{what} lacks {', '.join(missing)}: use perceptinit.plugin.DualTower"
