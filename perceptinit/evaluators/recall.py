"""Recall of retrieval by top-k and ownership: no matrix of all similarities, none of pairs."""

from __future__ import annotations

# N images, M captions, D embedding, K largest k
from collections.abc import Sequence

import numpy as np
import torch

# similarities that exist at a time, float32: 64 MB
CHUNK_ELEMENTS = 16 << 20


def hits_at_k(
    queries: torch.Tensor,
    gallery: torch.Tensor,
    query_owners: np.ndarray,
    gallery_owners: np.ndarray,
    ks: Sequence[int],
) -> np.ndarray:
    """Tell whether one of a query's own items is among its k nearest, bool (queries, len(ks)).

    queries, gallery: unit vectors (., D). *_owners: int64, the image that each belongs to.
    An image with several captions counts once: 1 when any of them is found, as papers on CLIP do,
    not the share of them that is. A k above the size of the gallery finds everything.
    """
    largest = min(max(ks), len(gallery))
    owners = torch.from_numpy(gallery_owners).to(gallery.device)
    own = torch.from_numpy(query_owners).to(gallery.device)
    chunk = max(1, CHUNK_ELEMENTS // len(gallery))
    found = []
    for rows in torch.arange(len(queries), device=queries.device).split(chunk):
        nearest = (queries[rows] @ gallery.T).topk(largest, dim=1).indices
        found.append((owners[nearest] == own[rows, None]).cpu())
    is_own = torch.cat(found).numpy()
    return np.stack([is_own[:, :k].any(axis=1) for k in ks], axis=1)
