"""Image embeddings of a set for several models, with one decoding pass."""

from __future__ import annotations

# N images, B batch, D embedding, S image size
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from perceptinit.compute.devices import to_device
from perceptinit.compute.optim import Precision, autocast
from perceptinit.errors import DataError, PerceptInitError, TrainingError
from perceptinit.evaluators.kept_embeddings import (
    EMBEDDINGS,
    find_embeddings,
    hash_images,
    keep_embeddings,
    name_embeddings,
)
from perceptinit.evaluators.readable import has_unreadable, note_unreadable
from perceptinit.files.checkpoints import weights_sha256
from perceptinit.images.decoding import stream_batches
from perceptinit.protocols import DualEncoder
from perceptinit.test_sets.sets import ImageSet, choose, find_set
from perceptinit.types import Fit, RunContext, Score

# caches for the lifetime of a set; evaluators of a process share set objects
_PIXELS: WeakKeyDictionary[Any, dict[tuple[int, Fit, int, int], torch.Tensor]] = WeakKeyDictionary()
_FEATURES: WeakKeyDictionary[Any, dict[tuple[str | None, str], torch.Tensor]] = WeakKeyDictionary()
_DIGESTS: WeakKeyDictionary[Any, str | None] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True, kw_only=True)
class Joint:
    """Settings of `perceptinit eval` for measuring several models together.

    Args:
        on_error: Called with the name and the error of each unreadable set, which is then skipped. If
            None, the error is raised.
        cache_folder: Folder that keeps zero-shot classifiers and embeddings. None during a run, whose weights
            change.
        is_single: Whether no other model is measured afterwards.
        rank: Rank of this process.
        num_ranks: Number of processes that share a set.
    """

    on_error: Callable[[str, PerceptInitError], None] | None = None
    cache_folder: Path | None = None
    is_single: bool = False
    rank: int = 0
    num_ranks: int = 1

    @contextmanager
    def guard(self, name: str) -> Iterator[None]:
        """Pass a DataError raised in the block to `on_error`, if set."""
        try:
            yield
        except DataError as error:
            if self.on_error is None:
                raise
            self.on_error(name, error)


ALONE = Joint()


@runtime_checkable
class HasEvaluateMany(Protocol):
    """An evaluator that scores several models in one pass over its data."""

    def evaluate_many(
        self, models: Sequence[DualEncoder], ctx: RunContext, joint: Joint = ALONE
    ) -> list[list[Score]]:
        """Return the scores of each model, as `evaluate` does.

        Raises:
            TrainingError: If a model has embeddings that are not finite.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """Settings for decoding and encoding images.

    Args:
        device: torch device string.
        precision: Precision of the image tower.
        batch_size: Images per batch.
        num_workers: Number of decoding threads.
        cache_bytes: Limit on the decoded pixels of all sets in memory, and on their embeddings.
        joint: Cache and processes. Each process encodes every num_ranks-th batch (see `merge`).
    """

    device: str = "cpu"
    precision: Precision = "fp32"
    batch_size: int = 256
    num_workers: int = 2
    cache_bytes: int = 2 << 30
    joint: Joint = ALONE

    @classmethod
    def of(cls, config: Any, ctx: RunContext, joint: Joint) -> Encoding:
        """Return the settings that an evaluator's config and the run specify."""
        return cls(
            device=ctx.device,
            precision=config.precision,
            batch_size=config.batch_size,
            num_workers=ctx.num_workers,
            cache_bytes=config.cache_mib << 20,
            joint=joint,
        )

    def merge(self, array: np.ndarray) -> np.ndarray:
        """Return the sum of an array over ranks. Each rank fills only its own rows; the others are 0."""
        if self.joint.num_ranks == 1:
            return array
        tensor = torch.from_numpy(array).to(self.device)
        torch.distributed.all_reduce(tensor)
        return tensor.cpu().numpy()


