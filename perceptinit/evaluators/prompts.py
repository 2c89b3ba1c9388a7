"""Text embeddings of many prompts: each different one is encoded once, with little padding."""

from __future__ import annotations

# U different texts, B batch, T tokens, D embedding
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from perceptinit.compute.optim import Precision, autocast
from perceptinit.errors import TrainingError
from perceptinit.protocols import DualEncoder

# texts that are tokenised at a time: bounds memory, and keeps batches of equal length large
CHUNK = 16_384


@dataclass(frozen=True, slots=True, eq=False)
class TextEmbeddings:
    """Unit vectors float32 (U, D) of U different texts, and the row of each text."""

    vectors: torch.Tensor
    rows: dict[str, int]

    def of(self, texts: Iterable[str]) -> torch.Tensor:
        """Return the vectors of texts, in their order, (B, D)."""
        return self.vectors[[self.rows[text] for text in texts]]


@torch.no_grad()
def embed_texts(
    model: DualEncoder,
    texts: Iterable[str],
    device: str = "cpu",
    precision: Precision = "fp32",
    batch_size: int = 256,
) -> TextEmbeddings:
    """Return the unit embeddings of texts.

    A text that occurs twice is encoded once. Texts go through in the order of their number of tokens,
    cut to the longest of their batch: exact (see DualEncoder.encode_text), and 8 times fewer token
    positions for the prompts of the suites.

    Raises TrainingError for embeddings that are not finite.
    """
    unique = sorted(set(texts), key=lambda text: (len(text), text))
    parts = [
        _embed_chunk(model, unique[i : i + CHUNK], device, precision, batch_size)
        for i in range(0, len(unique), CHUNK)
    ]
    return TextEmbeddings(torch.cat(parts), {text: i for i, text in enumerate(unique)})


def _embed_chunk(
    model: DualEncoder, texts: Sequence[str], device: str, precision: Precision, batch_size: int
) -> torch.Tensor:
    tokens = model.tokenize(texts)
    lengths = (tokens.ne(0) * torch.arange(1, tokens.shape[1] + 1)).amax(dim=1).clamp(min=1)
    order = torch.argsort(lengths, stable=True)
    parts = []
    for rows in order.split(batch_size):
        batch = tokens[rows, : int(lengths[rows].max())].to(device)
        with autocast(device, precision):
            parts.append(unit(model.encode_text(batch), "text"))
    vectors = torch.cat(parts)
    return torch.empty_like(vectors).index_copy_(0, order.to(vectors.device), vectors)


def unit(embeddings: torch.Tensor, what: str) -> torch.Tensor:
    """Return float32 embeddings of length 1; TrainingError when one is not finite.

    what: the tower they come from, for the message.
    """
    embeddings = embeddings.float()
    if not torch.isfinite(embeddings).all():
        raise TrainingError(
            f"the {what} embeddings are not finite; the weights are lost. Lower the learning rate or clip gradients"
        )
    return F.normalize(embeddings, dim=-1)
