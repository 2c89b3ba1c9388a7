"""Text embeddings of prompts, and zero-shot classifiers from their means."""

# U different texts, B batch, C classes, D embedding
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional as F

from perceptinit.compute.optim import Precision, autocast
from perceptinit.errors import DataError
from perceptinit.evaluators.features import unit, weights_key
from perceptinit.evaluators.kept_embeddings import find_embeddings, keep_embeddings
from perceptinit.protocols import DualEncoder
from perceptinit.test_sets.sets import ZeroShotSet

Prompts = Sequence[Sequence[str]]  # prompts of each class


@dataclass(frozen=True, slots=True, eq=False)
class TextEmbeddings:
    """Unit vectors of U distinct texts, float32 (U, D), and the row of each text."""

    vectors: torch.Tensor
    rows: dict[str, int]

    def of(self, texts: Iterable[str]) -> torch.Tensor:
        """Return the vectors of texts, (B, D)."""
        return self.vectors[[self.rows[text] for text in texts]]


@torch.no_grad()
def embed_texts(
    model: DualEncoder,
    texts: Iterable[str],
    device: str = "cpu",
    precision: Precision = "fp32",
    batch_size: int = 256,
) -> TextEmbeddings:
    """Return the unit embeddings of texts. Each distinct text is encoded once.

    Texts are sorted, so that neighbors share prefixes (see `token_rows.shared_rows`).

    Raises:
        TrainingError: If embeddings are not finite.
    """
    unique = sorted(set(texts))
    parts = []
    for start in range(0, len(unique), batch_size):
        tokens = model.tokenize(unique[start : start + batch_size]).to(device)
        with autocast(device, precision):
            parts.append(unit(model.encode_text(tokens), "text"))
    return TextEmbeddings(torch.cat(parts), {text: i for i, text in enumerate(unique)})


def set_prompts(test_set: ZeroShotSet) -> Prompts:
    """Return a set's prompts for each class: its class prompts if it has them, else the filled templates."""
    own = test_set.class_prompts
    if own:
        return [own[name] for name in test_set.classnames]
    return fill_templates(test_set.templates, test_set.classnames)


def zero_shot_classifier(
    model: DualEncoder,
    classnames: Sequence[str],
    templates: Sequence[str],
    device: str = "cpu",
    precision: Precision = "fp32",
    batch_size: int = 256,
) -> torch.Tensor:
    """Return a unit vector for each class, float32 (C, D), on the device; see `class_vectors`.

    Raises:
        DataError: If a template is invalid.
        TrainingError: If embeddings are not finite.
    """
    prompts = fill_templates(templates, classnames)
    texts = (prompt for row in prompts for prompt in row)
    return class_vectors(embed_texts(model, texts, device, precision, batch_size), prompts)


def class_vectors(embeddings: TextEmbeddings, prompts: Prompts) -> torch.Tensor:
    """Return the normalized mean of the unit embeddings of each class's prompts, (C, D).

    Source: CLIP_benchmark, zeroshot_classification.zero_shot_classifier.
    """
    return F.normalize(torch.stack([embeddings.of(row).mean(0) for row in prompts]), dim=-1)


def fill_templates(templates: Sequence[str], classnames: Sequence[str]) -> Prompts:
    """Return the prompts of each class; DataError for an invalid template."""
    for template in templates:
        try:
            template.format(c="x")
        except (LookupError, ValueError, AttributeError, TypeError) as error:
            reason = "the only allowed field is {c}. Double all other braces"
            raise DataError(f"template {template!r}: {reason}") from error
    return [[template.format(c=name) for template in templates] for name in classnames]


class Classifiers:
    """Zero-shot classifiers of several sets. Each distinct prompt is encoded once.

    Args:
        precision: Precision of the text tower.
        batch_size: Texts per batch.
        folder: Cache on disk, keyed by a hash of text weights, tokens, prompts and precision, or None.
    """

    def __init__(self, precision: Precision, batch_size: int, folder: Path | None = None) -> None:
        self.precision = precision
        self.batch_size = batch_size
        self.folder = folder
        self._made: dict[str, torch.Tensor | None] = {}  # arms may share a text tower

    def make(
        self, model: DualEncoder, prompts: Mapping[str, Prompts], device: str
    ) -> dict[str, torch.Tensor]:
        """Return the classifier of each set by name, float32 (C, D), on the device."""
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
        weights = weights_key(model, "text")
        if weights is None:
            return None
        digest = hashlib.sha256(f"{weights} {self.precision}\n".encode())
        for row in prompts:
            digest.update("\x1f".join(row).encode() + b"\n")
        # a sample of prompts detects a changed tokenizer; tokenizing all would take seconds
        shown = [text for row in prompts[:64] for text in row[:4]]
        digest.update(model.tokenize(shown).numpy().tobytes())
        return digest.hexdigest()

    def _find(self, key: str | None) -> torch.Tensor | None:
        if key is None:
            return None
        if key not in self._made and self.folder:
            self._made[key] = find_embeddings(self.folder / f"{key}.safetensors")
        return self._made.get(key)

    def _keep(self, key: str | None, vectors: torch.Tensor) -> None:
        if key is None:
            return
        self._made[key] = vectors
        if self.folder:
            keep_embeddings(self.folder / f"{key}.safetensors", vectors.numpy())
