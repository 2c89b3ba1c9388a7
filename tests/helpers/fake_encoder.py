"""An encoder with known embeddings, and test sets for it."""

import numpy as np
import torch

from perceptinit.test_sets.sets import ZeroShotSet


class FakeEncoder:
    """Text embeddings come from a table; the embedding of an image is its mean red and green."""

    image_size = 2

    def __init__(self, table):
        self.table = {text: torch.tensor(vector, dtype=torch.float) for text, vector in table.items()}
        self.encoded = []

    def tokenize(self, texts):
        self.encoded.append(list(texts))
        return torch.tensor([[list(self.table).index(text)] for text in texts])

    def encode_text(self, tokens):
        return torch.stack([list(self.table.values())[int(token)] for token in tokens])

    def encode_image(self, images):
        return images.float().mean(dim=(2, 3))[:, :2] - 100


def image_of(red, green):
    """Return pixels whose fake embedding is (red, green)."""
    return np.full((2, 2, 3), (red + 100, green + 100, 0), dtype=np.uint8)


def make_set(images, labels, classnames=("right", "up"), templates=("{c}",), name="set"):
    keys = [f"image {i}" for i in range(len(images))]
    return ZeroShotSet(name, tuple(classnames), templates, images, np.array(labels), keys)
