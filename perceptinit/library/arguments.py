"""Validation of the arguments of `apply_perceptual_init`."""

import inspect
from collections.abc import Iterable, Mapping
from numbers import Integral
from pathlib import Path
from typing import Any, get_args

from torch import nn

from perceptinit.errors import UsageError
from perceptinit.files.tables import TABLE_SUFFIXES
from perceptinit.registry import nearest
from perceptinit.types import FitMode

PACKAGE = str(Path(__file__).parents[1])
ARGUMENTS = ("judgments", "also_on", "encode", "image_size", "device", "cache", "progress", "num_workers")
RENAMED = {"initializer": "method"}


def check_arguments(
    model: Any,
    method: Any,
    judgments: Any,
    options: Mapping[str, Any],
    seed: Any,
    given: Mapping[str, Any],
) -> None:
    """Raise UsageError for the first argument of `apply_perceptual_init` with an invalid type or value.

    `given` contains the arguments `encode`, `image_size`, `mean`, `std` and `fit`.
    """
    encode = given["encode"]
    image_size = given["image_size"]
    _check_model(model)
    if not isinstance(method, str):
        raise UsageError(f"method: expected a name, such as 'triplet-hinge', got {type(method).__name__}")
    if "images" in options:
        raise UsageError(_where_images_go(judgments, options["images"]))
    if encode is not None and not callable(encode):
        raise UsageError(f"encode: expected a function of images, got {encode!r:.60}")
    if image_size is not None and not isinstance(image_size, Integral):
        raise UsageError(f"image_size: expected an integer number of pixels, got {image_size!r:.60}")
    for name in ("mean", "std"):
        value = given[name]
        if value is not None and not (hasattr(value, "__len__") and len(value) == 3):
            raise UsageError(f"{name}: expected three numbers, such as (0.5, 0.5, 0.5), got {value!r:.60}")
    if given["fit"] not in get_args(FitMode):
        raise UsageError(f"fit: expected one of {', '.join(get_args(FitMode))}, got {given['fit']!r:.60}")
    if not isinstance(seed, Integral) or seed < 0:
        raise UsageError(f"seed: expected an integer of at least 0, got {seed!r:.60}")


def check_spelling(names: Iterable[str]) -> None:
    """Raise UsageError for the first of unknown names that is similar to an argument."""
    known = (*ARGUMENTS, *RENAMED)
    guesses = {name: nearest(name, known) for name in sorted(names)}
    for name, guess in guesses.items():
        if guess:
            raise UsageError(f"{name}: not an argument. Did you mean {RENAMED.get(guess, guess)}=?")


def _check_model(model: Any) -> None:
    if isinstance(model, nn.Module):
        return
    if isinstance(model, str):
        raise UsageError(
            f"model: expected a model, got its name. Pass timm.create_model({model!r}), or the "
            "equivalent of your library"
        )
    if callable(model):
        name = getattr(model, "__name__", "Model")
        kind = "class" if isinstance(model, type) else "function"
        raise UsageError(f"model: expected a model, got the {kind} that builds one. Pass {name}(...)")
    if isinstance(model, tuple):
        raise UsageError(
            "model: expected a model, got a tuple, such as open_clip.create_model_and_transforms returns. "
            "Pass its first item"
        )
    raise UsageError(f"model: expected a torch.nn.Module, got {type(model).__name__}")


def _where_images_go(judgments: Any, images: Any) -> str:
    table = {"path": "judgments.csv", "images": "photographs"}
    arrays = ". For arrays, use Triplets.build(Stimuli(ids, images), ...)"
    if str(judgments).endswith(TABLE_SUFFIXES) and isinstance(images, (str, Path)):
        table = {"path": str(judgments), "images": str(images)}
        arrays = ""
    return f'images: not an argument, but a key of the judgments. Pass judgments=("table", {table}){arrays}'


def callers_level() -> int:
    """Return the `stacklevel` at which a warning points to the caller outside the package."""
    files = [frame.filename for frame in inspect.stack(0)[1:]]  # from the caller of this function
    return 2 + max(level for level, file in enumerate(files) if file.startswith(PACKAGE))
