"""A linear classifier made of words: the mean text embedding of each class over its prompts."""

from __future__ import annotations

# C classes, D embedding
import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch.nn import functional as F

from perceptinit.compute.optim import Precision
from perceptinit.errors import CheckpointError, DataError, WriteError
from perceptinit.evaluators.prompts import TextEmbeddings, embed_texts
from perceptinit.evaluators.weights_key import text_key
from perceptinit.files.atomic import remove_abandoned
from perceptinit.files.checkpoints import load_weights, save_weights
from perceptinit.protocols import DualEncoder
from perceptinit.test_sets.sets import ZeroShotSet

Prompts = Sequence[Sequence[str]]  # of each class


def set_prompts(test_set: ZeroShotSet) -> Prompts:
    """Return the prompts of each class of a set: its own, or the templates filled with its name."""
    own = test_set.class_prompts
    if own:
        return [own[name] for name in test_set.classnames]
    return [[fill_template(t, name) for t in test_set.templates] for name in test_set.classnames]


def zero_shot_classifier(
    model: DualEncoder,
    classnames: Sequence[str],
    templates: Sequence[str],
    device: str = "cpu",
    precision: Precision = "fp32",
    batch_size: int = 256,
) -> torch.Tensor:
    """Return a unit vector for each class, float32 (C, D), on `device`; see `class_vectors`.

    Raises DataError for a template that is no format string, TrainingError for embeddings that are
    not finite.
    """
    prompts = [[fill_template(t, name) for t in templates] for name in classnames]
    texts = (prompt for row in prompts for prompt in row)
    return class_vectors(embed_texts(model, texts, device, precision, batch_size), prompts)


def class_vectors(embeddings: TextEmbeddings, prompts: Prompts) -> torch.Tensor:
    """Return a unit vector for each class: the normalised mean of its prompts' unit embeddings, (C, D).

    Source: CLIP_benchmark, zeroshot_classification.zero_shot_classifier.
    """
    return F.normalize(torch.stack([embeddings.of(row).mean(0) for row in prompts]), dim=-1)


def fill_template(template: str, name: str) -> str:
    """Return the prompt of a class; DataError when the template has more than {c} in braces."""
    try:
        return template.format(c=name)
    except (KeyError, IndexError, ValueError) as error:
        raise DataError(f"template {template!r}: only {{c}} may stand in braces") from error


class Classifiers:
    """Classifiers of many sets for a model; each prompt is encoded once for all of them.

    folder: where classifiers are kept between processes, None for nowhere. They are found by a hash
    of text weights, tokens, prompts and precision, so a changed file of names is another classifier.
    """

    def __init__(self, precision: Precision, batch_size: int, folder: Path | None = None) -> None:
        self.precision, self.batch_size, self.folder = precision, batch_size, folder
        self._made: dict[str, torch.Tensor] = {}  # arms may share their text tower

    def make(
        self, model: DualEncoder, prompts: Mapping[str, Prompts], device: str
    ) -> dict[str, torch.Tensor]:
        """Return the classifier float32 (C, D) of each set, by its name, on `device`."""
        keys = {name: self._key(model, rows) for name, rows in prompts.items()}
        found = {name: self._find(key) for name, key in keys.items()}
        absent = [name for name, vectors in found.items() if vectors is None]
        if absent:
            texts = (text for name in absent for row in prompts[name] for text in row)
            embeddings = embed_texts(model, texts, device, self.precision, self.batch_size)
            for name in absent:
                vectors = class_vectors(embeddings, prompts[name]).cpu()
                found[name] = vectors
                self._keep(keys[name], vectors)
        return {name: vectors.to(device) for name, vectors in found.items() if vectors is not None}

    def _key(self, model: DualEncoder, prompts: Prompts) -> str | None:
        weights = text_key(model)
        if weights is None:
            return None
        digest = hashlib.sha256(f"{weights} {self.precision}\n".encode())
        for row in prompts:
            digest.update("\x1f".join(row).encode() + b"\n")
        # a sample of the prompts shows a changed tokenizer; all of them would cost seconds
        shown = [text for row in prompts[:64] for text in row[:4]]
        digest.update(model.tokenize(shown).numpy().tobytes())
        return digest.hexdigest()

    def _find(self, key: str | None) -> torch.Tensor | None:
        if key is None or key in self._made:
            return self._made.get(key or "")
        path = self._path(key)
        if path is None or not path.is_file():
            return None
        try:
            self._made[key] = load_weights(path)["classifier"]
        except (CheckpointError, KeyError):  # damaged: made again and written over
            return None
        return self._made[key]

    def _keep(self, key: str | None, vectors: torch.Tensor) -> None:
        if key is None:
            return
        self._made[key] = vectors
        path = self._path(key)
        if path is None:
            return
        remove_abandoned(path.parent)
        with suppress(WriteError):  # no room: it is made again by the next process
            save_weights(path, {"classifier": vectors})

    def _path(self, key: str) -> Path | None:
        return self.folder / f"{key}.safetensors" if self.folder else None
