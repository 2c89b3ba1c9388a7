"""A map of the pictures as the image tower sees them after stage 1, in two dimensions (MDS)."""

from __future__ import annotations

# K images, D embedding, S image size
from dataclasses import dataclass

import numpy as np
import torch

from perceptinit.images.stimuli import StimulusImages
from perceptinit.judgments.two_afc import embed
from perceptinit.reports.figures import Figure, drawing, finish
from perceptinit.reports.models import RunModel
from perceptinit.seeding import generator

# more would cover each other
MAX_SHOWN = 60
THUMBNAIL_SIZE = 48
THUMBNAIL_ZOOM = 0.5
HEIGHT_INCHES = 5.2


@dataclass(frozen=True, slots=True)
class Space:
    """Places of pictures: names, coordinates (K, 2) and the share of variance each dimension holds."""

    figure: Figure
    names: tuple[str, ...]
    places: np.ndarray
    shares: tuple[float, float]


def classical_mds(squared: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
    """Return places (K, 2) whose distances are nearest to the given ones, and each dimension's share.

    squared: squared distances (K, K). The share is that of the variance of all dimensions. The sign
    of a dimension is free; here the largest coordinate is positive.
    Source: Torgerson (1952), classical multidimensional scaling.
    """
    centred = squared - squared.mean(axis=0) - squared.mean(axis=1)[:, None] + squared.mean()
    variances, directions = np.linalg.eigh(-centred / 2)
    variances, directions = np.clip(variances[::-1], 0, None), directions[:, ::-1]
    places = directions[:, :2] * np.sqrt(variances[:2])
    places = places * np.sign(places[np.abs(places).argmax(axis=0), [0, 1]])
    first, second = (variances[:2] / max(variances.sum(), np.finfo(float).tiny)).tolist()
    return places, (first, second)


@torch.no_grad()
def learned_space(model: RunModel) -> Space | None:
    """Return the map of up to `MAX_SHOWN` images of the held-out judgments; None without judgments.

    Distances are cosine distances; twice a cosine distance is a squared distance of unit vectors.
    """
    spec = model.judgments()
    if spec is None:
        return None
    triplets = spec.build().load("test")
    used = np.unique(np.stack([triplets.anchor, triplets.first, triplets.second]))
    chosen = np.sort(generator(0, "report", "space").permutation(used)[:MAX_SHOWN])
    if len(chosen) < 3:
        return None
    encoder = model.after_stage_one()
    images = StimulusImages(triplets.stimuli, encoder.image_size)
    z = embed(encoder.encode_image, images, chosen)
    places, shares = classical_mds(2 - 2 * z @ z.T)
    names = tuple(triplets.stimuli.ids[i] for i in chosen.tolist())
    return Space(_figure(_thumbnails(images[chosen]), places, shares), names, places, shares)


def _thumbnails(images: torch.Tensor) -> np.ndarray:
    """Return squares (K, 3, S, S) as uint8 (K, T, T, 3), T at most `THUMBNAIL_SIZE`."""
    size = min(THUMBNAIL_SIZE, images.shape[-1])
    small = torch.nn.functional.interpolate(
        images.float(), size=(size, size), mode="bilinear", antialias=True, align_corners=False
    )
    return small.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()


def _figure(pictures: np.ndarray, places: np.ndarray, shares: tuple[float, float]) -> Figure:
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    zoom = THUMBNAIL_ZOOM * THUMBNAIL_SIZE / pictures.shape[1]
    with drawing(height=HEIGHT_INCHES) as axes:
        ax = axes[0]
        ax.scatter(*places.T, s=0)  # so that the axes know their span
        for picture, place in zip(pictures, places, strict=True):
            ax.add_artist(AnnotationBbox(OffsetImage(picture, zoom=zoom), place, frameon=False))
        ax.margins(0.08)
        ax.set_aspect("equal", adjustable="datalim")
        for axis, share in zip((ax.xaxis, ax.yaxis), shares, strict=True):
            axis.set_label_text(f"{100 * share:.0f} % of the variance")
        return finish(
            axes,
            "The learned space: pictures that lie together look alike to the model",
            f"Map of {len(places)} pictures by multidimensional scaling of their cosine distances; its two "
            f"dimensions hold {100 * sum(shares):.0f} % of the variance.",
            "Classical multidimensional scaling of cosine distances after stage 1.",
        )