@dataclass(frozen=True, slots=True, eq=False)
class Subjects:
    """Models to evaluate together, with cache keys of weights and input transform (None if unknown)."""

    models: tuple[DualEncoder, ...]
    keys: tuple[str | None, ...]

    @classmethod
    def of(cls, models: Sequence[DualEncoder]) -> Subjects:
        keys = (weights_key(model, "image") for model in models)
        return cls(tuple(models), tuple(k and f"{k} {Fit.of(m)}" for k, m in zip(keys, models, strict=True)))


@torch.no_grad()
def embed_images(
    subjects: Subjects, images: ImageSet, encoding: Encoding
) -> Iterator[tuple[slice, list[torch.Tensor]]]:
    """Yield a slice of the set and its unit embeddings from each model, float32 (B, D) on the device.

    Models with the same image size and fit share a decoding pass. Embeddings within the memory limit are
    cached for evaluators of the same set and weights, and those of `perceptinit eval` on disk. Rows of
    unreadable images are meaningless (see `readable.readable_rows`).

    Raises:
        DataError: If too many images are unreadable.
        TrainingError: If embeddings are not finite.
    """
    files = _find_files(subjects, images, encoding)
    known = dict(_find_known(subjects, images, encoding, files))
    new = [i for i in range(len(files)) if i not in known]
    absent = Subjects(tuple(subjects.models[i] for i in new), tuple(subjects.keys[i] for i in new))
    _FEATURES.pop(images, None)  # embeddings of other weights are not used again
    room = encoding.cache_bytes - _total_bytes(_FEATURES) - sum(4 * k.numel() for k in known.values())
    is_kept = None not in subjects.keys and encoding.joint.num_ranks == 1
    parts: list[list[torch.Tensor]] = [[] for _ in new]
    keeps_pixels = not (encoding.joint.is_single and is_kept)
    for rows, batch in _encode(absent, images, encoding, keeps_pixels):
        room -= sum(4 * features.numel() for features in batch)
        is_kept = is_kept and room >= 0
        for own, features in zip(parts, batch, strict=True):
            if is_kept:
                own.append(features.cpu())
            else:
                own.clear()
        found = {i: features[rows].to(encoding.device) for i, features in known.items()}
        found |= dict(zip(new, batch, strict=True))
        yield rows, [found[i] for i in range(len(files))]
    if not is_kept:
        return
    for i, own in zip(new, parts, strict=True):
        known[i] = torch.cat(own)
        if (path := files[i]) and not has_unreadable(images):
            keep_embeddings(path, known[i].numpy())
    _FEATURES[images] = {(subjects.keys[i], encoding.precision): features for i, features in known.items()}


def _find_files(subjects: Subjects, images: ImageSet, encoding: Encoding) -> list[Path | None]:
    """Return the file of each model's embeddings; None for those that are not kept on disk."""
    nowhere: list[Path | None] = [None] * len(subjects.models)
    is_known = encoding.joint.num_ranks == 1 and None not in subjects.keys
    if encoding.joint.cache_folder is None or images.simulated or not is_known:
        return nowhere
    if images not in _DIGESTS:
        _DIGESTS[images] = hash_images(images.images, images.keys)
    digest = _DIGESTS[images]
    if digest is None:
        return nowhere
    folder = encoding.joint.cache_folder / EMBEDDINGS
    about = digest, encoding.precision, encoding.device
    pairs = zip(subjects.keys, subjects.models, strict=True)
    is_published = find_set(images.name) is not None
    names = [name_embeddings(str(key), model, *about, is_published) for key, model in pairs]
    return [folder / name if name else None for name in names]


