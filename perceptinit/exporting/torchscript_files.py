"""TorchScript: both towers as files that need torch and nothing else."""

from __future__ import annotations

# B batch, T tokens, D embedding, S height and width
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from perceptinit.exporting.source import TrainedRun
from perceptinit.files.atomic import atomic_path

USAGE = """\
import torch

image_tower = torch.jit.load("FOLDER/image.pt")  # float (B, 3, S, S) in [0, 1] -> (B, D)
"""
TEXT_USAGE = """\
text_tower = torch.jit.load("FOLDER/text.pt")  # int64 (B, T) with the whole context -> (B, D)
"""


class Towers:
    """The towers that there are as functions of one tensor, with an example input each.

    images are float in [0, 1], tokens are padded with 0 to the whole context.
    """

    def __init__(self, run: TrainedRun) -> None:
        model = run.model
        size = model.image_size
        images = torch.linspace(0, 1, 2 * 3 * size * size).reshape(2, 3, size, size)
        self.modules: dict[str, nn.Module] = {"image": model.image}
        self.examples: dict[str, Tensor] = {"image": images}
        if run.has_text:
            length = model.context_length
            tokens = nn.functional.pad(model.tokenize(["a photo", "two"]), (0, length))[:, :length]
            self.modules["text"], self.examples["text"] = model.text, tokens


def write(run: TrainedRun, folder: Path) -> str:
    """Write `image.pt`, and `text.pt` of a text tower, and return the code that loads them."""
    towers = Towers(run)
    for name, module in towers.modules.items():
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter(
                "ignore"
            )  # shapes that are fixed on purpose, such as the image size
            traced = torch.jit.trace(module, towers.examples[name])
        with atomic_path(folder / f"{name}.pt") as temporary:
            torch.jit.save(traced, temporary)
    return USAGE + (TEXT_USAGE if run.has_text else "")
