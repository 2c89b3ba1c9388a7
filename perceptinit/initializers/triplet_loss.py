"""Losses and distances for similarity judgments."""

# B judgments, U distinct images, D embedding
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Distance = Literal["cosine", "euclidean"]


def hinge(
    d_first: Tensor | float, d_second: Tensor | float, p_second: Tensor | float, margin: float
) -> Tensor:
    """Return the hinge loss of each judgment, max(0, margin - (d_rejected - d_chosen)).

    Swapping the two images, with `1 - p_second` for `p_second`, does not change the loss. The loss of a tie
    is the constant `margin`, without a gradient, so drop ties beforehand.

    Args:
        d_first: Distances of the first image to the anchor, shape (B,).
        d_second: Distances of the second image, shape (B,).
        p_second: Share of people who chose the second image, shape (B,), in [0, 1]; only the majority
            matters.
        margin: Smallest difference d_rejected - d_chosen at which the loss is 0.

    Returns:
        Losses, shape (B,).

    Source: DreamSim (Fu et al. 2023), training loss, which rounds p = 0.5 to "first".
    """
    return F.relu(margin - lead_of_chosen(d_first, d_second, p_second))


def lead_of_chosen(d_first: Tensor | float, d_second: Tensor | float, p_second: Tensor | float) -> Tensor:
    """Return how much nearer the majority's choice is than the other image, shape (B,); 0 for ties."""
    side = torch.sign(torch.as_tensor(p_second) - 0.5)
    return side * (torch.as_tensor(d_first) - torch.as_tensor(d_second))


def logistic(
    d_first: Tensor | float, d_second: Tensor | float, p_second: Tensor | float, temperature: float
) -> Tensor:
    """Return the cross-entropy between the votes and the model's choice probabilities, in nats.

    The model chooses the second image with probability sigmoid((d_first - d_second) / temperature). The loss
    of a tie is lowest at equal distances.

    Args:
        d_first: Distances of the first image to the anchor, shape (B,).
        d_second: Distances of the second image, shape (B,).
        p_second: Share of people who chose the second image, shape (B,), in [0, 1].
        temperature: Divisor of distances, above 0.

    Returns:
        Losses, shape (B,).

    Source: Bradley and Terry 1952 (choice rule), with shares of votes as targets.
    """
    logits = (torch.as_tensor(d_first) - torch.as_tensor(d_second)) / temperature
    logits, target = torch.broadcast_tensors(logits, torch.as_tensor(p_second))
    return F.binary_cross_entropy_with_logits(logits, target, reduction="none")


def odd_one_out(distances: Tensor, pair_shares: Tensor, temperature: float) -> Tensor:
    """Return the cross-entropy between three-way choices and a softmax over pairs, in nats.

    Args:
        distances: Distances of the pairs 0-1, 0-2 and 1-2, shape (B, 3).
        pair_shares: For each pair, the share of people who chose the third image as odd, shape (B, 3). Rows
            sum to 1.
        temperature: Divisor of distances, above 0.

    Returns:
        Losses, shape (B,).

    Source: Hebart et al. 2020 (THINGS), with negative distances as similarities.
    """
    return -(pair_shares * F.log_softmax(-distances / temperature, dim=-1)).sum(-1)


def info_nce(distances: Tensor, chosen: Tensor, is_rival: Tensor, temperature: float) -> Tensor:
    """Return the cross-entropy of identifying the chosen image among its negatives, in nats.

    Args:
        distances: Distances from each anchor to all images of the batch, shape (B, U).
        chosen: Column indices of the chosen images, int64 (B,).
        is_rival: Negatives of each judgment, bool (B, U); see `rivals`.
        temperature: Divisor of distances, above 0.

    Returns:
        Losses, shape (B,).

    Source: CPC (van den Oord et al. 2018), with the temperature of SimCLR (Chen et al. 2020).
    """
    is_in = is_rival.scatter(1, chosen[:, None], True)
    logits = (-distances / temperature).masked_fill(~is_in, -torch.inf)
    return F.cross_entropy(logits, chosen, reduction="none")


def rivals(anchor: Tensor, chosen: Tensor, rejected: Tensor, num_images: int) -> Tensor:
    """Return a mask of the images in a batch that are negatives of each judgment.

    All images are negatives, except the anchor and the images that judgments in the batch chose for the same
    anchor. The rejected image of the judgment is always a negative.

    Args:
        anchor: Anchors, int64 (B,), indices in [0, U).
        chosen: Chosen images, int64 (B,).
        rejected: Rejected images, int64 (B,).
        num_images: Number of images U.

    Returns:
        bool (B, U).
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
    """Return the distances from the anchors to the first and to the second images.

    Args:
        embeddings: Shape (U, D), any float type.
        anchor: Row indices, int64 (B,).
        first: Row indices, int64 (B,).
        second: Row indices, int64 (B,).
        distance: "cosine", in [0, 2], or "euclidean", without normalization.

    Returns:
        Two tensors float32 (B,).
    """
    points = _points(embeddings, distance)
    a, f, s = (F.embedding(rows, points) for rows in (anchor, first, second))
    return _between(a, f, distance), _between(a, s, distance)


def pair_distances(embeddings: Tensor, images: Tensor, distance: Distance = "cosine") -> Tensor:
    """Return the distances of the pairs 0-1, 0-2 and 1-2 of three images, float32 (B, 3).

    Args:
        embeddings: Shape (U, D), any float type.
        images: Row indices, int64 (3, B).
        distance: See `triplet_distances`.
    """
    points = _points(embeddings, distance)
    a, b, c = (F.embedding(rows, points) for rows in images)
    return torch.stack([_between(x, y, distance) for x, y in ((a, b), (a, c), (b, c))], dim=1)


def distances_to_all(embeddings: Tensor, anchor: Tensor, distance: Distance = "cosine") -> Tensor:
    """Return the distances from the anchors, int64 (B,), to all images, float32 (B, U)."""
    points = _points(embeddings, distance)
    if distance == "cosine":
        table = 1 - points @ points.T
    else:
        squares = points.square().sum(-1)
        table = _root(squares[:, None] + squares - 2 * points @ points.T)
    return F.embedding(anchor, table)


def _points(embeddings: Tensor, distance: Distance) -> Tensor:
    # Callers select rows with F.embedding. Unlike points[rows], its backward pass adds in a fixed order for
    # any number of threads, so results are reproducible.
    points = embeddings.float()
    return F.normalize(points, dim=-1) if distance == "cosine" else points


def _between(a: Tensor, b: Tensor, distance: Distance) -> Tensor:
    return 1 - (a * b).sum(-1) if distance == "cosine" else _root((a - b).square().sum(-1))


def _root(squares: Tensor) -> Tensor:
    # the gradient of the square root is infinite at 0, for equal embeddings
    return squares.clamp_min(1e-12).sqrt()


def agreement_weights(p_second: Tensor) -> Tensor:
    """Return |2p - 1| for shares of votes p that are not all ties, scaled to a mean of 1, shape (B,)."""
    weights = (2 * p_second - 1).abs()
    return weights / weights.mean()


def vote_weights(num_votes: Tensor) -> Tensor:
    """Return the number of votes of each judgment, scaled to a mean of 1, shape (B,)."""
    votes = num_votes.float()
    return votes / votes.mean()