def _find_known(
    subjects: Subjects, images: ImageSet, encoding: Encoding, files: Sequence[Path | None]
) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield the place of each model whose embeddings are in memory or on disk, and these embeddings."""
    in_memory = _FEATURES.get(images, {})
    for i, (key, file) in enumerate(zip(subjects.keys, files, strict=True)):
        features = in_memory.get((key, encoding.precision))
        if features is None and file:
            features = find_embeddings(file)
        if features is not None:
            yield i, features


def all_features(subjects: Subjects, images: ImageSet, encoding: Encoding) -> list[np.ndarray]:
    """Return the unit embeddings of a whole set for each model, float32 (N, D); see `embed_images`."""
    arrays = [np.zeros((len(images.images), m.embed_dim), np.float32) for m in subjects.models]
    for rows, batch in embed_images(subjects, images, encoding):
        for array, features in zip(arrays, batch, strict=True):
            array[rows] = features.cpu().numpy()
    return [encoding.merge(array) for array in arrays]


def _rows(images: ImageSet, encoding: Encoding) -> list[slice]:
    """Return the slices of the set that this rank encodes, one for each batch."""
    count = len(images.images)
    size = encoding.batch_size
    every = [slice(start, min(start + size, count)) for start in range(0, count, size)]
    return every[encoding.joint.rank :: encoding.joint.num_ranks]


def _encode(
    subjects: Subjects, images: ImageSet, encoding: Encoding, keeps_pixels: bool
) -> Iterator[tuple[slice, list[torch.Tensor]]]:
    inputs = [(model.image_size, Fit.of(model)) for model in subjects.models]
    distinct = list(dict.fromkeys(inputs))
    streams = [_pixels(images, size, fit, encoding, keeps_pixels) for size, fit in distinct]
    for rows, *squares in zip(_rows(images, encoding), *streams, strict=True):
        seen = dict(zip(distinct, (to_device(s, encoding.device) for s in squares), strict=True))
        features = []
        for model, own in zip(subjects.models, inputs, strict=True):
            with autocast(encoding.device, encoding.precision):
                embeddings = model.encode_image(seen[own])
            features.append(unit(embeddings, "image"))
        yield rows, features


def _pixels(
    images: ImageSet, size: int, fit: Fit, encoding: Encoding, is_kept: bool
) -> Iterator[torch.Tensor]:
    """Yield uint8 (B, 3, S, S) for the rows of this rank. If kept, later passes read them from memory."""
    mine = _rows(images, encoding)
    key = size, fit, encoding.joint.rank, encoding.joint.num_ranks
    sizes = [rows.stop - rows.start for rows in mine]
    kept = _PIXELS.get(images, {}).get(key)
    if kept is not None:
        yield from kept.split(sizes)
        return
    shape = (sum(sizes), 3, size, size)
    fits = is_kept and _total_bytes(_PIXELS) + int(np.prod(shape)) <= encoding.cache_bytes
    whole = torch.empty(shape if fits else 0, dtype=torch.uint8)
    places = np.concatenate([np.arange(r.start, r.stop) for r in mine] or [np.empty(0, np.int64)])

    def note(place: int, error: DataError) -> None:
        note_unreadable(images, int(places[place]), error, encoding.joint.num_ranks == 1)

    stream = stream_batches(
        choose(images.images, places),
        choose(images.keys, places),
        size,
        fit,
        encoding.batch_size,
        encoding.num_workers,
        note,
        is_published=find_set(images.name) is not None,
    )
    done = 0
    for batch in stream:
        if len(whole):
            whole[done : done + len(batch)] = batch
        done += len(batch)
        yield batch
    if len(whole):
        _PIXELS.setdefault(images, {})[key] = whole


def _total_bytes(kept: WeakKeyDictionary[Any, dict[Any, torch.Tensor]]) -> int:
    return sum(t.numel() * t.element_size() for entries in kept.values() for t in entries.values())


def unit(embeddings: torch.Tensor, what: str) -> torch.Tensor:
    """Return embeddings scaled to unit length, in float32; TrainingError if they are not finite."""
    embeddings = embeddings.float()
    if not torch.isfinite(embeddings).all():
        raise TrainingError(
            f"the {what} embeddings are not finite. Lower the learning rate or clip gradients"
        )
    return F.normalize(embeddings, dim=-1)


def weights_key(model: Any, tower: str) -> str | None:
    """Return a hash of a tower's weights and structure; None if the tower has no torch parameters."""
    module = getattr(model, tower, None)
    if not isinstance(module, nn.Module) or next(module.parameters(), None) is None:
        return None
    structure = hashlib.sha256(repr(module).encode()).hexdigest()
    return f"{structure[:32]}{weights_sha256(module)[:32]}"
