"""Export both towers to ONNX."""

# B batch, T tokens, D embedding, S height and width
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from perceptinit.exporting.source import TrainedRun, Written
from perceptinit.files.atomic import atomic_path

USAGE = """\
import onnxruntime

image_tower = onnxruntime.InferenceSession("FOLDER/image.onnx")  # float32 (B, 3, S, S) in [0, 1]
(image_features,) = image_tower.run(None, {"images": images})
"""
TEXT_USAGE = """\
text_tower = onnxruntime.InferenceSession("FOLDER/text.onnx")  # int64 (B, T), padded to the context length
(text_features,) = text_tower.run(None, {"tokens": tokens})
"""


def write(run: TrainedRun, folder: Path) -> Written:
    """Write `image.onnx` and, with a text tower, `text.onnx`."""
    model = run.model
    size = run.model.image_size
    was_fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # ONNX does not support its fused operator
    try:
        images = torch.linspace(0, 1, 2 * 3 * size * size).reshape(2, 3, size, size)
        _write_tower(model.image, images, "images", folder / "image.onnx")
        if run.has_text:
            length = model.context_length
            tokens = nn.functional.pad(model.tokenize(["a photo", "two"]), (0, length))[:, :length]
            _write_tower(model.text, tokens, "tokens", folder / "text.onnx")
    finally:
        torch.backends.mha.set_fastpath_enabled(was_fast)
    return Written(USAGE + (TEXT_USAGE if run.has_text else ""))


def _write_tower(module: nn.Module, example: Tensor, name: str, file: Path) -> None:
    with atomic_path(file) as temporary, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # warnings on fixed shapes, such as the image size
        torch.onnx.export(
            module,
            (example,),
            str(temporary),
            input_names=[name],
            output_names=["embeddings"],
            dynamic_axes={name: {0: "batch"}, "embeddings": {0: "batch"}},
            dynamo=False,  # the dynamo exporter requires another package
        )
