"""ONNX: both towers, for onnxruntime and what else reads the format."""

from __future__ import annotations

# B batch, T tokens, D embedding, S height and width
import warnings
from pathlib import Path

import torch

from perceptinit.errors import MissingPackageError
from perceptinit.exporting.source import TrainedRun
from perceptinit.exporting.torchscript_files import Towers
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
    """Write `image.onnx`, and `text.onnx` of a text tower, and return the code that loads them.

    Raises MissingPackageError without the package onnx.
    """
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            "export to onnx needs the package 'onnx'. Get it: pip install 'perceptinit[onnx]'"
        ) from error
    towers = Towers(run)
    for name, module in towers.modules.items():
        axes = {INPUTS[name]: {0: "batch"}, "embeddings": {0: "batch"}}
        with (
            atomic_path(folder / f"{name}.onnx") as temporary,
            warnings.catch_warnings(),
            torch.no_grad(),
        ):
            warnings.simplefilter(
                "ignore"
            )  # shapes that are fixed on purpose, such as the image size
            torch.onnx.export(
                module,
                (towers.examples[name],),
                str(temporary),
                input_names=[INPUTS[name]],
                output_names=["embeddings"],
                dynamic_axes=axes,
                dynamo=False,  # the other exporter needs a further package
            )
    return USAGE + (TEXT_USAGE if run.has_text else "")
