"""ONNX: both towers, for onnxruntime and other readers of the format."""

from __future__ import annotations

# B batch, T tokens, D embedding, S height and width
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from perceptinit.exporting.source import TrainedRun
from perceptinit.files.atomic import atomic_path

USAGE = """\
import onnxruntime

image_tower = onnxruntime.InferenceSession("FOLDER/image.onnx")  # float32 (B, 3, S, S) in [0, 1]
(image_features,) = image_tower.run(None, {"images": images})
"""
TEXT_USAGE = """\
text_tower = onnxruntime.InferenceSession("FOLDER/text.onnx")  # int64 (B, T), the whole context
(text_features,) = text_tower.run(None, {"tokens": tokens})
"""
INPUTS = {"image": "images", "text": "tokens"}


def write(run: TrainedRun, folder: Path) -> str:
    """Write `image.onnx`, and `text.onnx` if there is a text tower; return the code that loads them."""
    was_fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # ONNX does not support its operator
    try:
        for name, (module, example) in _towers(run).items():
            _write_tower(module, example, name, folder / f"{name}.onnx")
    finally:
        torch.backends.mha.set_fastpath_enabled(was_fast)
    return USAGE + (TEXT_USAGE if run.has_text else "")


def _write_tower(module: nn.Module, example: Tensor, name: str, file: Path) -> None:
    with atomic_path(file) as temporary, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # about fixed shapes, such as the image size
        torch.onnx.export(
            module,
            (example,),
            str(temporary),
            input_names=[INPUTS[name]],
            output_names=["embeddings"],
            dynamic_axes={INPUTS[name]: {0: "batch"}, "embeddings": {0: "batch"}},
            dynamo=False,  # the dynamo exporter needs another package
        )


def _towers(run: TrainedRun) -> dict[str, tuple[nn.Module, Tensor]]:
    """Return each tower with an example: float images in [0, 1], or tokens padded with 0."""
    model, size = run.model, run.model.image_size
    images = torch.linspace(0, 1, 2 * 3 * size * size).reshape(2, 3, size, size)
    towers: dict[str, tuple[nn.Module, Tensor]] = {"image": (model.image, images)}
    if run.has_text:
        length = model.context_length
        tokens = nn.functional.pad(model.tokenize(["a photo", "two"]), (0, length))[:, :length]
        towers["text"] = model.text, tokens
    return towers
