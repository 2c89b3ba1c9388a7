"""What each kind of component must give. A class needs no base class, only these methods.

Every component has a nested `Config` dataclass and is made as `cls(config)`; parameters of
`__init__` named `judgments` or `pairs` receive the component of the nested table of that name.

Two methods are optional for every kind:

* `preflight() -> Iterable[str]`: sentences on what would make it fail later, such as a missing
  folder; called before anything starts. An empty answer means ready.
* `plan() -> StagePlan`: what it will do, for `perceptinit validate`.

A `Config` may define `smoke() -> Config`, a shrunken copy that runs in seconds on a CPU.
"""

from __future__ import annotations

# B batch, T tokens, D embedding, H W image
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

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


class Initializer(Protocol):
    def initialize(self, model: nn.Module, ctx: RunContext) -> InitReport:
        """Set weights of the image tower `model` (an ImageEncoder) in place; other towers are out of reach."""
        ...


class Backbone(Protocol):
    def build(self) -> DualEncoder:
        """Return a model whose weights follow torch's global generator (the runner seeds it)."""
        ...


class Pretrainer(Protocol):
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
    num_pairs: int
    block_sizes: Sequence[int]

    def pair(self, index: int) -> Pair:
        """Return pair `index` in [0, num_pairs), not decoded. Called from several threads.

        `block_sizes` (sums to num_pairs) says which runs of indices lie together on disk, such as
        the shards, so that a shuffle can read them in order.
        """
        ...


class Evaluator(Protocol):
    def evaluate(self, model: DualEncoder, ctx: RunContext) -> Iterable[Score]:
        """Measure a model in eval mode, without gradients."""
        ...


class Tracker(Protocol):
    def start(self, ctx: RunContext) -> None:
        """Get ready for the events of a run; `ctx.folder` is where its files belong."""
        ...

    def log(self, event: Event) -> None:
        """Take note of an event; never raises for a kind of event it does not know."""
        ...

    def close(self) -> None:
        """Flush and release; called once, after the last run, also after a failure."""
        ...
