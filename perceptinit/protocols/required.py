"""What each kind of component must give."""

from __future__ import annotations

# B batch, T tokens, D embedding, H W image
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

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


@runtime_checkable
class ImageEncoder(Protocol):
    """An image tower that knows its own input size and normalisation (also an nn.Module)."""

    image_size: int
    embed_dim: int

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        """Return embeddings (B, D), not normalised.

        images: (B, 3, H, W) with H = W = image_size; uint8 in 0..255 or float in [0, 1].
        """
        ...

    def reset_parameters(self, seed: int) -> None:
        """Draw all weights of the tower anew, as a fresh model of this architecture has them."""
        ...


@runtime_checkable
class DualEncoder(Protocol):
    """An image tower and a text tower that share an embedding space (also an nn.Module)."""

    image: nn.Module
    text: nn.Module
    logit_scale: nn.Parameter
    image_size: int
    embed_dim: int
    context_length: int

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        """Return image embeddings (B, D), not normalised; see ImageEncoder."""
        ...

    def encode_text(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return text embeddings (B, D), not normalised.

        tokens: int64 (B, T) with T up to the context length; shorter is faster and gives the same
        embeddings as the padded form.
        """
        ...

    def tokenize(self, texts: Sequence[str]) -> torch.Tensor:
        """Return token ids int64 (B, T), padded with 0 to the longest text, end token kept."""
        ...

    # what a run asks of it as an nn.Module
    training: bool

    def to(self, device: str, /) -> Self: ...

    def train(self, mode: bool = True) -> Self: ...

    def eval(self) -> Self: ...

    def state_dict(self) -> dict[str, torch.Tensor]: ...

    def load_state_dict(self, state: Mapping[str, torch.Tensor], /) -> Any: ...


class Initializer(Protocol):
    """A way to set the weights of an image tower."""

    def initialize(self, model: nn.Module, ctx: RunContext) -> InitReport:
        """Set weights of the image tower `model` (an ImageEncoder) in place; other towers are out of reach.

        One that takes long may offer its state after each step (`RunContext.offer`) and continue from it
        (`RunContext.resumed`): then a run that was interrupted in it ends with the same weights.
        """
        ...


class Backbone(Protocol):
    """A network."""

    def build(self) -> DualEncoder:
        """Return a model whose weights follow torch's global generator (the runner seeds it)."""
        ...


class Pretrainer(Protocol):
    """A way to train a dual encoder on image-text pairs."""

    def steps(self, model: DualEncoder, ctx: RunContext) -> Iterator[StepResult]:
        """Train, one optimiser step per item, from the loaded state on."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return all that is needed to continue after the last step given: tensors and plain values."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`; called before `steps`."""
        ...


class Judgments(Protocol):
    """Human similarity judgments; `name` stands in the names of scores: `2afc/<name>`."""

    @property
    def name(self) -> str: ...

    @property
    def card(self) -> DataCard: ...

    def load(self, split: Split) -> Triplets:
        """Return the judgments of a split.

        Raises DataError when the split is empty or a file is wrong.
        """
        ...


class Pairs(Protocol):
    """Images with captions, by index."""

    num_pairs: int
    block_sizes: Sequence[int]

    def pair(self, index: int) -> Pair:
        """Return pair `index` in [0, num_pairs), not decoded. Called from several threads.

        `block_sizes` (sums to num_pairs) says which runs of indices lie together on disk, such as
        the shards, so that a shuffle can read them in order.
        """
        ...


class Evaluator(Protocol):
    """A measurement of a model."""

    def evaluate(self, model: DualEncoder, ctx: RunContext) -> Iterable[Score]:
        """Measure a model in eval mode, without gradients."""
        ...


class Tracker(Protocol):
    """A place to send the numbers of runs."""

    def start(self, ctx: RunContext) -> None:
        """Get ready for the events of a run; `ctx.folder` is where its files belong."""
        ...

    def log(self, event: Event) -> None:
        """Take note of an event; never raises for a kind of event it does not know."""
        ...

    def close(self) -> None:
        """Flush and release; called once, after the last run, also after a failure."""
        ...
