"""Losses on similarity judgments, from distances between embeddings: the arithmetic of stage 1."""

from __future__ import annotations

# B judgments, U distinct images, D embedding
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Distance = Literal["cosine", "euclidean"]


def hinge(
    d_first: Tensor | float, d_second: Tensor | float, p_second: Tensor | float, margin: float
) -> Tensor:
    """Return the loss of each judgment: how far the image that people chose is from winning by `margin`.

    d_first, d_second: distances to the anchor, shape (B,).
    p_second: share of people who chose the second image, shape (B,), in [0, 1]; only its side of
    one half counts. Exchanging first and second (and p_second for 1 - p_second) changes nothing.
    A tie has no side: its loss is the constant `margin` without a gradient, so drop ties before.

    Source: DreamSim (Fu et al. 2023), training loss; there p = 0.5 was rounded to "first".
    """
    return F.relu(margin - lead_of_chosen(d_first, d_second, p_second))


def lead_of_chosen(d_first: Tensor | float, d_second: Tensor | float, p_second: Tensor | float) -> Tensor:
    """Return how much nearer the image that most people chose is, shape (B,); 0 for a tie."""
    side = torch.sign(torch.as_tensor(p_second) - 0.5)
    return side * (torch.as_tensor(d_first) - torch.as_tensor(d_second))


def logistic(
    d_first: Tensor | float, d_second: Tensor | float, p_second: Tensor | float, temperature: float
) -> Tensor:
    """Return the cross entropy between the votes and the model's choice, shape (B,), in nats.

    The model chooses the second image with probability sigmoid((d_first - d_second) / temperature).
    Ties teach too: that the two images are equally near.

    Source: the choice rule of Bradley and Terry 1952, here with soft votes.
    """
    logits = (torch.as_tensor(d_first) - torch.as_tensor(d_second)) / temperature
    logits, target = torch.broadcast_tensors(logits, torch.as_tensor(p_second))
    return F.binary_cross_entropy_with_logits(logits, target, reduction="none")


def odd_one_out(distances: Tensor, pair_shares: Tensor, temperature: float) -> Tensor:
    """Return the cross entropy between three-way choices and a softmax over pairs, (B,), in nats.

    distances: (B, 3), of the pairs 0-1, 0-2 and 1-2. pair_shares: (B, 3), share of people for whom
    the pair belongs together, that is, who found the third image odd.

    Source: the choice model of THINGS (Hebart et al. 2020), with negative distances as similarities.
    """
    return -(pair_shares * F.log_softmax(-distances / temperature, dim=-1)).sum(-1)


def info_nce(distances: Tensor, chosen: Tensor, is_rival: Tensor, temperature: float) -> Tensor:
    """Return the cross entropy of finding the chosen image among its rivals, shape (B,), in nats.

    distances: (B, U), from each anchor to all images of the batch. chosen: int64 (B,), columns.
    is_rival: bool (B, U), which images it is compared with; see `rivals`.

    Source: CPC (van den Oord et al. 2018); the temperature as in SimCLR (Chen et al. 2020).
    """
    is_in = is_rival.scatter(1, chosen[:, None], True)
    logits = (-distances / temperature).masked_fill(~is_in, -torch.inf)
    return F.cross_entropy(logits, chosen, reduction="none")


def rivals(anchor: Tensor, chosen: Tensor, rejected: Tensor, num_images: int) -> Tensor:
    """Return which of U images of a batch are negatives of each judgment, bool (B, U).

    anchor, chosen, rejected: int64 (B,). All images are, but for the anchor itself and those that
    some judgment of the batch chose for the same anchor; the judgment's own rejected image always is.
    """
    is_liked = torch.zeros(num_images, num_images, dtype=torch.bool, device=anchor.device)
    is_liked[anchor, chosen] = True
    is_rival = ~is_liked[anchor]
    is_rival.scatter_(1, rejected[:, None], True)
    is_rival.scatter_(1, anchor[:, None], False)
    return is_rival.scatter_(1, chosen[:, None], False)


def triplet_distances(
    embeddings: Tensor, anchor: Tensor, first: Tensor, second: Tensor, distance: Distance = "cosine"
) -> tuple[Tensor, Tensor]:
    """Return the distances from anchor to first and to second, float32 (B,).

    embeddings: (U, D), any float type. anchor, first, second: int64 (B,), rows of embeddings.
    Cosine distances are in [0, 2]; Euclidean ones are those of the embeddings as they are.
    """
    points = _points(embeddings, distance)
    a, f, s = (F.embedding(rows, points) for rows in (anchor, first, second))
    return _between(a, f, distance), _between(a, s, distance)


def pair_distances(embeddings: Tensor, images: Tensor, distance: Distance = "cosine") -> Tensor:
    """Return the distances of the pairs 0-1, 0-2 and 1-2 of three images, float32 (B, 3).

    embeddings: (U, D). images: int64 (3, B), rows of embeddings.
    """
    points = _points(embeddings, distance)
    a, b, c = (F.embedding(rows, points) for rows in images)
    return torch.stack([_between(x, y, distance) for x, y in ((a, b), (a, c), (b, c))], dim=1)


def distances_to_all(embeddings: Tensor, anchor: Tensor, distance: Distance = "cosine") -> Tensor:
    """Return the distances from each anchor to every image, float32 (B, U); anchor: int64 (B,)."""
    points = _points(embeddings, distance)
    if distance == "cosine":
        table = 1 - points @ points.T
    else:
        squares = points.square().sum(-1)
        table = _root(squares[:, None] + squares - 2 * points @ points.T)
    return F.embedding(anchor, table)


def _points(embeddings: Tensor, distance: Distance) -> Tensor:
    # Rows are picked by F.embedding: unlike that of points[rows], its backward pass adds up in a
    # fixed order whatever the number of threads, so a seed gives the same weights again.
    points = embeddings.float()
    return F.normalize(points, dim=-1) if distance == "cosine" else points


def _between(a: Tensor, b: Tensor, distance: Distance) -> Tensor:
    if distance == "cosine":
        return 1 - (a * b).sum(-1)
    return _root((a - b).square().sum(-1))


def _root(squares: Tensor) -> Tensor:
    # the slope of a root is infinite at 0, where two embeddings are equal
    return squares.clamp_min(1e-12).sqrt()


def agreement_weights(p_second: Tensor) -> Tensor:
    """Return how decided people were, |2p - 1|, scaled to a mean of 1; shape (B,).

    Raises ValueError when every judgment is a tie.
    """
    weights = (2 * p_second - 1).abs()
    mean = weights.mean()
    if not mean > 0:
        raise ValueError("every judgment is a tie: there is nothing to weight")
    return weights / mean


def vote_weights(num_votes: Tensor) -> Tensor:
    """Return the number of votes, scaled to a mean of 1, so that every vote counts once; shape (B,)."""
    votes = num_votes.float()
    return votes / votes.mean()
